//! Where a try is, readable while it goes on.

use crate::gateway::connect::Steps;
use crate::model::clock::Anchor;
use crate::model::{Nanos, Phase, Timeline};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The instants of a try so far. Those of the connect are in its steps.
#[derive(Debug)]
pub(super) struct Progress {
    anchor: Anchor,
    pub(super) steps: Steps,
    connected: AtomicBool,
    sent: Mark,
    answered: Mark,
}

/// An instant that may not have come yet; the first time counts.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Mark {
    fn at(&self) -> Option<Nanos> {
        Some(self.0.load(Ordering::Acquire)).filter(|&at| at > 0)
    }

    fn set(&self, at: Nanos) {
        let _was_set = self.0.compare_exchange(0, at, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Progress {
    pub(super) fn new(anchor: Anchor) -> Self {
        let mark = Mark::default;
        Self { anchor, steps: Steps::new(anchor), connected: AtomicBool::new(false), sent: mark(), answered: mark() }
    }

    /// The connection is ready.
    pub(super) fn connected(&self) {
        self.connected.store(true, Ordering::Release);
    }

    /// The request left.
    pub(super) fn sent(&self) {
        self.sent.set(self.anchor.now());
    }

    /// The answer's head came.
    pub(super) fn answered(&self) {
        self.answered.set(self.anchor.now());
    }

    /// The phase that it is in, or was in last.
    pub(super) fn phase(&self) -> Phase {
        if self.answered.at().is_some() {
            Phase::Stream
        } else if self.sent.at().is_some() {
            Phase::Wait
        } else if self.connected.load(Ordering::Acquire) {
            Phase::Send
        } else {
            self.steps.phase().unwrap_or(Phase::Dns)
        }
    }

    /// The phases of the connect alone, which began at `start` and may go on at `end`.
    pub(super) fn set_up(&self, start: Nanos, end: Nanos) -> Timeline {
        let mut timeline = Timeline::new(start);
        self.steps.write(&mut timeline, end);
        timeline
    }

    /// The phases from `start` to `end`.
    pub(super) fn timeline(&self, start: Nanos, end: Nanos) -> Timeline {
        let mut timeline = self.set_up(start, end);
        if !self.connected.load(Ordering::Acquire) {
            return timeline;
        }
        for (phase, mark) in [(Phase::Send, &self.sent), (Phase::Wait, &self.answered)] {
            let Some(at) = mark.at() else {
                timeline.push(phase, end);
                return timeline;
            };
            timeline.push(phase, at);
        }
        timeline.push(Phase::Stream, end);
        timeline
    }
}
