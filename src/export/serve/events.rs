//! Server-sent events (WHATWG HTML, 9.2): what goes on, told to those who listen.
//!
//! What is new is looked for once for all of them, at most once a second, and only while somebody listens. A reader that is slow misses what
//! came meanwhile and is told all of it anew; one that has stopped to read is let go. Nobody waits for either.

use crate::model::clock::monotonic;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::time::{sleep, timeout};

/// Where they are.
pub(crate) const PATH: &str = "/api/events";
/// Their type.
pub(super) const MEDIA: &str = "text/event-stream";

/// Most that listen at once: fewer than there may be connections, so that others are answered too.
pub(super) const STREAMS_MAX: usize = 32;
/// Least time from one look for news to the next.
const EVERY: Duration = Duration::from_secs(1);
/// A look may take one part in this many of the time.
const SHARE: u32 = 10;
/// Without news a line is sent all the same, so that either end notices when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a reader may take nothing.
const STALLED: Duration = Duration::from_secs(30);
/// News that a reader may be behind before it is told everything instead.
pub(super) const BEHIND_MAX: usize = 8;

/// Tells what goes on, as the text of events. Must not block for long.
pub(crate) trait Tell: Send + Sync {
    /// All that there is, for one that begins to listen or has missed something.
    fn all(&self) -> String;

    /// What is new since it was last asked; empty = nothing.
    fn news(&self) -> String;
}

/// Those who listen, and who tells them.
pub(super) struct Events {
    source: Arc<dyn Tell>,
    news: broadcast::Sender<Bytes>,
    room: Arc<Semaphore>,
}

impl Events {
    pub(super) fn new(source: Arc<dyn Tell>) -> Self {
        Self { source, news: broadcast::Sender::new(BEHIND_MAX), room: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }

    /// Tells news, for as long as it is polled.
    pub(super) async fn tell(&self) {
        let mut took = Duration::ZERO;
        loop {
            sleep(EVERY.max(took * SHARE)).await;
            if self.news.receiver_count() == 0 {
                continue;
            }
            let start = monotonic();
            let news = self.source.news();
            took = start.elapsed();
            if !news.is_empty() {
                // All may have left meanwhile.
                drop(self.news.send(news.into()));
            }
        }
    }

    /// The events for one more; `None` = there are too many. `stalled` is told if it stops to read.
    pub(super) fn stream(&self, stalled: Arc<Notify>) -> Option<Stream> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        if self.news.receiver_count() == 0 {
            // What came while nobody listened is no news: it is a part of all.
            drop(self.source.news());
        }
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(pass(Arc::clone(&self.source), self.news.subscribe(), sender, stalled));
        Some(Stream { events, _permit: permit })
    }
}

/// Passes events on to one reader until it leaves.
pub(super) async fn pass(
    source: Arc<dyn Tell>,
    mut news: broadcast::Receiver<Bytes>,
    reader: mpsc::Sender<Bytes>,
    stalled: Arc<Notify>,
) {
    let mut next = Bytes::from(source.all());
    loop {
        match timeout(STALLED, reader.send(next)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return stalled.notify_one(),
        }
        let told = tokio::select! {
            () = reader.closed() => return,
            told = timeout(HEARTBEAT, news.recv()) => told,
        };
        next = match told {
            Ok(Ok(news)) => news,
            Ok(Err(RecvError::Lagged(_))) => source.all().into(),
            Ok(Err(RecvError::Closed)) => return,
            Err(_) => Bytes::from_static(b":\n\n"),
        };
    }
}

/// Events on their way to one reader.
pub(super) struct Stream {
    events: mpsc::Receiver<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.events.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
