//! The answer's body as it passes, to the end of the call.

use super::send::{Open, of_status};
use crate::instrument::answer::Answer;
use crate::instrument::body::Watcher;
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::model::Outcome;

/// Watches an answer's body. Dropped with it.
#[derive(Debug)]
pub(super) struct AnswerWatcher {
    open: Open,
    answer: Answer,
    status: u16,
    /// Somebody asked for the body.
    asked: bool,
}

impl AnswerWatcher {
    pub(super) fn new(open: Open, answer: Answer, status: u16) -> Self {
        Self { open, answer, status, asked: false }
    }

    fn end(&mut self, ending: Ending, complete: bool) {
        let said = self.answer.finish(complete);
        self.open.exchange.says(said);
        self.open.end(ending);
    }
}

impl Watcher for AnswerWatcher {
    fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.asked = true;
        self.open.poll_in(work)
    }

    fn data(&mut self, start: &[u8], length: usize) {
        let content = self.answer.data(start, length);
        self.open.exchange.receives(length as u64, content);
    }

    fn ended(&mut self) {
        if self.open.is_open() {
            self.end(of_status(self.status), true);
        }
    }

    fn failed<E: 'static>(&mut self, error: &E) {
        if !self.open.is_open() {
            return;
        }
        let of_status = of_status(self.status);
        // What an error status says outweighs the loss of its text.
        let ending = if of_status.is_ok() {
            Ending { status: Some(self.status), ..failure::classify_any(error).into() }
        } else {
            of_status
        };
        self.end(ending, false);
    }
}

impl Drop for AnswerWatcher {
    /// Left by the caller: half-read, or a stream that was not wanted any more, is cancelled. A whole answer whose body nobody
    /// asked for said what was wanted by its head, and a stream that said that it is done (`[DONE]`) gave all that it had.
    fn drop(&mut self) {
        let Some(dropped) = self.open.dropped() else { return };
        let of_status = of_status(self.status);
        let unasked = !self.asked && !self.answer.is_stream();
        let enough = !of_status.is_ok() || unasked || self.answer.is_done();
        let ending = if dropped.outcome == Outcome::Cancelled && enough {
            of_status
        } else {
            Ending { status: Some(self.status), ..dropped }
        };
        self.end(ending, false);
    }
}
