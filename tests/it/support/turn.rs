//! Turns to start: a program that starts keeps a processor busy, for which those must not wait that are timed.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a program that starts is looked at, and how many looks in a row must find it asleep.
pub(crate) const LOOK: Duration = Duration::from_millis(25);
const ASLEEP: u32 = 4;

/// Turns that are taken.
static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// One of as many as there are processors; given back when dropped.
pub(crate) struct Turn(());

impl Turn {
    /// Waits until one is free.
    pub(crate) fn take() -> Self {
        let all = thread::available_parallelism().map_or(1, usize::from);
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = GIVEN_BACK.wait_while(taken, |taken| *taken >= all).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}

/// A program that starts, until it first waits for something.
#[derive(Default)]
pub(crate) struct Starting {
    ticks: u64,
    asleep: u32,
}

impl Starting {
    /// Looks at the children of a process, or at itself while it has none; whether they wait.
    pub(crate) fn is_over(&mut self, pid: u32) -> bool {
        let mut looked_at = children(pid);
        if looked_at.is_empty() {
            looked_at.push(pid);
        }
        let seen: Vec<(bool, u64)> = looked_at.into_iter().filter_map(state).collect();
        let ticks = seen.iter().map(|(_, ticks)| ticks).sum();
        let is_asleep = ticks == self.ticks && seen.iter().all(|(sleeps, _)| *sleeps);
        (self.ticks, self.asleep) = (ticks, if is_asleep { self.asleep + 1 } else { 0 });
        self.asleep >= ASLEEP
    }
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(Path::join(&task.path(), "children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether the main thread of a process sleeps, and how much of a processor all of its threads have used.
fn state(pid: u32) -> Option<(bool, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // What follows the name, which may hold anything: the state, and from the twelfth on the times.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((*fields.first()? == "S", ticks(11)? + ticks(12)?))
}
