//! Hops that are over for good, for whoever counts while the run goes on.
//!
//! A hop that ended may still change: another try may join it, and what blocked its caller is known only once that is over. It is told
//! when nothing of this is to be expected any more, and once. A try that comes later than that joins it in the report all the same.

use super::{Hop, Hops};
use crate::model::{Nanos, Span};
use crate::observe::assemble::process::Process;
use crate::observe::assemble::{MILLI, ProcessId};
use rustc_hash::FxHashSet;

/// What follows a hop at once is told apart from it by then.
const SOON: Nanos = 1_000 * MILLI;
/// What kept an event loop busy is known when it waits again; one that never does is not waited for longer.
const BUSY_WITHIN: Nanos = 10_000 * MILLI;
/// Another try comes within this time, as clients back off (up to 8 s by themselves), and what the peer asks for.
const RETRY_WITHIN: Nanos = 10_000 * MILLI;

impl Hops {
    /// The hops that are over for good and were not told before, with what blocked their callers laid over them. `idle_since` says since
    /// when a thread waits for events.
    pub(in crate::observe::assemble) fn settled(
        &mut self,
        processes: &[Process],
        now: Nanos,
        idle_since: &dyn Fn(ProcessId, u32) -> Option<Nanos>,
    ) -> Vec<Span> {
        let awaited: FxHashSet<usize> = self.waiting.values().flatten().copied().collect();
        let mut settled = Vec::new();
        for (place, hop) in self.list.iter_mut().enumerate().skip(self.untold) {
            if hop.is_settled(processes, now, awaited.contains(&place), idle_since) {
                hop.told = true;
                settled.push(hop.clone().into_span(processes, &FxHashSet::default()));
            }
        }
        let over = self.list.iter().skip(self.untold).take_while(|hop| hop.told || hop.gone).count();
        self.untold += over;
        settled
    }
}

impl Hop {
    fn is_settled(
        &self,
        processes: &[Process],
        now: Nanos,
        awaited: bool,
        idle_since: &dyn Fn(ProcessId, u32) -> Option<Nanos>,
    ) -> bool {
        if self.told || self.gone || self.continued {
            return false;
        }
        if processes.get(self.process).is_none_or(|process| process.end.is_some()) {
            return true;
        }
        let age = now.saturating_sub(self.end);
        if awaited {
            let asked = self.span.call.as_ref().and_then(|call| call.attempts.last()?.retry_after).unwrap_or(0);
            return age >= asked.saturating_add(RETRY_WITHIN);
        }
        let waits_again = || idle_since(self.process, self.tid).is_some_and(|since| since >= self.end);
        age >= SOON && (!self.is_loop || age >= BUSY_WITHIN || waits_again())
    }
}

#[cfg(test)]
mod tests;
