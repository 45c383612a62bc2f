//! What is under way at one moment.

use super::connection::Connection;
use super::exchange::Exchange;
use super::process::Process;
use super::{Ending, MILLI, Shared, facts, failure, hops};
use crate::hops::{Hop, Try};
use crate::model::{Nanos, Phase, Span};
use crate::observe::ring::Thread;
use crate::observer::layout::Call;

/// A loop that has done nothing for so long after a failure waits to try again.
const QUIET: Nanos = 50 * MILLI;

/// An answered turn is taken for over after this long.
const SILENT: Nanos = 1_000 * MILLI;

impl Process {
    /// Whether nothing of it can be under way any more.
    fn is_over(&self) -> bool {
        matches!(self.end, Some((_, Ending::Exit)))
    }

    /// How many hops are under way: such as were counted when they began, and such as only set up.
    pub(super) fn open_count(&self) -> (u64, u64) {
        if self.is_over() {
            return (0, 0);
        }
        let mut counts = (0, self.lookups.pending.len() as u64);
        for connection in self.connections.values() {
            let layers = [&connection.raw, &connection.plain];
            counts.0 +=
                layers.iter().map(|layer| (layer.exchanges.len() + usize::from(layer.turn.is_some())) as u64).sum::<u64>();
            counts.1 += u64::from(setting_up(connection).is_some());
        }
        counts
    }

    /// The hops that are under way, up to `now`. Places of such as had ended and wait for another try.
    pub(super) fn open_hops(&self, shared: &mut Shared, now: Nanos, threads: &[Thread], spans: &mut Vec<Span>) -> Vec<usize> {
        if self.is_over() {
            return Vec::new();
        }
        let now = self.end.map_or(now, |(at, _)| at);
        for pending in &self.lookups.pending {
            let attempt = failure::attempt_of_lookup(self, shared, pending, now, None);
            self.show(shared, attempt, None, spans);
        }
        let mut ids: Vec<&u32> = self.connections.keys().collect();
        ids.sort_unstable();
        for connection in ids.into_iter().filter_map(|id| self.connections.get(id)) {
            if let Some(phase) = setting_up(connection) {
                let attempt = failure::attempt_of_setup(self, shared, connection, phase, now, None);
                self.show(shared, attempt, None, spans);
            }
            for layer in [&connection.raw, &connection.plain] {
                // Of a turn that was answered nobody knows whether more comes.
                let silent = |turn: &&Exchange| turn.last_read.is_some_and(|last| now.saturating_sub(last) >= SILENT);
                for exchange in layer.exchanges.iter().chain(layer.turn.as_ref().filter(|turn| !silent(turn))) {
                    let attempt = facts::attempt(self, shared, connection, exchange, None, now);
                    self.show(shared, attempt, exchange.joined, spans);
                }
            }
        }
        let waits = |hop: &Hop| {
            if hop.caller != self.id {
                return false;
            }
            let counts = hop.span.call.as_ref().is_some_and(|call| call.client.retry.is_some());
            let call = threads
                .iter()
                .find(|thread| thread.tid == hop.tid && thread.since != 0)
                .map(|thread| Call::from_u16(thread.call as u16));
            match call {
                Some(Call::Sleep) => !hop.is_loop,
                Some(Call::Epoll | Call::Poll | Call::Select) => {
                    hop.is_loop && counts && self.quiet_since(hop.end.saturating_add(QUIET))
                }
                _ => false,
            }
        };
        let found = shared.hops.in_backoff(now, &waits);
        let places = found.iter().map(|&(place, _)| place).collect();
        spans.extend(found.into_iter().map(|(_, span)| span));
        places
    }

    fn show(&self, shared: &Shared, attempt: Try, joined: Option<usize>, spans: &mut Vec<Span>) {
        let (tid, late) = (attempt.tid, attempt.late.clone());
        let mut span = shared.hops.preview(attempt, joined);
        if let Some(call) = span.call.as_deref_mut() {
            hops::finish_call(call, &self.stalls, tid, &late);
        }
        spans.push(span);
    }
}

/// The phase of a connection on which nothing was asked yet.
fn setting_up(connection: &Connection) -> Option<Phase> {
    if connection.accepted || connection.unix || connection.calls > 0 || connection.failed.is_some() {
        return None;
    }
    if connection.connecting {
        return Some(Phase::Connect);
    }
    let shaking = connection.handshake_since().map(|_| Phase::Tls);
    shaking.or_else(|| connection.login_since().map(|_| Phase::Connect))
}
