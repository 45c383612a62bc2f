//! Where work belongs: the run and the hop that the code now running is part of.
//!
//! A door makes itself current for each poll of what it wraps and steps back afterwards, so that the context follows the future through
//! `select!`, `join!` and from thread to thread, and is right after a panic or a cancellation. A spawned task starts without one;
//! [`Context::carry`] takes it along.

use super::recorder::{Key, Log, Record, Shared, SubjectId};
use super::stall;
use crate::model::{Nanos, Phase, SpanId, TraceId};
use pin_project_lite::pin_project;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// The run and the hop that work belongs to.
///
/// Cheap to clone (two reference counts at most). The default belongs nowhere.
#[derive(Clone, Debug, Default)]
pub struct Context {
    place: Option<Place>,
    /// The context around, where that is of another handle.
    outer: Option<Arc<Context>>,
    /// The place is a hop whose attempts are told apart.
    attempt: Option<Attempting>,
}

/// A hop whose attempts are told apart, while one of them is made, or any may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempting {
    pub(crate) subject: SubjectId,
    /// The attempt that is made.
    pub(crate) number: Option<u32>,
}

/// A span that is open in a log.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) log: Arc<Log>,
    /// The open record; `None` = the run's root.
    pub(crate) slot: Option<u32>,
    pub(crate) id: SpanId,
    /// The outermost span of its trace.
    pub(crate) root: SpanId,
    /// When the runs around it must be done: the earliest of their deadlines.
    pub(crate) deadline: Option<Nanos>,
}

impl Place {
    /// The open record; `None` at a run's root.
    pub(crate) fn key(&self) -> Option<Key> {
        Some(Key { slot: self.slot?, id: self.id })
    }

    /// The hop here is in `phase` from now on; says the phase it was in. `None` where no hop is open whose phases are told this way.
    pub(crate) fn turn(&self, phase: Phase, now: Nanos) -> Option<Phase> {
        let turned = self.log.edit(self.key()?, |record| {
            let told = record.is_hop && record.more.as_ref().is_none_or(|more| more.live.is_none());
            told.then(|| {
                let before = record.phase;
                record.turn(phase, now);
                before
            })
        });
        turned.flatten()
    }
}

thread_local! {
    static CURRENT: Cell<Context> = const { Cell::new(Context { place: None, outer: None, attempt: None }) };
}

impl Context {
    /// The context of the code that runs now. Costs a thread-local read and a reference count.
    #[must_use]
    pub fn current() -> Self {
        Self::with_current(Self::clone)
    }

    /// Reads the current context without cloning it.
    pub(crate) fn with_current<T>(read: impl FnOnce(&Self) -> T) -> T {
        // A thread that is being torn down has no context left.
        let current = CURRENT.try_with(Cell::take).unwrap_or_default();
        let taken = Restore(current);
        read(&taken.0)
    }

    /// A future that belongs here wherever it is polled, for tasks that are spawned: `tokio::spawn(Context::current().carry(work))`.
    ///
    /// Cancel safety: that of the future.
    pub fn carry<F: Future>(self, future: F) -> Carried<F> {
        Carried { future, context: self }
    }

    /// Runs a closure here.
    pub fn within<T>(mut self, work: impl FnOnce() -> T) -> T {
        let _entered = self.enter();
        work()
    }

