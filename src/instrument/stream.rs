//! The door for streams: first item, gaps, end.
//!
//! | stretch | phase |
//! |---|---|
//! | first poll → first item of a bare stream; → the stream, of a future that gives one | `wait` |
//! | the stream → its first item | `first_token` |
//! | first item → last | `stream` |
//! | an item → the next poll, when the next item lay there by then | `self`: its consumer was busy |
//!
//! A consumer that comes back before the next item is there cost no time: the stream would not have been faster. The call ends at the
//! stream's end, at the first `Err`, or when the stream is dropped. Dropped half-read it is `cancelled`; a stream whose `size_hint` says
//! that nothing is left has ended, whether or not it is asked once more. A stream that is never polled is no call.

use super::ending::Ending;
use super::failure;
use super::hop::{Hop, OpenHop, Ticket};
use super::stall;
use crate::model::{Nanos, Phase};
use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// An item that is there within this time of being asked for was there before.
const AT_ONCE: Nanos = 1_000_000;
/// The consumer's own time is told in pieces of at least this, so that a stream of any length has few phases.
const TOLD: Nanos = 1_000_000;

/// Says of an item whether it ends the call, and how.
pub type ItemEnding<T> = fn(&T) -> Option<Ending>;

impl Hop {
    /// Times a stream: one call from its first poll to its end. Its items are passed on untouched and say nothing of the call; for
    /// streams of results see [`try_time_stream`](Self::try_time_stream).
    ///
    /// Cost: about 150 ns per call, a box for what is known of the answer, and two clock reads per item.
    pub fn time_stream<S: Stream>(&self, stream: S) -> TimedStream<S, ItemEnding<S::Item>> {
        self.classify_stream(stream, |_| None)
    }

    /// Times a stream of results: the first `Err` ends the call, classified by its chain of sources, never by its text. What comes after
    /// it is passed on.
    pub fn try_time_stream<S, T, E>(&self, stream: S) -> TimedStream<S, ItemEnding<Result<T, E>>>
    where
        S: Stream<Item = Result<T, E>>,
        E: 'static,
    {
        self.classify_stream(stream, ended_by)
    }

    /// Times a stream of which you tell whether an item ends the call, and how. A closure that panics is the stream panicking.
    pub fn classify_stream<S, C>(&self, stream: S, classify: C) -> TimedStream<S, C>
    where
        S: Stream,
        C: FnMut(&S::Item) -> Option<Ending>,
    {
        TimedStream { stream, classify, size: None, state: State::Idle(Some(self.ticket())) }
    }

    /// Times a future that gives a stream of results, as clients of language models do: one call from the future's first poll to the
    /// stream's end. An error of either ends it, classified as in [`try_time`](Self::try_time).
    ///
    /// Cancel safety: that of the future.
    pub fn stream<F, S, T, E, I>(&self, future: F) -> Opening<F>
    where
        F: Future<Output = Result<S, E>>,
        S: Stream<Item = Result<T, I>>,
        E: 'static,
        I: 'static,
    {
        Opening { future, state: OpeningState::Idle(Some(self.ticket())) }
    }
}

fn ended_by<T, E: 'static>(item: &Result<T, E>) -> Option<Ending> {
    item.as_ref().err().map(|error| failure::classify_any(error).into())
}

/// A call whose stream is under way. Dropped, it ends as its hop does.
#[derive(Debug)]
struct Streaming {
    /// `None` = it ended.
    open: Option<OpenHop>,
    /// When the last piece was given: the stream itself, or an item.
    given: Option<Nanos>,
    /// When it was asked for the next one.
    asked: Option<Nanos>,
    items: u64,
    bytes: u64,
    /// Longest time between two items in which the consumer waited.
    gap: Option<Nanos>,
    /// The consumer's own time that was not told yet.
    owed: Nanos,
    /// Stalls found when it was last looked.
    stalls: u64,
}

impl Streaming {
    fn new(open: OpenHop, given: Option<Nanos>) -> Self {
        Self { open: Some(open), given, asked: None, items: 0, bytes: 0, gap: None, owed: 0, stalls: stall::poll::found() }
    }

