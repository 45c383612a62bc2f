//! What each door costs, beside the bare client and beside `reqwest-tracing`.
//!
//! Cases of a group take turns in one process, in short rounds; printed are the medians of the rounds' paired differences with their
//! quartiles, and the ratio to the bare case. A server for the HTTP cases answers from a thread of its own.
//!
//! `cargo bench --bench doors`

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark may panic, and reads the clock")]

use bytes::Bytes;
use futures_util::StreamExt;
use hopwatch::{Hopwatch, Kind};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt};

const ROUNDS: usize = 41;

/// Rounds of each case, nanoseconds a call.
struct Group {
    name: &'static str,
    cases: Vec<(&'static str, Vec<f64>)>,
}

impl Group {
    fn new(name: &'static str, cases: &[&'static str]) -> Self {
        Self { name, cases: cases.iter().map(|case| (*case, Vec::new())).collect() }
    }

    fn print(&self) {
        println!("\n{}", self.name);
        let bare = &self.cases[0].1;
        for (case, rounds) in &self.cases {
            let (low, median, high) = quartiles(rounds);
            let added: Vec<f64> = rounds.iter().zip(bare).map(|(with, bare)| with - bare).collect();
            let ratios: Vec<f64> = rounds.iter().zip(bare).map(|(with, bare)| with / bare).collect();
            let (added_low, added, added_high) = quartiles(&added);
            println!(
                "  {case:<28} {median:>9.0} ns ({low:.0} to {high:.0})   added {added:>7.0} ({added_low:.0} to {added_high:.0})   ratio {:.3}",
                quartiles(&ratios).1
            );
        }
    }
}

fn quartiles(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

/// One round of a case.
async fn round<T>(rounds: &mut Vec<f64>, calls: u32, mut call: impl AsyncFnMut() -> T) {
    let started = Instant::now();
    for _ in 0..calls {
        black_box(call().await);
    }
    rounds.push(started.elapsed().as_nanos() as f64 / f64::from(calls));
}

/// Answers 200 with a few bytes, on a thread of its own.
fn server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer =
                    service_fn(|_| async { Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"found")))) });
                tokio::spawn(async move {
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
    });
    address
}

async fn reqwest_door(watch: &Hopwatch) -> Group {
    let mut group = Group::new("HTTP call, keep-alive", &["bare reqwest", "hop.send", "reqwest-tracing"]);
    let url = format!("http://{}/", server());
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    let watched = watch.reqwest(reqwest::Client::builder().no_proxy()).build().unwrap();
    let traced = reqwest_middleware::ClientBuilder::new(bare.clone())
        .with(reqwest_tracing::TracingMiddleware::<reqwest_tracing::DefaultSpanBackend>::new())
        .build();
    let hop = watch.hop(Kind::Http, "server");
    for _ in 0..ROUNDS {
        round(&mut group.cases[0].1, 200, async || bare.get(&url).send().await.unwrap().bytes().await.unwrap()).await;
        round(&mut group.cases[1].1, 200, async || hop.send(watched.get(&url)).await.unwrap().bytes().await.unwrap()).await;
        round(&mut group.cases[2].1, 200, async || traced.get(&url).send().await.unwrap().bytes().await.unwrap()).await;
    }
    group
}

async fn tower_door(watch: &Hopwatch) -> Group {
    let mut group = Group::new("tower service", &["bare service", "hop layer", "http layer, body read"]);
    let hop = watch.hop(Kind::Tool, "lookup");
    let answer =
        |_: http::Request<()>| async { Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"found")))) };
    let mut bare = tower::service_fn(answer);
    let mut plain = ServiceBuilder::new().layer(hop.layer()).service_fn(answer);
    let mut http = ServiceBuilder::new().layer(hop.http_layer()).service_fn(answer);
    let request = || http::Request::new(());
    for _ in 0..ROUNDS {
        round(&mut group.cases[0].1, 5_000, async || bare.ready().await.unwrap().call(request()).await.unwrap()).await;
        round(&mut group.cases[1].1, 5_000, async || plain.ready().await.unwrap().call(request()).await.unwrap()).await;
        round(&mut group.cases[2].1, 5_000, async || {
            let answer = http.ready().await.unwrap().call(request()).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        })
        .await;
    }
    group
}

async fn gate_door(watch: &Hopwatch) -> Group {
    let mut group = Group::new("permit taken and given back", &["tokio semaphore", "gate"]);
    let semaphore = std::sync::Arc::new(tokio::sync::Semaphore::new(8));
    let gate = watch.gate("model", 8);
    for _ in 0..ROUNDS {
        round(&mut group.cases[0].1, 5_000, async || drop(semaphore.clone().acquire_owned().await.unwrap())).await;
        round(&mut group.cases[1].1, 5_000, async || drop(gate.acquire().await)).await;
    }
    group
}

async fn stream_door(watch: &Hopwatch) -> Group {
    let mut group = Group::new("stream of 100 items", &["bare stream", "timed stream"]);
    let hop = watch.hop(Kind::Llm, "model");
    let items = || futures_util::stream::iter(0..100_u64);
    for _ in 0..ROUNDS {
        round(&mut group.cases[0].1, 500, async || items().fold(0, async |sum, item| sum + black_box(item)).await).await;
        round(&mut group.cases[1].1, 500, async || {
            hop.time_stream(items()).fold(0, async |sum, item| sum + black_box(item)).await
        })
        .await;
    }
    group
}

fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let watch = Hopwatch::builder().service("bench").own_metrics().build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        reqwest_door(&watch).await.print();
        tower_door(&watch).await.print();
        gate_door(&watch).await.print();
        stream_door(&watch).await.print();
    });
    let losses = watch.losses();
    println!("\nhops: {} started, {} recorded, {:?} dropped", losses.started, losses.recorded, losses.dropped);
}
