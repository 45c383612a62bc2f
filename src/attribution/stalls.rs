//! When the caller was blocked, and by what.

use crate::model::{Kind, Name, Nanos, Run, Stall, StallCause};

/// The caller's stalls as disjoint blocks in time order.
#[derive(Debug, Default)]
pub(super) struct Blocks<'a> {
    blocks: Vec<(Nanos, Nanos, &'a Stall)>,
}

/// What blocked the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Blocker<'a> {
    pub(super) cause: StallCause,
    pub(super) event_loop: bool,
    pub(super) dependency: Option<&'a (Kind, Name)>,
}

impl<'a> Blocks<'a> {
    pub(super) fn of(run: &'a Run) -> Self {
        let mut blocks = Self::default();
        // An event loop holds up everything that runs on it, another thread only itself: where both are blocked, the loop counts.
        blocks.add(run.stalls.iter().filter(|stall| stall.event_loop));
        blocks.add(run.stalls.iter().filter(|stall| !stall.event_loop));
        blocks
    }

    fn add(&mut self, stalls: impl Iterator<Item = &'a Stall>) {
        let mut stalls: Vec<&Stall> = stalls.collect();
        stalls.sort_by_key(|stall| (stall.start, stall.end));
        let (mut reached, mut added) = (0, Vec::new());
        for stall in stalls {
            let from = stall.start.max(reached);
            if from < stall.end {
                self.split(from, stall.end, |start, end, taken| {
                    if taken.is_none() {
                        added.push((start, end, stall));
                    }
                });
                reached = stall.end;
            }
        }
        self.blocks.append(&mut added);
        self.blocks.sort_by_key(|&(start, ..)| start);
    }

    /// Cuts `[from, to)` into stretches, each with the stall that covers it.
    pub(super) fn split(&self, from: Nanos, to: Nanos, mut each: impl FnMut(Nanos, Nanos, Option<&'a Stall>)) {
        let mut at = from;
        let first = self.blocks.partition_point(|&(_, end, _)| end <= from);
        for &(start, end, stall) in &self.blocks[first..] {
            let (start, end) = (start.max(at), end.min(to));
            if start >= to {
                break;
            }
            if at < start {
                each(at, start, None);
            }
            if start < end {
                each(start, end, Some(stall));
                at = end;
            }
        }
        if at < to {
            each(at, to, None);
        }
    }

    /// What blocked during a tile that says so itself: the stall that covers most of it.
    pub(super) fn blocker(&self, from: Nanos, to: Nanos, cause: Option<StallCause>) -> Blocker<'a> {
        let mut longest: Option<(Nanos, &'a Stall)> = None;
        self.split(from, to, |start, end, stall| {
            if let Some(stall) = stall.filter(|_| longest.is_none_or(|(length, _)| end - start > length)) {
                longest = Some((end - start, stall));
            }
        });
        match longest {
            Some((_, stall)) => Blocker { cause: cause.unwrap_or(stall.cause), ..Blocker::of(stall) },
            None => Blocker { cause: cause.unwrap_or(StallCause::Unknown), event_loop: true, dependency: None },
        }
    }
}

impl<'a> Blocker<'a> {
    pub(super) const fn of(stall: &'a Stall) -> Self {
        Self { cause: stall.cause, event_loop: stall.event_loop, dependency: stall.dependency.as_ref() }
    }

    /// As a row's detail: "event loop blocked in sleep".
    pub(super) fn detail(&self) -> String {
        let who = if self.event_loop { "event loop" } else { "thread" };
        let what = match self.cause {
            StallCause::Sleep => "blocked in sleep",
            StallCause::Lock => "blocked by a lock",
            StallCause::InterpreterLock => "blocked by the interpreter's lock",
            StallCause::Poll => "blocked in poll",
            StallCause::Io => "blocked in a read or write",
            StallCause::Resolve => "blocked in a name look-up",
            StallCause::ChildProcess => "blocked by a child process",
            StallCause::File => "blocked by a file",
            StallCause::Cpu => "busy computing",
            StallCause::Unknown => "not running",
        };
        match self.dependency {
            Some((kind, name)) => format!("{who} {what} on {name} ({kind})"),
            None => format!("{who} {what}"),
        }
    }
}
