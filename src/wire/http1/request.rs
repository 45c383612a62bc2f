//! The client's direction.

use super::body::{Body, Framing};
use super::content::RequestContent;
use super::head::{self, Collector, Progress, Start};
use super::{Connection, Exchange, Fact, RequestHead};
use crate::wire::{Chunk, Direction};

/// Where the client's direction stands.
#[derive(Debug, Default)]
pub(super) struct Side {
    state: State,
    head: Collector,
    /// When its last bytes went.
    last: u64,
}

#[derive(Debug, Default)]
enum State {
    /// Between messages.
    #[default]
    Idle,
    /// In a head that began at `started`; it is a request once it has a number.
    Head {
        started: u64,
        exchange: Option<u64>,
    },
    Body(Box<Reading>),
    /// It is unknown where the body ends.
    Lost(Box<Lost>),
    /// After CONNECT: the answer decides what these bytes are.
    Waiting,
    /// Only counted from here on.
    Opaque,
}

#[derive(Debug)]
struct Reading {
    exchange: u64,
    body: Body,
    content: RequestContent,
    /// The client waits to be told to send its body.
    expects: bool,
    /// Its answer's head was seen.
    answered: bool,
}

#[derive(Debug)]
struct Lost {
    exchange: u64,
    content: Option<RequestContent>,
    bytes: u64,
    chunked: bool,
}

impl Connection {
    pub(super) fn feed_request(&mut self, chunk: Chunk<'_>, tell: &mut impl FnMut(Fact)) {
        self.find_next_request(chunk, tell);
        self.request_bytes(chunk.at, chunk.head, tell);
        if chunk.skipped > 0 {
            self.request_gap(chunk.at, chunk.skipped, tell);
            self.request_bytes(chunk.at, chunk.tail, tell);
            self.request_gap_over(chunk.at, tell);
        } else {
            self.request_bytes(chunk.at, chunk.tail, tell);
        }
        self.requests.last = chunk.at;
        if let State::Lost(lost) = &self.requests.state
            && lost.chunked
            && ends_chunked(chunk)
        {
            self.end_lost_request(true, tell);
        }
    }

    /// Where a body's end is unknown, or a body was held back, a call that begins like a request is the next one, if the
    /// answer to the last was seen.
    fn find_next_request(&mut self, chunk: Chunk<'_>, tell: &mut impl FnMut(Fact)) {
        if head::request_start(chunk.head) != Start::Message {
            return;
        }
        match &self.requests.state {
            State::Lost(lost) if lost.content.is_none() => self.end_lost_request(true, tell),
            State::Body(reading) if reading.expects && reading.answered && reading.body.bytes() == 0 => {
                self.end_request(self.requests.last, false, tell);
            }
            _ => {}
        }
    }

