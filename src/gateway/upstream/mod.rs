//! The other side: connections to upstreams, and the pool that keeps them.
//!
//! The pool is our own because it has to tell the truth: what a request waited for, whether its connection was new, how long a reused one
//! had been idle, and that nobody opened one that nobody uses.

mod h1;
mod h2;
mod io;

pub(crate) use h1::{H1, Unanswered, poll_driven};
pub(crate) use h2::{H2, Slot};

use super::connect::{ConnectError, Connected, Connector, Origin, Protocol, Protocols, Steps, Stream};
use super::intercept::Brought;
use super::record::{Exchange, Used};
use super::route::Destination;
use crate::model::clock::Anchor;
use crate::model::{ConnectionState, Nanos};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most idle connections that one upstream keeps.
const IDLE_MAX: usize = 1_024;

/// A connection that was used less long ago is not looked at before it is used again: to send finds out whether it is still there.
const JUST_USED: Nanos = 1_000_000;

/// All upstreams.
#[derive(Debug)]
pub(crate) struct Pool {
    anchor: Anchor,
    upstreams: Mutex<FxHashMap<Origin, Arc<Upstream>>>,
    numbers: AtomicU64,
}

/// One upstream and its connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What it is called where no route names it.
    pub(crate) destination: Arc<Destination>,
    /// Exchanges by HTTP/1.1 that may be under way at once.
    room: Arc<Semaphore>,
    /// Idle connections, the one that was used last at the end.
    #[expect(clippy::vec_box, reason = "one moves in and out with each exchange, and stays where it is")]
    idle: Mutex<Vec<Box<H1>>>,
    h2: Mutex<Option<H2>>,
    /// Held while a connection is opened whose version of HTTP the peer has yet to choose: others may be able to share it.
    choosing: tokio::sync::Mutex<()>,
    /// It has chosen HTTP/1.1.
    chose_h1: AtomicBool,
}

/// How a request is to be sent.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// On a connection of its own.
    H1(Lease),
    /// In a stream.
    H2(Slot),
}

/// A connection by HTTP/1.1 for one exchange.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) h1: Box<H1>,
    /// Whether it was opened for this exchange.
    pub(crate) state: ConnectionState,
    upstream: Arc<Upstream>,
    /// Given back after the connection.
    _room: OwnedSemaphorePermit,
}

/// What is needed to open a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) max_head: usize,
}

impl Pool {
    pub(crate) fn new(anchor: Anchor) -> Self {
        Self { anchor, upstreams: Mutex::default(), numbers: AtomicU64::new(0) }
    }

    /// The upstream of an origin. `most`: exchanges by HTTP/1.1 at once.
    pub(crate) fn upstream(&self, origin: &Origin, most: usize) -> Arc<Upstream> {
        let mut upstreams = self.upstreams();
        if let Some(known) = upstreams.get(origin) {
            return Arc::clone(known);
        }
        let upstream = Arc::new(Upstream {
            destination: Arc::new(Destination::of(origin.clone())),
            room: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            idle: Mutex::default(),
            h2: Mutex::default(),
            choosing: tokio::sync::Mutex::default(),
            chose_h1: AtomicBool::new(false),
        });
        upstreams.insert(origin.clone(), Arc::clone(&upstream));
        upstream
    }

    /// A connection or a stream for an exchange: the one that was `brought` for it, else any. What it waits for and which steps it takes
    /// stands in the exchange while it does. Not again the one that has `failed` it before, nor another one that was idle.
    ///
    /// # Errors
    /// No connection can be opened.
    ///
    /// # Cancel safety
    /// Dropped midway, it leaves nothing behind.
    pub(crate) async fn take(
        &self,
        upstream: &Arc<Upstream>,
        protocols: Protocols,
        opening: Opening<'_>,
        exchange: &Exchange,
        (brought, failed): (Option<Box<Brought>>, Option<NonZeroU64>),
    ) -> Result<Carrier, Box<ConnectError>> {
        if let Some(brought) = brought {
            return Box::pin(self.take_brought(upstream, *brought, protocols, opening, exchange)).await;
        }
        if protocols != Protocols::H1 {
            // Apart, as all that is rare: what a future may hold is moved about with it.
            return Box::pin(self.take_any(upstream, protocols, opening, exchange, failed)).await;
        }
        self.take_h1(upstream, opening, exchange, failed).await
    }

    /// The connection that was opened for an exchange before it began. After a rest it is as any other that was idle.
    async fn take_brought(
        &self,
        upstream: &Arc<Upstream>,
        brought: Brought,
        protocols: Protocols,
        opening: Opening<'_>,
        exchange: &Exchange,
    ) -> Result<Carrier, Box<ConnectError>> {
        let now = self.anchor.now();
        let idle = brought.rested(now);
        let state = if idle.is_some() { ConnectionState::Reused } else { ConnectionState::New };
        let Brought { connected, number, steps, .. } = brought;
        exchange.downstream.costs(steps.cost());
        if idle.is_none() {
            exchange.state().current.steps = Some(steps);
        }
        if connected.protocol == Protocol::H2 {
            return self.first_slot(upstream, connected, number, exchange, state).await;
        }
        let room = self.room(upstream, exchange).await;
        let mut h1 = self.begin(upstream, connected, number, opening).await?;
        if idle.is_some() && !h1.is_usable() {
            drop(room);
            return Box::pin(self.take(upstream, protocols, opening, exchange, (None, None))).await;
        }
        let lease = self.leased(upstream, h1, state, room);
        lease.tell(exchange, now, idle);
        Ok(Carrier::H1(lease))
    }

