//! The watchdog: one thread per process that ticks while anything is polled, and asks how a thread blocks whose poll does not end.
//!
//! Threads belong to the process, not to a handle, and so does this. It sleeps when nothing was polled for a second, and is woken by the
//! next poll.

use super::{TICK, thread};
use crate::model::{StallCause, clock};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use tokio::time::Instant;

/// Ticks without any poll after which it sleeps.
const IDLE: u32 = 100;
/// Most changes of what a thread does that are kept of one poll.
const CHANGES_MAX: usize = 64;

/// Counts the ticks.
static TICKS: AtomicU64 = AtomicU64::new(0);
/// It does not tick, and must be woken.
static ASLEEP: AtomicBool = AtomicBool::new(true);
static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

/// Something that must go on: a thread that polls, a heart that beats.
#[derive(Debug)]
pub(super) struct Slot {
    /// Odd while it is under way; changes with every step that it makes. Written by one thread at a time.
    step: AtomicU64,
    /// The thread that it is on; 0 = not known.
    tid: u32,
    /// Ticks that it may stay in one step.
    patience: u32,
    seen: Mutex<Seen>,
}

/// What its thread did during one step.
#[derive(Debug, Default)]
struct Seen {
    step: u64,
    ticks: u32,
    doing: Vec<Doing>,
}

#[derive(Clone, Copy, Debug)]
struct Doing {
    cause: StallCause,
    from: Instant,
    to: Instant,
}

/// The tick that it is. A relaxed load.
pub(super) fn tick() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Wakes the watchdog if it sleeps. A relaxed load when it does not.
pub(super) fn stay_awake() {
    if ASLEEP.load(Ordering::Relaxed) {
        wake();
    }
}

#[cold]
fn wake() {
    static THREAD: OnceLock<Option<Thread>> = OnceLock::new();
    // Without a thread nothing ticks, and no poll is ever found long.
    let start = || {
        let started = std::thread::Builder::new().name("hopwatch-stalls".into()).spawn(watch);
        started.ok().map(|handle| handle.thread().clone())
    };
    let thread = THREAD.get_or_init(start);
    ASLEEP.store(false, Ordering::Relaxed);
    if let Some(thread) = thread {
        thread.unpark();
    }
}

impl Slot {
    /// A slot that the watchdog looks at until it is dropped.
    pub(super) fn register(patience: u32) -> Arc<Self> {
        let slot =
            Arc::new(Self { step: AtomicU64::new(0), tid: thread::own_id().unwrap_or(0), patience, seen: Mutex::default() });
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    /// It makes a step: from now on it is under way, or not. Of one thread at a time. Two relaxed accesses.
    pub(super) fn step(&self, under_way: bool) {
        let step = self.step.load(Ordering::Relaxed);
        let next = step.wrapping_add(1);
        self.step.store(next.wrapping_add(u64::from((next & 1 == 1) != under_way)), Ordering::Relaxed);
    }

    /// What its thread did most between two instants of the step that it is in, or of the last one that took long.
    pub(super) fn cause(&self, from: Instant, to: Instant) -> StallCause {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let overlap = |doing: &Doing| doing.to.min(to).saturating_duration_since(doing.from.max(from));
        let mut most = (std::time::Duration::ZERO, StallCause::Unknown);
        for candidate in &seen.doing {
            let sum = seen.doing.iter().filter(|doing| doing.cause == candidate.cause).map(overlap).sum();
            if sum > most.0 {
                most = (sum, candidate.cause);
            }
        }
        most.1
    }

    /// Looks at it; gives whether it was under way or made a step since the last tick.
    fn look(&self, now: Instant) -> bool {
        let step = self.step.load(Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = step != seen.step;
        if moved {
            (seen.step, seen.ticks) = (step, 0);
        }
        if step & 1 == 0 {
            return moved;
        }
        seen.ticks = seen.ticks.saturating_add(1);
        if seen.ticks > self.patience && self.tid != 0 {
            // The first look of a step makes room; until then what was seen of the last one may still be asked for.
            if seen.ticks == self.patience + 1 {
                seen.doing.clear();
            }
            seen.saw(thread::look(self.tid), now);
        }
        true
    }
}

impl Seen {
    fn saw(&mut self, cause: StallCause, now: Instant) {
        let from = self.doing.last().map_or_else(|| now.checked_sub(TICK).unwrap_or(now), |last| last.to);
        let full = self.doing.len() >= CHANGES_MAX;
        match self.doing.last_mut() {
            Some(last) if last.cause == cause || full => last.to = now,
            _ => self.doing.push(Doing { cause, from, to: now }),
        }
    }
}

/// Ticks for ever: as long as the process lives.
fn watch() {
    let mut idle = 0;
    loop {
        std::thread::sleep(TICK);
        TICKS.fetch_add(1, Ordering::Relaxed);
        let now = Instant::from_std(clock::monotonic());
        let slots: Vec<Arc<Slot>> = {
            let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
            slots.retain(|slot| slot.strong_count() > 0);
            slots.iter().filter_map(Weak::upgrade).collect()
        };
        let busy = slots.iter().fold(false, |busy, slot| slot.look(now) | busy);
        idle = if busy { 0 } else { idle + 1 };
        match idle {
            // Who polls from now on wakes it. One more tick, for those who looked just before.
            IDLE => ASLEEP.store(true, Ordering::Relaxed),
            _ if idle > IDLE => {
                while ASLEEP.load(Ordering::Relaxed) {
                    std::thread::park();
                }
                idle = 0;
            }
            0 => ASLEEP.store(false, Ordering::Relaxed),
            _ => {}
        }
    }
}
