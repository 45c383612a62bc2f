//! A connection to an upstream by HTTP/2 (RFC 9113), shared by many exchanges. A task of its own drives it.
//!
//! How many streams the peer allows at once (`SETTINGS_MAX_CONCURRENT_STREAMS`) is kept here too, so that the wait for a free one is seen:
//! hyper would let it pass for a wait for the answer.

use super::io::UpstreamIo;
use crate::gateway::connect::Connected;
use crate::gateway::failure::{self, Failure};
use crate::gateway::record::{Exchange, Marks, Used};
use crate::gateway::upload::Upload;
use crate::model::clock::Anchor;
use crate::model::{ConnectionState, Name, Nanos};
use atomic_waker::AtomicWaker;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{SetOnce, oneshot};

/// The end of a connection that broke is seen by then.
const END_SEEN_WITHIN: Duration = Duration::from_millis(50);

/// A connection by HTTP/2. Cheap to clone; when the last clone goes and no stream is left, it closes.
#[derive(Clone, Debug)]
pub(crate) struct H2 {
    send: http2::SendRequest<Upload>,
    facts: Arc<Facts>,
}

#[derive(Debug)]
struct Facts {
    anchor: Anchor,
    number: NonZeroU64,
    local: SocketAddr,
    remote: SocketAddr,
    address: Name,
    slots: Mutex<Slots>,
    news: Arc<News>,
    /// How it ended, where its peer said so.
    ended: SetOnce<Option<Failure>>,
}

/// Wakes the task that drives a connection when something moves on it, while somebody waits for a stream: the peer may have said that it
/// allows more, which the bare driver would look at only with the next request.
#[derive(Debug, Default)]
pub(super) struct News {
    wanted: AtomicBool,
    task: AtomicWaker,
}

/// Streams under way, and who waits for one.
#[derive(Debug)]
struct Slots {
    active: usize,
    most: usize,
    waiting: VecDeque<oneshot::Sender<Place>>,
    over: bool,
    /// When the last stream ended.
    idle_since: Nanos,
}

/// A stream's place.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) send: http2::SendRequest<Upload>,
    pub(crate) marks: Arc<Marks>,
    /// Whether the connection was opened for it.
    pub(crate) state: ConnectionState,
    place: Place,
}

/// The connection takes no more streams.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the upstream ended the HTTP/2 connection")]
pub(crate) struct Over;

/// A place that is taken; dropped, it is free.
#[derive(Debug)]
struct Place(Arc<Facts>);

impl H2 {
    /// Begins to speak HTTP/2 on a connection.
    pub(crate) async fn start(connected: Connected, number: NonZeroU64, anchor: Anchor) -> hyper::Result<Self> {
        let Connected { io, local, remote, .. } = connected;
        let news = Arc::new(News::default());
        let io = TokioIo::new(UpstreamIo::shared(io, Arc::new(Marks::new(anchor)), Arc::clone(&news)));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        // One stream goes at once, the others when the peer has said how many it allows: hyper would let them wait unseen.
        builder.timer(TokioTimer::new()).adaptive_window(true).initial_max_send_streams(1);
        let (send, driver) = builder.handshake(io).await?;
        let slots = Slots { active: 0, most: 1, waiting: VecDeque::new(), over: false, idle_since: anchor.now() };
        let (address, slots, ended) = (remote.to_string().into(), Mutex::new(slots), SetOnce::new());
        let facts = Arc::new(Facts { anchor, number, local, remote, address, slots, news, ended });
        let shared = Arc::clone(&facts);
        tokio::spawn(async move {
            let mut driver = pin!(driver);
            let ended = poll_fn(|cx| {
                shared.news.task.register(cx.waker());
                let polled = driver.as_mut().poll(cx);
                if polled.is_pending() {
                    shared.allow(driver.current_max_send_streams());
                    return Poll::Pending;
                }
                polled
            })
            .await;
            shared.end(ended.err().as_ref().and_then(failure::h2));
        });
        Ok(Self { send, facts })
    }

