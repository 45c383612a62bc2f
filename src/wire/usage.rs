//! What JSON bodies and events of model providers say: model, stream flag, tokens, errors, and whether something was
//! generated.
//!
//! Read as a stream in bounded memory: facts at the start of a body and at its end are found although what lies between was
//! not seen. Texts are looked at for these facts only, and forgotten.

mod json;
mod key;

use std::sync::Arc;

use json::{Tokenizer, Value};
use key::Key;

use super::sse::Event;

/// Bytes after a gap that are kept until the document's end, which says what they are.
const TAIL_LIMIT: usize = 8 * 1024;
/// Longest identifier that is kept, in bytes.
const IDENTIFIER_LIMIT: usize = 64;

/// Whose document is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// A client's: only what stands at the top counts.
    Request,
    /// A server's: its facts may stand in `message` or `response` too.
    Answer,
}

/// What one document said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The model's name.
    pub model: Option<Arc<str>>,
    /// `stream` of a request.
    pub stream: Option<bool>,
    /// Input tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// The error's code, type or status: a short identifier, never a message.
    pub error_code: Option<Arc<str>>,
    /// The stream of events, or lines, ends with this one.
    pub done: bool,
    /// The event carries something generated.
    pub content: bool,
}

/// Reads one document after the other.
#[derive(Debug)]
pub struct Reader {
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    seen: Seen,
    /// What followed the last gap.
    tail: Option<Vec<u8>>,
    /// The first bytes that are not blank, and how many there were.
    start: [u8; DONE.len()],
    length: u64,
}

/// The mark that ends OpenAI's streams.
const DONE: &[u8; 6] = b"[DONE]";

/// What says a fact begins like one of these, be it a key or a value.
#[cfg(any(test, feature = "cli"))]
const SAYING: [&[u8]; 8] =
    [b"model", b"usage", b"eval_count", b"prompt_eval_count", b"error", b"done\"", b"message_stop", b"response.completed"];

/// Whether a server's whole document may say something. One that says nothing is found out by its quotes alone, where reading it
/// looks at each byte.
#[cfg(any(test, feature = "cli"))]
pub(crate) fn may_say(document: &[u8]) -> bool {
    // What is escaped may be any of them.
    memchr::memchr(b'\\', document).is_some()
        || document.trim_ascii_start().starts_with(DONE)
        || memchr::memchr_iter(b'"', document).any(|at| SAYING.iter().any(|word| document[at + 1..].starts_with(word)))
}

/// What was seen of a document so far.
#[derive(Debug, Default)]
struct Seen {
    facts: Facts,
    /// `type` at the top.
    kind: Option<Arc<str>>,
    error_code: Option<Arc<str>>,
    error_type: Option<Arc<str>>,
    error_status: Option<Arc<str>>,
    /// It is a completion's chunk.
    choices: bool,
    error: bool,
    generated: bool,
    /// Something that could have been generated is there, and empty.
    empty: bool,
}

impl Reader {
    /// A reader at the start of a document.
    #[must_use]
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self { vocabulary, tokenizer: Tokenizer::new(), seen: Seen::default(), tail: None, start: [0; DONE.len()], length: 0 }
    }

    /// Reads the document's next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).take(DONE.len() + 1) {
            if let Some(place) = usize::try_from(self.length).ok().and_then(|at| self.start.get_mut(at)) {
                *place = *byte;
            }
            self.length = self.length.saturating_add(1);
        }
        match &mut self.tail {
            None => {
                let Self { tokenizer, seen, vocabulary, .. } = self;
                tokenizer.feed(bytes, &mut |path, value| seen.value(*vocabulary, path, value));
            }
            Some(tail) => {
                let kept = bytes.len().min(TAIL_LIMIT);
                let excess = (tail.len() + kept).saturating_sub(TAIL_LIMIT);
                tail.drain(..excess);
                tail.extend_from_slice(&bytes[bytes.len() - kept..]);
            }
        }
    }

    /// Bytes are missing here.
    pub fn gap(&mut self) {
        self.length = self.length.saturating_add(DONE.len() as u64 + 1);
        self.tail.get_or_insert_default().clear();
    }

    /// Whether nothing but blanks was read since the last document.
    #[must_use]
    pub const fn is_blank(&self) -> bool {
        self.length == 0
    }

    /// Ends the document and says what it said. The next bytes begin another one.
    pub fn finish(&mut self) -> Facts {
        self.finish_as(&[], false)
    }

    /// Ends the document of an event, and judges by its kind whether the event carries something generated. Vocabularies
    /// that are not known are taken to carry something in every event.
    pub fn finish_event(&mut self, event: Event<'_>) -> Facts {
        self.finish_as(event.name, event.cut)
    }

    fn finish_as(&mut self, name: &[u8], cut: bool) -> Facts {
        // A number at the very end of a document is only complete with it.
        match self.tail.take() {
            None => {
                let Self { tokenizer, seen, vocabulary, .. } = self;
                tokenizer.feed(b"\n", &mut |path, value| seen.value(*vocabulary, path, value));
            }
            Some(tail) => self.read_tail(&tail),
        }
        self.tokenizer.reset();
        let marked_done = self.length == DONE.len() as u64 && self.start == *DONE;
        let blank = std::mem::take(&mut self.length) == 0;
        let mut seen = std::mem::take(&mut self.seen);
        let kind = seen.kind.take();
        let kind = kind.as_deref().map_or(name, str::as_bytes);
        let mut facts = seen.facts;
        facts.error_code = seen.error_code.or(seen.error_type).or(seen.error_status);
        facts.done |= marked_done || matches!(kind, b"message_stop" | b"response.completed");
        facts.content = !blank && !marked_done && {
            let kind_says = match kind {
                b"content_block_delta" => Some(true),
                b"message_start"
                | b"message_delta"
                | b"message_stop"
                | b"content_block_start"
                | b"content_block_stop"
                | b"ping"
                | b"error" => Some(false),
                _ if kind.starts_with(b"response.") => Some(kind.ends_with(b".delta")),
                _ => None,
            };
            kind_says.unwrap_or(match seen.choices {
                // What was not seen may have been something.
                true => seen.generated || (cut && !seen.empty),
                false => !seen.error && !seen.empty,
            })
        };
        facts
    }

    /// Reads what followed the last gap, now that its end is known to be the document's.
    fn read_tail(&mut self, tail: &[u8]) {
        for in_text in [false, true] {
            if let Some(depth) = json::depth_at_start(tail, in_text) {
                let mut tokenizer = Tokenizer::resumed(depth, in_text);
                tokenizer.feed(tail, &mut |path, value| self.seen.value(self.vocabulary, path, value));
            }
        }
    }

    /// Bytes held on the heap.
    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        size_of::<Self>() + self.tokenizer.retained_bytes() + self.tail.as_ref().map_or(0, Vec::capacity)
    }
}