    /// Closes a connection of which nothing is under way: who brought it has left.
    pub(crate) fn close(&self, origin: &Origin, number: NonZeroU64) {
        let known = self.upstreams().get(origin).cloned();
        if let Some(upstream) = known {
            let now = self.anchor.now();
            upstream.idle().retain(|h1| h1.number != number);
            upstream.h2().take_if(|h2| h2.number() == number && h2.idle_for(now).is_some());
        }
    }

    /// A connection or a stream, whichever the peer chooses.
    async fn take_any(
        &self,
        upstream: &Arc<Upstream>,
        protocols: Protocols,
        opening: Opening<'_>,
        exchange: &Exchange,
        failed: Option<NonZeroU64>,
    ) -> Result<Carrier, Box<ConnectError>> {
        let is_h1 = || protocols == Protocols::H1OrH2 && upstream.chose_h1.load(Ordering::Relaxed);
        if is_h1() {
            return self.take_h1(upstream, opening, exchange, failed).await;
        }
        if let Some(slot) = self.stream(upstream, exchange, failed).await {
            return Ok(Carrier::H2(slot));
        }
        let choosing = match upstream.choosing.try_lock() {
            Ok(alone) => alone,
            Err(_) => {
                exchange.state().current.waited = true;
                upstream.choosing.lock().await
            }
        };
        if let Some(slot) = self.stream(upstream, exchange, failed).await {
            return Ok(Carrier::H2(slot));
        }
        if is_h1() {
            drop(choosing);
            return self.take_h1(upstream, opening, exchange, failed).await;
        }
        let connected = self.open(upstream, protocols, opening, exchange).await?;
        match connected.protocol {
            Protocol::H1 => {
                upstream.chose_h1.store(true, Ordering::Relaxed);
                drop(choosing);
                let room = self.room(upstream, exchange).await;
                self.lease(upstream, connected, room, opening, exchange).await.map(Carrier::H1)
            }
            Protocol::H2 => self.first_slot(upstream, connected, self.number(), exchange, ConnectionState::New).await,
        }
    }

    /// The first stream on a connection, which is shared from here on.
    async fn first_slot(
        &self,
        upstream: &Upstream,
        connected: Connected,
        number: NonZeroU64,
        exchange: &Exchange,
        state: ConnectionState,
    ) -> Result<Carrier, Box<ConnectError>> {
        let origin = &upstream.destination.origin;
        let h2 = H2::start(connected, number, self.anchor).await.map_err(|error| ConnectError::http(origin, &error))?;
        *upstream.h2() = Some(h2.clone());
        h2.slot(exchange, state).await.map(Carrier::H2).map_err(|error| ConnectError::http(origin, &error))
    }

    /// HTTP/1.1 begins on a connection.
    async fn begin(
        &self,
        upstream: &Upstream,
        connected: Connected,
        number: NonZeroU64,
        opening: Opening<'_>,
    ) -> Result<Box<H1>, Box<ConnectError>> {
        let h1 = H1::new(connected, number, self.anchor, opening.max_head).await;
        h1.map(Box::new).map_err(|error| ConnectError::http(&upstream.destination.origin, &error))
    }

    /// A stream on the connection that is there.
    async fn stream(&self, upstream: &Upstream, exchange: &Exchange, failed: Option<NonZeroU64>) -> Option<Slot> {
        let h2 = {
            let mut known = upstream.h2();
            // One that failed an exchange is left to those that are still on it.
            known.take_if(|h2| h2.is_over() || Some(h2.number()) == failed);
            known.clone()?
        };
        h2.slot(exchange, ConnectionState::Reused).await.ok()
    }

    async fn take_h1(
        &self,
        upstream: &Arc<Upstream>,
        opening: Opening<'_>,
        exchange: &Exchange,
        failed: Option<NonZeroU64>,
    ) -> Result<Carrier, Box<ConnectError>> {
        let room = self.room(upstream, exchange).await;
        let now = self.anchor.now();
        if failed.is_none()
            && let Some(h1) = upstream.usable(now)
        {
            let idle = now.saturating_sub(h1.idle_since);
            let lease = self.leased(upstream, h1, ConnectionState::Reused, room);
            lease.tell(exchange, now, Some(idle));
            return Ok(Carrier::H1(lease));
        }
        let opened = async {
            let connected = self.open(upstream, Protocols::H1, opening, exchange).await?;
            self.lease(upstream, connected, room, opening, exchange).await.map(Carrier::H1)
        };
        Box::pin(opened).await
    }

