//! Times the polls of the futures that doors own.

use super::Blocked;
use super::watchdog::{self, Slot};
use crate::instrument::clock::Clock;
use crate::model::{Kind, Name, Nanos, StallCause};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the stalls that were found, in all handles.
static FOUND: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static HERE: Here = Here { slot: Slot::register(1), depth: Cell::new(0), blocking: RefCell::new(None) };
}

/// The polls under way on a thread.
struct Here {
    slot: Arc<Slot>,
    depth: Cell<u32>,
    /// The hop whose own work blocked last.
    blocking: RefCell<Option<Blocker>>,
}

/// A hop whose own work blocked the thread.
#[derive(Clone, Debug)]
struct Blocker {
    start: Nanos,
    end: Nanos,
    who: (Kind, Name),
}

/// A poll under way. One clock read at most, a thread-local and three relaxed accesses.
#[derive(Debug)]
#[must_use]
pub(crate) struct Poll {
    start: Nanos,
    tick: u64,
    /// `None` on a thread that is being torn down.
    depth: Option<u32>,
}

/// A poll that took long.
#[derive(Clone, Debug)]
pub(crate) struct Long {
    pub(crate) blocked: Blocked,
    /// No other future of ours was polling this one.
    pub(crate) outermost: bool,
}

/// How many stalls were found so far. Changes when one was; a relaxed load.
pub(crate) fn found() -> u64 {
    FOUND.load(Ordering::Relaxed)
}

impl Poll {
    /// A poll begins at `start`, now.
    pub(crate) fn begin(start: Nanos) -> Self {
        let enter = |here: &Here| {
            let depth = here.depth.get();
            here.depth.set(depth.saturating_add(1));
            if depth == 0 {
                here.slot.step(true);
                watchdog::stay_awake();
            }
            depth
        };
        Self { start, depth: HERE.try_with(enter).ok(), tick: watchdog::tick() }
    }

    /// A piece of work begins at `start`, now, inside a poll; `None` when nothing polls here.
    pub(crate) fn inside(start: Nanos) -> Option<Self> {
        let polling = HERE.try_with(|here| here.depth.get() > 0).unwrap_or(false);
        polling.then(|| Self::begin(start))
    }

    /// The poll is over: was it longer than `threshold`? The clock is read only if the watchdog ticked meanwhile.
    pub(crate) fn end(self, clock: Clock, threshold: Nanos) -> Option<Long> {
        if watchdog::tick() == self.tick { None } else { self.measure(clock, threshold) }
    }

    #[cold]
    fn measure(self, clock: Clock, threshold: Nanos) -> Option<Long> {
        let end = clock.now();
        if end.saturating_sub(self.start) < threshold || clock.is_virtual() {
            return None;
        }
        let cause =
            HERE.try_with(|here| here.slot.cause(clock.instant(self.start), clock.instant(end))).unwrap_or(StallCause::Unknown);
        FOUND.fetch_add(1, Ordering::Relaxed);
        Some(Long { blocked: Blocked { start: self.start, end, cause }, outermost: self.depth == Some(0) })
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let Some(depth) = self.depth else { return };
        let _ = HERE.try_with(|here| {
            here.depth.set(depth);
            if depth == 0 {
                here.slot.step(false);
            }
        });
    }
}

/// The thread was blocked by a hop's own work. Of hops inside each other the innermost counts, which tells first.
#[cold]
pub(crate) fn blocked_by(blocked: Blocked, kind: Kind, dependency: Name) {
    if self::blocker(blocked).is_some() {
        return;
    }
    let blocker = Blocker { start: blocked.start, end: blocked.end, who: (kind, dependency) };
    let _ = HERE.try_with(|here| here.blocking.replace(Some(blocker)));
}

/// The hop on this thread whose own work took most of `blocked`.
pub(crate) fn blocker(blocked: Blocked) -> Option<(Kind, Name)> {
    let blocker = HERE.try_with(|here| here.blocking.borrow().clone()).ok()??;
    let both = blocker.end.min(blocked.end).saturating_sub(blocker.start.max(blocked.start));
    (both >= (blocked.end - blocked.start) / 2).then_some(blocker.who)
}
