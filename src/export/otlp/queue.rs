//! Spans on their way: a bounded queue that knows what became of each.
//!
//! One lock guards everything that is counted, so that the sums hold at any instant. It is held for as long as moving a batch takes;
//! nobody waits for the network under it.

use super::counts::{ExportCounts, ExportDrops};
use crate::model::clock::monotonic;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The queue between those who push and the thread that sends.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    limits: Limits,
    /// There may be something to send.
    wake: Notify,
    /// Somebody waits: pauses of our own are over.
    urged: Notify,
    /// Whatever happens, end.
    stop: Notify,
    /// Spans left, or the end was reached.
    moved: Condvar,
}

/// Sizes of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Spans kept at most, those on their way included.
    pub(super) capacity: usize,
    /// Spans of one batch at most.
    pub(super) batch: usize,
    /// How long a span waits for others.
    pub(super) delay: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    /// Since when the oldest waits.
    since: Option<Instant>,
    /// Spans of the batch that is on its way or kept for the next try.
    flying: usize,
    accepted: u64,
    exported: u64,
    dropped: ExportDrops,
    /// Spans that ever left the queue, in the order they came; the order makes a flush one comparison.
    left: u64,
    /// A flush waits until this many have left.
    flush_to: u64,
    life: Life,
    last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Open,
    /// What waits is still sent, nothing new is taken.
    Closing,
    /// It is over.
    Closed,
}

/// What the sending thread does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Sends these.
    Send(Vec<Bytes>),
    /// Waits until then for more, or without an end.
    Wait(Option<Instant>),
    /// Ends.
    End,
}

impl State {
    fn queued(&self) -> usize {
        self.waiting.len() + self.flying
    }

