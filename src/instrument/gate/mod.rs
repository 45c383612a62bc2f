//! The door for concurrency limits: a semaphore whose wait, hold, queue and abandoned waits are measured.
//!
//! | event | what is counted |
//! |---|---|
//! | a permit is given | its wait; 0 where one was free |
//! | a permit goes | its hold: from when it was given to when it, or what it went along with, was dropped or came to its end |
//! | a waiter is dropped | an abandoned wait; the place in the queue is lost |
//! | `try_acquire` finds none | `shed` |
//!
//! Permits are given in the order in which they were asked for. A wait shows as phase `gate`: of the hop that is current
//! ([`Hop::gated`](crate::instrument::hop::Hop::gated), or any `acquire` in the work of a hop), else, inside a run, as a wait of its
//! own under the gate's name. Of waits that overlap in one hop, the hop shows the first.

mod adapt;
mod gated;
mod permit;
mod state;
#[cfg(test)]
mod tests;

pub use super::failure::Shed;
pub use gated::GatedHop;
pub use permit::{Held, Permit};
pub(crate) use state::Inner;

use super::context::{Context, Place};
use super::ending::Ending;
use super::failure;
use super::hop::dropped_in;
use super::recorder::{Beginning, Key, Recorder};
use crate::model::{Nanos, Phase};
use permit::OnDrop;
use state::Limit;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio::sync::TryAcquireError;

/// A concurrency limit that one waits at.
///
/// Cheap to clone (a reference count). A gate cannot be closed: at a limit of 0 it lets nobody through until the limit is raised.
#[derive(Clone, Debug)]
pub struct Gate {
    inner: Arc<Inner>,
}

impl Gate {
    pub(crate) fn fixed(recorder: &Recorder, name: &str, limit: usize) -> Self {
        Self { inner: recorder.gate(name, Limit::Fixed(limit)) }
    }

    /// A gate whose limit follows the latency knee of what is behind it, between two limits: see [`adapt`](self).
    pub(crate) fn adaptive(recorder: &Recorder, name: &str, limits: RangeInclusive<usize>) -> Self {
        Self { inner: recorder.gate(name, Limit::Adaptive(limits)) }
    }

    /// Its name, as it is shown.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Permits that may be out at once, now.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.inner.state().limit
    }

    /// Permits that are out.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.inner.state().in_use
    }

    /// Callers that wait.
    #[must_use]
    pub fn queue(&self) -> usize {
        self.inner.state().queue
    }

    /// Changes the limit. Permits beyond a lower one stay valid, and are not given again. An adaptive gate goes on from here.
    pub fn set_limit(&self, limit: usize) {
        self.inner.set_limit(limit);
    }

    /// Waits for a permit.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it loses its place in the queue, and the wait is counted as abandoned. Cost: about 200 ns where a
    /// permit is free.
    pub async fn acquire(&self) -> Permit {
        if let Ok(permit) = self.take() {
            return permit;
        }
        let waiting = Waiting::begin(self);
        match Arc::clone(&self.inner.semaphore).acquire_owned().await {
            Ok(token) => waiting.granted(token),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// A permit, if one is free.
    ///
    /// # Errors
    /// [`Shed`] when none is, which is counted. As the error of a hop it is `shed`, failed by the caller's own limit.
    pub fn try_acquire(&self) -> Result<Permit, Shed> {
        self.take().map_err(|_| {
            self.inner.state().shed += 1;
            Shed(())
        })
    }

    /// Waits for a permit and holds it while the future runs. The output is passed on untouched.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire) while it waits, then that of the future; the permit goes when this is dropped.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        self.classify(future, |_| Ending::ok()).await
    }

    /// The same for a future of a `Result`: an adaptive gate takes timeouts and refusals (429) for a limit that is too high.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn try_run<T, E: 'static>(&self, future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.classify(future, failure::of_result).await
    }

    async fn classify<F: Future>(&self, future: F, classify: impl FnOnce(&F::Output) -> Ending) -> F::Output {
        let mut permit = self.acquire().await;
        // Left before its end, the work says nothing of the limit, unless it was cut at its deadline.
        permit.on_drop = OnDrop::Left;
        let output = future.await;
        permit.done(&classify(&output));
        output
    }

    fn take(&self) -> Result<Permit, TryAcquireError> {
        let token = Arc::clone(&self.inner.semaphore).try_acquire_owned()?;
        let now = self.inner.shared.clock.now();
        Ok(Permit::new(&self.inner, token, now, 0))
    }
}

/// A caller that waits. Dropped before it got its permit, it abandoned the wait.
struct Waiting<'a> {
    gate: &'a Gate,
    since: Nanos,
    shown: Shown,
    granted: bool,
}

/// Where a wait is shown.
enum Shown {
    Nowhere,
    /// As a phase of the current hop, which goes back to the one it was in.
    Hop(Place, Phase),
    /// As a record of the current run.
    Record(Place),
}

impl<'a> Waiting<'a> {
    fn begin(gate: &'a Gate) -> Self {
        let inner = &gate.inner;
        let since = inner.shared.clock.now();
        inner.state().queue += 1;
        let shown = Context::with_current(|context| match context.place_for(&inner.shared) {
            Some(place) => Shown::at(place, inner, since),
            None => Shown::Nowhere,
        });
        Self { gate, since, shown, granted: false }
    }

    fn granted(mut self, token: tokio::sync::OwnedSemaphorePermit) -> Permit {
        self.granted = true;
        let inner = &self.gate.inner;
        let now = inner.shared.clock.now();
        inner.state().queue -= 1;
        self.shown.end(now, Ending::ok());
        Permit::new(inner, token, now, now.saturating_sub(self.since))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.granted {
            let inner = &self.gate.inner;
            let mut state = inner.state();
            state.queue -= 1;
            state.abandoned += 1;
            drop(state);
            self.shown.end(inner.shared.clock.now(), self.shown.dropped());
        }
    }
}

impl Shown {
    fn at(place: &Place, inner: &Inner, now: Nanos) -> Self {
        match place.turn(Phase::Gate, now) {
            Some(back) => return Self::Hop(place.clone(), back),
            None if place.log.run.is_none() || !place.log.has_room() => return Self::Nowhere,
            None => {}
        }
        let (parent, root) = (Some(place.id), Some(place.root));
        let beginning = Beginning { subject: inner.subject, is_hop: false, parent, root, start: now, phase: Phase::Gate };
        let Some(Key { slot, id }) = place.log.open(beginning) else { return Self::Nowhere };
        Self::Record(Place { slot: Some(slot), id, ..place.clone() })
    }

    /// How a wait ends that was left.
    fn dropped(&self) -> Ending {
        match self {
            Self::Record(place) => dropped_in(&Context::of(place.clone(), &Context::default())),
            Self::Hop(..) | Self::Nowhere => Ending::cancelled(),
        }
    }

    fn end(&self, now: Nanos, ending: Ending) {
        match self {
            // Of waits that overlap, the first turned the hop, and turns it back. One that was left stays in its phase to its end.
            Self::Hop(place, back) if *back != Phase::Gate && ending.is_ok() => drop(place.turn(*back, now)),
            Self::Record(place) => {
                if let Some(key) = place.key() {
                    place.log.end(key, now, ending, None);
                }
            }
            Self::Hop(..) | Self::Nowhere => {}
        }
    }
}