    fn request_bytes(&mut self, at: u64, bytes: &[u8], tell: &mut impl FnMut(Fact)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &mut self.requests.state {
                State::Opaque | State::Waiting => rest.len(),
                State::Idle if matches!(rest[0], b'\r' | b'\n') => 1,
                State::Idle => {
                    self.requests.head.clear();
                    self.requests.state = State::Head { started: at, exchange: None };
                    0
                }
                State::Head { started, exchange } => {
                    let (started, exchange) = (*started, *exchange);
                    self.request_head(at, started, exchange, rest, tell)
                }
                State::Body(reading) => {
                    let Reading { body, content, .. } = reading.as_mut();
                    let taken = body.feed(rest, &mut |data| content.data(data));
                    self.request_body_moved(at, tell);
                    taken
                }
                State::Lost(lost) => {
                    lost.bytes = lost.bytes.saturating_add(rest.len() as u64);
                    if let Some(content) = &mut lost.content {
                        content.data(rest);
                    }
                    rest.len()
                }
            };
            rest = &rest[taken..];
        }
    }

    fn request_head(
        &mut self,
        at: u64,
        started: u64,
        mut exchange: Option<u64>,
        bytes: &[u8],
        tell: &mut impl FnMut(Fact),
    ) -> usize {
        let (taken, progress) = self.requests.head.feed(bytes);
        if exchange.is_none() {
            match head::request_start(self.requests.head.bytes()) {
                Start::Unknown if progress == Progress::More => return taken,
                Start::Unknown | Start::Other => {
                    self.request_is_not_http(at, tell);
                    return bytes.len();
                }
                Start::Message if !self.responses.is_opaque() => exchange = self.start_exchange(started, tell),
                Start::Message => {}
            }
            if exchange.is_none() {
                self.request_is_not_http(at, tell);
                return bytes.len();
            }
            self.requests.state = State::Head { started, exchange };
        }
        let Some(exchange) = exchange else {
            return taken;
        };
        match progress {
            Progress::More => {}
            Progress::Complete => {
                let cut = self.requests.head.is_cut();
                match head::request(self.requests.head.bytes(), cut) {
                    Some(head) => self.request_head_ended(at, exchange, head, true, tell),
                    None => self.request_is_not_http(at, tell),
                }
            }
            Progress::Hopeless => self.request_head_cut(at, exchange, tell),
        }
        taken
    }

    /// The head's end will not be seen: what was seen of it is told, and the body's end is unknown.
    fn request_head_cut(&mut self, at: u64, exchange: u64, tell: &mut impl FnMut(Fact)) {
        let head = head::request(self.requests.head.bytes(), true);
        let head = head.unwrap_or_else(|| RequestHead { cut: true, ..RequestHead::default() });
        self.request_head_ended(at, exchange, head, false, tell);
    }

    fn request_head_ended(&mut self, at: u64, exchange: u64, head: RequestHead, end_seen: bool, tell: &mut impl FnMut(Fact)) {
        self.requests.head.clear();
        self.http = Some(true);
        let message = head.fields.message;
        let connect = &*head.method == "CONNECT";
        let expects = head.fields.expect_continue;
        let bodyless = matches!(&*head.method, "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT");
        let content = RequestContent::new(&head.fields.message);
        let cut = head.cut;
        tell(Fact::RequestHead { exchange, at, head: Box::new(head) });
        let framing = match message.content_length {
            _ if !end_seen => None,
            _ if message.chunked => Some(Framing::Chunked),
            _ if message.unframed => None,
            Some(length) => Some(Framing::Length(length)),
            // The field may stand in what is missing.
            None if cut && !bodyless => None,
            None => Some(Framing::Length(0)),
        };
        let Some(framing) = framing else {
            let mut lost = Lost { exchange, content: Some(content), bytes: 0, chunked: message.chunked };
            if let Some(content) = &mut lost.content {
                content.gap(0);
            }
            self.requests.state = State::Lost(Box::new(lost));
            return;
        };
        let body = Body::new(framing);
        self.requests.state = State::Body(Box::new(Reading { exchange, body, content, expects, answered: false }));
        self.request_body_moved(at, tell);
        if connect && matches!(self.requests.state, State::Idle) {
            self.requests.state = State::Waiting;
        }
    }

    /// Ends the body, or gives up on its end, when its framing says so.
    fn request_body_moved(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        let State::Body(reading) = &self.requests.state else {
            return;
        };
        if reading.body.is_done() {
            self.end_request(at, true, tell);
        } else if reading.body.is_lost()
            && let State::Body(mut reading) = std::mem::take(&mut self.requests.state)
        {
            reading.content.gap(0);
            let lost =
                Lost { exchange: reading.exchange, content: Some(reading.content), bytes: reading.body.bytes(), chunked: true };
            self.requests.state = State::Lost(Box::new(lost));
            if reading.answered {
                self.end_lost_request(false, tell);
            }
        }
    }

    fn end_request(&mut self, at: u64, complete: bool, tell: &mut impl FnMut(Fact)) {
        if let State::Body(reading) = std::mem::take(&mut self.requests.state) {
            let Reading { exchange, body, content, .. } = *reading;
            tell(Fact::RequestEnded { exchange, at, bytes: body.bytes(), body: content.finish(complete) });
        }
    }

    /// Tells the end of a request whose framing was lost, at its last bytes so far. With `over` the next bytes are a new
    /// message; else there may be more of it, which is not told any more.
    fn end_lost_request(&mut self, over: bool, tell: &mut impl FnMut(Fact)) {
        let at = self.requests.last;
        let State::Lost(lost) = &mut self.requests.state else {
            return;
        };
        if let Some(content) = lost.content.take() {
            tell(Fact::RequestEnded { exchange: lost.exchange, at, bytes: lost.bytes, body: content.finish(true) });
        }
        if over {
            self.requests.state = State::Idle;
        }
    }

    fn request_gap(&mut self, at: u64, gap: u64, tell: &mut impl FnMut(Fact)) {
        let mut gap = gap;
        if let State::Body(reading) = &mut self.requests.state {
            let taken = reading.body.skip(gap);
            reading.content.gap(taken);
            gap -= taken;
            self.request_body_moved(at, tell);
        }
        if gap == 0 {
            return;
        }
        match &mut self.requests.state {
            State::Opaque | State::Waiting | State::Body(_) => {}
            State::Idle if self.exchanges == 0 || self.responses.is_opaque() => self.request_is_not_http(at, tell),
            // A request of which nothing is known has begun here.
            State::Idle => match self.start_exchange(at, tell) {
                Some(exchange) => {
                    self.requests.head.clear();
                    self.request_head_cut(at, exchange, tell);
                    self.request_gap(at, gap, tell);
                }
                None => self.request_is_not_http(at, tell),
            },
            State::Head { exchange: None, .. } => self.request_is_not_http(at, tell),
            State::Head { .. } => self.requests.head.gap(),
            State::Lost(lost) => {
                lost.bytes = lost.bytes.saturating_add(gap);
                if let Some(content) = &mut lost.content {
                    content.gap(gap);
                }
            }
        }
    }

    /// A head that is still open after a call that was cut inside it stays open no longer: its end was in the gap.
    fn request_gap_over(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        if let State::Head { exchange: Some(exchange), .. } = self.requests.state
            && self.requests.head.is_cut()
        {
            self.request_head_cut(at, exchange, tell);
        }
    }

    /// A request begins. `None` when too many wait for their answers.
    fn start_exchange(&mut self, at: u64, tell: &mut impl FnMut(Fact)) -> Option<u64> {
        self.next_request_begins(tell);
        if self.outstanding.len() >= super::OUTSTANDING_LIMIT {
            return None;
        }
        let start = self.requests.head.bytes();
        let (head, connect) = (start.starts_with(b"HEAD "), start.starts_with(b"CONNECT "));
        let number = self.exchanges;
        self.exchanges += 1;
        self.outstanding.push_back(Exchange { number, head, connect });
        self.http = Some(true);
        tell(Fact::RequestStarted { exchange: number, at });
        Some(number)
    }

    /// Says that the client's bytes are no HTTP from here on.
    pub(super) fn request_is_not_http(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        if matches!(self.requests.state, State::Opaque) {
            return;
        }
        self.requests.state = State::Opaque;
        self.requests.head.clear();
        self.decide_not_http();
        tell(Fact::NotHttp { direction: Direction::Request, at });
    }

    /// The final answer to an exchange is there: a request whose end is unknown ended before it.
    pub(super) fn request_is_answered(&mut self, number: u64, tell: &mut impl FnMut(Fact)) {
        match &mut self.requests.state {
            State::Lost(lost) if lost.exchange == number => self.end_lost_request(false, tell),
            State::Body(reading) if reading.exchange == number => reading.answered = true,
            _ => {}
        }
    }

    /// The answer to a CONNECT that made no tunnel is over.
    pub(super) fn tunnel_was_refused(&mut self) {
        if matches!(self.requests.state, State::Waiting) {
            self.requests.state = State::Idle;
        }
    }

    pub(super) fn end_requests(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        match &self.requests.state {
            State::Head { exchange: Some(exchange), .. } => {
                let exchange = *exchange;
                self.request_head_cut(at, exchange, tell);
                self.end_unfinished_request(at, tell);
            }
            State::Body(_) | State::Lost(_) => self.end_unfinished_request(at, tell),
            State::Idle | State::Head { .. } | State::Waiting | State::Opaque => {}
        }
        self.requests.state = State::Opaque;
        self.requests.head.clear();
    }

    fn end_unfinished_request(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        match std::mem::take(&mut self.requests.state) {
            State::Body(reading) => {
                let Reading { exchange, body, content, .. } = *reading;
                tell(Fact::RequestEnded { exchange, at, bytes: body.bytes(), body: content.finish(false) });
            }
            State::Lost(lost) => {
                let Lost { exchange, content, bytes, .. } = *lost;
                if let Some(content) = content {
                    tell(Fact::RequestEnded { exchange, at, bytes, body: content.finish(false) });
                }
            }
            _ => {}
        }
    }
}

impl Side {
    /// Another protocol begins.
    pub(super) fn stop(&mut self) {
        self.state = State::Opaque;
        self.head.clear();
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.head.retained_bytes()
            + match &self.state {
                State::Body(reading) => reading.content.retained_bytes(),
                State::Lost(lost) => lost.content.as_ref().map_or(0, RequestContent::retained_bytes),
                _ => 0,
            }
    }
}

/// Whether a call's last bytes are those that end a chunked body without trailers.
pub(super) fn ends_chunked(chunk: Chunk<'_>) -> bool {
    const LAST: &[u8] = b"\r\n0\r\n\r\n";
    let last = if chunk.tail.is_empty() { chunk.head } else { chunk.tail };
    if chunk.tail.is_empty() && chunk.skipped > 0 {
        return false;
    }
    last.ends_with(LAST) || (chunk.skipped == 0 && chunk.tail.is_empty() && chunk.head == &LAST[2..])
}
