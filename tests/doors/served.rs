//! The `tower` door for servers: a run of each request, from its head to the last byte of its answer, whoever leaves first.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use ::tower::{Layer, ServiceExt};
use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::routing::get;
use bytes::Bytes;
use futures_util::StreamExt;
use hopwatch::export::report::RunReport;
use hopwatch::instrument::hop::Hop;
use hopwatch::model::{Kind, Outcome};
use hopwatch::{Context, Hopwatch};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(60);

struct Served {
    watch: Hopwatch,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    /// Serves routes on a port of their own, each request a run named by its route.
    async fn start(routes: impl FnOnce(Hop) -> Router) -> Self {
        let watch = Hopwatch::builder().service("served").build().unwrap();
        let named = watch
            .run_layer()
            .name_by(|parts| Some(format!("{} {}", parts.method, parts.extensions.get::<MatchedPath>()?.as_str())))
            .deadline(LONG)
            .deadline_by(|headers| Some(Duration::from_millis(headers.get("x-allowed-ms")?.to_str().ok()?.parse().ok()?)));
        let router = routes(watch.hop(Kind::Retrieval, "docs")).layer(named);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { watch, address, task }
    }

    fn request(&self, path: &str) -> http::request::Builder {
        Request::get(format!("http://{}{path}", self.address))
    }

    async fn get(&self, path: &str) -> Response<hyper::body::Incoming> {
        client().request(self.request(path).body(Full::default()).unwrap()).await.unwrap()
    }

