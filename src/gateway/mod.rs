//! The gateway: sees calls by standing in their way.
//!
//! Floor 3. Clients come in at `listen`; `serve` finds where a request goes (`route`), takes a connection (`upstream`, opened by
//! `connect`) and passes request and answer on (`upload`, `download`), which `record` notes. Nothing is buffered beyond what moves.
//! What is no request passes `through`; TLS in there is ended only where that was asked for (`intercept`).
//!
//! A client's connection is one task, which also drives the HTTP/1.1 connection that its request goes out on: no wake-ups between tasks,
//! and a client that leaves undoes what was done for it. Connections by HTTP/2 are shared, and have tasks of their own.

pub(crate) mod connect;
mod download;
mod downstream;
mod failure;
mod headers;
mod intercept;
mod listen;
mod options;
mod own;
mod pieces;
mod record;
mod route;
mod serve;
mod through;
mod told;
mod upload;
mod upstream;

pub use intercept::{AuthorityError, Intercept, LeftAlone, Why};
pub use options::{Connecting, Keep, Limits, Options, Settings, UpstreamFailure};
pub use route::{Base, Route, Routes, TcpRoute};

use crate::model::clock::{monotonic, nanos};
use crate::model::{ConnectionFact, Live, Losses, Nanos, Span, Stall};
use downstream::{Downstream, Order, Watch, Watched};
use listen::Entrance;
use options::InForce;
use own::Own;
use record::Recorder;
use route::Destination;
use rustc_hash::FxHashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use through::Backends;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};
use upstream::Pool;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_millis(500);
/// How often those that are gone are looked for.
const NOTICE: Duration = Duration::from_millis(2);
/// How long tasks may take to end when their limit is over.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A gateway on threads of its own. Dropped, it stops at once.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    runtime: Handle,
    listening: Vec<Listening>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    watch: Option<Watch>,
}

/// Where clients come in, until it is dropped.
#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    entrance: Entrance,
    _until: oneshot::Sender<()>,
}

/// A view of a gateway, to be had from any thread.
#[derive(Clone, Debug)]
pub struct GatewayView(Arc<Shared>);

/// What was seen of all traffic.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Hops, those still open included, by their start.
    pub spans: Vec<Span>,
    /// Connections of clients.
    pub connections: Vec<ConnectionFact>,
    /// When clients did not read what was there for them.
    pub stalls: Vec<Stall>,
    /// What was counted.
    pub losses: Losses,
}

/// What all of its tasks have in common.
#[derive(Debug)]
struct Shared {
    recorder: Arc<Recorder>,
    pool: Pool,
    settings: RwLock<Arc<InForce>>,
    own: Arc<Own>,
    backends: Backends,
    clients: Mutex<FxHashMap<NonZeroU64, Arc<Downstream>>>,
    numbers: AtomicU64,
    stage: watch::Sender<Stage>,
}

/// How far a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Clients come in.
    Open,
    /// None come in any more, those that are there are served to their end.
    Draining,
}

impl Shared {
    fn settings(&self) -> Arc<InForce> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn number(&self) -> NonZeroU64 {
        NonZeroU64::new(self.numbers.fetch_add(1, Ordering::Relaxed).wrapping_add(1)).unwrap_or(NonZeroU64::MIN)
    }

    fn clients(&self) -> MutexGuard<'_, FxHashMap<NonZeroU64, Arc<Downstream>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends connections that have been idle, or in a request's head, for too long, on both sides.
    fn sweep(&self) {
        let limits = self.settings().limits;
        let now = self.recorder.anchor().now();
        for client in self.clients().values() {
            let (stage, since) = client.stage();
            let longest = match stage {
                downstream::Stage::Idle => limits.idle_timeout,
                downstream::Stage::Head => limits.header_timeout,
                downstream::Stage::Busy | downstream::Stage::Led => continue,
            };
            if now.saturating_sub(since) >= nanos(longest) {
                // One that shares its connection is told first, and has until the next round.
                if !client.is_shared() || client.orders.give(Order::Finish) {
                    client.orders.give(Order::Leave);
                }
            }
        }
        self.pool.sweep(nanos(limits.upstream_idle_timeout));
    }
}

