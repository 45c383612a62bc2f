//! A connection to an upstream by HTTP/2 (RFC 9113), shared by many exchanges. A task of its own drives it.
//!
//! How many streams the peer allows at once (`SETTINGS_MAX_CONCURRENT_STREAMS`) is kept here too, so that the wait for a free one is seen:
//! hyper would let it pass for a wait for the answer.

use super::io::UpstreamIo;
use crate::gateway::connect::Connected;
use crate::gateway::record::{Exchange, Marks, Used};
use crate::gateway::upload::Upload;
use crate::model::clock::Anchor;
use crate::model::{ConnectionState, Name, Nanos};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::sync::oneshot;

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
    _place: Place,
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
        let io = TokioIo::new(UpstreamIo::new(io, Arc::new(Marks::new(anchor))));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).adaptive_window(true);
        let (send, driver) = builder.handshake(io).await?;
        let slots = Slots { active: 0, most: usize::MAX, waiting: VecDeque::new(), over: false, idle_since: anchor.now() };
        let facts =
            Arc::new(Facts { anchor, number, local, remote, address: remote.to_string().into(), slots: Mutex::new(slots) });
        let shared = Arc::clone(&facts);
        tokio::spawn(async move {
            let mut driver = pin!(driver);
            poll_fn(|cx| {
                let polled = driver.as_mut().poll(cx);
                if polled.is_pending() {
                    shared.allow(driver.current_max_send_streams());
                    return Poll::Pending;
                }
                // Each stream is told how it ended.
                Poll::Ready(())
            })
            .await;
            shared.end();
        });
        Ok(Self { send, facts })
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
        Ok(Slot { send, marks, _place: place })
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

    fn end(&self) {
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
        drop(slots);
        for next in given {
            // One that has just stopped to wait gives it back with this.
            let _refused = next.send(Place(Arc::clone(self)));
        }
    }
}
