//! An agent, a service with the library and short runs, under faults that go on until the scene is dropped.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hopwatch::export::otlp::OtlpProtocol;
use hopwatch::{Ending, Hopwatch, Kind};
use serde_json::json;
use tokio::time::sleep;

use crate::client::curl;
use crate::collector::peer::Peer;
use crate::prometheus::targets;
use crate::sidecar::{Sidecar, hopwatch, route};
use crate::support::replies::{CHAT, completion, documents, found, rate_limited, stream};
use crate::support::script::Script;
use crate::support::server::{Router, Server};

/// More names than a metric has series.
const TENANTS: usize = 1_010;
/// More calls at once than are kept open.
const CROWD: usize = 100_050;
/// How long what hangs does so; nothing here waits for its end.
const HANGS: &str = "60";

/// What the dependencies are called, and what is wrong with each:
///
/// | | |
/// |---|---|
/// | `docs` | answers late, so that runs time out; its clients are built anew |
/// | `openai` | streams; refuses each third call for now; one call hangs |
/// | `lookup` | serves one call at a time to the gateway's one connection, so that calls wait for it |
/// | `search` | quick, then slow |
///
/// One at a time: they are heavy.
pub(crate) struct Scene {
    agent: Sidecar,
    /// Another one, which may be ended.
    pub(crate) other: Option<Sidecar>,
    /// Where the service's metrics are, and those of one with too many names.
    services: [String; 2],
    is_slow: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    work: Vec<JoinHandle<()>>,
    held: Child,
    _servers: [Server; 4],
    _collector: Peer,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Scene {
    pub(crate) fn start() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_slow, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let docs = Router::new().route("/late", |_| documents().after(900)).route("/soon", |_| documents().after(5)).start();
        let openai = Router::new()
            .route(CHAT, |request| match (request.number % 3, request.number % 4) {
                (0, _) => rate_limited("1"),
                (_, 0) => completion("yes", 200, 5),
                (_, 1) => stream(4, 10, 900, 60).after(20),
                _ => stream(4, 10, 9_000, 60).after(60),
            })
            .route("/v1/completions", |_| stream(4, 10, 900, 60).after(900))
            .route("/held", |_| Script::new().then(crate::support::script::Step::Stall))
            .start();
        let lookup = Router::new().route("/order", |_| found().after(150)).start();
        let search = Router::new()
            .route("/search", {
                let is_slow = Arc::clone(&is_slow);
                move |_| if is_slow.load(Ordering::Relaxed) { documents().after(800) } else { documents() }
            })
            .start();
        let collector = Peer::start(OtlpProtocol::HttpProtobuf, []);
        let routes = [
            // Of one connection to an upstream, whoever comes next waits for it.
            "max_upstream_connections = 4\n".to_owned(),
            route("/docs", &docs.url(""), "retrieval", "docs"),
            route("/llm", &openai.url(""), "llm", "openai"),
            route("/lookup", &lookup.url(""), "tool", "lookup"),
            route("/search", &search.url(""), "retrieval", "search"),
        ];
        let agent = Sidecar::with(&routes.concat(), |command| {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()).env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        });
        let held =
            curl(&["--max-time", HANGS, &agent.url("/llm/held")]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut scene = Self {
            other: Some(Sidecar::start("")),
            services: [String::new(), String::new()],
            is_slow,
            is_over,
            work: Vec::new(),
            held,
            agent,
            _servers: [docs, openai, lookup, search],
            _collector: collector,
            _alone: alone,
        };
        scene.clients();
        scene.runs();
        scene.services = [scene.service(), scene.crowd()];
        scene
    }

    /// How Prometheus finds it.
    pub(crate) fn jobs(&self) -> String {
        let [shop, tenants] = &self.services;
        let jobs = targets(&[("hopwatch", &self.agent.admin), ("shop", shop)]);
        // Its text is long. It alone has a namespace, as in Kubernetes.
        let tenants = format!("[{{targets: ['{tenants}'], labels: {{namespace: shops}}}}]");
        format!("{jobs}- job_name: tenants\n  scrape_interval: 10s\n  static_configs: {tenants}\n")
    }

    /// Makes `search` slow from here on.
    pub(crate) fn slow_down(&self) {
        self.is_slow.store(true, Ordering::Relaxed);
    }

