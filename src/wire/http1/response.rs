//! The server's direction.

use super::body::{self, Body, Framing};
use super::content::ResponseContent;
use super::head::{self, Collector, Progress, Start};
use super::request::ends_chunked;
use super::{Connection, Exchange, Fact, ResponseHead};
use crate::wire::{Chunk, Direction};

/// Where the server's direction stands.
#[derive(Debug, Default)]
pub(super) struct Side {
    state: State,
    head: Collector,
    /// When its last bytes came.
    last: u64,
    /// The start of the answer to the oldest exchange was told.
    started: bool,
    /// The first content of that answer was told.
    content: bool,
    /// A head was understood.
    understood: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Between messages.
    #[default]
    Idle,
    /// In a head that began at this time.
    Head(u64),
    Body(Box<Reading>),
    /// It is unknown where the body ends.
    Lost(Box<Lost>),
    /// Only counted from here on.
    Opaque,
    /// The server's direction is over.
    Ended,
}

#[derive(Debug)]
struct Reading {
    body: Body,
    content: ResponseContent,
}

#[derive(Debug)]
struct Lost {
    content: ResponseContent,
    bytes: u64,
    chunked: bool,
}

impl Connection {
    pub(super) fn feed_response(&mut self, chunk: Chunk<'_>, tell: &mut impl FnMut(Fact)) {
        self.response_call_begins(chunk, tell);
        self.response_bytes(chunk.at, chunk.head, tell);
        if chunk.skipped > 0 {
            self.response_gap(chunk.at, chunk.skipped, tell);
            self.response_bytes(chunk.at, chunk.tail, tell);
            self.response_gap_over(chunk.at, tell);
        } else {
            self.response_bytes(chunk.at, chunk.tail, tell);
        }
        self.responses.last = chunk.at;
        if let State::Lost(lost) = &self.responses.state
            && lost.chunked
            && ends_chunked(chunk)
        {
            self.end_response(chunk.at, true, tell);
        }
    }

    fn response_call_begins(&mut self, chunk: Chunk<'_>, tell: &mut impl FnMut(Fact)) {
        if let State::Lost(lost) = &self.responses.state
            && lost.chunked
            && body::holds_whole_chunks(chunk)
            && let State::Lost(lost) = std::mem::take(&mut self.responses.state)
        {
            let Lost { content, bytes, .. } = *lost;
            let body = Body::resumed(bytes);
            self.responses.state = State::Body(Box::new(Reading { body, content }));
        }
        // Where an answer's end is unknown and another one is due, a call that begins like an answer is that one.
        let unknown_end = match &mut self.responses.state {
            State::Lost(lost) => {
                lost.content.new_call();
                true
            }
            State::Body(reading) => {
                reading.content.new_call();
                reading.body.is_to_end()
            }
            _ => false,
        };
        if unknown_end && self.outstanding.len() > 1 && head::response_start(chunk.head) == Start::Message {
            self.end_response(self.responses.last, true, tell);
        }
    }

