//! The exchanges of a connection that is led through, one after the other.

use super::held::Held;
use crate::gateway::connect::ConnectError;
use crate::gateway::record::{Line, Passed, Protocol, Recorder, Step, Turn};
use crate::hops::{How, Judged, caller_left, peer_failed};
use crate::model::{FailedBy, Name, Nanos, Outcome, Phase};
use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};

/// What set a connection up belongs to its first exchange when that follows within this time.
pub(crate) const SETUP_IDLE: Nanos = 1_000_000_000;

/// The exchanges of a connection.
#[derive(Debug)]
pub(super) struct Turns {
    recorder: Arc<Recorder>,
    pub(super) line: Arc<Line>,
    /// The connection's set-up, until an exchange has it.
    first: Option<Held>,
    /// Since when the set-up is over; `None` = it goes on.
    ready: Option<Nanos>,
    /// Those under way by their numbers, oldest first.
    open: VecDeque<(u64, Held)>,
    /// When the last one ended.
    last: Option<Nanos>,
    /// When the server last said something that belongs to the set-up.
    pub(super) heard: Nanos,
    /// When its client said that nothing more comes of it.
    pub(super) left: Option<Nanos>,
    /// More of an answer came after that.
    pub(super) went_on: bool,
    /// The server said that nothing more comes of it: however the connection ends, that breaks nothing off.
    pub(super) is_ended: bool,
}

impl Turns {
    /// A connection is asked for.
    pub(super) fn new(recorder: Arc<Recorder>, line: Arc<Line>) -> Self {
        let first = Held::begin(&recorder, Turn::first(recorder.id(), Arc::clone(&line)));
        let open = VecDeque::new();
        Self {
            recorder,
            line,
            first: Some(first),
            ready: None,
            open,
            last: None,
            heard: 0,
            left: None,
            went_on: false,
            is_ended: false,
        }
    }

    /// A step of the set-up begins.
    pub(super) fn step(&mut self, phase: Phase, at: Nanos) {
        if let Some(first) = &mut self.first {
            self.ready = None;
            first.resume();
            first.state().setup.get_or_insert_default().push(Step { phase, start: at, end: None });
        }
    }

    /// The step under way goes on, or ends here.
    pub(super) fn step_ends(&mut self, at: Nanos) {
        if let Some(first) = &self.first
            && let Some(step) = first.state().setup.as_mut().and_then(|steps| steps.last_mut())
        {
            step.end = Some(at);
        }
    }

    /// Nothing is left to be done before the first exchange.
    pub(super) fn is_ready(&mut self, at: Nanos) {
        if let Some(first) = &mut self.first {
            first.pause();
            self.ready = Some(at);
        }
    }

    /// Whether the set-up goes on.
    pub(super) const fn is_setting_up(&self) -> bool {
        self.first.is_some() && self.ready.is_none()
    }

    /// The set-up failed.
    pub(super) fn failed(&mut self, judged: Judged, error: Option<Name>, at: Nanos) {
        let Some(first) = self.first.take().filter(|_| self.ready.is_none()) else { return };
        first.state().error = error;
        self.line.downstream.failed(judged.outcome);
        first.finish(judged, at);
    }

    /// There is no connection to the upstream.
    pub(super) fn unconnected(&mut self, error: &ConnectError, at: Nanos) {
        let ConnectError { outcome, failed_by, errno, status, .. } = *error;
        if let Some(first) = &self.first {
            first.state().refused = status;
        }
        let judged = Judged { errno, ..Judged::plain(outcome, Some(failed_by)) };
        self.failed(judged, Some(error.error_type.clone()), at);
    }

    /// The connection was made for something else than exchanges.
    pub(super) fn is_none(&mut self) {
        if let Some(mut first) = self.first.take() {
            first.pause();
        }
    }

    /// An exchange begins.
    pub(super) fn begin(&mut self, number: u64, at: Nanos, protocol: Protocol) {
        let first = self.first.take();
        let with_setup = first.filter(|_| self.ready.is_none_or(|ready| at.saturating_sub(ready) < SETUP_IDLE));
        let held = match with_setup {
            Some(mut first) => {
                first.resume();
                self.line.downstream.costs(self.line.cost(&first.state()));
                first
            }
            None => {
                let idle = self.last.map(|last| at.saturating_sub(last));
                Held::begin(&self.recorder, Turn::later(self.recorder.id(), Arc::clone(&self.line), idle))
            }
        };
        {
            let mut state = held.state();
            (state.protocol, state.asked) = (protocol, Some((at, at)));
        }
        self.line.downstream.calls();
        self.line.works();
        self.open.push_back((number, held));
    }

    /// The exchange with this number.
    pub(super) fn find(&self, number: u64) -> Option<MutexGuard<'_, Passed>> {
        self.open.iter().find(|(known, _)| *known == number).map(|(_, held)| held.state())
    }

    /// The one that was asked for first, or last, of those under way.
    pub(super) fn oldest(&self) -> Option<MutexGuard<'_, Passed>> {
        self.open.front().map(|(_, held)| held.state())
    }

    /// As [`Self::oldest`].
    pub(super) fn newest(&self) -> Option<MutexGuard<'_, Passed>> {
        self.open.back().map(|(_, held)| held.state())
    }

    /// An exchange ended like this.
    pub(super) fn end(&mut self, number: u64, how: How, at: Nanos) {
        let Some(index) = self.open.iter().position(|(known, _)| *known == number) else { return };
        if let Some((_, held)) = self.open.remove(index) {
            held.end(how, at);
        }
        self.rests(at);
    }

    /// The exchange under way was a part of something else.
    pub(super) fn forget(&mut self) {
        for (_, mut held) in self.open.drain(..) {
            held.pause();
            self.line.downstream.uncalled();
        }
    }

    fn rests(&mut self, at: Nanos) {
        self.last = Some(at);
        if self.open.is_empty() {
            self.line.rests(at);
        }
    }

    /// A set-up that goes on ended like this, which is told as `outcome` unless its client left.
    pub(super) fn stopped(&mut self, how: How, at: Nanos, outcome: Outcome, error: Option<&'static str>) {
        let judged = match how {
            How::PeerClosed(errno) => peer_failed(outcome, Some(errno).filter(|&errno| errno != 0)),
            How::Complete => peer_failed(outcome, None),
            How::CallerLeft => caller_left(at.saturating_sub(self.step_began())),
        };
        self.failed(judged, error.map(Into::into), at);
    }

    /// The connection ended like this.
    pub(super) fn over(&mut self, how: How, at: Nanos) {
        self.is_none();
        let how = if self.is_ended && matches!(how, How::PeerClosed(_)) { How::PeerClosed(0) } else { how };
        for (_, held) in self.open.drain(..) {
            // Who closes TLS closes both ways: what came then was for nobody.
            match self.left.filter(|_| self.went_on && self.line.is_opaque()) {
                Some(left) => held.end(How::CallerLeft, left),
                None if held.over(how, at) => {}
                None => self.line.downstream.uncalled(),
            }
        }
    }

    /// What goes on is cut off by hopwatch itself.
    pub(super) fn cut(&mut self, at: Nanos) {
        for (_, held) in self.open.drain(..) {
            held.finish(Judged::plain(Outcome::Cancelled, Some(FailedBy::Own)), at);
        }
    }

    fn step_began(&self) -> Nanos {
        let began = self.first.as_ref().map_or(0, |first| self.line.step_began(&first.state()));
        began.max(self.heard)
    }
}
