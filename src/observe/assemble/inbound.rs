//! Exchanges that a process serves: on connections that it accepted.

use super::callers::Callers;
use crate::model::{Name, Nanos, Role, Span, SpanId};
use crate::wire::headers::TraceParent;
use crate::wire::provider;
use rustc_hash::FxHashSet;
use std::net::SocketAddr;

/// Most spans of served exchanges, and most pairs of addresses, that are kept.
const MOST: usize = 100_000;

/// An exchange that the process is serving.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) id: u64,
    /// Number of its connection.
    pub(super) connection: u64,
    pub(super) exchange: u64,
    pub(super) plaintext: bool,
    pub(super) tid: u32,
    pub(super) is_loop: bool,
    pub(super) start: Nanos,
    pub(super) service: Name,
    pub(super) operation: Name,
    pub(super) trace: Option<TraceParent>,
    /// Client's address, then the own.
    pub(super) pair: Option<(SocketAddr, SocketAddr)>,
}

impl Serving {
    /// Notes what its head says.
    pub(super) fn asked(&mut self, method: &str, path: &str, trace: Option<TraceParent>) {
        self.operation = provider::operation(method, path).into();
        self.trace = trace;
    }

    /// Its span; `end` is `None` while it is open.
    pub(super) fn span(&self, end: Option<Nanos>) -> Span {
        let mut span = Span::new(
            self.id,
            None,
            self.service.clone(),
            self.operation.clone(),
            self.start,
            end.map(|end| end.max(self.start)),
        );
        span.role = Role::Server;
        span
    }
}

/// All served exchanges that ended, and who is connected to whom within the tree.
#[derive(Debug, Default)]
pub(super) struct Inbounds {
    ended: Vec<(Serving, Option<Nanos>)>,
    /// Client's address and server's address of the accepted connections.
    accepted: FxHashSet<(SocketAddr, SocketAddr)>,
    /// Own address and peer's address of the connections that were opened.
    opened: FxHashSet<(SocketAddr, SocketAddr)>,
}

impl Inbounds {
    /// A connection was accepted.
    pub(super) fn accepted(&mut self, client: SocketAddr, own: SocketAddr) {
        if self.accepted.len() < MOST {
            self.accepted.insert((client, own));
        }
    }

    /// A connection was opened.
    pub(super) fn opened(&mut self, own: SocketAddr, peer: SocketAddr) {
        if self.opened.len() < MOST {
            self.opened.insert((own, peer));
        }
    }

    /// An exchange was served up to `end`; `None` = it still is.
    pub(super) fn put(&mut self, serving: Serving, end: Option<Nanos>) {
        if self.ended.len() < MOST {
            self.ended.push((serving, end));
        }
    }

    /// Connections of which both ends are in the tree, client's address first.
    pub(super) const fn pairs(&self) -> &FxHashSet<(SocketAddr, SocketAddr)> {
        &self.accepted
    }

    /// Spans of what was served: to the outside, and to calls of the tree itself, which are their parents.
    pub(super) fn take(&mut self, callers: &Callers) -> Vec<Span> {
        let opened = &self.opened;
        let span = |(serving, end): (Serving, Option<Nanos>)| {
            let span = serving.span(end);
            match serving.pair.filter(|pair| opened.contains(pair)) {
                None => Some(span),
                Some(pair) => callers.at(pair, serving.start).map(|caller| Span { parent: Some(caller), ..span }),
            }
        };
        self.ended.drain(..).filter_map(span).collect()
    }
}

/// The span that an outgoing call surely belongs to: the one that the calling thread or the whole process is serving, or the
/// one of the same trace.
pub(super) fn parent(serving: &[Serving], tid: u32, is_loop: bool, trace: Option<TraceParent>) -> Option<SpanId> {
    let only = |fits: &dyn Fn(&Serving) -> bool| {
        let mut fitting = serving.iter().filter(|serving| fits(serving));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(SpanId(first.id))
    };
    if let Some(trace) = trace
        && let Some(found) = only(&|serving| serving.trace.is_some_and(|own| own.trace_id == trace.trace_id))
    {
        return Some(found);
    }
    if !is_loop && let Some(found) = only(&|serving| serving.tid == tid && !serving.is_loop) {
        return Some(found);
    }
    only(&|_| true)
}
