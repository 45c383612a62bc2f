//! A permit, and what it may go along with.

use super::adapt::Sample;
use super::state::Inner;
use crate::instrument::context::Context as Belonging;
use crate::instrument::ending::Ending;
use crate::instrument::hop::dropped_in;
use crate::model::{Nanos, Outcome};
use futures_core::Stream;
use pin_project_lite::pin_project;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedSemaphorePermit;

/// A place behind a gate; it is free again when this is dropped, on whatever thread.
#[must_use = "a permit that is dropped at once holds nothing back"]
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
    /// Gone when it was given back.
    token: Option<OwnedSemaphorePermit>,
    since: Nanos,
    in_flight: usize,
    pub(super) on_drop: OnDrop,
}

/// What an adaptive gate learns of a permit that goes without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDrop {
    /// The work was done.
    Done,
    /// The work was left before its end.
    Left,
}

impl Permit {
    pub(super) fn new(inner: &Arc<Inner>, token: OwnedSemaphorePermit, now: Nanos, wait: Nanos) -> Self {
        let in_flight = inner.given(wait);
        Self { inner: Arc::clone(inner), token: Some(token), since: now, in_flight, on_drop: OnDrop::Done }
    }

    /// Lets the permit go along with a value, a body or a stream to its end, or until that is dropped.
    #[must_use]
    pub fn with<T>(self, value: T) -> Held<T> {
        Held { inner: value, permit: Some(self) }
    }

    /// Gives it back and tells how the work ended: an adaptive gate takes timeouts and refusals (429, shed) for a limit that is too
    /// high, learns the latency of what went well, and nothing of other failures, since they may be quick. A permit that is just
    /// dropped counts as work that went well.
    pub fn done(mut self, ending: &Ending) {
        match ending.outcome {
            Outcome::Ok => self.give_back(Some(false)),
            Outcome::Timeout | Outcome::RateLimited | Outcome::Shed => self.give_back(Some(true)),
            _ => self.give_back(None),
        }
    }

    /// `overloaded`: `None` = nothing is learnt.
    fn give_back(&mut self, overloaded: Option<bool>) {
        let Some(token) = self.token.take() else { return };
        let ended = self.inner.shared.clock.now();
        let (begun, in_flight) = (self.since, self.in_flight);
        let sample = overloaded.map(|overloaded| Sample { begun, ended, in_flight, overloaded });
        self.inner.returned(token, ended.saturating_sub(begun), sample);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.token.is_some() {
            let ending = Belonging::with_current(dropped_in);
            let overloaded = match (ending.outcome, self.on_drop) {
                (Outcome::Timeout, _) => Some(true),
                (Outcome::Cancelled, OnDrop::Done) => Some(false),
                _ => None,
            };
            self.give_back(overloaded);
        }
    }
}

pin_project! {
    /// A value that holds a permit. As a stream or a body it gives the permit back at its end, else when it is dropped.
    ///
    /// What it passes on is untouched.
    #[derive(Debug)]
    pub struct Held<T> {
        // Dropped before the permit goes.
        #[pin]
        inner: T,
        permit: Option<Permit>,
    }
}

impl<T> Held<T> {
    /// The value, and its permit unless that was given back.
    pub fn into_parts(self) -> (T, Option<Permit>) {
        (self.inner, self.permit)
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<S: Stream> Stream for Held<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        let item = ready!(this.inner.poll_next(cx));
        if item.is_none() {
            this.permit.take();
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

#[cfg(any(feature = "reqwest", feature = "tower"))]
impl<B: http_body::Body> http_body::Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            // Who knows the length from the head never asks for the end.
            Some(Ok(_)) if !this.inner.is_end_stream() => {}
            Some(Err(_)) => {
                if let Some(mut permit) = this.permit.take() {
                    permit.on_drop = OnDrop::Left;
                }
            }
            _ => drop(this.permit.take()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