    /// Somebody asks for the next piece. A clock read if it is the first time since the last piece.
    fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let Some(open) = &mut self.open else { return work() };
        if self.asked.is_none() {
            // The first poll of a bare stream is its start.
            self.asked = self.given.and_then(|_| open.now());
            if let Some(asked) = self.asked {
                open.polled_at(asked);
            }
        }
        open.poll_in(work)
    }

    /// A piece came: an item, or the end.
    fn came(&mut self, size: Option<u64>) {
        let Some(open) = &mut self.open else { return };
        let Some(now) = open.now() else { return };
        if let (Some(given), Some(asked)) = (self.given, self.asked) {
            let there_before = now.saturating_sub(asked) < AT_ONCE;
            if there_before {
                self.owed += asked.saturating_sub(given);
            }
            if self.items > 0 && size.is_some() {
                let waited = now.saturating_sub(if there_before { asked } else { given });
                self.gap = Some(self.gap.map_or(waited, |gap| gap.max(waited)));
            }
            if self.owed >= TOLD {
                open.own(asked.saturating_sub(std::mem::take(&mut self.owed)), asked);
            }
        }
        let stalls = stall::poll::found();
        if stalls != self.stalls {
            self.stalls = stalls;
            open.moved(now);
        }
        if let Some(size) = size {
            if self.items == 0 {
                open.turn(Phase::Stream, now);
            }
            self.items += 1;
            self.bytes += size;
        }
        (self.given, self.asked) = (Some(now), None);
    }

    fn end(&mut self, ending: Ending) {
        let Some(mut open) = self.open.take() else { return };
        if self.owed > 0 {
            let asked = self.given.or_else(|| open.now()).unwrap_or_default();
            open.own(asked.saturating_sub(self.owed), asked);
        }
        let Self { bytes, gap, .. } = *self;
        open.edit(|call| {
            call.stream = Some(true);
            call.gap = gap;
            call.bytes.received += bytes;
        });
        open.end(ending);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let Some(open) = &mut self.open else { return };
        // Nobody asked for more: until now it was the consumer's time.
        if let (Some(given), None, Some(now)) = (self.given, self.asked, open.now()) {
            open.own(given, now);
        }
        let ending = open.dropped();
        self.end(ending);
    }
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per stream, and no allocation for it")]
enum State {
    /// Not polled yet; `None` never stays.
    Idle(Option<Ticket>),
    Streaming(Streaming),
    Done,
}

pin_project! {
    /// A timed stream. Made by [`Hop::time_stream`] and its kin.
    #[must_use = "streams do nothing unless polled"]
    pub struct TimedStream<S: Stream, C> {
        // Dropped before the state, so that what it holds ends first.
        #[pin]
        stream: S,
        classify: C,
        size: Option<fn(&S::Item) -> usize>,
        state: State,
    }
}

impl<S: Stream, C> TimedStream<S, C> {
    /// Counts the bytes of its items: `stream.bytes(|item| item.as_ref().map_or(0, |piece| piece.len()))`.
    pub fn bytes(mut self, of: fn(&S::Item) -> usize) -> Self {
        self.size = Some(of);
        self
    }
}

impl<S: Stream, C> fmt::Debug for TimedStream<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedStream").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<S, C> Stream for TimedStream<S, C>
where
    S: Stream,
    C: FnMut(&S::Item) -> Option<Ending>,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        let (mut stream, classify, size) = (this.stream, this.classify, *this.size);
        if let State::Idle(ticket) = this.state {
            *this.state =
                ticket.take().map_or(State::Done, |ticket| State::Streaming(Streaming::new(ticket.begin_in(Phase::Wait), None)));
        }
        let State::Streaming(call) = this.state else { return stream.poll_next(cx) };
        // Closures of the caller run inside, so that their panics are those of the call.
        let (item, told) = ready!(call.poll_in(|| {
            stream.as_mut().poll_next(cx).map(|item| {
                let told = item.as_ref().map(|item| (size.map_or(0, |size| size(item)) as u64, classify(item)));
                (item, told)
            })
        }));
        let ending = match told {
            Some((size, ending)) => {
                call.came(Some(size));
                ending.or_else(|| (stream.size_hint() == (0, Some(0))).then(Ending::ok))
            }
            None => {
                call.came(None);
                Some(Ending::ok())
            }
        };
        if let Some(ending) = ending {
            call.end(ending);
            *this.state = State::Done;
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<S, C> FusedStream for TimedStream<S, C>
where
    S: FusedStream,
    C: FnMut(&S::Item) -> Option<Ending>,
{
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

#[derive(Debug)]
enum OpeningState {
    /// Not polled yet; `None` never stays.
    Idle(Option<Ticket>),
    Open(OpenHop),
    Done,
}

pin_project! {
    /// A timed future that gives a stream. Made by [`Hop::stream`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Opening<F> {
        #[pin]
        future: F,
        state: OpeningState,
    }
}

impl<F> fmt::Debug for Opening<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<F, S, T, E, I> Future for Opening<F>
where
    F: Future<Output = Result<S, E>>,
    S: Stream<Item = Result<T, I>>,
    E: 'static,
    I: 'static,
{
    type Output = Result<TimedStream<S, ItemEnding<Result<T, I>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let OpeningState::Idle(ticket) = this.state {
            *this.state = ticket.take().map_or(OpeningState::Done, |ticket| OpeningState::Open(ticket.begin_in(Phase::Wait)));
        }
        let output = match this.state {
            OpeningState::Open(open) => ready!(open.poll_in(|| this.future.poll(cx))),
            // Polled again after its output, the future itself answers for it.
            _ => ready!(this.future.poll(cx)),
        };
        let open = std::mem::replace(this.state, OpeningState::Done);
        Poll::Ready(match (output, open) {
            (Ok(stream), OpeningState::Open(mut open)) => {
                let now = open.now();
                if let Some(now) = now {
                    open.turn(Phase::FirstToken, now);
                }
                let state = State::Streaming(Streaming::new(open, now));
                Ok(TimedStream { stream, classify: ended_by, size: None, state })
            }
            (Ok(stream), _) => Ok(TimedStream { stream, classify: ended_by, size: None, state: State::Done }),
            (Err(error), OpeningState::Open(open)) => {
                open.end(failure::classify_any(&error).into());
                Err(error)
            }
            (Err(error), _) => Err(error),
        })
    }
}

#[cfg(test)]
mod tests;
