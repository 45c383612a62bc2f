//! The door for futures and closures.

use super::ending::Ending;
use super::failure;
use super::hop::{Hop, OpenHop, Ticket};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Tells from an output how the call ended.
pub type Classify<T> = fn(&T) -> Ending;

impl Hop {
    /// Times a future: one call from its first poll to its output. Whatever it gives is `ok`; for results see
    /// [`try_time`](Self::try_time).
    ///
    /// Dropped before its output, the call is `cancelled`; panicking, it is an `error`. The output is passed on untouched.
    ///
    /// Cancel safety: that of the future. Cost: about 190 ns per call, and some 70 ns for each further poll; no allocation.
    pub fn time<F: Future>(&self, future: F) -> Timed<F, Classify<F::Output>> {
        self.classify(future, |_| Ending::ok())
    }

    /// Times a future of a `Result`: an `Err` is classified by its chain of sources (timeouts, connection failures, HTTP statuses of
    /// known clients), never by its text. The result is passed on untouched.
    ///
    /// Cancel safety and cost: as [`time`](Self::time).
    pub fn try_time<F, T, E>(&self, future: F) -> Timed<F, Classify<Result<T, E>>>
    where
        F: Future<Output = Result<T, E>>,
        E: 'static,
    {
        self.classify(future, failure::of_result)
    }

    /// Times a future whose ending you tell.
    ///
    /// Cancel safety and cost: as [`time`](Self::time). A classifier that panics is the future panicking.
    pub fn classify<F, C>(&self, future: F, classify: C) -> Timed<F, C>
    where
        F: Future,
        C: FnOnce(&F::Output) -> Ending,
    {
        Timed { future, classify: Some(classify), state: State::Idle(self.ticket()) }
    }

    /// Times a closure on this thread. Whatever it gives is `ok`; a panic is an `error` and goes on. Cost: as [`time`](Self::time).
    pub fn time_blocking<T>(&self, work: impl FnOnce() -> T) -> T {
        self.classify_blocking(work, |_| Ending::ok())
    }

    /// Times a closure that gives a `Result`, classified as by [`try_time`](Self::try_time).
    ///
    /// # Errors
    /// Those of the closure, untouched.
    pub fn try_time_blocking<T, E: 'static>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.classify_blocking(work, failure::of_result)
    }

    /// Times a closure whose ending you tell. A classifier that panics leaves the call `error`.
    pub fn classify_blocking<T>(&self, work: impl FnOnce() -> T, classify: impl FnOnce(&T) -> Ending) -> T {
        let mut open = self.start();
        let output = open.work_in(work);
        open.end(classify(&output));
        output
    }
}

#[derive(Debug)]
enum State {
    Idle(Ticket),
    Open(OpenHop),
    Done,
}

pin_project! {
    /// A timed future. Made by [`Hop::time`] and its kin.
    #[must_use = "futures do nothing unless polled"]
    pub struct Timed<F, C> {
        // Dropped before the state, so that what it holds ends first.
        #[pin]
        future: F,
        classify: Option<C>,
        state: State,
    }
}

impl<F, C> std::fmt::Debug for Timed<F, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timed").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<F, C> Future for Timed<F, C>
where
    F: Future,
    C: FnOnce(&F::Output) -> Ending,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let State::Idle(_) = this.state
            && let State::Idle(ticket) = std::mem::replace(this.state, State::Done)
        {
            *this.state = State::Open(ticket.begin());
        }
        // Polled again after its output, the future itself answers for it.
        let State::Open(open) = this.state else { return this.future.poll(cx) };
        let output = ready!(open.poll_in(|| this.future.poll(cx)));
        let ending = this.classify.take().map_or_else(Ending::ok, |classify| classify(&output));
        open.finish(ending, None);
        *this.state = State::Done;
        Poll::Ready(output)
    }
}