    /// Whether it belongs to a run or a hop.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.place.is_some()
    }

    /// Makes this the current context until the guard goes; meanwhile `self` holds the one around.
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        swap(self);
        Entered(self)
    }

    pub(crate) fn of(place: Place, around: &Self) -> Self {
        let foreign = around.place.as_ref().is_some_and(|other| !Arc::ptr_eq(&other.log.shared, &place.log.shared));
        let outer = if foreign { Some(Arc::new(around.clone())) } else { around.outer.clone() };
        Self { place: Some(place), outer, attempt: None }
    }

    /// The same, where attempts are made.
    pub(crate) fn attempting(&self, attempt: Option<Attempting>) -> Self {
        Self { attempt, ..self.clone() }
    }

    /// The hop here whose attempts are told apart.
    pub(crate) fn attempt(&self) -> Option<(&Place, Attempting)> {
        Some((self.place.as_ref()?, self.attempt?))
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Where work of this recorder belongs.
    pub(crate) fn place_for(&self, shared: &Arc<Shared>) -> Option<&Place> {
        let mut context = Some(self);
        while let Some(here) = context {
            if let Some(place) = here.place.as_ref().filter(|place| Arc::ptr_eq(&place.log.shared, shared)) {
                return Some(place);
            }
            context = here.outer.as_deref();
        }
        None
    }

    /// The current hop is in `phase` from now on. Nothing happens when no hop is current or when it has ended.
    pub(crate) fn phase(&self, phase: Phase) {
        if let Some(place) = &self.place {
            let now = place.log.shared.clock.now();
            self.edit(|record| record.turn(phase, now));
        }
    }

    /// Changes the record of the current hop, if it is open.
    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let place = self.place.as_ref()?;
        place.log.edit(Key { slot: place.slot?, id: place.id }, change)
    }

    /// Tells facts of the current hop, if it is open.
    #[cfg(any(feature = "reqwest", feature = "tower"))]
    pub(crate) fn edit_call(&self, change: impl FnOnce(&mut crate::model::Call)) {
        self.edit(|record| change(record.call()));
    }

    /// The current hop turns from one phase to another; nothing happens when it is in any other.
    #[cfg(feature = "tower")]
    pub(crate) fn moves(&self, from: Phase, to: Phase) {
        let Some(place) = &self.place else { return };
        let now = place.log.shared.clock.now();
        self.edit(|record| {
            if record.phase == from {
                record.turn(to, now);
            }
        });
    }

    /// What seemed a wait for the answer was another phase.
    #[cfg(feature = "tower")]
    pub(crate) fn was(&self, phase: Phase) {
        self.edit(|record| {
            if record.phase == Phase::Wait {
                record.phase = phase;
            }
        });
    }

    /// Whether both are of the same hop or run.
    #[cfg(any(feature = "reqwest", feature = "tower"))]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (Some(own), Some(other)) => own.id == other.id && Arc::ptr_eq(&own.log, &other.log),
            (None, None) => true,
            _ => false,
        }
    }

    /// What is left until the nearest deadline of the runs around, for handing budgets down; zero once it passed, `None` without one.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let place = self.place.as_ref()?;
        Some(Duration::from_nanos(place.deadline?.saturating_sub(place.log.shared.clock.now())))
    }

    /// The trace and the span that outgoing calls name as their parent.
    pub(crate) fn trace(&self) -> Option<(TraceId, SpanId)> {
        let place = self.place.as_ref()?;
        let trace = place.log.run.as_ref().map_or_else(|| trace_of(place.root), |run| run.trace);
        Some((trace, place.id))
    }
}

/// The trace of a span that is of no run: made of its outermost span's id, so that all below it agree.
pub(crate) fn trace_of(root: SpanId) -> TraceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&root.0.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&root.0.to_be_bytes());
    TraceId(bytes)
}

fn swap(context: &mut Context) {
    let _ = CURRENT.try_with(|current| *context = current.replace(std::mem::take(context)));
}

/// Puts a context back that was taken to be read.
struct Restore(Context);

impl Drop for Restore {
    fn drop(&mut self) {
        let context = std::mem::take(&mut self.0);
        let _ = CURRENT.try_with(|current| current.set(context));
    }
}

/// A context is current as long as this lives.
#[must_use]
#[derive(Debug)]
pub(crate) struct Entered<'a>(&'a mut Context);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        swap(self.0);
    }
}

pin_project! {
    /// A future that belongs to a given context. Made by [`Context::carry`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Carried<F> {
        #[pin]
        future: F,
        context: Context,
    }
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let log = this.context.place().map(|place| &place.log).filter(|log| log.run.is_some()).map(Arc::clone);
        let timed = log.as_ref().map(|log| stall::poll::Poll::begin(log.shared.clock.now()));
        let output = {
            let _entered = this.context.enter();
            this.future.poll(cx)
        };
        if let (Some(log), Some(timed)) = (log, timed) {
            log.polled(timed);
        }
        output
    }
}
