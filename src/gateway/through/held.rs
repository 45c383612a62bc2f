//! An exchange inside of a connection, while it is recorded.

use crate::gateway::record::{Passed, Recorder, Ticket, Turn};
use crate::hops::{How, Judged};
use crate::model::Nanos;
use std::sync::{Arc, MutexGuard};

/// What is written last and never answered (a goodbye) is no exchange when the close follows within this time.
const GOODBYE: Nanos = 100_000_000;

/// An exchange that is being recorded, until it is told how it ended.
#[derive(Debug)]
pub(super) struct Held {
    turn: Arc<Turn>,
    recorder: Arc<Recorder>,
    /// `None` = it is not counted (any more).
    ticket: Option<Ticket>,
}

impl Held {
    /// Begins to record an exchange.
    pub(super) fn begin(recorder: &Arc<Recorder>, turn: Turn) -> Self {
        let mut held = Self { turn: Arc::new(turn), recorder: Arc::clone(recorder), ticket: None };
        held.resume();
        held
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Passed> {
        self.turn.state()
    }

    /// Nothing of it goes on for now: it is none, unless it is taken up again.
    pub(super) fn pause(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.recorder.forget(ticket);
        }
    }

    /// It goes on.
    pub(super) fn resume(&mut self) {
        if self.ticket.is_none() {
            self.ticket = Some(self.recorder.begin(Arc::clone(&self.turn)));
        }
    }

    /// It is over, in this way.
    pub(super) fn finish(mut self, judged: Judged, at: Nanos) {
        if let Some(ticket) = self.ticket.take() {
            self.turn.state().finish(judged, at);
            self.recorder.end(ticket);
        }
    }

    /// It ended like this.
    pub(super) fn end(self, how: How, at: Nanos) {
        let judged = {
            let state = self.turn.state();
            let stopped = state.asked.and_then(|(first, _)| self.turn.line.stopped_since(first));
            state.judge(how, at, stopped)
        };
        self.finish(judged, at);
    }

    /// Its connection ended like this. Whether it was an exchange at all.
    pub(super) fn over(mut self, how: How, at: Nanos) -> bool {
        let (last, is_goodbye) = {
            let state = self.turn.state();
            let is_reused = state.setup.is_none();
            let last = state.answered_at(at).filter(|_| state.is_unframed()).map(|(_, last)| last);
            let soon = state.asked.is_some_and(|(_, sent)| at.saturating_sub(sent) <= GOODBYE);
            let is_goodbye = last.is_none() && state.is_unframed() && soon && (how == How::CallerLeft || is_reused);
            (last.filter(|_| !state.movement(at).breaks_off(how, at)), is_goodbye)
        };
        match last {
            // Nobody knows better: it was answered, and then the connection ended.
            Some(last) => self.end(How::Complete, last),
            None if is_goodbye => {
                self.pause();
                return false;
            }
            None => self.end(how, at),
        }
        true
    }
}