    fn response_bytes(&mut self, at: u64, bytes: &[u8], tell: &mut impl FnMut(Fact)) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.upgraded {
            let taken = match &mut self.responses.state {
                State::Opaque | State::Ended => rest.len(),
                State::Idle if self.exchanges == 0 => {
                    self.response_is_not_http(at, tell);
                    rest.len()
                }
                State::Idle if matches!(rest[0], b'\r' | b'\n') => 1,
                // Nobody asked: what a server says before it closes an idle connection.
                State::Idle if self.outstanding.is_empty() => rest.len(),
                State::Idle => {
                    self.responses.head.clear();
                    self.responses.state = State::Head(at);
                    0
                }
                State::Head(started) => {
                    let started = *started;
                    self.response_head(at, started, rest, tell)
                }
                State::Body(reading) => {
                    let Reading { body, content } = reading.as_mut();
                    let mut pieces = 0;
                    let taken = body.feed(rest, &mut |data| pieces += content.data(data));
                    self.tell_content(at, pieces, tell);
                    self.response_body_moved(at, tell);
                    taken
                }
                State::Lost(lost) => {
                    lost.bytes = lost.bytes.saturating_add(rest.len() as u64);
                    let pieces = lost.content.data(rest);
                    self.tell_content(at, pieces, tell);
                    rest.len()
                }
            };
            rest = &rest[taken..];
        }
    }

    fn response_head(&mut self, at: u64, started: u64, bytes: &[u8], tell: &mut impl FnMut(Fact)) -> usize {
        let (taken, progress) = self.responses.head.feed(bytes);
        match head::response_start(self.responses.head.bytes()) {
            Start::Message => self.start_response(started, tell),
            Start::Unknown if progress == Progress::More => return taken,
            Start::Unknown | Start::Other if !self.responses.understood => {
                self.response_is_not_http(at, tell);
                return bytes.len();
            }
            // Something between two answers. A later call may begin with the next one.
            Start::Unknown | Start::Other => {
                self.responses.head.clear();
                self.responses.state = State::Idle;
                return bytes.len();
            }
        }
        match progress {
            Progress::More => {}
            Progress::Complete => {
                let cut = self.responses.head.is_cut();
                match head::response(self.responses.head.bytes(), cut) {
                    Some(head) => self.response_head_ended(at, head, true, tell),
                    None => self.response_head_cut(at, tell),
                }
            }
            Progress::Hopeless => self.response_head_cut(at, tell),
        }
        taken
    }

    fn start_response(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        if let Some(exchange) = self.outstanding.front()
            && !std::mem::replace(&mut self.responses.started, true)
        {
            tell(Fact::ResponseStarted { exchange: exchange.number, at });
        }
    }

    /// The head's end will not be seen: what was seen of it is told, and the body's end is unknown.
    fn response_head_cut(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        let head = head::response(self.responses.head.bytes(), true);
        let head = head.unwrap_or_else(|| ResponseHead { cut: true, ..ResponseHead::default() });
        self.response_head_ended(at, head, false, tell);
    }

    fn response_head_ended(&mut self, at: u64, head: ResponseHead, end_seen: bool, tell: &mut impl FnMut(Fact)) {
        self.responses.head.clear();
        self.responses.state = State::Idle;
        self.responses.understood = true;
        let Some(&Exchange { number: exchange, head: bodyless, connect }) = self.outstanding.front() else {
            return;
        };
        let status = head.status;
        if (100..200).contains(&status) && status != 101 {
            tell(Fact::Interim { exchange, at, status });
            return;
        }
        self.request_is_answered(exchange, tell);
        let message = head.fields.message;
        let cut = head.cut;
        let mut content = ResponseContent::new(&head.fields.message);
        tell(Fact::ResponseHead { exchange, at, head: Box::new(head) });
        if status == 101 || (connect && (200..300).contains(&status)) {
            self.upgraded = true;
            self.outstanding.clear();
            self.requests.stop();
            tell(Fact::Upgraded { exchange, at });
            return;
        }
        let framing = match message.content_length {
            _ if bodyless || matches!(status, 204 | 304) => Some(Framing::Length(0)),
            _ if !end_seen => None,
            _ if message.chunked => Some(Framing::Chunked),
            _ if message.unframed => Some(Framing::ToEnd),
            Some(length) => Some(Framing::Length(length)),
            // The field may stand in what is missing.
            None if cut => None,
            None => Some(Framing::ToEnd),
        };
        self.responses.state = match framing {
            Some(framing) => State::Body(Box::new(Reading { body: Body::new(framing), content })),
            None => {
                content.gap(0);
                State::Lost(Box::new(Lost { content, bytes: 0, chunked: message.chunked }))
            }
        };
        self.response_body_moved(at, tell);
    }

    fn tell_content(&mut self, at: u64, pieces: u64, tell: &mut impl FnMut(Fact)) {
        let Some(exchange) = self.outstanding.front().map(|exchange| exchange.number) else {
            return;
        };
        for _ in 0..pieces {
            tell(match std::mem::replace(&mut self.responses.content, true) {
                false => Fact::FirstContent { exchange, at },
                true => Fact::Content { exchange, at },
            });
        }
    }

    /// Ends the body, or gives up on its end, when its framing says so.
    fn response_body_moved(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        let State::Body(reading) = &self.responses.state else {
            return;
        };
        if reading.body.is_done() {
            self.end_response(at, true, tell);
        } else if reading.body.is_lost()
            && let State::Body(reading) = std::mem::take(&mut self.responses.state)
        {
            let Reading { body, mut content } = *reading;
            content.gap(0);
            self.responses.state = State::Lost(Box::new(Lost { content, bytes: body.bytes(), chunked: true }));
        }
    }

    fn response_gap(&mut self, at: u64, gap: u64, tell: &mut impl FnMut(Fact)) {
        let mut gap = gap;
        if let State::Body(reading) = &mut self.responses.state {
            let taken = reading.body.skip(gap);
            let pieces = reading.content.gap(taken);
            gap -= taken;
            self.tell_content(at, pieces, tell);
            self.response_body_moved(at, tell);
        }
        if gap == 0 || self.upgraded {
            return;
        }
        match &mut self.responses.state {
            State::Opaque | State::Ended | State::Body(_) => {}
            State::Idle if !self.responses.understood => self.response_is_not_http(at, tell),
            State::Idle if self.outstanding.is_empty() => {}
            // An answer of which nothing is known has begun here.
            State::Idle => {
                self.start_response(at, tell);
                self.responses.head.clear();
                self.response_head_cut(at, tell);
                self.response_gap(at, gap, tell);
            }
            State::Head(_) if !self.responses.started => {
                self.responses.head.clear();
                self.responses.state = State::Idle;
            }
            State::Head(_) => self.responses.head.gap(),
            State::Lost(lost) => {
                lost.bytes = lost.bytes.saturating_add(gap);
                let pieces = lost.content.gap(gap);
                self.tell_content(at, pieces, tell);
            }
        }
    }

    /// A head that is still open after a call that was cut inside it stays open no longer: its end was in the gap.
    fn response_gap_over(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        if matches!(self.responses.state, State::Head(_)) && self.responses.head.is_cut() {
            self.response_head_cut(at, tell);
        }
    }

    /// The client begins its next request: if the last answer's end was not seen, it is over by now.
    pub(super) fn next_request_begins(&mut self, tell: &mut impl FnMut(Fact)) {
        if self.outstanding.len() == 1 && matches!(self.responses.state, State::Lost(_)) {
            self.end_response(self.responses.last, true, tell);
        }
    }

    fn end_response(&mut self, at: u64, complete: bool, tell: &mut impl FnMut(Fact)) {
        let (bytes, content) = match std::mem::take(&mut self.responses.state) {
            State::Body(reading) => (reading.body.bytes(), reading.content),
            State::Lost(lost) => (lost.bytes, lost.content),
            other => {
                self.responses.state = other;
                return;
            }
        };
        self.responses.started = false;
        self.responses.content = false;
        if let Some(exchange) = self.outstanding.pop_front() {
            tell(Fact::ResponseEnded { exchange: exchange.number, at, bytes, body: content.finish(complete) });
            if exchange.connect {
                self.tunnel_was_refused();
            }
        }
    }

    /// Says that the server's bytes are no HTTP from here on.
    fn response_is_not_http(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        self.responses.state = State::Opaque;
        self.responses.head.clear();
        self.decide_not_http();
        tell(Fact::NotHttp { direction: Direction::Response, at });
    }

    pub(super) fn decide_not_http(&mut self) {
        if !self.responses.understood {
            self.http = Some(false);
        }
    }

    pub(super) fn end_responses(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        let in_head = matches!(self.responses.state, State::Head(_));
        if in_head && self.responses.started {
            self.response_head_cut(at, tell);
        }
        let complete = match &self.responses.state {
            _ if in_head => false,
            State::Body(reading) => reading.body.is_to_end(),
            State::Lost(lost) => !lost.chunked,
            _ => false,
        };
        self.end_response(at, complete, tell);
        if !matches!(self.responses.state, State::Opaque) {
            self.responses.state = State::Ended;
        }
        self.responses.head.clear();
    }
}

impl Side {
    pub(super) fn is_opaque(&self) -> bool {
        matches!(self.state, State::Opaque)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.head.retained_bytes()
            + match &self.state {
                State::Body(reading) => reading.content.retained_bytes(),
                State::Lost(lost) => lost.content.retained_bytes(),
                _ => 0,
            }
    }
}
