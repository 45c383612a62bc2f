//! What bodies say: each body's bytes go through here once, and only facts stay.

use super::{RequestBody, ResponseBody};
use crate::wire::encoding::Decoder;
use crate::wire::headers::{ContentType, Message};
use crate::wire::sse::{Item, Parser};
#[cfg(feature = "cli")]
use crate::wire::usage::may_say;
use crate::wire::usage::{Reader, Vocabulary};

/// Reads a request's body.
#[derive(Debug)]
pub(crate) struct RequestContent {
    decoder: Decoder,
    json: Option<Box<Reader>>,
    digest: Digest,
}

/// Reads an answer's body.
#[derive(Debug)]
pub(crate) struct ResponseContent {
    decoder: Decoder,
    form: Form,
    facts: ResponseBody,
    /// The current call's bytes were already told as one piece of content.
    told: bool,
}

#[derive(Debug)]
enum Form {
    Opaque,
    /// `None` = nothing was read yet.
    Json(Option<Box<Reader>>),
    Events(Box<Parser>, Box<Reader>),
    Lines(Box<Reader>),
}

impl RequestContent {
    pub(crate) fn new(message: &Message) -> Self {
        Self {
            decoder: Decoder::new(message.content_encoding),
            json: is_json(message).then(|| Box::new(Reader::new(Vocabulary::Request))),
            digest: Digest::default(),
        }
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        if let Some(json) = &mut self.json {
            self.decoder.feed(bytes, &mut |plain| json.feed(plain));
        }
    }

    pub(super) fn gap(&mut self, length: u64) {
        self.digest.skip(length);
        self.decoder.gap();
        if let Some(json) = &mut self.json {
            json.gap();
        }
    }

    pub(crate) fn finish(mut self, complete: bool) -> RequestBody {
        let mut body = RequestBody { digest: self.digest.finish(), complete, ..RequestBody::default() };
        if let Some(json) = &mut self.json {
            let facts = json.finish();
            body.model = facts.model;
            body.stream = facts.stream;
        }
        body
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.decoder.retained_bytes() + self.json.as_ref().map_or(0, |json| json.retained_bytes())
    }
}

impl ResponseContent {
    pub(crate) fn new(message: &Message) -> Self {
        let form = match message.content_type {
            ContentType::EventStream => Form::Events(Box::default(), reader()),
            ContentType::JsonLines => Form::Lines(reader()),
            _ if is_json(message) => Form::Json(None),
            _ => Form::Opaque,
        };
        Self { decoder: Decoder::new(message.content_encoding), form, facts: ResponseBody::default(), told: false }
    }

    /// A new call's bytes follow.
    pub(crate) fn new_call(&mut self) {
        self.told = false;
    }

    /// Reads bytes and says how many pieces of content they completed.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        let Self { decoder, form, facts, .. } = self;
        let before = facts.events;
        // What nobody reads is not decompressed.
        if !matches!(form, Form::Opaque) {
            decoder.feed(bytes, &mut |plain| form.read(plain, facts));
        }
        self.pieces(before)
    }

    /// Reads a body that came in one piece, which is not looked into where it can say nothing.
    #[cfg(feature = "cli")]
    pub(crate) fn whole(&mut self, bytes: &[u8]) -> u64 {
        let is_new_json = matches!(self.form, Form::Json(None)) && self.decoder.is_plain();
        if is_new_json && !bytes.is_empty() && !may_say(bytes) {
            return self.pieces(self.facts.events);
        }
        self.data(bytes)
    }

    /// Bytes are missing here. They are a piece of content where content has no parts of its own.
    pub(crate) fn gap(&mut self, length: u64) -> u64 {
        self.decoder.gap();
        match &mut self.form {
            Form::Opaque => {}
            Form::Json(json) => json.get_or_insert_with(reader).gap(),
            Form::Lines(reader) => reader.gap(),
            Form::Events(parser, reader) => {
                parser.gap();
                reader.gap();
            }
        }
        if length == 0 { 0 } else { self.pieces(self.facts.events) }
    }

    fn pieces(&mut self, before: u64) -> u64 {
        if matches!(self.form, Form::Events(..) | Form::Lines(_)) && self.decoder.is_timely() {
            return self.facts.events - before;
        }
        u64::from(!std::mem::replace(&mut self.told, true))
    }

    /// Whether a document said that it is the last.
    #[cfg(any(feature = "reqwest", feature = "tower"))]
    pub(crate) fn is_done(&self) -> bool {
        self.facts.done
    }

    pub(crate) fn finish(mut self, complete: bool) -> ResponseBody {
        match &mut self.form {
            Form::Opaque | Form::Events(..) | Form::Json(None) => {}
            Form::Json(Some(reader)) => self.facts.take(reader.finish()),
            Form::Lines(reader) => line_ended(reader, &mut self.facts),
        }
        self.facts.complete = complete;
        self.facts
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.decoder.retained_bytes()
            + match &self.form {
                Form::Opaque | Form::Json(None) => 0,
                Form::Json(Some(reader)) | Form::Lines(reader) => reader.retained_bytes(),
                Form::Events(parser, reader) => parser.retained_bytes() + reader.retained_bytes(),
            }
    }
}

impl Form {
    fn read(&mut self, bytes: &[u8], facts: &mut ResponseBody) {
        match self {
            Self::Opaque => {}
            Self::Json(json) => json.get_or_insert_with(reader).feed(bytes),
            Self::Events(parser, reader) => parser.feed(bytes, &mut |item| match item {
                Item::Data(data) => reader.feed(data),
                Item::Event(event) => {
                    let said = reader.finish_event(event);
                    facts.events += u64::from(said.content);
                    facts.take(said);
                }
            }),
            Self::Lines(reader) => {
                for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
                    if index > 0 {
                        line_ended(reader, facts);
                    }
                    reader.feed(line);
                }
            }
        }
    }
}

fn line_ended(reader: &mut Reader, facts: &mut ResponseBody) {
    let blank = reader.is_blank();
    let said = reader.finish();
    if !blank {
        facts.events += 1;
        facts.take(said);
    }
}

impl ResponseBody {
    /// Keeps what a document said over what earlier ones said.
    fn take(&mut self, said: crate::wire::usage::Facts) {
        self.model = said.model.or_else(|| self.model.take());
        self.input_tokens = said.input_tokens.or(self.input_tokens);
        self.output_tokens = said.output_tokens.or(self.output_tokens);
        self.error_code = said.error_code.or_else(|| self.error_code.take());
        self.done |= said.done;
    }
}

/// Reads answers.
fn reader() -> Box<Reader> {
    Box::new(Reader::new(Vocabulary::Answer))
}

fn is_json(message: &Message) -> bool {
    matches!(message.content_type, ContentType::Json | ContentType::Absent)
}

/// Tells bodies apart: FNV-1a over the bytes seen, with the length of what was not, so that the same calls give the same
/// digest. Not secure against someone who wants two bodies to look the same.
#[derive(Debug)]
struct Digest {
    hash: u64,
    length: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, length: 0 }
    }
}

impl Digest {
    const PRIME: u64 = 0x0100_0000_01b3;

    fn update(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        self.hash = bytes.iter().fold(self.hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(Self::PRIME));
    }

    fn skip(&mut self, length: u64) {
        self.length = self.length.wrapping_add(length);
    }

    /// Never 0 for a body.
    fn finish(&self) -> u64 {
        if self.length == 0 {
            return 0;
        }
        let mut hash = self.hash;
        for byte in self.length.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(Self::PRIME);
        }
        hash.max(1)
    }
}

#[cfg(test)]
mod tests;
