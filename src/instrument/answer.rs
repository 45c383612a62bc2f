//! What an answer says while it passes: when its first content came, model and tokens.
//!
//! With the feature `wire`, answers of models are read for these facts, in bounded memory and at bounded cost: server-sent events
//! as they come, other JSON at its start and its end. Everything else, and without the feature, the first byte is the first
//! content.

use crate::model::{Kind, Name, Tokens};
use http::HeaderMap;
#[cfg(feature = "wire")]
use reading::Reading;

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Model that answered, or was asked for.
    pub(crate) model: Option<Name>,
    /// Whether it is a stream.
    pub(crate) stream: Option<bool>,
    /// Tokens.
    pub(crate) tokens: Tokens,
}

/// Reads an answer as it passes.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    stream: Option<bool>,
    #[cfg(feature = "wire")]
    reading: Option<Box<Reading>>,
}

/// Kinds whose answers are read.
#[cfg(feature = "wire")]
const fn is_model(kind: Kind) -> bool {
    matches!(kind, Kind::Llm | Kind::Embedding | Kind::Agent)
}

impl Answer {
    /// From the head of an answer of a dependency of this kind.
    pub(crate) fn new(kind: Kind, headers: &HeaderMap) -> Self {
        let media = headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let is_events = media.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
        #[cfg(not(feature = "wire"))]
        let _ = kind;
        Self {
            stream: is_events.then_some(true),
            #[cfg(feature = "wire")]
            reading: (is_model(kind) || is_events).then(|| Box::new(Reading::new(headers, is_events))),
        }
    }

    /// Whether it comes as events, one by one.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream == Some(true)
    }

    /// Whether it said that it is all (`[DONE]`), though its body goes on: clients of such streams leave then.
    pub(crate) fn is_done(&self) -> bool {
        #[cfg(feature = "wire")]
        if let Some(reading) = &self.reading {
            return reading.is_done();
        }
        false
    }

    /// Reads bytes and says whether there was content among them. `length` bytes passed, of which `start` is the beginning.
    pub(crate) fn data(&mut self, start: &[u8], length: usize) -> bool {
        #[cfg(feature = "wire")]
        if let Some(reading) = &mut self.reading {
            return reading.data(start, length);
        }
        let _ = start;
        length > 0
    }

    /// What it said in all.
    pub(crate) fn finish(&mut self, complete: bool) -> Said {
        #[cfg(feature = "wire")]
        if let Some(reading) = self.reading.take() {
            return Said { stream: self.stream, ..reading.finish(complete) };
        }
        let _ = complete;
        Said { stream: self.stream, ..Said::default() }
    }
}

/// What the body of a request says: the model asked for, and whether a stream is wanted. Only its start and its end are read.
#[cfg(feature = "reqwest")]
pub(crate) fn asked(kind: Kind, body: &[u8]) -> Said {
    #[cfg(feature = "wire")]
    if is_model(kind) {
        return reading::asked(body);
    }
    let _ = (kind, body);
    Said::default()
}

#[cfg(feature = "wire")]
mod reading {
    use super::Said;
    use crate::model::Tokens;
    use crate::wire::headers::ResponseFields;
    use crate::wire::http1::ResponseContent;
    #[cfg(feature = "reqwest")]
    use crate::wire::usage::{Reader, Vocabulary};
    use http::HeaderMap;

    /// Bytes of a body that are read at its start; of a request, also at its end.
    const START: usize = 16 * 1024;

    #[derive(Debug)]
    pub(super) struct Reading {
        content: ResponseContent,
        /// All of it is read: events are short, and each counts.
        whole: bool,
        read: usize,
        skipping: bool,
        /// Content was told.
        told: bool,
    }

    impl Reading {
        pub(super) fn new(headers: &HeaderMap, whole: bool) -> Self {
            let mut fields = ResponseFields::default();
            for (name, value) in headers {
                fields.set(name.as_str(), value.as_bytes());
            }
            Self { content: ResponseContent::new(&fields.message), whole, read: 0, skipping: false, told: false }
        }