    async fn room(&self, upstream: &Upstream, exchange: &Exchange) -> OwnedSemaphorePermit {
        loop {
            if let Ok(room) = Arc::clone(&upstream.room).try_acquire_owned() {
                return room;
            }
            exchange.state().current.waited = true;
            // It is never closed.
            if let Ok(room) = Arc::clone(&upstream.room).acquire_owned().await {
                return room;
            }
        }
    }

    async fn open(
        &self,
        upstream: &Upstream,
        protocols: Protocols,
        opening: Opening<'_>,
        exchange: &Exchange,
    ) -> Result<Connected, Box<ConnectError>> {
        let steps = Arc::new(Steps::new(self.anchor));
        exchange.state().current.steps = Some(Arc::clone(&steps));
        let origin = &upstream.destination.origin;
        opening.connector.connect(origin, protocols, &steps).await
    }

    async fn lease(
        &self,
        upstream: &Arc<Upstream>,
        connected: Connected,
        room: OwnedSemaphorePermit,
        opening: Opening<'_>,
        exchange: &Exchange,
    ) -> Result<Lease, Box<ConnectError>> {
        let h1 = self.begin(upstream, connected, self.number(), opening).await?;
        let lease = self.leased(upstream, h1, ConnectionState::New, room);
        lease.tell(exchange, self.anchor.now(), None);
        Ok(lease)
    }

    fn leased(&self, upstream: &Arc<Upstream>, h1: Box<H1>, state: ConnectionState, room: OwnedSemaphorePermit) -> Lease {
        Lease { h1, state, upstream: Arc::clone(upstream), _room: room }
    }

    /// A number for a connection to an upstream.
    pub(crate) fn number(&self) -> NonZeroU64 {
        let next = self.numbers.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        NonZeroU64::new(next).unwrap_or(NonZeroU64::MIN)
    }

    /// Closes connections that have been idle for `longest`, and those that their upstream closed; forgets upstreams that nobody uses.
    pub(crate) fn sweep(&self, longest: Nanos) {
        let now = self.anchor.now();
        let all: Vec<Arc<Upstream>> = self.upstreams().values().cloned().collect();
        for upstream in &all {
            upstream.idle().retain_mut(|h1| now.saturating_sub(h1.idle_since) < longest && h1.is_usable());
            upstream.h2().take_if(|h2| h2.is_over() || h2.idle_for(now).is_some_and(|idle| idle >= longest));
        }
        drop(all);
        self.upstreams()
            .retain(|_, upstream| Arc::strong_count(upstream) > 1 || !upstream.idle().is_empty() || upstream.h2().is_some());
    }

    /// Begins anew: what comes is to be opened in another way, or limited otherwise. What is under way ends with its exchange.
    pub(crate) fn clear(&self) {
        let upstreams = std::mem::take(&mut *self.upstreams());
        for upstream in upstreams.values() {
            upstream.idle().clear();
            *upstream.h2() = None;
        }
    }

    /// How many connections are idle.
    #[cfg(test)]
    pub(crate) fn idle_count(&self) -> usize {
        self.upstreams().values().map(|upstream| upstream.idle().len()).sum()
    }

    fn upstreams(&self) -> MutexGuard<'_, FxHashMap<Origin, Arc<Upstream>>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// The idle connection that was used last and is still good.
    fn usable(&self, now: Nanos) -> Option<Box<H1>> {
        loop {
            let mut h1 = self.idle().pop()?;
            if now.saturating_sub(h1.idle_since) < JUST_USED || h1.is_usable() {
                return Some(h1);
            }
        }
    }

    #[expect(clippy::vec_box, reason = "as they are kept")]
    fn idle(&self) -> MutexGuard<'_, Vec<Box<H1>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn h2(&self) -> MutexGuard<'_, Option<H2>> {
        self.h2.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Tells an exchange what carries it.
    fn tell(&self, exchange: &Exchange, at: Nanos, idle: Option<Nanos>) {
        let H1 { number, local, remote, address, marks, .. } = &*self.h1;
        let used = Used {
            at,
            number: Some(*number),
            state: self.state,
            idle,
            local: *local,
            remote: *remote,
            address: address.clone(),
            marks: Arc::clone(marks),
        };
        exchange.state().current.connection = Some(used);
    }

    /// The bare connection, as [`H1::into_stream`] has it, and its room.
    pub(crate) fn into_stream(self) -> Option<(Stream, Bytes, OwnedSemaphorePermit)> {
        let Self { h1, _room: room, .. } = self;
        h1.into_stream().map(|(stream, early)| (stream, early, room))
    }

    /// Gives the connection back at `at`, for the next one if it can take one.
    pub(crate) fn give_back(self, at: Nanos) {
        let Self { mut h1, upstream, _room, .. } = self;
        if h1.is_usable() {
            h1.idle_since = at;
            let mut idle = upstream.idle();
            if idle.len() < IDLE_MAX {
                idle.push(h1);
            }
        }
        // The room follows, so that who waits for it finds the connection.
    }
}