    /// The run of the one request, once it ended: it does not grow any more.
    async fn run(&self) -> RunReport {
        let settled = async {
            let mut before = None;
            loop {
                let mut runs = self.watch.report().runs;
                assert!(runs.len() <= 1, "{runs:#?}");
                let run = runs.pop();
                let now = run.as_ref().map(|run| run.duration_ms);
                if let (true, Some(run)) = (now == before, run) {
                    return run;
                }
                before = now;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, settled).await.unwrap()
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// A handler that asks its dependency, which takes so long.
async fn asks(hop: Hop, takes: Duration) -> &'static str {
    hop.time(tokio::time::sleep(takes)).await;
    "asked"
}

#[tokio::test]
async fn each_request_is_a_run_named_by_its_route_with_its_hops_inside() {
    let served = Served::start(|hop| Router::new().route("/answer/{id}", get(move || asks(hop, Duration::from_millis(5))))).await;
    let response = served.get("/answer/42?secret=7").await;
    assert_eq!(response.collect().await.unwrap().to_bytes(), "asked");
    let run = served.run().await;
    assert_eq!((run.name.as_str(), run.outcome, run.hops.len()), ("GET /answer/{id}", Outcome::Ok, 1));
    assert_eq!(run.deadline_ms, Some(60_000.0));
    assert!(!format!("{:?}", served.watch.report()).contains("secret"));
}

#[tokio::test]
async fn a_run_lasts_to_the_end_of_a_body_that_is_made_as_it_is_read() {
    let routes = |hop: Hop| {
        let events = move || async move {
            Body::from_stream(futures_util::stream::iter(0..3).then(move |_| {
                let hop = hop.clone();
                async move { Ok::<_, Infallible>(hop.time(async { "event" }).await) }
            }))
        };
        Router::new().route("/events", get(events))
    };
    let served = Served::start(routes).await;
    assert_eq!(served.get("/events").await.collect().await.unwrap().to_bytes(), "eventeventevent");
    let run = served.run().await;
    assert_eq!((run.outcome, run.hops.len()), (Outcome::Ok, 3), "what the body does is of the run");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_run_and_its_hops() {
    let served = Served::start(|hop| Router::new().route("/slow", get(move || asks(hop, LONG)))).await;
    tokio::time::timeout(Duration::from_millis(200), served.get("/slow")).await.unwrap_err();
    let run = served.run().await;
    assert_eq!(run.outcome, Outcome::Cancelled);
    assert_eq!(run.hops.iter().map(|hop| hop.outcome).collect::<Vec<_>>(), [Some(Outcome::Cancelled)]);
    assert!((150.0..5_000.0).contains(&run.duration_ms), "{run:?}");
}

#[tokio::test]
async fn a_client_that_leaves_within_the_answer_cancels_the_run() {
    let routes = |_| {
        let half = || async {
            let rest = futures_util::stream::pending::<Result<&'static str, Infallible>>();
            Body::from_stream(futures_util::stream::iter([Ok("half")]).chain(rest))
        };
        Router::new().route("/half", get(half))
    };
    let served = Served::start(routes).await;
    let mut response = served.get("/half").await;
    assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    drop(response);
    assert_eq!(served.run().await.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_its_run_and_takes_the_connection_as_without_us() {
    async fn panics() -> &'static str {
        panic!("the handler's own")
    }
    let served = Served::start(|_| Router::new().route("/panics", get(panics))).await;
    let error = client().request(served.request("/panics").body(Full::default()).unwrap()).await.unwrap_err();
    assert!(!error.is_connect());
    assert_eq!(served.run().await.outcome, Outcome::Error);
}

#[tokio::test]
async fn statuses_are_outcomes_and_a_head_needs_no_body() {
    for (path, status, outcome) in [
        ("/", StatusCode::OK, Outcome::Ok),
        ("/missing", StatusCode::NOT_FOUND, Outcome::ClientError),
        ("/broken", StatusCode::SERVICE_UNAVAILABLE, Outcome::ServerError),
    ] {
        for method in [http::Method::GET, http::Method::HEAD] {
            let router = Router::new().route(path, get(move || async move { (status, "text") }));
            let served = Served::start(|_| router).await;
            let request = served.request(path).method(method.clone()).body(Full::default()).unwrap();
            let response = client().request(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["content-length"], "4", "the length is told as without us");
            response.collect().await.unwrap();
            let run = served.run().await;
            assert_eq!((run.outcome, run.name), (outcome, format!("{method} {path}")));
        }
    }
}

#[tokio::test]
async fn a_deadline_comes_from_the_caller_and_nothing_is_cut_at_it() {
    let routes = |hop: Hop| {
        let handler = move || async move {
            let remaining = Context::current().remaining().unwrap();
            hop.time(tokio::time::sleep(Duration::from_millis(120))).await;
            format!("{}", remaining <= Duration::from_millis(100))
        };
        Router::new().route("/", get(handler))
    };
    let served = Served::start(routes).await;
    let request = served.request("/").header("x-allowed-ms", "100").body(Full::default()).unwrap();
    let response = client().request(request).await.unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "true");
    let run = served.run().await;
    assert_eq!((run.deadline_ms, run.outcome), (Some(100.0), Outcome::Timeout));
    assert_eq!(run.verdict.unwrap().dependency.as_deref(), Some("docs"));
}

#[tokio::test]
async fn one_trace_goes_from_the_callers_run_through_its_hop_to_the_servers_run_and_back_out() {
    let routes = |hop: Hop| {
        let next = ::tower::service_fn(|request: Request<Full<Bytes>>| async move {
            let headers = request.headers();
            let told = ["traceparent", "tracestate", "baggage"].map(|name| headers[name].to_str().unwrap().to_owned());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(told.join(" "))))
        });
        let next = hop.http_layer().propagate().layer(next);
        let handler = move || async move {
            let response = next.oneshot(Request::new(Full::default())).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        };
        Router::new().route("/", get(handler))
    };
    let served = Served::start(routes).await;
    let caller = Hopwatch::builder().service("caller").build().unwrap();
    let calls = caller.hop(Kind::Http, "served").http_layer().propagate().layer(client());
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    headers.insert("tracestate", "vendor=1".parse().unwrap());
    headers.insert("baggage", "tenant=acme".parse().unwrap());
    let request = served.request("/").body(Full::default()).unwrap();
    let work = async { calls.oneshot(request).await.unwrap().collect().await.unwrap().to_bytes() };
    let told = caller.scope("support").caller(&headers).baggage("user", "7").run(work).await.unwrap();
    let run = served.run().await;
    let (of_caller, of_served) = (&caller.report().runs[0], &run);
    assert_eq!(of_caller.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(of_served.trace_id, of_caller.trace_id);
    let hop = &of_served.hops[0].id;
    assert_eq!(told, format!("00-0af7651916cd43dd8448eb211c80319c-{hop}-01 vendor=1 tenant=acme,user=7"));
}

#[tokio::test]
async fn within_another_run_a_request_is_a_part_of_it() {
    let watch = Hopwatch::builder().build().unwrap();
    let handler = ::tower::service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("fine"))) });
    let server = watch.run_layer().named("inner").layer(handler);
    let request =
        Request::builder().header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").body(()).unwrap();
    let work = async { server.oneshot(request).await.unwrap().collect().await.unwrap() };
    watch.scope("outer").run(work).await.unwrap();
    let report = watch.report();
    let names: std::collections::BTreeSet<_> = report.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["inner", "outer"].into());
    assert_eq!(report.runs[0].trace_id, report.runs[1].trace_id);
    assert_ne!(report.runs[0].trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
}

#[tokio::test]
async fn unknown_methods_and_silent_namers_give_few_names() {
    let watch = Hopwatch::builder().build().unwrap();
    let handler =
        ::tower::service_fn(|_: Request<()>| async { Err::<Response<Full<Bytes>>, _>(std::io::Error::from_raw_os_error(104)) });
    let server = watch.run_layer().name_by(|_| None::<String>).layer(handler);
    for method in ["BREW", "PATCH"] {
        let error = server.clone().oneshot(Request::builder().method(method).uri("/a/b?c").body(()).unwrap()).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(104), "an error passes untouched");
    }
    let runs: Vec<_> = watch.report().runs.into_iter().map(|run| (run.name, run.outcome)).collect();
    assert_eq!(runs, [("HTTP".into(), Outcome::Reset), ("PATCH".into(), Outcome::Reset)]);
}
