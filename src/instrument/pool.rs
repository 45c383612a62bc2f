//! The door for pools: waiting for a connection told from what is done with it.
//!
//! It names no pool: whatever gives a connection by a future has one.
//!
//! ```
//! # async fn example(db: hopwatch::Hop) -> Result<(), Box<dyn std::error::Error>> {
//! # struct Pool; struct Conn;
//! # impl Pool { async fn get(&self) -> Result<Conn, std::io::Error> { Ok(Conn) } }
//! # impl Conn { async fn query(&self, _: &str) -> Result<u32, std::io::Error> { Ok(1) } }
//! # let pool = Pool;
//! let (connection, call) = db.checkout(pool.get()).await?;      // `pool`
//! let rows = call.query(connection.query("select 1")).await?;   // `wait`
//! # assert_eq!(rows, 1);
//! # Ok(())
//! # }
//! ```
//!
//! A pool's own error types are not known here. That it gave up waiting is one closure, said where the pool is used:
//! `db.checkout(pool.get()).failing(|error| … .then(Ending::timed_out))`
//!
//! | pool | gave up waiting |
//! |---|---|
//! | `sqlx` | `matches!(error, sqlx::Error::PoolTimedOut)` |
//! | `deadpool` | `matches!(error, PoolError::Timeout(TimeoutType::Wait))` |
//! | `bb8` | `matches!(error, bb8::RunError::TimedOut)` |

use super::ending::Ending;
use super::failure;
use super::hop::{Hop, OpenHop, Ticket};
use crate::model::Phase;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Says of a result how its call ended.
pub type ResultEnding<T, E> = fn(&Result<T, E>) -> Ending;

impl Hop {
    /// Times a wait for a connection: a call begins, in the phase `pool`. With the connection comes the call, for what is done next.
    ///
    /// When no connection comes, the call ends with the error, classified by its chain of sources; see [`Checkout::failing`] for the
    /// types of a pool. The result is passed on untouched.
    ///
    /// Cancel safety: that of the future.
    pub fn checkout<F, C, E>(&self, checkout: F) -> Checkout<F, fn(&E) -> Option<Ending>>
    where
        F: Future<Output = Result<C, E>>,
        E: 'static,
    {
        Checkout { future: checkout, failing: Some(|_| None), state: State::Idle(self.ticket()) }
    }

    /// Takes a connection, does something with it and lets it go, as one call: `pool`, then `wait`.
    ///
    /// # Errors
    /// Those of both, untouched; both are classified by their chains of sources.
    ///
    /// # Cancel safety
    /// That of the two futures.
    pub async fn pooled<C, T, E, P, F>(
        &self,
        checkout: impl Future<Output = Result<C, P>>,
        query: impl FnOnce(C) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<P> + 'static,
        P: 'static,
    {
        let (connection, call) = self.checkout(checkout).await?;
        call.query(query(connection)).await
    }
}

#[derive(Debug)]
enum State {
    Idle(Ticket),
    Open(OpenHop),
    Done,
}

pin_project! {
    /// A timed wait for a connection. Made by [`Hop::checkout`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Checkout<F, J> {
        // Dropped before the state, so that what it holds ends first.
        #[pin]
        future: F,
        failing: Option<J>,
        state: State,
    }
}

impl<F, J> Checkout<F, J> {
    /// Says what an error of the pool means: [`Ending::timed_out`] when it gave up waiting. `None` leaves it to its chain of sources.
    ///
    /// A closure that panics is the pool panicking. Cancel safety: that of the pool's future.
    pub fn failing<C, E, N>(self, failing: N) -> Checkout<F, N>
    where
        F: Future<Output = Result<C, E>>,
        N: FnOnce(&E) -> Option<Ending>,
    {
        Checkout { future: self.future, failing: Some(failing), state: self.state }
    }
}

impl<F, J> fmt::Debug for Checkout<F, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkout").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<F, C, E, J> Future for Checkout<F, J>
where
    F: Future<Output = Result<C, E>>,
    J: FnOnce(&E) -> Option<Ending>,
    E: 'static,
{
    type Output = Result<(C, CheckedOut), E>;

    #[expect(clippy::panic, reason = "the contract of `Future`: not to be polled after its output")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (future, failing) = (this.future, this.failing);
        let mut open = match std::mem::replace(this.state, State::Done) {
            State::Idle(ticket) => ticket.begin_in(Phase::Pool),
            State::Open(open) => open,
            State::Done => panic!("polled after it was done"),
        };
        let polled = open.poll_in(|| {
            future.poll(cx).map_err(|error| {
                let said = failing.take().and_then(|failing| failing(&error));
                let ending = said.unwrap_or_else(|| failure::classify_any(&error).into());
                (error, ending)
            })
        });
        let Poll::Ready(output) = polled else {
            *this.state = State::Open(open);
            return Poll::Pending;
        };
        Poll::Ready(match output {
            Ok(connection) => {
                open.phase(Phase::Own);
                Ok((connection, CheckedOut { open }))
            }
            Err((error, ending)) => {
                open.end(ending);
                Err(error)
            }
        })
    }
}

/// A call that has its connection. Until it is used the time is the caller's own; dropped unused, it is `cancelled`.
#[derive(Debug)]
#[must_use = "a call that is dropped at once is cancelled at once"]
pub struct CheckedOut {
    open: OpenHop,
}

impl CheckedOut {
    /// Times what is done with the connection, to the end of the call. An error is classified by its chain of sources; the result is
    /// passed on untouched.
    ///
    /// Cancel safety: that of the future.
    pub fn query<F, T, E>(self, query: F) -> Query<F, ResultEnding<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: 'static,
    {
        self.classify(query, failure::of_result)
    }

    /// Times what is done with the connection and tells how it ended.
    ///
    /// Cancel safety: that of the future. A classifier that panics is the future panicking.
    pub fn classify<F, J>(self, query: F, classify: J) -> Query<F, J>
    where
        F: Future,
        J: FnOnce(&F::Output) -> Ending,
    {
        Query { future: query, classify: Some(classify), begun: false, open: Some(self.open) }
    }

    /// The call as one that is told by hand, in the phase `wait` from now on: for streams of rows and the like.
    pub fn start(mut self) -> OpenHop {
        self.open.phase(Phase::Wait);
        self.open
    }

    /// Ends the call: only the wait for the connection is of interest.
    pub fn end(self) {
        self.open.end(Ending::ok());
    }
}

pin_project! {
    /// A timed use of a connection. Made by [`CheckedOut::query`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Query<F, J> {
        // Dropped before the call, so that what it holds ends first.
        #[pin]
        future: F,
        classify: Option<J>,
        begun: bool,
        open: Option<OpenHop>,
    }
}

impl<F, J> fmt::Debug for Query<F, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("open", &self.open).finish_non_exhaustive()
    }
}

impl<F, J> Future for Query<F, J>
where
    F: Future,
    J: FnOnce(&F::Output) -> Ending,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (future, classify) = (this.future, this.classify);
        // Polled again after its output, the future itself answers for it.
        let Some(open) = this.open else { return future.poll(cx) };
        if !std::mem::replace(this.begun, true) {
            open.phase(Phase::Wait);
        }
        let (output, ending) = ready!(open.poll_in(|| {
            future.poll(cx).map(|output| {
                let ending = classify.take().map_or_else(Ending::ok, |classify| classify(&output));
                (output, ending)
            })
        }));
        if let Some(open) = this.open.take() {
            open.end(ending);
        }
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests;