    /// Does something again and again, until the scene is over.
    fn again(&mut self, pause: u64, mut act: impl FnMut() + Send + 'static) {
        let is_over = Arc::clone(&self.is_over);
        self.work.push(thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                act();
                thread::sleep(Duration::from_millis(pause));
            }
        }));
    }

    /// Calls through the agent's gateway.
    fn clients(&mut self) {
        let url = |path: &str| self.agent.url(path);
        let quietly = |mut command: Command| drop(command.stdout(Stdio::null()).stderr(Stdio::null()).status());
        // Each with a client of its own, and one that gives up.
        let (soon, late) = (url("/docs/soon"), url("/docs/late"));
        self.again(300, move || quietly(curl(&[&soon])));
        // Another question each time: the same one again would be another try of the call before.
        let mut asked = 0;
        let chat = self.agent.url("/llm/v1/completions");
        self.again(500, move || {
            asked += 1;
            let body = json!({"model": "gpt-test", "stream": true, "prompt": format!("What is {asked}?")}).to_string();
            for url in [&late, &chat] {
                let post = ["--max-time", "0.3", "--header", "content-type: application/json", "--data", &body, url];
                quietly(curl(&post));
            }
        });
        let chat = self.agent.url(&format!("/llm{CHAT}"));
        let body =
            json!({"model": "gpt-test", "stream": true, "messages": [{"role": "user", "content": "Where is it?"}]}).to_string();
        self.again(300, move || {
            let post = ["--header", "content-type: application/json", "--data", &body, &chat, &chat];
            quietly(curl(&post));
        });
        // More at once than there are connections.
        let order = self.agent.url("/lookup/order");
        self.again(200, move || {
            let orders = [&*order; 12];
            quietly(curl(&[&["--parallel", "--parallel-immediate"], orders.as_slice()].concat()));
        });
        let search = self.agent.url("/search/search");
        let is_slow = Arc::clone(&self.is_slow);
        self.again(200, move || {
            // Many of them quick ones, so that what is usual is known.
            let many = if is_slow.load(Ordering::Relaxed) { vec![&*search; 8] } else { vec![&*search; 50] };
            let at_once: &[&str] = if is_slow.load(Ordering::Relaxed) { &["--parallel", "--parallel-immediate"] } else { &[] };
            quietly(curl(&[at_once, many.as_slice()].concat()));
        });
    }

    /// Short processes, seen from inside and handed to the agent.
    fn runs(&mut self) {
        let (docs, admin) = (&self._servers[0], self.agent.admin.clone());
        let (dependency, late, soon) = (docs.dep("retrieval/docs"), docs.url("/late"), docs.url("/soon"));
        let run = move |deadline: &str, url: &str| {
            let mut command = hopwatch();
            command.args([
                "run",
                "--quiet",
                "--agent",
                &admin,
                "--name",
                "support",
                "--deadline",
                deadline,
                &dependency,
                "--",
                "curl",
                "--silent",
                url,
            ]);
            drop(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
        };
        let quick = run.clone();
        self.again(1_000, move || run("300ms", &late));
        self.again(3_000, move || quick("5s", &soon));
    }

    /// A service with the library: gates, a start-up, and once more open calls than are kept.
    fn service(&mut self) -> String {
        let watch = Hopwatch::builder().service("shop").prometheus(([127, 0, 0, 1], 0)).build().unwrap();
        let address = watch.metrics_address().unwrap().to_string();
        self.stalls(watch.clone());
        let is_over = Arc::clone(&self.is_over);
        self.work.push(thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let startup = watch.startup();
                startup.phase("index").time(sleep(Duration::from_millis(150))).await;
                startup.phase("config").time(sleep(Duration::from_millis(20))).await;
                startup.ready();
                // Another that nobody finished.
                drop(watch.startup());
                let gate = watch.gate("model", 1);
                let mut odd = 0;
                // Somebody waits at all times.
                for _ in 0..4 {
                    let gate = gate.clone();
                    tokio::spawn(async move {
                        loop {
                            gate.run(sleep(Duration::from_millis(30))).await;
                        }
                    });
                }
                while !is_over.load(Ordering::Relaxed) {
                    let model = watch.hop(Kind::Llm, "local");
                    let gated = model.gated(&gate);
                    let work = async {
                        watch.startup_phase("client").time(sleep(Duration::from_millis(5))).await;
                        gated.classify(sleep(Duration::from_millis(10)), |()| Ending::of_status(200)).await;
                        drop(gate.try_acquire());
                    };
                    let gave_up = async { drop(tokio::time::timeout(Duration::from_millis(20), gate.acquire()).await) };
                    let _both = tokio::join!(watch.scope("checkout").run(work), gave_up);
                    // Of more than 64 phases the rest have no name of their own, which is counted.
                    for _ in 0..5 {
                        odd += 1;
                        watch.startup_phase(&format!("odd-{odd}")).time_blocking(|| ());
                    }
                    if odd == 40 {
                        drop((0..CROWD).map(|_| model.start()).collect::<Vec<_>>());
                    }
                    sleep(Duration::from_millis(200)).await;
                }
            });
        }));
        address
    }

    /// A runtime of the service that is blocked again and again.
    fn stalls(&mut self, watch: Hopwatch) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        self.again(0, move || {
            runtime.block_on(async {
                watch.heartbeat("main").unwrap();
                thread::sleep(Duration::from_millis(60));
                sleep(Duration::from_millis(200)).await;
            });
        });
    }

    /// A service whose names are made up for each call.
    fn crowd(&mut self) -> String {
        let watch = Hopwatch::builder().service("tenants").prometheus(([127, 0, 0, 1], 0)).build().unwrap();
        let address = watch.metrics_address().unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut from = 0;
        self.again(1_000, move || {
            let to = TENANTS.max(from + 5);
            runtime.block_on(async {
                for nth in from..to {
                    watch.scope(&format!("tenant-{nth}")).run(async {}).await.unwrap();
                }
            });
            from = to;
        });
        address
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.held.kill());
        drop(self.held.wait());
        let ended: Vec<bool> = self.work.drain(..).map(|work| work.join().is_ok()).collect();
        assert!(thread::panicking() || ended.iter().all(|ended| *ended), "a part of the scene panicked");
    }
}
