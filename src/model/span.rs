//! The one record: a span, and for a hop what is known of the call.

use super::{ConnectionState, FailedBy, Kind, Name, Nanos, Origin, Outcome, Timeline};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::NonZeroU64;

/// Identifies a span within its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpanId(pub u64);

impl std::fmt::Display for SpanId {
    /// Sixteen hexadecimal digits, as W3C trace context writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identifies a trace; never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TraceId(pub [u8; 16]);

impl std::fmt::Display for TraceId {
    /// Thirty-two hexadecimal digits, as W3C trace context writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a span is to its service: OpenTelemetry's span kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Work inside the service.
    #[default]
    Internal,
    /// An incoming request; a run's root.
    Server,
    /// An outgoing call: a hop.
    Client,
    /// A message sent; nobody waits for its consumer.
    Producer,
    /// A message handled; its producer does not wait.
    Consumer,
}

/// One piece of work with a start and, once it ended, an end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Its id, unique in the trace as far as the sender keeps the rule.
    pub id: SpanId,
    /// The span it belongs to.
    pub parent: Option<SpanId>,
    /// What it is to its service.
    pub role: Role,
    /// The parent does not wait for it (FOLLOWS_FROM, links): it never lies on the critical path.
    pub follows_from: bool,
    /// The service whose time it is.
    pub service: Name,
    /// What is done, low in cardinality: `GET /search`.
    pub operation: Name,
    /// What the dependency is, for hops and for spans of a known kind.
    pub kind: Option<Kind>,
    /// Whom a client span calls.
    pub dependency: Option<Name>,
    /// When it began.
    pub start: Nanos,
    /// When it ended; `None` = it is still open.
    pub end: Option<Nanos>,
    /// The times are estimates.
    pub inferred: bool,
    /// What is known of the call, for hops.
    pub call: Option<Box<Call>>,
}

impl Span {
    /// A closed internal span without a kind.
    #[must_use]
    pub fn new(id: u64, parent: Option<u64>, service: Name, operation: Name, start: Nanos, end: Option<Nanos>) -> Self {
        Self {
            id: SpanId(id),
            parent: parent.map(SpanId),
            role: Role::Internal,
            follows_from: false,
            service,
            operation,
            kind: None,
            dependency: None,
            start,
            end,
            inferred: false,
            call: None,
        }
    }

    /// Whether the span has not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Whether it is a call to a dependency. A wait at a gate has phases too, but calls nobody.
    #[must_use]
    pub fn is_hop(&self) -> bool {
        self.call.is_some() && (self.role == Role::Client || self.kind.is_some())
    }

    /// When it ended. An open one lasts as far as it was seen: its process may be gone long before `horizon`, to which it
    /// reaches where nothing tells. Never before the start.
    #[must_use]
    pub fn end_or(&self, horizon: Nanos) -> Nanos {
        let seen = || self.call.as_ref().map(|call| call.timeline.end()).filter(|&seen| seen > self.start);
        self.end.or_else(seen).unwrap_or(horizon).max(self.start)
    }
}

/// What is known of one logical call to a dependency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Which source made the record.
    pub origin: Origin,
    /// The phases of all attempts with `backoff` between them. For an open hop it ends at the moment of the record, in the current phase.
    pub timeline: Timeline,
    /// How it ended; `None` while open.
    pub outcome: Option<Outcome>,
    /// Who failed; `None` when nothing did.
    pub failed_by: Option<FailedBy>,
    /// HTTP status of the last attempt.
    pub status: Option<u16>,
    /// `error.type` of OpenTelemetry: the client's exception class or a short code.
    pub error_type: Option<Name>,
    /// The system's error number behind a failure, where there was one (`ECONNREFUSED`).
    pub errno: Option<i32>,
    /// The tries, in order; at least one.
    pub attempts: Vec<Attempt>,
    /// Model asked for, or answered with.
    pub model: Option<Name>,
    /// Whether the answer was a stream; `None` = not known.
    pub stream: Option<bool>,
    /// The longest time between two pieces of a streamed answer for which its consumer had to wait; `None` = not measured, or no two.
    pub gap: Option<Nanos>,
    /// Tokens, where the answer told.
    pub tokens: Tokens,
    /// Bytes on the wire (above TLS where plaintext is seen), all attempts.
    pub bytes: Bytes,
    /// The caller's side.
    pub client: Client,
    /// Who it is on the network: `127.0.0.1:8000`.
    pub address: Option<Name>,
    /// The trace that the caller said it belongs to (`traceparent`).
    pub trace_id: Option<TraceId>,
    /// The caller left after this long without a move of the peer (its read timeout, cancellation or exit).
    pub gave_up_after: Option<Nanos>,
    /// The peer is a process of the observed tree itself: shown, never a culprit unless named.
    pub internal: bool,
    /// TLS is linked into the program: only record heads were seen.
    pub opaque: bool,
    /// It went through the gateway, whose record below tells what became of it: what that leaves of the time is the caller's own.
    pub relayed: bool,
}

/// One try of a hop on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// Its phases; open attempts end at the moment of the record.
    pub timeline: Timeline,
    /// How it ended; `None` while open.
    pub outcome: Option<Outcome>,
    /// Who failed.
    pub failed_by: Option<FailedBy>,
    /// HTTP status.
    pub status: Option<u16>,
    /// Whether it opened its connection.
    pub connection: Option<ConnectionState>,
    /// How long a reused connection had been idle.
    pub idle: Option<Nanos>,
    /// How long the peer asked to wait before the next try.
    pub retry_after: Option<Nanos>,
}

impl Call {
    /// A call of one attempt of which nothing but its times is known; open.
    #[must_use]
    pub fn new(origin: Origin, timeline: Timeline) -> Self {
        let attempt = Attempt {
            number: 1,
            timeline: timeline.clone(),
            outcome: None,
            failed_by: None,
            status: None,
            connection: None,
            idle: None,
            retry_after: None,
        };
        Self {
            origin,
            timeline,
            outcome: None,
            failed_by: None,
            status: None,
            error_type: None,
            errno: None,
            attempts: vec![attempt],
            model: None,
            stream: None,
            gap: None,
            tokens: Tokens::default(),
            bytes: Bytes::default(),
            client: Client::default(),
            address: None,
            trace_id: None,
            gave_up_after: None,
            internal: false,
            opaque: false,
            relayed: false,
        }
    }

    /// The same call, ended: itself and its last attempt.
    #[must_use]
    pub fn ended(mut self, outcome: Outcome, failed_by: Option<FailedBy>, status: Option<u16>) -> Self {
        (self.outcome, self.failed_by, self.status) = (Some(outcome), failed_by, status);
        if let Some(last) = self.attempts.last_mut() {
            (last.outcome, last.failed_by, last.status) = (Some(outcome), failed_by, status);
        }
        self
    }
}

/// Token counts as the answer told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the input.
    pub input: Option<u64>,
    /// Of the output.
    pub output: Option<u64>,
}

/// Bytes moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// From the caller.
    pub sent: u64,
    /// To the caller.
    pub received: u64,
}

/// The caller's side of a hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its process id.
    pub pid: Option<u32>,
    /// The connection of the first attempt.
    pub connection: Option<ConnectionState>,
    /// Its own read timeout, where it says so (`x-stainless-read-timeout`).
    pub read_timeout: Option<Nanos>,
    /// The retry it says it is (`x-stainless-retry-count` of the last attempt).
    pub retry: Option<u32>,
    /// Which connection served the last attempt, unique in the run.
    pub connection_id: Option<NonZeroU64>,
    /// Its own end of the connection that it asked on last.
    pub address: Option<SocketAddr>,
}
