//! Who called over which connection, for the spans of those who served the calls.

use crate::model::{Nanos, SpanId};
use rustc_hash::FxHashMap;
use std::net::SocketAddr;

/// Calls by the connection they were last made on, own address first.
#[derive(Debug, Default)]
pub(super) struct Callers(FxHashMap<(SocketAddr, SocketAddr), Vec<Caller>>);

/// A call, as the one who serves it needs to know it.
#[derive(Clone, Copy, Debug)]
struct Caller {
    start: Nanos,
    end: Nanos,
    span: SpanId,
}

impl Callers {
    /// A call was made over a connection from `start` to `end`.
    pub(super) fn add(&mut self, pair: (SocketAddr, SocketAddr), span: SpanId, start: Nanos, end: Nanos) {
        self.0.entry(pair).or_default().push(Caller { start, end, span });
    }

    /// The call that was under way on a connection at `at`.
    pub(super) fn at(&self, pair: (SocketAddr, SocketAddr), at: Nanos) -> Option<SpanId> {
        let calls = self.0.get(&pair)?;
        calls.iter().find(|call| (call.start..=call.end).contains(&at)).map(|call| call.span)
    }
}
