//! When the steps of a connect began and ended, readable while they go on.

use crate::model::clock::Anchor;
use crate::model::{Nanos, Phase, Timeline};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where a connect is, and when its steps began and ended.
///
/// Written by the connect alone, read by anyone at any moment: an open hop shows the phase that its connect is in. What is dropped
/// midway ends there.
#[derive(Debug)]
pub(crate) struct Steps {
    anchor: Anchor,
    dns: Mark,
    connect: Mark,
    proxy: Mark,
    tls: Mark,
    address: Mutex<Option<SocketAddr>>,
}

/// A gap that is none.
const SMALL: Nanos = 1_000_000;

/// Both ends of a step; 0 = not reached.
#[derive(Debug, Default)]
struct Mark {
    start: AtomicU64,
    end: AtomicU64,
}

/// A step that goes on; dropped, it is over.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    mark: &'a Mark,
    anchor: Anchor,
}

impl Steps {
    /// Of a connect that has not begun. Instants are those of the anchor.
    pub(crate) fn new(anchor: Anchor) -> Self {
        let mark = Mark::default;
        Self { anchor, dns: mark(), connect: mark(), proxy: mark(), tls: mark(), address: Mutex::default() }
    }

    /// The step that it is in, or was in last; `None` = nothing has begun. Cost: a few atomic loads.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.begun().last().map(|(phase, ..)| phase)
    }

    /// Start and end of a step; `None` = it has not begun, or is not over.
    pub(crate) fn times(&self, phase: Phase) -> Option<(Nanos, Option<Nanos>)> {
        self.begun().find(|&(of, ..)| of == phase).map(|(_, start, end)| (start, end))
    }

    /// The address that was tried last.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What connecting and the handshake took, so far as they are over.
    pub(crate) fn cost(&self) -> Nanos {
        let took = |phase| self.times(phase).and_then(|(start, end)| Some(end?.saturating_sub(start)));
        [Phase::Connect, Phase::Tls].into_iter().filter_map(took).sum()
    }

    /// When the first step began; `None` = nothing has begun.
    pub(crate) fn start(&self) -> Option<Nanos> {
        self.begun().next().map(|(_, start, _)| start)
    }

    /// Adds the steps so far to a timeline. A step that goes on reaches to `until`; while none has begun, it is a wait for a connection.
    /// The small gaps before and between steps belong to the later one; where TLS waits for the client that it is set up for, that is the
    /// client's own time.
    pub(crate) fn write(&self, timeline: &mut Timeline, until: Nanos) {
        for (phase, start, end) in self.begun() {
            if phase == Phase::Tls && start >= timeline.end().saturating_add(SMALL) {
                timeline.push(Phase::Own, start.min(until));
            }
            timeline.push(phase, end.unwrap_or(until).min(until));
        }
        if self.start().is_none() {
            timeline.push(Phase::Pool, until);
        }
    }

    pub(super) fn dns(&self) -> Step<'_> {
        self.begin(&self.dns)
    }

    pub(super) fn connect(&self) -> Step<'_> {
        self.begin(&self.connect)
    }

    pub(super) fn proxy(&self) -> Step<'_> {
        self.begin(&self.proxy)
    }

    /// A handshake begins.
    pub(crate) fn tls(&self) -> Step<'_> {
        self.begin(&self.tls)
    }

    pub(super) fn tries(&self, address: SocketAddr) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    fn begin<'a>(&self, mark: &'a Mark) -> Step<'a> {
        mark.start.store(self.anchor.now(), Ordering::Release);
        Step { mark, anchor: self.anchor }
    }

    /// The steps that have begun, in their order: one that is not needed has none (no name to look up, no proxy, no TLS).
    fn begun(&self) -> impl Iterator<Item = (Phase, Nanos, Option<Nanos>)> {
        let reached = |mark: &AtomicU64| Some(mark.load(Ordering::Acquire)).filter(|&at| at > 0);
        let order =
            [(Phase::Dns, &self.dns), (Phase::Connect, &self.connect), (Phase::Proxy, &self.proxy), (Phase::Tls, &self.tls)];
        order.into_iter().filter_map(move |(phase, mark)| Some((phase, reached(&mark.start)?, reached(&mark.end))))
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.mark.end.store(self.anchor.now(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(steps: &Steps, start: Nanos, until: Nanos) -> Vec<Phase> {
        let mut timeline = Timeline::new(start);
        steps.write(&mut timeline, until);
        assert_eq!(timeline.duration(), until - start, "the phases sum to the whole");
        timeline.stretches().map(|part| part.phase).collect()
    }

    #[test]
    fn the_phase_can_be_read_at_any_moment() {
        let anchor = Anchor::new(0);
        let steps = Steps::new(anchor);
        let start = anchor.now();
        assert_eq!((steps.phase(), phases(&steps, start, start + 1)), (None, vec![Phase::Pool]));
        let pause = || std::thread::sleep(std::time::Duration::from_millis(1));
        pause();
        drop(steps.connect());
        let tls = steps.tls();
        pause();
        assert_eq!(steps.phase(), Some(Phase::Tls));
        assert!(steps.times(Phase::Connect).is_some_and(|(from, to)| to.is_some_and(|to| to >= from)));
        assert!(steps.times(Phase::Tls).is_some_and(|(_, end)| end.is_none()));
        assert_eq!(steps.times(Phase::Dns), None);
        let now = anchor.now();
        assert_eq!(phases(&steps, start, now).last(), Some(&Phase::Tls));
        drop(tls);
        assert_eq!(steps.phase(), Some(Phase::Tls), "where it was last");
        // Looked at later, the time since belongs to whoever goes on.
        let mut timeline = Timeline::new(start);
        steps.write(&mut timeline, anchor.now() + 1_000_000_000);
        assert!(timeline.end() <= anchor.now());
    }
}
