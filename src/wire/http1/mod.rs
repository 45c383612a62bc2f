//! HTTP/1.1 (RFC 9112) on one connection, read from both directions at once.
//!
//! [`Connection`] takes the bytes that the client sent and those that the server sent, pairs requests with their answers
//! (interim answers, HEAD, pipelining, upgrades), and tells [`Fact`]s. It does not care which side it sits on.

use std::sync::Arc;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Response,
}

/// What the reader learned. `exchange` counts the requests of a connection from 0; `at` is the time of the chunk that held
/// the deciding byte.
#[derive(Clone, Debug, PartialEq)]
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
    /// A later piece of content.
    Content { exchange: u64, at: u64 },
    /// The last byte of an answer.
    ResponseEnded { exchange: u64, at: u64, bytes: u64, body: ResponseBody },
    /// The connection speaks another protocol from here on (101, or 2xx to CONNECT).
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
    /// The fields that are facts.
    pub fields: super::headers::RequestFields,
    /// The head was not seen to its end.
    pub cut: bool,
}

/// What an answer's head says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code.
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
