//! What a timed future costs, beside a `tracing` span that `tracing-opentelemetry` exports.
//!
//! Each case runs in a process of its own, since subscribers and recorders are process-wide; the cases take turns, and what is printed are
//! medians and quartiles over the rounds, and ratios paired within a round. Allocations are counted by the allocator.
//!
//! `cargo bench --bench library`

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark may panic, and reads the clock")]

use hopwatch::{Hopwatch, Kind};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

const ROUNDS: usize = 9;
const CALLS: u64 = 300_000;

/// Counts allocations of the calling thread's process.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CASES: [&str; 10] = [
    "bare",
    "bare pending once",
    "hop",
    "hop and Prometheus",
    "hop pending once",
    "hop in a run",
    "hop on two threads",
    "fastrace",
    "otel span",
    "otel span and hop",
];

/// Keeps spans from piling up, as an exporter does.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        black_box(batch);
        Ok(())
    }
}

/// Keeps fastrace's spans from piling up.
struct Discarded;

impl fastrace::collector::Reporter for Discarded {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        black_box(spans);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--case") => {
            let case = arguments.next().unwrap_or_default();
            let before = process_cpu();
            let (nanos, allocations) = measure(&case);
            // Warm-up, a quarter more, is in it.
            let calls = CALLS as f64 * 1.25 * if case == "hop on two threads" { 2.0 } else { 1.0 };
            println!("{nanos} {allocations} {}", (process_cpu() - before) / calls);
        }
        _ => compare(),
    }
}

fn compare() {
    let program = std::env::current_exe().unwrap();
    let mut nanos = vec![Vec::new(); CASES.len()];
    let mut cpu = vec![Vec::new(); CASES.len()];
    let mut allocations = vec![0.0; CASES.len()];
    for _ in 0..ROUNDS {
        for (index, case) in CASES.iter().enumerate() {
            let output = Command::new(&program).args(["--case", case]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
            assert_eq!(numbers.len(), 3, "{case}: {}", String::from_utf8_lossy(&output.stderr));
            nanos[index].push(numbers[0]);
            allocations[index] = numbers[1];
            cpu[index].push(numbers[2]);
        }
    }
    println!("{:<24} {:>10} {:>22} {:>14} {:>16}", "case", "ns a call", "quartiles", "allocations", "process CPU, ns");
    for (index, case) in CASES.iter().enumerate() {
        let (low, median, high) = quartiles(&nanos[index]);
        let spread = format!("{low:.1} to {high:.1}");
        println!("{case:<24} {median:>10.1} {spread:>22} {:>14.4} {:>16.1}", allocations[index], quartiles(&cpu[index]).1);
    }
    let of = |case: &str| &nanos[CASES.iter().position(|known| *known == case).unwrap()];
    let beyond = |case: &str, bare: &str| of(case).iter().zip(of(bare)).map(|(with, bare)| with - bare).collect::<Vec<f64>>();
    let added = |case: &str| beyond(case, "bare");
    let ratio = |what: &str, ours: &[f64], theirs: &[f64]| {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let (low, median, high) = quartiles(&ratios);
        println!("{what:<64} {median:.2} ({low:.2} to {high:.2})");
    };
    println!();
    ratio("a hop, of a span that tracing-opentelemetry exports (bar 0.25)", &added("hop"), &added("otel span"));
    ratio("the same with histograms kept for Prometheus", &added("hop and Prometheus"), &added("otel span"));
    ratio("the same, of a root span of fastrace", &added("hop and Prometheus"), &added("fastrace"));
    ratio("the same, pending once", &beyond("hop pending once", "bare pending once"), &added("otel span"));
    ratio("the same, in a run", &added("hop in a run"), &added("otel span"));
    ratio("a hop with its span, of the bare span (bar 1.20)", &added("otel span and hop"), &added("otel span"));
    ratio("calls a second: two threads of one (bar 1.70)", of("hop"), of("hop on two threads"));
}

/// Processor time of all threads so far, in nanoseconds.
fn process_cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a place that is there.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn quartiles(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

/// Nanoseconds and allocations a call.
fn measure(case: &str) -> (f64, f64) {
    let builder = Hopwatch::builder().service("bench");
    let builder = if case == "hop and Prometheus" { builder.own_metrics() } else { builder };
    let watch = builder.build().unwrap();
    let hop = watch.hop(Kind::Tool, "lookup");
    let ready = || std::future::ready(black_box(1_u64));
    match case {
        "bare" => block_on(repeat(async || ready().await)),
        "hop" | "hop and Prometheus" => block_on(repeat(async || hop.time(ready()).await)),
        "fastrace" => {
            fastrace::set_reporter(Discarded, fastrace::collector::Config::default());
            block_on(repeat(async || {
                let root = fastrace::Span::root("lookup", fastrace::collector::SpanContext::random());
                fastrace::future::FutureExt::in_span(ready(), root).await
            }))
        }
        "bare pending once" => block_on(repeat(async || PendingOnce(false).await)),
        "hop pending once" => block_on(repeat(async || hop.time(PendingOnce(false)).await)),
        "hop in a run" => {
            // A run holds 10,000 spans; more of them would be recorded outside.
            let mut sums = (0.0, 0.0);
            let runs = CALLS / 5_000;
            for _ in 0..runs {
                let (nanos, allocations) = block_on(async {
                    watch.scope("bench").run(repeat_times(5_000, async || hop.time(ready()).await)).await.unwrap()
                });
                sums = (sums.0 + nanos, sums.1 + allocations);
            }
            (sums.0 / runs as f64, sums.1 / runs as f64)
        }
        "otel span" | "otel span and hop" => {
            let provider = SdkTracerProvider::builder().with_batch_exporter(Nowhere).build();
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
            if case == "otel span" {
                block_on(repeat(async || {
                    let span = tracing::info_span!(
                        target: "hopwatch",
                        "hop",
                        otel.name = "lookup",
                        otel.kind = "client",
                        hopwatch.hop.kind = "tool",
                        hopwatch.dependency = "lookup",
                    );
                    ready().instrument(span).await
                }))
            } else {
                block_on(repeat(async || hop.time(ready()).await))
            }
        }
        "hop on two threads" => {
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let hop = hop.clone();
                    std::thread::spawn(move || block_on(repeat(async || hop.time(std::future::ready(black_box(1))).await)))
                })
                .collect();
            let each: Vec<(f64, f64)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            // Both at once: the time a call takes is half of what each thread sees.
            ((each[0].0 + each[1].0) / 4.0, (each[0].1 + each[1].1) / 2.0)
        }
        other => panic!("no case {other}"),
    }
}

/// A future that is polled twice.
struct PendingOnce(bool);

impl Future for PendingOnce {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(black_box(1));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn repeat<T>(call: impl AsyncFnMut() -> T) -> (f64, f64) {
    repeat_times(CALLS, call).await
}

async fn repeat_times<T>(calls: u64, mut call: impl AsyncFnMut() -> T) -> (f64, f64) {
    for _ in 0..calls / 4 {
        black_box(call().await);
    }
    let (before, started) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
    for _ in 0..calls {
        black_box(call().await);
    }
    let took = started.elapsed().as_nanos() as f64;
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    (took / calls as f64, allocations as f64 / calls as f64)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
