//! Hops of observed processes: what blocked their callers laid over them, and when they are over for good.
//!
//! A hop that ended may still change: another try may join it, and what blocked its caller is known only once that is over. It is told
//! when nothing of this is to be expected any more, and once. A try that comes later than that joins it in the report all the same.

use super::callers::Callers;
use super::process::Process;
use super::{MILLI, stall};
use crate::hops::{CallerId, Hop, Hops};
use crate::model::{Call, Nanos, Span};
use rustc_hash::FxHashSet;
use std::net::SocketAddr;

/// What kept an event loop busy is known when it waits again; one that never does is not waited for longer.
const BUSY_WITHIN: Nanos = 10_000 * MILLI;

/// The span of a hop. `internal` are the pairs of addresses of which both ends are in the tree.
pub(super) fn span(mut hop: Hop, processes: &[Process], internal: &FxHashSet<(SocketAddr, SocketAddr)>) -> Span {
    let stalls = processes.get(hop.caller).map_or(&[][..], |process| &process.stalls);
    if let Some(call) = hop.span.call.as_deref_mut() {
        finish_call(call, stalls, hop.tid, &hop.late);
        if let (Some(own), Some(peer)) = hop.pair {
            call.internal = !hop.explicit && internal.contains(&(own, peer));
        }
    }
    hop.span
}

/// Lays what blocked the caller over the times of a call.
pub(super) fn finish_call(call: &mut Call, stalls: &[stall::Busy], tid: u32, late: &[(Nanos, Nanos)]) {
    call.timeline = stall::overlay(&call.timeline, stalls, tid, late);
    for attempt in &mut call.attempts {
        attempt.timeline = stall::overlay(&attempt.timeline, stalls, tid, late);
    }
}

/// Who called over which connection.
pub(super) fn callers(hops: &Hops) -> Callers {
    let mut callers = Callers::default();
    for hop in hops.ended() {
        if let (Some(own), Some(peer)) = hop.pair {
            callers.add((own, peer), hop.span.id, hop.span.start, hop.end);
        }
    }
    callers
}

/// The hops that are over for good and were not told before. `idle_since` says since when a thread waits for events.
pub(super) fn settled(
    hops: &mut Hops,
    processes: &[Process],
    now: Nanos,
    idle_since: &dyn Fn(CallerId, u32) -> Option<Nanos>,
) -> Vec<Span> {
    let may_change = |hop: &Hop, awaited: bool| {
        if processes.get(hop.caller).is_none_or(|process| process.end.is_some()) {
            return false;
        }
        let waits_again = || idle_since(hop.caller, hop.tid).is_some_and(|since| since >= hop.end);
        let busy = !awaited && hop.is_loop && now.saturating_sub(hop.end) < BUSY_WITHIN && !waits_again();
        hop.may_change(now, awaited) || busy
    };
    let settled = hops.settled(&may_change);
    settled.into_iter().map(|hop| span(hop, processes, &FxHashSet::default())).collect()
}

#[cfg(test)]
mod tests;
