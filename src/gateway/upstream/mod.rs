//! The other side: connections to upstreams, and the pool that keeps them.
//!
//! The pool is our own because it has to tell the truth: what a request waited for, whether its connection was new, how long a reused one
//! had been idle, and that nobody opened one that nobody uses.

mod h1;
mod h2;
mod io;

pub(crate) use h1::{H1, Unanswered, poll_driven};
pub(crate) use h2::{H2, Slot};

use super::connect::{ConnectError, Connected, Connector, Origin, Protocol, Protocols, Steps};
use super::record::{Exchange, Used};
use super::route::Destination;
use crate::model::clock::Anchor;
use crate::model::{ConnectionState, Nanos};
use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
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
    idle: Mutex<Vec<Box<H1>>>,
    h2: Mutex<Option<H2>>,
    /// Held while a connection is opened whose version of HTTP the peer has yet to choose: others may be able to share it.
    choosing: tokio::sync::Mutex<()>,
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
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) connector: &'a Connector,
    /// Whether clients of this very gateway come in at an address.
    pub(crate) is_own: &'a (dyn Fn(SocketAddr) -> bool + Sync),
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
        });
        upstreams.insert(origin.clone(), Arc::clone(&upstream));
        upstream
    }

    /// A connection or a stream for an exchange. What it waits for and which steps it takes stands in the exchange while it does. The
    /// second time, after one that was reused turned out to be stale, a connection of its own is opened.
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
        is_second: bool,
    ) -> Result<Carrier, Box<ConnectError>> {
        if protocols != Protocols::H1 {
            // Apart, as all that is rare: what a future may hold is moved about with it.
            return Box::pin(self.take_any(upstream, protocols, opening, exchange, is_second)).await;
        }
        self.take_h1(upstream, opening, exchange, is_second).await
    }

    /// A connection or a stream, whichever the peer chooses.
    async fn take_any(
        &self,
        upstream: &Arc<Upstream>,
        protocols: Protocols,
        opening: Opening<'_>,
        exchange: &Exchange,
        is_second: bool,
    ) -> Result<Carrier, Box<ConnectError>> {
        if let Some(slot) = self.stream(upstream, exchange, is_second).await {
            return Ok(Carrier::H2(slot));
        }
        let _choosing = match upstream.choosing.try_lock() {
            Ok(alone) => alone,
            Err(_) => {
                exchange.state().current.waited = true;
                upstream.choosing.lock().await
            }
        };
        if let Some(slot) = self.stream(upstream, exchange, is_second).await {
            return Ok(Carrier::H2(slot));
        }
        if protocols == Protocols::H1OrH2 && upstream.has_idle() {
            // It has chosen HTTP/1.1 before.
            return self.take_h1(upstream, opening, exchange, is_second).await;
        }
        let connected = self.open(upstream, protocols, opening, exchange).await?;
        match connected.protocol {
            Protocol::H1 => {
                let room = self.room(upstream, exchange).await;
                self.lease(upstream, connected, room, opening, exchange).await.map(Carrier::H1)
            }
            Protocol::H2 => {
                let number = self.number();
                let origin = &upstream.destination.origin;
                let h2 = H2::start(connected, number, self.anchor).await.map_err(|error| ConnectError::http(origin, &error))?;
                *upstream.h2() = Some(h2.clone());
                let slot = h2.slot(exchange, ConnectionState::New).await;
                slot.map(Carrier::H2).map_err(|error| ConnectError::http(origin, &error))
            }
        }
    }

    /// A stream on the connection that is there.
    async fn stream(&self, upstream: &Upstream, exchange: &Exchange, is_second: bool) -> Option<Slot> {
        let h2 = {
            let mut known = upstream.h2();
            // One that failed an exchange is left to those that are still on it.
            known.take_if(|h2| h2.is_over() || is_second);
            known.clone()?
        };
        h2.slot(exchange, ConnectionState::Reused).await.ok()
    }

    async fn take_h1(
        &self,
        upstream: &Arc<Upstream>,
        opening: Opening<'_>,
        exchange: &Exchange,
        is_second: bool,
    ) -> Result<Carrier, Box<ConnectError>> {
        let room = self.room(upstream, exchange).await;
        let now = self.anchor.now();
        if !is_second && let Some(h1) = upstream.usable(now) {
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
        let connected = opening.connector.connect(origin, protocols, &steps).await?;
        // A name, or another address of this machine: known only now.
        let circles = connected.via.is_none() && (opening.is_own)(connected.remote);
        if circles { Err(ConnectError::circle(origin, connected.remote)) } else { Ok(connected) }
    }

    async fn lease(
        &self,
        upstream: &Arc<Upstream>,
        connected: Connected,
        room: OwnedSemaphorePermit,
        opening: Opening<'_>,
        exchange: &Exchange,
    ) -> Result<Lease, Box<ConnectError>> {
        let h1 = H1::new(connected, self.number(), self.anchor, opening.max_head).await;
        let h1 = h1.map_err(|error| ConnectError::http(&upstream.destination.origin, &error))?;
        let lease = self.leased(upstream, Box::new(h1), ConnectionState::New, room);
        lease.tell(exchange, self.anchor.now(), None);
        Ok(lease)
    }

    fn leased(&self, upstream: &Arc<Upstream>, h1: Box<H1>, state: ConnectionState, room: OwnedSemaphorePermit) -> Lease {
        Lease { h1, state, upstream: Arc::clone(upstream), _room: room }
    }

    fn number(&self) -> NonZeroU64 {
        let next = self.numbers.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        NonZeroU64::new(next).unwrap_or(NonZeroU64::MIN)
    }

    /// Closes connections that have been idle for `longest`, and those that their upstream closed; forgets upstreams that nobody uses.
    pub(crate) fn sweep(&self, longest: Nanos) {
        let now = self.anchor.now();
        let all: Vec<Arc<Upstream>> = self.upstreams().values().cloned().collect();
        for upstream in &all {
            let idle = std::mem::take(&mut *upstream.idle());
            let kept = idle.into_iter().filter_map(|mut h1| {
                let fresh = now.saturating_sub(h1.idle_since) < longest;
                (fresh && h1.is_usable()).then_some(h1)
            });
            let mut kept: Vec<Box<H1>> = kept.collect();
            let mut since = upstream.idle();
            // What came back meanwhile was used later.
            kept.append(&mut since);
            *since = kept;
            drop(since);
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

    fn has_idle(&self) -> bool {
        !self.idle().is_empty()
    }

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