        pub(super) fn data(&mut self, start: &[u8], length: usize) -> bool {
            let limit = if self.whole || self.skipping { usize::MAX } else { START.saturating_sub(self.read) };
            let (read, rest) = start.split_at(limit.min(start.len()));
            let mut pieces = self.content.data(read);
            if !rest.is_empty() {
                // From here on only what turns out to be the end is read.
                self.skipping = true;
                self.content.gap(0);
                pieces += self.content.data(rest);
            }
            let missing = length.saturating_sub(start.len());
            if missing > 0 {
                pieces += self.content.gap(missing as u64);
            }
            self.read = self.read.saturating_add(length);
            let content = pieces > 0 && !self.told;
            self.told |= content;
            content
        }

        pub(super) fn is_done(&self) -> bool {
            self.content.is_done()
        }

        pub(super) fn finish(self, complete: bool) -> Said {
            let said = self.content.finish(complete);
            let tokens = Tokens { input: said.input_tokens, output: said.output_tokens };
            Said { model: said.model, stream: None, tokens }
        }
    }

    #[cfg(feature = "reqwest")]
    pub(super) fn asked(body: &[u8]) -> Said {
        let mut reader = Reader::new(Vocabulary::Request);
        match body.len().checked_sub(2 * START) {
            Some(1..) => {
                reader.feed(&body[..START]);
                reader.gap();
                reader.feed(&body[body.len() - START..]);
            }
            _ => reader.feed(body),
        }
        let facts = reader.finish();
        Said { model: facts.model, stream: facts.stream, ..Said::default() }
    }
}

#[cfg(feature = "wire")]
#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: Kind, media: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, media.parse().unwrap());
        Answer::new(kind, &headers)
    }

    #[test]
    fn the_first_generated_token_is_the_first_content_of_a_stream() {
        let mut answer = answer(Kind::Llm, "text/event-stream; charset=utf-8");
        let event = |delta: &str| format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n").into_bytes();
        let role = event("{\"role\":\"assistant\",\"content\":\"\"}");
        let word = event("{\"content\":\"word\"}");
        assert!(answer.is_stream());
        assert!(!answer.data(&role, role.len()));
        assert!(answer.data(&word, word.len()));
        assert!(!answer.data(&word, word.len()), "only the first is told");
    }

    #[test]
    fn the_first_byte_is_the_first_content_of_anything_else() {
        for (kind, media) in [(Kind::Tool, "application/json"), (Kind::Http, "text/html"), (Kind::Llm, "application/json")] {
            assert!(answer(kind, media).data(b"{", 1), "{kind} {media}");
        }
    }

    #[test]
    fn facts_at_both_ends_of_a_long_answer_are_found() {
        let numbers = "0.125,".repeat(200_000);
        let usage = "\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}";
        let body = format!("{{\"model\":\"embed-1\",\"data\":[{{\"embedding\":[{numbers}0]}}],{usage}}}");
        for piece in [body.len(), 100_000, 1_000] {
            let mut answer = answer(Kind::Embedding, "application/json");
            for bytes in body.as_bytes().chunks(piece) {
                answer.data(bytes, bytes.len());
            }
            let said = answer.finish(true);
            assert_eq!((said.model.as_deref(), said.tokens.input), (Some("embed-1"), Some(9)), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_long_question_is_read_at_its_ends() {
        let text = "why? ".repeat(100_000);
        let body = format!("{{\"messages\":[{{\"content\":\"{text}\"}}],\"stream\":true,\"model\":\"gpt-test\"}}");
        let said = asked(Kind::Llm, body.as_bytes());
        assert_eq!((said.model.as_deref(), said.stream), (Some("gpt-test"), Some(true)));
        assert_eq!(asked(Kind::Tool, body.as_bytes()).model, None);
    }
}
