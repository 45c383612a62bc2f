//! Stalls: the caller's own event loop was blocked, so that what had arrived lay unread.
//!
//! Three watch for it. Each poll of a future that a door owns is timed ([`poll`]): one beyond the threshold blocked its event loop. A
//! [`heartbeat`] on a runtime is late when anything blocked it, ours or not. A watchdog thread ([`watchdog`]) looks at the thread of a
//! poll under way and asks the system how it blocks: asleep, at a lock, in a read, computing ([`thread`]).
//!
//! | seen | where it goes |
//! |---|---|
//! | a long poll of a hop's own future | `stall` in that hop's timeline; the run's stall names the hop |
//! | a long poll of a run, or of a task that carries its context | a stall of the run |
//! | a late heartbeat | a stall of every run on that runtime |
//!
//! A stall of the run is `stall` in a hop's timeline too where the hop went on as soon as the event loop did: its answer may have lain
//! there all the while. A hop that was still waiting long after the stall was not held up by it, and keeps its `wait`.
//!
//! Not seen: a blocked worker of a multi-threaded runtime that polls nothing of ours while another worker keeps the heartbeat.

pub(crate) mod heartbeat;
pub(crate) mod poll;
pub(crate) mod runtime;
mod thread;
mod watchdog;

#[cfg(test)]
mod tests;

use crate::model::{Kind, Name, Nanos, Stall, StallCause, Timeline};
use std::time::Duration;

/// A poll longer than this blocked its event loop [default].
pub(crate) const THRESHOLD: Duration = Duration::from_millis(20);

/// How often watchdog and heartbeats look. No threshold lies below it.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A hop that went on within this time after a stall was held up by it: long enough for what was woken to get its turn.
const SLACK: Nanos = 10_000_000;

/// A stall that covers less than this of a hop says nothing of it: a hop that began at the end of a long poll, say.
const NOTABLE: Nanos = 20_000_000;

/// A stretch of time in which something was blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
    pub(crate) cause: StallCause,
}

impl Blocked {
    /// As a run has it; `dependency` is whose work blocked.
    pub(crate) fn stall(&self, dependency: Option<(Kind, Name)>, event_loop: bool) -> Stall {
        let Self { start, end, cause } = *self;
        Stall { pid: std::process::id(), start, end, cause, dependency, event_loop }
    }

    /// A timeline with this as a stall.
    pub(crate) fn within(&self, timeline: &Timeline) -> Timeline {
        timeline.with_stall(self.cause, self.start, self.end)
    }

    /// The timeline of a hop that was open while the event loop was blocked: what it could have gone on with by then is a stall.
    ///
    /// `moves` are moments at which it got a piece without changing its phase.
    pub(crate) fn held_up(&self, timeline: &Timeline, moves: &[Nanos]) -> Timeline {
        let until = self.end.saturating_add(SLACK);
        let mut out = None;
        if self.end.min(timeline.end()).saturating_sub(self.start.max(timeline.start())) < NOTABLE {
            return timeline.clone();
        }
        for part in timeline.within(self.start, self.end) {
            // The part's own end, not where the window cuts it.
            let end = timeline.within(part.start, Nanos::MAX).next().map_or(part.end, |whole| whole.end);
            if end <= until || moves.iter().any(|at| (self.end..=until).contains(at)) {
                let current = out.as_ref().unwrap_or(timeline);
                out = Some(current.with_stall(self.cause, part.start, part.end));
            }
        }
        out.unwrap_or_else(|| timeline.clone())
    }
}
