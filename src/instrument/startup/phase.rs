//! A named part of a start-up.

use super::capped;
use crate::instrument::context::{Context, Place};
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::instrument::hop::OpenHop;
use crate::instrument::recorder::{Recorder, Subject, SubjectId};
use crate::model::{Kind, Role};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A named part of a start-up. May be timed more than once, nested and side by side.
///
/// What is timed inside a run (a phase around it, or a request) is recorded there; else in the start-up, while that is under way.
#[derive(Clone, Debug)]
#[must_use = "a phase takes no time until something is timed by it"]
pub struct StartupPhase {
    recorder: Arc<Recorder>,
    subject: SubjectId,
    /// The start-up.
    home: Context,
}

impl StartupPhase {
    pub(super) fn new(recorder: &Arc<Recorder>, name: &str, home: Context) -> Self {
        let operation = capped(recorder, name);
        let subject = Subject { role: Role::Internal, kind: Some(Kind::Startup), dependency: None, operation };
        Self { recorder: Arc::clone(recorder), subject: recorder.shared.subject(subject), home }
    }

    /// Begins it; it ends when the guard is dropped.
    pub fn start(&self) -> OpenPhase {
        OpenPhase { open: Some(self.open()) }
    }

    /// Times a future, whatever it gives.
    ///
    /// # Cancel safety
    /// That of the future; dropped before its end, the phase is `cancelled`.
    pub async fn time<F: Future>(&self, future: F) -> F::Output {
        self.classify(future, |_| Ending::ok()).await
    }

    /// Times a future of a `Result`, which is passed on untouched.
    ///
    /// # Cancel safety
    /// As [`time`](Self::time).
    pub async fn try_time<T, E: 'static>(&self, future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.classify(future, failure::of_result).await
    }

    /// Times a closure on this thread.
    pub fn time_blocking<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut open = self.open();
        let output = open.poll_in(work);
        open.end(Ending::ok());
        output
    }

    /// Times a closure that gives a `Result`, which is passed on untouched.
    ///
    /// # Errors
    /// Those of the closure.
    pub fn try_time_blocking<T, E: 'static>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut open = self.open();
        let output = open.poll_in(work);
        open.end(failure::of_result(&output));
        output
    }

    async fn classify<F: Future>(&self, future: F, classify: impl FnOnce(&F::Output) -> Ending) -> F::Output {
        let mut open = self.open();
        let mut future = std::pin::pin!(future);
        let output = std::future::poll_fn(|cx| open.poll_in(|| future.as_mut().poll(cx))).await;
        open.end(classify(&output));
        output
    }

    fn open(&self) -> OpenHop {
        Context::with_current(|around| {
            let of_run = |place: &&Place| place.log.run.is_some();
            let inside = around.place_for(&self.recorder.shared).filter(of_run);
            let home = || self.home.place().filter(|place| !place.log.has_ended());
            let outer = inside.or_else(home);
            OpenHop::begin_part(Arc::clone(self.recorder.shard()), outer, self.subject, around)
        })
    }
}

/// A phase under way: it ends when this is dropped.
#[derive(Debug)]
#[must_use = "a phase that is dropped at once takes no time"]
pub struct OpenPhase {
    open: Option<OpenHop>,
}

impl OpenPhase {
    /// Where work belongs that is done in this phase, for hops and phases below it.
    #[must_use]
    pub fn context(&self) -> Context {
        self.open.as_ref().map_or_else(Context::default, OpenHop::context)
    }
}

impl Drop for OpenPhase {
    fn drop(&mut self) {
        // Left by a panic, it says so; left otherwise, it is done.
        if let Some(open) = self.open.take().filter(|_| !std::thread::panicking()) {
            open.end(Ending::ok());
        }
    }
}

/// Times the first call after a start-up. Clones share which was the first.
#[derive(Clone, Debug)]
pub struct FirstCall {
    phase: StartupPhase,
    made: Arc<AtomicBool>,
}

impl FirstCall {
    pub(super) fn new(phase: StartupPhase, made: Arc<AtomicBool>) -> Self {
        Self { phase, made }
    }

    /// Times a future if it is the first; the others are left alone. Costs an atomic swap after the first.
    ///
    /// # Cancel safety
    /// That of the future.
    pub async fn time<F: Future>(&self, future: F) -> F::Output {
        if self.made.swap(true, Ordering::Relaxed) { future.await } else { self.phase.time(future).await }
    }
}
