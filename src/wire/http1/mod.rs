//! HTTP/1.1 (RFC 9112) on one connection, read from both directions at once.
//!
//! [`Connection`] takes the bytes that the client sent and those that the server sent, pairs requests with their answers
//! (interim answers, HEAD, pipelining, upgrades), and tells [`Fact`]s. It does not care which side it sits on.

mod body;
mod content;
mod head;
#[cfg(any(test, fuzzing))]
pub mod order;
mod request;
mod response;

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Chunk, Direction};
#[cfg(feature = "cli")]
pub(crate) use content::RequestContent;
#[cfg(any(feature = "cli", feature = "reqwest", feature = "tower"))]
pub(crate) use content::ResponseContent;

/// Most requests of one connection that wait for their answers at once. Beyond it the client's bytes are only counted.
const OUTSTANDING_LIMIT: usize = 256;

/// What the reader learned. `exchange` counts the requests of a connection from 0; `at` is the time of the chunk that held
/// the deciding byte; `bytes` counts a body's content, compressed where it is, without its framing.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the same everywhere and explained above")]
pub enum Fact {
    /// The first byte of a request.
    RequestStarted { exchange: u64, at: u64 },
    /// A request's head is complete (or was cut: [`RequestHead::cut`]).
    RequestHead { exchange: u64, at: u64, head: Box<RequestHead> },
    /// The last byte of a request; `body` is what its JSON body said.
    RequestEnded { exchange: u64, at: u64, bytes: u64, body: RequestBody },
    /// The first byte of an answer to this request (interim answers included).
    ResponseStarted { exchange: u64, at: u64 },
    /// An interim answer (1xx).
    Interim { exchange: u64, at: u64, status: u16 },
    /// An answer's head is complete.
    ResponseHead { exchange: u64, at: u64, head: Box<ResponseHead> },
    /// The first piece of content: the first body byte, or in a stream of server-sent events the first event that carries
    /// something generated (comments, pings and role-only chunks are not content).
    FirstContent { exchange: u64, at: u64 },
    /// A later piece of content: an event of a stream, or a call's bytes where content has no parts of its own.
    Content { exchange: u64, at: u64 },
    /// The last byte of an answer.
    ResponseEnded { exchange: u64, at: u64, bytes: u64, body: ResponseBody },
    /// The connection speaks another protocol from here on (101, or 2xx to CONNECT). It ends the exchange.
    Upgraded { exchange: u64, at: u64 },
    /// These bytes are no HTTP/1.1; this direction is only counted from here on.
    NotHttp { direction: Direction, at: u64 },
}

/// What a request's head says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Method, `GET` and so on.
    pub method: Arc<str>,
    /// Path without its query.
    pub path: Arc<str>,
    /// `host` field or the authority of an absolute target, lower case, with its port where given.
    pub host: Option<Arc<str>>,
    /// The target was absolute, as it is for a forward proxy.
    pub absolute: bool,
    /// The fields that are facts.
    pub fields: super::headers::RequestFields,
    /// The head was not seen to its end.
    pub cut: bool,
}

/// What an answer's head says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code; 0 when it was not seen.
    pub status: u16,
    /// The fields that are facts.
    pub fields: super::headers::ResponseFields,
    /// The head was not seen to its end.
    pub cut: bool,
}

/// What a request's body says. Nothing else of it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestBody {
    /// `model` of a JSON body.
    pub model: Option<Arc<str>>,
    /// `stream` of a JSON body.
    pub stream: Option<bool>,
    /// A digest of the body's bytes as seen, to tell a retry from another call; 0 = no body.
    pub digest: u64,
    /// The body ended as its framing said, or nothing speaks against it (false: the client left before).
    pub complete: bool,
}

/// What an answer's body says. Nothing else of it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseBody {
    /// `model` of a JSON body or of the last event that names one.
    pub model: Option<Arc<str>>,
    /// Input tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// Server-sent events that carried content.
    pub events: u64,
    /// `error` type or code of a JSON body, a short identifier; never its message.
    pub error_code: Option<Arc<str>>,
    /// The body ended as its framing said (false: the connection closed before).
    pub complete: bool,
    /// The stream of events said that it is done (`[DONE]`, `message_stop`).
    pub done: bool,
}

/// One connection, read from both directions.
///
/// Feed each direction's bytes in stream order; the two directions may interleave as their calls did. Memory is bounded:
/// one head of at most 64 KiB and one body's readers a direction, and a limited number of requests without an answer.
#[derive(Debug, Default)]
pub struct Connection {
    /// Requests so far.
    exchanges: u64,
    /// Requests whose answer has not ended, oldest first.
    outstanding: VecDeque<Exchange>,
    requests: request::Side,
    responses: response::Side,
    /// Whether it is HTTP/1.1, once that is known.
    http: Option<bool>,
    upgraded: bool,
}

/// What an answer's framing needs to know of its request.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    number: u64,
    /// Its answer has no body.
    head: bool,
    /// Its answer makes a tunnel of the connection.
    connect: bool,
}

impl Connection {
    /// A connection of which nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds the bytes of one call in one direction, and tells facts in their order through `tell`.
    pub fn feed(&mut self, direction: Direction, chunk: Chunk<'_>, tell: &mut impl FnMut(Fact)) {
        if chunk.is_empty() || self.upgraded {
            return;
        }
        match direction {
            Direction::Request => self.feed_request(chunk, tell),
            Direction::Response => self.feed_response(chunk, tell),
        }
    }

    /// The direction ended (FIN, close) at `at`. Bodies that last to the end of the connection end here; others that have
    /// not ended are told as incomplete.
    ///
    /// This is the sender's end. A client that closes has not seen the server's: ending [`Direction::Response`] for it would
    /// tell a body that lasts to the end of the connection as complete.
    pub fn end(&mut self, direction: Direction, at: u64, tell: &mut impl FnMut(Fact)) {
        match direction {
            Direction::Request => self.end_requests(at, tell),
            Direction::Response => self.end_responses(at, tell),
        }
    }

    /// Whether the connection speaks another protocol by now (101, or 2xx to CONNECT).
    #[must_use]
    pub const fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Whether this is HTTP/1.1; `None` until the first bytes decided it.
    #[must_use]
    pub const fn is_http(&self) -> Option<bool> {
        self.http
    }

    /// Bytes held on the heap.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.outstanding.capacity() * size_of::<Exchange>() + self.requests.retained_bytes() + self.responses.retained_bytes()
    }
}

#[cfg(test)]
mod tests;
