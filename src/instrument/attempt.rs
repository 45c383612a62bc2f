//! The door for retries: the tries of one call and the time between them told apart, under one hop.
//!
//! | event | when |
//! |---|---|
//! | start of the hop | [`Hop::attempts`] |
//! | an attempt | the first poll of its future to its output, or to the last byte of an answer that a door inside of it still reads |
//! | `backoff` | from an attempt's end to the next one's start, or to the end of the hop |
//! | end of the hop | [`Attempts::end`]; the output of the future under [`Attempts::over`]; or the drop |
//!
//! The hop ends as its last attempt did. It does not retry: who retries stays who he is (`backon`, `reqwest-retry`, a loop).
//!
//! A call to the same dependency by another door inside an attempt (`hop.send`, `hop.time`, a `tower` layer) opens no hop of its own: it is
//! that attempt, with the phases and facts that the door sees. Under [`Attempts::over`], where nobody says what an attempt is, each such
//! call is one. A second call within one attempt is a hop of its own below this one.

use super::context::{Attempting, Context, Place};
use super::ending::Ending;
use super::failure;
use super::hop::{Hop, begin_attempt, dropped_in, end_tried};
use super::recorder::{Leaving, SubjectId};
use crate::model::clock::nanos;
use crate::model::{Outcome, Phase};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

/// One call whose attempts are told apart.
///
/// Dropped, it ends: as the last attempt if that went well, or, between attempts, when the caller gives up: as the last attempt too, unless
/// its thread panics or its run's deadline passed.
#[derive(Debug)]
#[must_use = "a call that is dropped at once is cancelled at once"]
pub struct Attempts {
    context: Context,
    subject: SubjectId,
    /// Whether it is recorded.
    recorded: bool,
    span: tracing::Span,
}

impl Hop {
    /// Begins a call whose attempts are told apart. About a microsecond and a few allocations per call; 64 attempts are kept.
    pub fn attempts(&self) -> Attempts {
        // A loop of loops is no attempt of the outer one, but a call below it.
        let open = Context::current().attempting(None).within(|| self.start_in(Phase::Own));
        let (context, recorded, span) = open.into_tries();
        Attempts { context, subject: self.subject, recorded, span }
    }
}

impl Attempts {
    /// One attempt: a future of a `Result`, passed on untouched. An `Err` is classified by its chain of sources, as by [`Hop::try_time`].
    ///
    /// Made for retry crates: `(|| call.attempt(async { .. })).retry(policy)`.
    ///
    /// # Cancel safety
    /// That of the future; dropped before its output, the attempt is `cancelled`.
    pub fn attempt<F, T, E>(&self, future: F) -> Attempt<F, fn(&F::Output) -> Ending>
    where
        F: Future<Output = Result<T, E>>,
        E: 'static,
    {
        self.classify(future, failure::of_result)
    }

    /// One attempt whose ending you tell.
    ///
    /// # Cancel safety
    /// As [`attempt`](Self::attempt).
    pub fn classify<F, C>(&self, future: F, classify: C) -> Attempt<F, C>
    where
        F: Future,
        C: FnOnce(&F::Output) -> Ending,
    {
        Attempt { future, classify: Some(classify), state: State::Idle(self.prepared()) }
    }

    /// Begins an attempt that is told by hand.
    pub fn start(&self) -> OpenAttempt {
        self.prepared().begin()
    }