impl Seen {
    fn value(&mut self, vocabulary: Vocabulary, path: &[Key], value: Value<'_>) {
        match (path, value) {
            ([Key::Model], Value::Text(text)) => self.facts.model = name(text),
            ([Key::Stream], Value::Bare(bare)) => {
                self.facts.stream = match bare {
                    b"true" => Some(true),
                    b"false" => Some(false),
                    _ => None,
                };
            }
            _ if vocabulary == Vocabulary::Request => {}
            ([Key::Message | Key::Response | Key::Unknown, Key::Model] | [Key::ModelVersion], Value::Text(text)) => {
                self.facts.model = name(text);
            }
            ([Key::Type], Value::Text(text)) => self.kind = identifier(text),
            ([Key::Done], Value::Bare(bare)) => self.facts.done |= bare == b"true",
            ([Key::Error, place] | [Key::Response, Key::Error, place], value) => {
                self.error = true;
                if let Value::Text(text) = value {
                    match place {
                        Key::Code => self.error_code = identifier(text),
                        Key::Type => self.error_type = identifier(text),
                        Key::Status => self.error_status = identifier(text),
                        _ => {}
                    }
                }
            }
            ([Key::Error], Value::Text(_) | Value::Open) => self.error = true,
            ([Key::Choices, rest @ ..], value) => {
                self.choices = true;
                self.choice(rest, value);
            }
            ([.., Key::Delta, Key::Content], value) if path.contains(&Key::Unknown) => {
                self.choice(&[Key::Item, Key::Delta, Key::Content], value);
            }
            (_, Value::Bare(bare)) => match tokens(path) {
                Some(Key::Input) => self.facts.input_tokens = count(bare).or(self.facts.input_tokens),
                Some(Key::Output) => self.facts.output_tokens = count(bare).or(self.facts.output_tokens),
                _ => {}
            },
            _ => {}
        }
    }
}

impl Seen {
    /// A value inside `choices`.
    fn choice(&mut self, path: &[Key], value: Value<'_>) {
        match (path, value) {
            ([Key::Item, Key::Text | Key::Delta, ..], Value::Text(b"")) => self.empty = true,
            ([Key::Item, Key::Text] | [Key::Item, Key::Delta, Key::Content, ..], Value::Text(_))
            | ([Key::Item, Key::Delta, Key::Calls, _, ..], _) => self.generated = true,
            _ => {}
        }
    }
}

/// Whether a number at `path` counts tokens: [`Key::Input`], [`Key::Output`].
fn tokens(path: &[Key]) -> Option<Key> {
    let (&last, parents) = path.split_last()?;
    match (parents, last) {
        (
            [Key::Usage] | [Key::Message | Key::Response | Key::Unknown, Key::Usage]
            // The key `usage` itself may have been in the gap.
            | [Key::Unknown] | [Key::Unknown, Key::Unknown],
            Key::Input | Key::Output,
        ) => Some(last),
        ([Key::UsageMetadata | Key::Unknown], Key::MetadataInput) => Some(Key::Input),
        ([Key::UsageMetadata | Key::Unknown], Key::MetadataOutput) => Some(Key::Output),
        ([], Key::RootInput) => Some(Key::Input),
        ([], Key::RootOutput) => Some(Key::Output),
        _ => None,
    }
}

fn count(bare: &[u8]) -> Option<u64> {
    std::str::from_utf8(bare).ok()?.parse().ok()
}

/// A model's name: printable, without blanks.
fn name(text: &[u8]) -> Option<Arc<str>> {
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty() && !text.chars().any(|character| character.is_control() || character.is_whitespace()))
        .then(|| Arc::from(text))
}

/// A word of a closed vocabulary, not prose.
fn identifier(text: &[u8]) -> Option<Arc<str>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    if text.is_empty() || text.len() > IDENTIFIER_LIMIT || !text.iter().all(plain) {
        return None;
    }
    std::str::from_utf8(text).ok().map(Arc::from)
}

#[cfg(test)]
mod tests;
