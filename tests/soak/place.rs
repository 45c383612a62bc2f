//! Who is asked, and the gateway that leads there.

use crate::peers::{Mute, Unanswered, refused};
use crate::scene::Place;
use crate::upstream::Upstream;
use crate::wait_until;
use hopwatch::gateway::{
    Base, Connecting, Gateway, GatewayView, Keep, Limits, Options, Route, Routes, Settings, TcpRoute, UpstreamFailure,
};
use hopwatch::model::Naming;
use hopwatch::model::clock::Anchor;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where clients come in: several, so that the system does not run out of ports.
const ENTRANCES: usize = 4;
/// Fewer than there are clients, so that some have to wait.
const MOST: usize = 12;

/// All who are asked.
pub(crate) struct Places {
    upstream: Upstream,
    hasty: Upstream,
    refused: SocketAddr,
    silent: Unanswered,
    mute: Mute,
    entrances: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    next: AtomicUsize,
}

impl Places {
    pub(crate) async fn start() -> Self {
        Self {
            upstream: Upstream::start().await,
            hasty: Upstream::start().await,
            refused: refused(),
            silent: Unanswered::new(),
            mute: Mute::new(),
            entrances: Vec::new(),
            tcp: Vec::new(),
            next: AtomicUsize::new(0),
        }
    }

    pub(crate) fn address(&self, place: Place) -> SocketAddr {
        match place {
            Place::Upstream => self.upstream.address,
            Place::Hasty => self.hasty.address,
            Place::Refused => self.refused,
            Place::Silent => self.silent.address(),
            Place::Mute => self.mute.address(),
        }
    }

    /// The prefix of its route.
    pub(crate) const fn prefix(place: Place) -> &'static str {
        match place {
            Place::Upstream => "/upstream",
            Place::Hasty => "/hasty",
            Place::Refused => "/refused",
            Place::Silent => "/silent",
            Place::Mute => "/mute",
        }
    }

    /// Where a client comes in for HTTP, in turns.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.entrances[self.next.fetch_add(1, Ordering::Relaxed) % ENTRANCES]
    }

    /// Where a TCP route to a place begins.
    pub(crate) fn tcp(&self, place: Place) -> SocketAddr {
        self.tcp[usize::from(place == Place::Refused)]
    }

    /// How many connections to upstreams are open.
    pub(crate) fn open(&self) -> usize {
        self.upstream.open() + self.hasty.open()
    }

    pub(crate) fn settings(&self) -> Settings {
        let route = |place: Place| {
            let scheme = if place == Place::Mute { "https" } else { "http" };
            Route {
                prefix: Self::prefix(place).to_owned(),
                upstream: Base::parse(&format!("{scheme}://{}", self.address(place))).unwrap(),
                dependency: None,
                keeps_host: false,
                http2: false,
            }
        };
        let places = [Place::Upstream, Place::Hasty, Place::Refused, Place::Silent, Place::Mute];
        Settings {
            naming: Arc::new(Naming::default()),
            routes: Routes::new(places.map(route)),
            forward: true,
            allow: Vec::new(),
            failure: UpstreamFailure::Close,
            limits: Limits { max_upstream_connections: MOST, ..Limits::default() },
            connecting: Connecting::default(),
            tls: None,
            intercept: None,
        }
    }

    /// Starts a gateway that leads to all of them.
    pub(crate) fn start_gateway(&mut self) -> Gateway {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners: Vec<_> = (0..ENTRANCES).map(|_| listen()).collect();
        let options = Options { anchor: Anchor::new(0), keep: Keep::Open, workers: 2, listeners, settings: self.settings() };
        let mut gateway = Gateway::start(options).unwrap();
        self.entrances = gateway.addresses().collect();
        for place in [Place::Upstream, Place::Refused] {
            let address = self.address(place);
            let route = TcpRoute { host: address.ip().to_string(), port: address.port(), dependency: ("store".into(), None) };
            self.tcp.push(gateway.lead(listen(), route).unwrap());
        }
        gateway
    }

    /// Waits until no client is connected and no exchange goes on.
    pub(crate) async fn quiet(&self, view: &GatewayView) {
        wait_until("all clients have left", || view.clients() == 0).await;
        wait_until("all exchanges are over", || view.losses().open == 0).await;
    }
}
