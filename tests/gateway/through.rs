//! A gateway in this process, looked at all the time that it runs.

use crate::hop::Told;
use crate::wire::{PATIENCE, Wire};
use hopwatch::gateway::{
    Base, Connecting, Gateway, GatewayView, Keep, Limits, Options, Route, Routes, Settings, TcpRoute, UpstreamFailure,
};
use hopwatch::model::clock::{Anchor, monotonic};
use hopwatch::model::{Kind, Naming, Span};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A gateway and who looks at it.
pub(crate) struct Through {
    gateway: Option<Gateway>,
    pub(crate) view: GatewayView,
    address: SocketAddr,
    over: Arc<AtomicBool>,
    looks: Option<JoinHandle<usize>>,
}

/// The settings that tests begin with: a forward proxy without routes, with limits as they are by default.
pub(crate) fn settings() -> Settings {
    Settings {
        naming: Arc::new(Naming::default()),
        routes: Routes::default(),
        forward: true,
        allow: Vec::new(),
        failure: UpstreamFailure::Close,
        limits: Limits::default(),
        connecting: Connecting::default(),
        tls: None,
        intercept: None,
    }
}

/// A route under a prefix to a base URL.
pub(crate) fn route(prefix: &str, upstream: &str) -> Route {
    Route {
        prefix: prefix.to_owned(),
        upstream: Base::parse(upstream).unwrap(),
        dependency: None,
        keeps_host: false,
        http2: false,
    }
}

/// A TCP route to this address, named as a store.
fn tcp_route(upstream: SocketAddr) -> TcpRoute {
    let dependency = ("store".into(), Some(Kind::Retrieval));
    TcpRoute { host: upstream.ip().to_string(), port: upstream.port(), dependency }
}

/// Settings that lead everything to this address.
pub(crate) fn leading_to(upstream: SocketAddr) -> Settings {
    Settings { routes: Routes::new([route("/", &format!("http://{upstream}"))]), ..settings() }
}

impl Through {
    /// Leads everything to this address.
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        Self::with(leading_to(upstream))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::on(1, settings)
    }

    /// On so many threads.
    pub(crate) fn on(workers: usize, settings: Settings) -> Self {
        Self::start(workers, TcpListener::bind("127.0.0.1:0").unwrap(), settings)
    }

    /// At an address.
    pub(crate) fn listening(listener: TcpListener, settings: Settings) -> Self {
        Self::start(1, listener, settings)
    }

    fn start(workers: usize, listener: TcpListener, settings: Settings) -> Self {
        let address = listener.local_addr().unwrap();
        let options = Options { anchor: Anchor::new(0), keep: Keep::All, workers, listeners: vec![listener], settings };
        let gateway = Gateway::start(options).unwrap();
        let view = gateway.view();
        let over = Arc::new(AtomicBool::new(false));
        let looks = thread::spawn({
            let (view, over) = (view.clone(), Arc::clone(&over));
            move || looking(&view, &over)
        });
        Self { gateway: Some(gateway), view, address, over, looks: Some(looks) }
    }

    /// Leads what comes in at an address of its own to this upstream; the address.
    pub(crate) fn lead(&mut self, upstream: SocketAddr) -> SocketAddr {
        self.lead_at(([127, 0, 0, 1], 0).into(), upstream)
    }

    /// The same, of what comes in there.
    pub(crate) fn lead_at(&mut self, entrance: SocketAddr, upstream: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(entrance).unwrap();
        self.gateway_mut().lead(listener, tcp_route(upstream)).unwrap()
    }

    pub(crate) fn reroute(&self, address: SocketAddr, upstream: SocketAddr) {
        self.gateway().reroute(address, tcp_route(upstream));
    }

    pub(crate) fn unlisten(&mut self, address: SocketAddr) {
        self.gateway_mut().unlisten(address);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client that connects.
    pub(crate) fn client(&self) -> Wire {
        Wire::to(self.address)
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    fn gateway_mut(&mut self) -> &mut Gateway {
        self.gateway.as_mut().unwrap()
    }

    pub(crate) fn reload(&self, settings: Settings) {
        self.gateway().reload(settings);
    }

    pub(crate) fn drain(&self) {
        self.gateway().drain();
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.gateway().is_drained()
    }

    /// The only open hop, once there is one of which this is true.
    #[track_caller]
    pub(crate) fn open(&self, what: &str, is: impl Fn(&Span) -> bool) -> Span {
        let mut found = None;
        wait_until(what, || {
            found = self.view.look().open.into_iter().find(|span| is(span));
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until no client is connected and no exchange goes on.
    #[track_caller]
    pub(crate) fn quiet(&self) {
        wait_until("all clients have left", || self.view.clients() == 0);
        wait_until("all exchanges are over", || self.view.losses().open == 0);
    }

    /// What was told, once no client is there any more.
    #[track_caller]
    pub(crate) fn finish(self) -> Told {
        self.quiet();
        self.stop()
    }

    /// Stops at once. What was told.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Told {
        self.over.store(true, Ordering::SeqCst);
        let looks = self.looks.take().map(JoinHandle::join);
        assert!(matches!(looks, Some(Ok(1..))), "somebody looked all the time, and the counts held");
        Told::of(self.gateway.take().unwrap().finish(Duration::ZERO))
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// Looks until it is over; at each look the counts hold. How often.
fn looking(view: &GatewayView, over: &AtomicBool) -> usize {
    for looks in 1.. {
        let live = view.look();
        for losses in [view.losses(), live.losses] {
            assert_eq!(losses.started, losses.recorded + losses.open + losses.dropped.values().sum::<u64>(), "{losses:?}");
        }
        for span in &live.open {
            let timeline = &span.call.as_ref().unwrap().timeline;
            assert!(span.is_open() && timeline.start() == span.start && timeline.end() <= live.now.max(span.start), "{span:#?}");
        }
        if over.load(Ordering::SeqCst) {
            return looks;
        }
        thread::sleep(Duration::from_millis(1));
    }
    0
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let start = monotonic();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sleeps for so many milliseconds.
pub(crate) fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}