    pub(crate) fn number(&self) -> NonZeroU64 {
        self.facts.number
    }

    /// Whether it takes no more streams.
    pub(crate) fn is_over(&self) -> bool {
        self.facts.slots().over || self.send.is_closed()
    }

    /// How long it has had no stream; `None` = it has one.
    pub(crate) fn idle_for(&self, now: Nanos) -> Option<Nanos> {
        let slots = self.facts.slots();
        (slots.active == 0).then(|| now.saturating_sub(slots.idle_since))
    }

    /// A place for a stream, waited for if all are taken.
    ///
    /// # Errors
    /// The connection is over.
    ///
    /// # Cancel safety
    /// Who stops to wait takes no place.
    pub(crate) async fn slot(&self, exchange: &Exchange, state: ConnectionState) -> Result<Slot, Over> {
        let facts = &self.facts;
        let idle = self.idle_for(facts.anchor.now()).filter(|_| state == ConnectionState::Reused);
        let place = match facts.enter() {
            Ok(place) => place,
            Err(granted) => {
                exchange.state().current.waited = true;
                granted.await.map_err(|_| Over)?
            }
        };
        let mut send = self.send.clone();
        send.ready().await.map_err(|_| Over)?;
        let marks = Arc::new(Marks::new(facts.anchor));
        let used = Used {
            at: facts.anchor.now(),
            number: Some(facts.number),
            state,
            idle,
            local: facts.local,
            remote: facts.remote,
            address: facts.address.clone(),
            marks: Arc::clone(&marks),
        };
        exchange.state().current.connection = Some(used);
        Ok(Slot { send, marks, state, place })
    }
}

impl Slot {
    /// What the peer said when it ended the whole connection, which this stream is not told.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.place.0.ended.get().copied().flatten()
    }

    /// The same of one that is about to end: whoever drives it has yet to see it.
    pub(crate) async fn failure_soon(&self) -> Option<Failure> {
        tokio::time::timeout(END_SEEN_WITHIN, self.place.0.ended.wait()).await.ok().copied().flatten()
    }
}

impl News {
    /// Something moved.
    pub(super) fn moved(&self) {
        if self.wanted.load(Ordering::Relaxed) {
            self.task.wake();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Facts {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>) -> Result<Place, oneshot::Receiver<Place>> {
        let mut slots = self.slots();
        if slots.active < slots.most && !slots.over {
            slots.active += 1;
            return Ok(Place(Arc::clone(self)));
        }
        let (grant, granted) = oneshot::channel();
        if !slots.over {
            slots.waiting.push_back(grant);
            self.news.wanted.store(true, Ordering::Relaxed);
            self.news.task.wake();
        }
        Err(granted)
    }

    fn leave(self: &Arc<Self>) {
        let mut slots = self.slots();
        slots.active -= 1;
        slots.idle_since = self.anchor.now();
        self.grant(slots);
    }

    fn allow(self: &Arc<Self>, most: usize) {
        let mut slots = self.slots();
        if slots.most != most {
            slots.most = most;
            self.grant(slots);
        }
    }

    fn end(&self, failure: Option<Failure>) {
        // It ends once.
        let _again = self.ended.set(failure);
        let mut slots = self.slots();
        slots.over = true;
        slots.waiting.clear();
    }

    /// Gives free places to those who have waited longest.
    fn grant(self: &Arc<Self>, mut slots: MutexGuard<'_, Slots>) {
        let mut given = Vec::new();
        while slots.active < slots.most
            && let Some(next) = slots.waiting.pop_front()
        {
            if !next.is_closed() {
                slots.active += 1;
                given.push(next);
            }
        }
        self.news.wanted.store(!slots.waiting.is_empty(), Ordering::Relaxed);
        drop(slots);
        for next in given {
            // One that has just stopped to wait gives it back with this.
            let _refused = next.send(Place(Arc::clone(self)));
        }
    }
}
