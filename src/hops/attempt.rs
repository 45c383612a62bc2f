//! One try on the wire, and what makes two of them tries of one call.

use super::{CallerId, Judged};
use crate::model::naming::Named;
use crate::model::{Bytes, ConnectionState, Name, Nanos, Origin, SpanId, Timeline, Tokens, TraceId};
use std::net::SocketAddr;
use std::num::NonZeroU64;

/// What makes two requests the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    /// Method; empty = no request was sent.
    pub(crate) method: Name,
    pub(crate) path: Name,
    /// Digest of the body; 0 = there is none, or it is not known.
    pub(crate) digest: u64,
    /// Digest of the first line, query included; 0 = not known.
    pub(crate) target: u64,
}

impl Key {
    pub(super) fn is_unsent(&self) -> bool {
        self.method.is_empty()
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        !self.is_unsent()
            && self.method == other.method
            && self.path == other.path
            && self.digest == other.digest
            && (self.target == other.target || self.target == 0 || other.target == 0)
    }
}

/// One try on the wire, with everything known of it.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) origin: Origin,
    pub(crate) caller: CallerId,
    pub(crate) pid: Option<u32>,
    pub(crate) service: Name,
    /// The caller's thread; 0 = not known.
    pub(crate) tid: u32,
    /// The thread runs an event loop, or nobody knows: it says nothing about who waits for what.
    pub(crate) is_loop: bool,
    pub(crate) id: u64,
    pub(crate) parent: Option<SpanId>,
    /// The trace that it belongs to, by its `traceparent`.
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) named: Named,
    pub(crate) operation: Name,
    pub(crate) timeline: Timeline,
    /// `None` = it is under way.
    pub(crate) judged: Option<Judged>,
    pub(crate) status: Option<u16>,
    pub(crate) error_type: Option<Name>,
    pub(crate) connection: Option<ConnectionState>,
    pub(crate) idle: Option<Nanos>,
    pub(crate) retry_after: Option<Nanos>,
    pub(crate) stream: Option<bool>,
    /// The longest time between two pieces of a streamed answer.
    pub(crate) gap: Option<Nanos>,
    pub(crate) model: Option<Name>,
    pub(crate) tokens: Tokens,
    pub(crate) bytes: Bytes,
    pub(crate) read_timeout: Option<Nanos>,
    pub(crate) retry: Option<u32>,
    /// Number of the connection.
    pub(crate) number: Option<NonZeroU64>,
    /// The caller's connection: whether it opened it for this, and its own end.
    pub(crate) client: (Option<ConnectionState>, Option<SocketAddr>),
    /// The connection's own address and the peer's.
    pub(crate) pair: (Option<SocketAddr>, Option<SocketAddr>),
    /// The peer's address, as it is told.
    pub(crate) address: Option<Name>,
    pub(crate) opaque: bool,
    pub(crate) inferred: bool,
    pub(crate) key: Key,
    /// Stretches in which something was there and the caller did not notice.
    pub(crate) late: Vec<(Nanos, Nanos)>,
}

impl Try {
    /// One of which nothing is known but whose it is, where it leads, when it was and what became of it.
    pub(crate) fn bare(
        origin: Origin,
        (caller, service): (CallerId, Name),
        id: u64,
        named: Named,
        operation: Name,
        timeline: Timeline,
        judged: Option<Judged>,
    ) -> Self {
        Self {
            origin,
            caller,
            pid: None,
            service,
            tid: 0,
            is_loop: false,
            id,
            parent: None,
            trace_id: None,
            named,
            operation,
            timeline,
            judged,
            status: None,
            error_type: None,
            connection: None,
            idle: None,
            retry_after: None,
            stream: None,
            gap: None,
            model: None,
            tokens: Tokens::default(),
            bytes: Bytes::default(),
            read_timeout: None,
            retry: None,
            number: None,
            client: (None, None),
            pair: (None, None),
            address: None,
            opaque: false,
            inferred: false,
            key: Key::default(),
            late: Vec::new(),
        }
    }
}

/// A try that looks for the hop it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) caller: CallerId,
    pub(crate) dependency: &'a Name,
    pub(crate) key: &'a Key,
    pub(crate) retry: Option<u32>,
    pub(crate) tid: u32,
    pub(crate) is_loop: bool,
    pub(crate) start: Nanos,
    /// It opened its connection.
    pub(crate) is_new: bool,
    /// The same request is under way elsewhere at the caller.
    pub(crate) is_ambiguous: bool,
}
