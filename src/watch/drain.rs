//! The drain: takes what ended out of the logs and feeds the sinks, beside the service's own threads.

use super::store::Store;
use crate::instrument::recorder::{Drain, EndedRun, Record, Recorder, run_of};
use crate::model::{Losses, Run};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::thread::Thread;
use std::time::Duration;

/// How often the drain comes by unasked.
const TICK: Duration = Duration::from_millis(100);

/// The drain and what it feeds.
#[derive(Debug)]
pub(super) struct Drainer {
    recorder: Arc<Recorder>,
    sinks: Mutex<Sinks>,
    thread: OnceLock<Thread>,
}

/// What ended hops and runs are handed to.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    pub(super) store: Store,
    spare: Vec<Record>,
}

impl Drainer {
    /// Starts the drain's thread; it ends when the drain is dropped.
    pub(super) fn start(recorder: Arc<Recorder>) -> std::io::Result<Arc<Self>> {
        let drainer = Arc::new(Self { recorder, sinks: Mutex::default(), thread: OnceLock::new() });
        let weak = Arc::downgrade(&drainer);
        let thread = std::thread::Builder::new().name("hopwatch".into()).spawn(move || follow(&weak))?;
        let _ = drainer.thread.set(thread.thread().clone());
        Ok(drainer)
    }

    /// Drains, and gives what was fed. Waits while another thread is at it.
    pub(super) fn drained(&self) -> MutexGuard<'_, Sinks> {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        self.feed(&mut sinks);
        sinks
    }

    pub(super) fn stop(&self) {
        drop(self.drained());
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn feed(&self, sinks: &mut Sinks) {
        let now = self.recorder.clock().now();
        let Sinks { store, spare } = sinks;
        let ended = self.recorder.drain(spare, &mut |record| {
            if record.is_hop {
                store.count(&self.recorder, record, now);
            }
        });
        if ended.is_empty() {
            return;
        }
        let losses = self.recorder.losses();
        for run in ended {
            let run = match run {
                EndedRun::Whole(log) => run_of(&log, now),
                EndedRun::Nested(run) => Some(*run),
            };
            if let Some(run) = run {
                self.judged(sinks, run, &losses);
            }
        }
    }

    fn judged(&self, sinks: &mut Sinks, run: Run, losses: &Losses) {
        let judgement = self.recorder.judge(&run, losses);
        sinks.store.keep(run, judgement);
    }
}

impl Drain for Drainer {
    fn try_drain(&self) {
        match self.sinks.try_lock() {
            Ok(mut sinks) => self.feed(&mut sinks),
            Err(TryLockError::Poisoned(poisoned)) => self.feed(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

/// Drains until the drain is gone.
fn follow(drainer: &Weak<Drainer>) {
    while let Some(drainer) = drainer.upgrade() {
        drainer.try_drain();
        drop(drainer);
        std::thread::park_timeout(TICK);
    }
}
