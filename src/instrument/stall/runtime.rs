//! Stalls by runtime, as the metric has them, until the drain takes them.

use super::Blocked;
use crate::model::{Name, Nanos, StallCause};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::{Handle, Id};

/// Most stalls that wait for the drain.
const WAITING_MAX: usize = 1_024;
/// How many of the last stalls are remembered, to tell one from the same seen a second time.
const LAST: usize = 16;
/// The name of a runtime that has none.
const UNNAMED: &str = "tokio";

/// A runtime was blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeStall {
    /// The name that its heartbeat was given.
    pub(crate) runtime: Name,
    /// For how long.
    pub(crate) took: Nanos,
    /// How.
    pub(crate) cause: StallCause,
}

/// The runtimes of one handle.
#[derive(Debug, Default)]
pub(crate) struct Runtimes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    names: Vec<(Id, Name)>,
    waiting: Vec<RuntimeStall>,
    last: VecDeque<(Option<Id>, Blocked)>,
    missed: u64,
}

/// The runtime that the code now running is on.
pub(crate) fn current() -> Option<Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

impl Runtimes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names a runtime; false when it has a name.
    pub(super) fn name(&self, id: Id, name: &Name) -> bool {
        let mut state = self.state();
        let fresh = state.names.iter().all(|&(known, _)| known != id);
        if fresh {
            state.names.push((id, Arc::clone(name)));
        }
        fresh
    }

    /// Forgets a runtime: another may get its number.
    pub(super) fn forget(&self, id: Id) {
        self.state().names.retain(|&(known, _)| known != id);
    }

    /// A runtime was blocked. What was seen before is not counted again.
    pub(crate) fn blocked(&self, id: Option<Id>, blocked: Blocked) {
        let mut state = self.state();
        if state.last.iter().any(|(known, seen)| *known == id && same(seen, &blocked)) {
            return;
        }
        if state.last.len() == LAST {
            state.last.pop_front();
        }
        state.last.push_back((id, blocked));
        if state.waiting.len() >= WAITING_MAX {
            state.missed += 1;
            return;
        }
        let name = state.names.iter().find(|&&(known, _)| Some(known) == id).map(|(_, name)| Arc::clone(name));
        let runtime = name.unwrap_or_else(|| UNNAMED.into());
        state.waiting.push(RuntimeStall { runtime, took: blocked.end - blocked.start, cause: blocked.cause });
    }

    /// Takes what was seen since the last time.
    pub(crate) fn take(&self) -> Vec<RuntimeStall> {
        std::mem::take(&mut self.state().waiting)
    }

    /// Stalls that there was no room for.
    pub(crate) fn missed(&self) -> u64 {
        self.state().missed
    }
}

/// Whether two sightings are of one stall: most of the later one lies in the earlier.
pub(crate) fn same(seen: &Blocked, later: &Blocked) -> bool {
    let both = seen.end.min(later.end).saturating_sub(seen.start.max(later.start));
    both >= (later.end - later.start) / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(start: Nanos, end: Nanos) -> Blocked {
        Blocked { start, end, cause: StallCause::Sleep }
    }

    #[test]
    fn a_stall_that_is_seen_twice_is_counted_once() {
        let runtimes = Runtimes::default();
        runtimes.blocked(None, blocked(0, 300));
        runtimes.blocked(None, blocked(5, 301));
        runtimes.blocked(None, blocked(400, 500));
        let taken = runtimes.take();
        assert_eq!(taken.iter().map(|stall| stall.took).collect::<Vec<_>>(), [300, 100]);
        assert_eq!(&*taken[0].runtime, UNNAMED);
        assert!(runtimes.take().is_empty());
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let runtimes = Runtimes::default();
        for nth in 0..WAITING_MAX as u64 + 7 {
            runtimes.blocked(None, blocked(nth * 100, nth * 100 + 50));
        }
        assert_eq!(runtimes.missed(), 7);
        assert_eq!(runtimes.take().len(), WAITING_MAX);
    }
}