    /// Spans that ever entered.
    fn entered(&self) -> u64 {
        self.left + self.queued() as u64
    }
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        // A batch of nothing would never be sent.
        let limits = Limits { capacity: limits.capacity.max(1), batch: limits.batch.max(1), ..limits };
        Self {
            state: Mutex::default(),
            limits,
            wake: Notify::new(),
            urged: Notify::new(),
            stop: Notify::new(),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a span, or counts why not. Whoever comes to a full queue is dropped: the newest.
    pub(super) fn push(&self, spans: impl Iterator<Item = Bytes>) {
        let mut state = self.lock();
        let before = state.waiting.len();
        for span in spans {
            state.accepted += 1;
            if state.life != Life::Open {
                state.dropped.shutdown += 1;
            } else if state.queued() >= self.limits.capacity {
                state.dropped.queue_full += 1;
            } else {
                state.waiting.push_back(span);
            }
        }
        let now = state.waiting.len();
        if now > 0 && state.since.is_none() {
            state.since = Some(monotonic());
        }
        drop(state);
        let enough = self.limits.batch.min(self.limits.capacity);
        if (before == 0 && now > 0) || (before < enough && now >= enough) {
            self.wake.notify_one();
        }
    }

    /// Counts spans as dropped where none could be taken; `false` = there is room, and nothing was counted. Saves encoding them.
    pub(super) fn refuse(&self, spans: usize) -> bool {
        let mut state = self.lock();
        let reason = match state.life {
            Life::Open if state.queued() < self.limits.capacity => return false,
            Life::Open => &mut state.dropped.queue_full,
            Life::Closing | Life::Closed => &mut state.dropped.shutdown,
        };
        *reason += spans as u64;
        state.accepted += spans as u64;
        true
    }

    /// What became of every span so far.
    pub(super) fn counts(&self) -> ExportCounts {
        let state = self.lock();
        ExportCounts { accepted: state.accepted, exported: state.exported, queued: state.queued() as u64, dropped: state.dropped }
    }

    /// Why the last request failed; `None` = it did not.
    pub(super) fn last_error(&self) -> Option<String> {
        self.lock().last_error.clone()
    }

    /// What to do next. A batch goes out when it is full, when its oldest has waited long enough, and at once when somebody waits.
    pub(super) fn next(&self) -> Next {
        let mut state = self.lock();
        if state.life == Life::Closed || (state.life == Life::Closing && state.waiting.is_empty()) {
            return Next::End;
        }
        let Some(since) = state.since else { return Next::Wait(None) };
        let due = since.checked_add(self.limits.delay);
        let hurry = state.life == Life::Closing || state.flush_to > state.left;
        // A queue smaller than a batch is never fuller than full.
        let enough = self.limits.batch.min(self.limits.capacity);
        if !hurry && state.waiting.len() < enough && due.is_none_or(|due| monotonic() < due) {
            return Next::Wait(due);
        }
        let size = self.limits.batch.min(state.waiting.len());
        let batch: Vec<Bytes> = state.waiting.drain(..size).collect();
        state.flying = batch.len();
        state.since = (!state.waiting.is_empty()).then(monotonic);
        Next::Send(batch)
    }

    /// The batch on its way was taken, but for so many of its spans.
    pub(super) fn taken(&self, rejected: u64, why: String) {
        self.leave(|state, flying| {
            let rejected = rejected.min(flying);
            state.exported += flying - rejected;
            state.dropped.rejected += rejected;
            state.last_error = (!why.is_empty()).then_some(why);
        });
    }

    /// The batch on its way will never be taken.
    pub(super) fn rejected(&self, why: String) {
        self.leave(|state, flying| {
            state.dropped.rejected += flying;
            state.last_error = Some(why);
        });
    }

    /// The batch on its way is kept: it could not be handed over now.
    pub(super) fn kept(&self, why: String) {
        self.lock().last_error = Some(why);
    }

    fn leave(&self, count: impl FnOnce(&mut State, u64)) {
        let mut state = self.lock();
        // Given up meanwhile: it was counted then.
        if state.flying > 0 {
            let flying = std::mem::take(&mut state.flying) as u64;
            state.left += flying;
            count(&mut state, flying);
            self.moved.notify_all();
        }
    }

    /// Waits until all that was accepted so far has left, at most so long; whether it has.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        let target = state.entered();
        state.flush_to = state.flush_to.max(target);
        self.hurry();
        let waits = |state: &mut State| state.left < target && state.life != Life::Closed;
        let (state, _) = self.moved.wait_timeout_while(state, timeout, waits).unwrap_or_else(PoisonError::into_inner);
        state.left >= target
    }

    /// Takes nothing more, sends what waits, at most for so long, then gives the rest up.
    pub(super) fn shutdown(&self, timeout: Duration) {
        self.refuse_more();
        let waits = |state: &mut State| state.life != Life::Closed;
        let waited = self.moved.wait_timeout_while(self.lock(), timeout, waits);
        drop(waited);
        self.close();
    }

    /// Takes nothing more; what waits is still sent.
    pub(super) fn refuse_more(&self) {
        let mut state = self.lock();
        if state.life == Life::Open {
            state.life = Life::Closing;
        }
        self.hurry();
    }

    /// It is over: what is left is given up, and the thread ends.
    pub(super) fn close(&self) {
        self.finish();
        self.stop.notify_one();
    }

    /// Nothing more will be sent: what is left is given up.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        let left = state.queued() as u64;
        state.dropped.shutdown += left;
        state.left += left;
        (state.flying, state.since, state.life) = (0, None, Life::Closed);
        state.waiting = VecDeque::new();
        self.moved.notify_all();
    }

    fn hurry(&self) {
        self.wake.notify_one();
        self.urged.notify_one();
    }

    /// Until there may be something to do. Cancel safe.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Until somebody waits for what is queued. Cancel safe.
    pub(super) async fn urged(&self) {
        self.urged.notified().await;
    }

    /// Until it is over. Cancel safe.
    pub(super) async fn stopped(&self) {
        self.stop.notified().await;
    }
}

#[cfg(test)]
mod tests;