    /// The whole of the retries: the call ends with this future, as its last attempt did. Dropped before its output, the call is
    /// `cancelled`, also between two attempts.
    ///
    /// Calls of doors to the same dependency in it are attempts, so that a client that retries by itself (`reqwest-retry` around
    /// our middleware) needs nothing else.
    ///
    /// # Cancel safety
    /// That of the future.
    pub async fn over<F: Future>(&self, future: F) -> F::Output {
        struct Whole<'a>(&'a Attempts, bool);
        impl Drop for Whole<'_> {
            fn drop(&mut self) {
                let leaving = if self.1 { Leaving::Done } else { Leaving::Dropped(dropped_in(&self.0.context)) };
                self.0.leave(leaving);
            }
        }
        let mut whole = Whole(self, false);
        let any = Attempting { subject: self.subject, number: None };
        let mut context = self.context.attempting(Some(any).filter(|_| self.recorded));
        // Dropped before `whole`, so that what it holds ends first.
        let mut future = std::pin::pin!(future);
        let output = std::future::poll_fn(|cx| {
            let _entered = context.enter();
            let _span = (!self.span.is_none()).then(|| self.span.enter());
            future.as_mut().poll(cx)
        })
        .await;
        whole.1 = true;
        output
    }

    /// Tells that the peer asked to wait so long before the next try (`retry-after`), after the last attempt. Doors that see the
    /// answer's head tell by themselves.
    pub fn retry_after(&self, wait: Duration) {
        if let Some(place) = self.place()
            && let Some(key) = place.key()
        {
            place.log.edit(key, |record| record.retry_after(nanos(wait)));
        }
    }

    /// Ends the call, however its attempts went. An answer that is still being read ends it when it is read.
    pub fn end(self, ending: Ending) {
        self.leave(Leaving::End(ending));
    }

    /// Where work belongs that is done for the call as a whole.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    fn prepared(&self) -> OpenAttempt {
        let (context, span) = (self.context.clone(), self.span.clone());
        OpenAttempt { context, subject: self.subject, recorded: self.recorded, number: None, span }
    }

    fn place(&self) -> Option<&Place> {
        self.context.place().filter(|_| self.recorded)
    }

    fn leave(&self, leaving: Leaving) {
        let Some(place) = self.place() else { return };
        let Some(key) = place.key() else { return };
        let now = place.log.shared.clock.now();
        if let Some(over) = place.log.edit(key, |record| record.leave_tries(leaving, now)).flatten() {
            end_tried(&place.log, key, over);
        }
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        let dropped = dropped_in(&self.context);
        self.leave(if dropped.outcome == Outcome::Cancelled { Leaving::Done } else { Leaving::Dropped(dropped) });
    }
}

/// One attempt under way: recorded exactly once, when it is ended or when this is dropped.
#[derive(Debug)]
#[must_use = "an attempt that is dropped at once is cancelled at once"]
pub struct OpenAttempt {
    context: Context,
    subject: SubjectId,
    recorded: bool,
    number: Option<u32>,
    span: tracing::Span,
}

impl OpenAttempt {
    /// Ends it.
    pub fn end(mut self, ending: Ending) {
        self.finish(ending);
    }

    /// Where work belongs that is done in this attempt.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    fn begin(mut self) -> Self {
        if let Some(place) = self.context.place().filter(|_| self.recorded) {
            self.number = begin_attempt(place, place.log.shared.clock.now(), false);
        }
        if let Some(number) = self.number {
            self.context = self.context.attempting(Some(Attempting { subject: self.subject, number: Some(number) }));
        }
        self
    }

    fn finish(&mut self, ending: Ending) {
        let Some(number) = self.number.take() else { return };
        let Some((place, _)) = self.context.attempt() else { return };
        let Some(key) = place.key() else { return };
        let now = place.log.shared.clock.now();
        if let Some(over) = place.log.edit(key, |record| record.end_try(number, now, ending, None)).flatten() {
            end_tried(&place.log, key, over);
        }
    }

    /// Does a piece of its work; when that panics, the attempt ends there.
    fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        struct OnUnwind<'a>(&'a mut OpenAttempt, bool);
        impl Drop for OnUnwind<'_> {
            fn drop(&mut self) {
                if self.1 {
                    self.0.finish(Ending::panicked());
                }
            }
        }
        let mut unwinding = OnUnwind(self, true);
        let output = {
            let OpenAttempt { context, span, .. } = &mut *unwinding.0;
            let _entered = context.enter();
            let _span = (!span.is_none()).then(|| span.enter());
            work()
        };
        unwinding.1 = false;
        output
    }
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        self.finish(dropped_in(&self.context));
    }
}

#[derive(Debug)]
enum State {
    Idle(OpenAttempt),
    Open(OpenAttempt),
    Done,
}

pin_project! {
    /// An attempt. Made by [`Attempts::attempt`]; begins when it is first polled.
    #[must_use = "futures do nothing unless polled"]
    pub struct Attempt<F, C> {
        // Dropped before the state, so that what it holds ends first.
        #[pin]
        future: F,
        classify: Option<C>,
        state: State,
    }
}

impl<F, C> std::fmt::Debug for Attempt<F, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<F, C> Future for Attempt<F, C>
where
    F: Future,
    C: FnOnce(&F::Output) -> Ending,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if matches!(this.state, State::Idle(_))
            && let State::Idle(prepared) = std::mem::replace(this.state, State::Done)
        {
            *this.state = State::Open(prepared.begin());
        }
        // Polled again after its output, the future itself answers for it.
        let State::Open(open) = this.state else { return this.future.poll(cx) };
        let output = ready!(open.poll_in(|| this.future.poll(cx)));
        let ending = this.classify.take().map_or_else(Ending::ok, |classify| classify(&output));
        open.finish(ending);
        *this.state = State::Done;
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests;