impl Watched for Shared {
    fn now(&self) -> Nanos {
        self.recorder.anchor().now()
    }

    fn clients(&self) -> Vec<Arc<Downstream>> {
        self.clients().values().cloned().collect()
    }

    fn stalled(&self, stall: Stall) {
        self.recorder.stalled(stall);
    }

    fn round(&self) {
        self.recorder.round();
    }
}

impl Gateway {
    /// Starts to serve.
    ///
    /// # Errors
    /// A listener that cannot be used, or a system that gives no thread.
    pub fn start(options: Options) -> io::Result<Self> {
        let Options { anchor, keep, workers, listeners, settings } = options;
        let runtime = runtime(workers)?;
        let (stage, _) = watch::channel(Stage::Open);
        let own = Arc::new(Own::default());
        let shared = Arc::new(Shared {
            recorder: Arc::new(Recorder::new(anchor, Arc::clone(&settings.naming), keep)),
            pool: Pool::new(anchor),
            settings: RwLock::new(Arc::new(InForce::new(settings, &own))),
            own,
            backends: Backends::default(),
            clients: Mutex::default(),
            numbers: AtomicU64::new(0),
            stage,
        });
        let handle = runtime.handle().clone();
        let clients = Watch::start(Arc::clone(&shared))?;
        let (stop, mut stopped) = oneshot::channel();
        let inside = Arc::clone(&shared);
        let (prepared, is_prepared) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("hopwatch-gateway".into()).spawn(move || {
            runtime.block_on(async {
                let settings = inside.settings();
                if settings.intercept.is_some() {
                    // Each call needs it there, and is not to wait for it.
                    settings.connector.prepare().await;
                }
                drop((settings, prepared));
                let mut sweep = tokio::time::interval(SWEEP);
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        _ = sweep.tick() => inside.sweep(),
                    }
                }
            });
            runtime.shutdown_timeout(STOP_TIMEOUT);
        })?;
        // Nothing is sent: it ends.
        let _prepared = is_prepared.recv();
        let (stop, thread, watch) = (Some(stop), Some(thread), Some(clients));
        let mut gateway = Self { shared, runtime: handle, listening: Vec::new(), stop, thread, watch };
        listeners.into_iter().try_for_each(|listener| gateway.listen(listener).map(drop))?;
        Ok(gateway)
    }

    /// Clients come in here too; where that is.
    ///
    /// # Errors
    /// A listener that cannot be used.
    pub fn listen(&mut self, listener: std::net::TcpListener) -> io::Result<SocketAddr> {
        self.enter(listener, Entrance::Http)
    }

    /// Clients that come in here are led where the route leads; where they come in.
    ///
    /// # Errors
    /// A listener that cannot be used.
    pub fn lead(&mut self, listener: std::net::TcpListener, route: TcpRoute) -> io::Result<SocketAddr> {
        self.enter(listener, Entrance::Tcp(Arc::new(RwLock::new(Arc::new(Destination::of_tcp(route))))))
    }

    /// Those that come in at this address of a TCP route from here on are led where this one leads.
    pub fn reroute(&self, address: SocketAddr, route: TcpRoute) {
        let known = self.listening.iter().find(|listening| listening.address == address);
        if let Some(Listening { entrance: Entrance::Tcp(leads_to), .. }) = known {
            *leads_to.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Destination::of_tcp(route));
        }
    }

    fn enter(&mut self, listener: std::net::TcpListener, entrance: Entrance) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let inside = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(inside);
        let (until, closed) = oneshot::channel();
        let gate = self.watch.as_ref().and_then(Watch::gate);
        // Before the first client: what leads back to here is not to be connected to.
        self.listening.push(Listening { address, entrance: entrance.clone(), _until: until });
        self.own_changed();
        self.runtime.spawn(listen::accept(Arc::clone(&self.shared), listener, entrance, gate, closed));
        Ok(address)
    }

    /// No more clients come in here. Those that are there stay.
    pub fn unlisten(&mut self, address: SocketAddr) {
        self.listening.retain(|listening| listening.address != address);
        self.own_changed();
    }

    fn own_changed(&self) {
        self.shared.own.change(self.addresses().collect(), self.tcp_addresses().collect());
    }

    /// Where it listens for HTTP, in the order of its listeners.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let http = |listening: &&Listening| matches!(listening.entrance, Entrance::Http);
        self.listening.iter().filter(http).map(|listening| listening.address)
    }

    /// Where its TCP routes begin, in the order of their listeners.
    pub fn tcp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let tcp = |listening: &&Listening| matches!(listening.entrance, Entrance::Tcp(_));
        self.listening.iter().filter(tcp).map(|listening| listening.address)
    }

    /// A view of what goes on, to be had from any thread while it lasts.
    #[must_use]
    pub fn view(&self) -> GatewayView {
        GatewayView(Arc::clone(&self.shared))
    }

    /// Serves by other settings from here on. Connections stay; idle ones to upstreams are closed, since they may have been opened
    /// otherwise.
    pub fn reload(&self, settings: Settings) {
        self.shared.recorder.rename(Arc::clone(&settings.naming));
        let settings = InForce::new(settings, &self.shared.own);
        *self.shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.shared.pool.clear();
    }

    /// Takes in no more clients. Those that are there are served to the end of what they asked for; see [`Gateway::is_drained`].
    pub fn drain(&self) {
        self.shared.stage.send_replace(Stage::Draining);
        for client in self.shared.clients().values() {
            client.orders.give(Order::Finish);
        }
    }

    /// Whether no client is left.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.shared.clients().is_empty() && self.shared.recorder.open_count() == 0
    }

    /// Tasks that are alive: one a listener, one a client, a few a connection by HTTP/2.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// Stops, and tells everything that was kept ([`Keep::All`]). What is under way is cut off and told as open. Clients on this machine that
    /// are gone by then have `grace` to be noticed: what they left behind ended with them.
    #[must_use]
    pub fn finish(mut self, grace: Duration) -> Carried {
        let begun = monotonic();
        while begun.elapsed() < grace && Watched::clients(&*self.shared).iter().any(|client| client.is_abandoned()) {
            std::thread::sleep(NOTICE);
        }
        self.shared.recorder.stop();
        self.stop();
        self.shared.recorder.finish()
    }

    /// Stops. What is under way is cut off by hopwatch itself, and whoever looks next is told all that ended.
    pub fn close(mut self) {
        self.shared.recorder.close();
        self.stop();
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has stopped too.
            drop(thread.join());
        }
        self.watch = None;
    }
}

impl GatewayView {
    /// What goes on now, and what ended since the last look.
    #[must_use]
    pub fn look(&self) -> Live {
        self.0.recorder.look()
    }

    /// Waits until so much has ended that it is worth to be taken, or for so long, or until the gateway is closed.
    pub fn wait_for_batch(&self, timeout: Duration) {
        self.0.recorder.wait_for_batch(timeout);
    }

    /// What ended since it was last taken or looked at, but for that which another try may join: a look tells that.
    #[must_use]
    pub fn take(&self) -> Vec<Span> {
        self.0.recorder.take()
    }

    /// What is open now. What ended is left for the next look.
    #[must_use]
    pub fn open(&self) -> Vec<Span> {
        self.0.recorder.open()
    }

    /// What was counted, at this very moment: `started = recorded + open + dropped`.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.0.recorder.losses()
    }

    /// Facts of the connections of clients that are over, the last ones.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionFact> {
        self.0.recorder.connections()
    }

    /// Clients that are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.clients().len()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = if workers > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().thread_name("hopwatch-gateway").build()
}
