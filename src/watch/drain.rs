//! The drain: takes what ended out of the logs and feeds the sinks, beside the service's own threads.

use super::sinks::Sinks;
use crate::instrument::recorder::{Drain, Recorder};
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

impl Drainer {
    /// Starts the drain's thread; it ends when the drain is dropped.
    pub(super) fn start(recorder: Arc<Recorder>, sinks: Sinks) -> std::io::Result<Arc<Self>> {
        let drainer = Arc::new(Self { recorder, sinks: Mutex::new(sinks), thread: OnceLock::new() });
        let weak = Arc::downgrade(&drainer);
        let thread = std::thread::Builder::new().name("hopwatch".into()).spawn(move || follow(&weak))?;
        let _ = drainer.thread.set(thread.thread().clone());
        Ok(drainer)
    }

    /// Drains, and gives what was fed. Waits while another thread is at it.
    pub(super) fn drained(&self) -> MutexGuard<'_, Sinks> {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.feed(&self.recorder, true);
        sinks
    }

    /// Drains on the drain's own thread, unless somebody else is at it.
    fn tick(&self) {
        if let Some(mut sinks) = self.free() {
            sinks.feed(&self.recorder, false);
        }
    }

    fn free(&self) -> Option<MutexGuard<'_, Sinks>> {
        match self.sinks.try_lock() {
            Ok(sinks) => Some(sinks),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Drain for Drainer {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn try_drain(&self) {
        if let Some(mut sinks) = self.free() {
            sinks.take_over(&self.recorder);
        }
        self.wake();
    }
}

/// Drains until the drain is gone.
fn follow(drainer: &Weak<Drainer>) {
    while let Some(drainer) = drainer.upgrade() {
        drainer.tick();
        drop(drainer);
        std::thread::park_timeout(TICK);
    }
}
