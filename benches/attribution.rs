//! What decomposition and blame cost per span; the bar is a million spans a second on one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hopwatch::attribution::{History, PastCall, blame};
use hopwatch::model::{Bytes, Call, Kind, Name, Origin, Outcome, Phase, Role, Run, Span, SpanId, Timeline};
use std::hint::black_box;

const MICRO: u64 = 1_000;

/// A trace like those of a shop of ten services: a root, calls in series and side by side, servers below them that call on.
fn trace(spans: u64) -> Run {
    let services: Vec<Name> = (0..10).map(|nth| format!("service-{nth}").into()).collect();
    let operations: Vec<Name> = ["GET /cart", "POST /pay", "GET /ship"].map(Name::from).to_vec();
    // Below each server span two calls, and below each call its server: a tree that gets wide and stays shallow.
    let end = spans * 100 * MICRO;
    let mut all: Vec<Span> = vec![Span::new(1, None, services[0].clone(), operations[0].clone(), 0, Some(end))];
    all[0].role = Role::Server;
    for id in 2..=spans {
        let is_call = id % 2 == 0;
        let parent = if is_call { (id / 4).max(1) * 2 - 1 } else { id - 1 };
        let above = &all[parent as usize - 1];
        let (start, above_end) = (above.start, above.end.unwrap_or(above.start));
        let (lo, hi) = if is_call {
            let half = (above_end - start) / 2;
            let first = start + (id / 2 % 2) * half;
            (first + half / 20, first + half - half / 20)
        } else {
            (start + (above_end - start) / 10, above_end - (above_end - start) / 10)
        };
        let service = if is_call { above.service.clone() } else { services[id as usize % services.len()].clone() };
        let mut span = Span::new(id, Some(parent), service, operations[id as usize % 3].clone(), lo, Some(hi));
        span.role = if is_call { Role::Client } else { Role::Server };
        if is_call {
            (span.kind, span.dependency) = (Some(Kind::Http), Some(services[(id as usize + 1) % services.len()].clone()));
        }
        all.push(span);
    }
    run(all, end)
}

/// A run of hops as the observer sees them: phases, one after the other.
fn hops(count: u64) -> Run {
    let names: Vec<Name> = ["openai", "docs", "lookup"].map(Name::from).to_vec();
    let operation: Name = "POST /v1".into();
    let end = count * 10 * MICRO;
    let mut all = vec![Span::new(1, None, "agent".into(), "agent".into(), 0, Some(end))];
    for nth in 1..count {
        let start = nth * 10 * MICRO;
        let mut timeline = Timeline::new(start);
        timeline.push(Phase::Send, start + MICRO);
        timeline.push(Phase::Wait, start + 6 * MICRO);
        timeline.push(Phase::Stream, start + 9 * MICRO);
        let mut span = Span::new(nth + 1, Some(1), "agent".into(), operation.clone(), start, Some(timeline.end()));
        span.role = Role::Client;
        (span.kind, span.dependency) = (Some(Kind::Llm), Some(names[nth as usize % 3].clone()));
        span.call = Some(Box::new(call(timeline)));
        all.push(span);
    }
    run(all, end)
}

fn call(timeline: Timeline) -> Call {
    let call = Call::new(Origin::Observer, timeline).ended(Outcome::Ok, None, Some(200));
    Call { bytes: Bytes { sent: 500, received: 800 }, ..call }
}

/// Each span the only child of the one before.
fn chain(count: u64) -> Run {
    let (service, operation): (Name, Name) = ("a".into(), "op".into());
    let span =
        |nth: u64| Span::new(nth + 1, (nth > 0).then_some(nth), service.clone(), operation.clone(), nth, Some(2 * count - nth));
    run((0..count).map(span).collect(), 2 * count)
}

/// One parent of all.
fn siblings(count: u64) -> Run {
    let (service, operation): (Name, Name) = ("a".into(), "op".into());
    let span = |nth: u64| {
        let times = if nth == 0 { (0, count) } else { (nth, nth + 1) };
        Span::new(nth + 1, (nth > 0).then_some(1), service.clone(), operation.clone(), times.0, Some(times.1))
    };
    run((0..count).map(span).collect(), count)
}

fn run(spans: Vec<Span>, end: u64) -> Run {
    Run { end: Some(end), seen_until: end, spans, ..Run::default() }
}

fn decomposition_and_blame(criterion: &mut Criterion) {
    let shapes: [(&str, Vec<Run>); 5] = [
        ("1000 traces of 50 spans", (0..1_000).map(|_| trace(50)).collect()),
        ("one trace of 100,000 spans", vec![trace(100_000)]),
        ("100,000 hops with phases", vec![hops(100_000)]),
        ("a chain 100,000 deep", vec![chain(100_000)]),
        ("100,000 siblings", vec![siblings(100_000)]),
    ];
    let mut group = criterion.benchmark_group("blame");
    group.sample_size(20);
    for (name, runs) in &shapes {
        group.throughput(Throughput::Elements(runs.iter().map(|run| run.spans.len() as u64).sum()));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                for run in runs {
                    // Decomposes the run on the way.
                    black_box(blame(run));
                }
            });
        });
    }
    group.finish();
}

/// What it costs to remember a call: the library does so for every hop.
fn history(criterion: &mut Criterion) {
    const CALLS: u64 = 10_000;
    let run = hops(CALLS);
    let (names, operation): (Vec<Name>, Name) = (["openai", "docs", "lookup"].map(Name::from).to_vec(), "POST /v1".into());
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(CALLS));
    let mut history = History::default();
    group.bench_function("learn spans", |bencher| bencher.iter(|| run.spans.iter().for_each(|span| history.learn_span(span))));
    let mut history = History::default();
    let mut now = 0;
    // So far apart that a full group takes each, which costs most.
    let mut learn = |apart: u64| {
        for nth in 0..CALLS {
            now += apart;
            let phases = [(Phase::Wait, 5 * MICRO)];
            let dependency = &names[nth as usize % 3];
            let (sent, received, id, start) = (0, None, SpanId(nth), now);
            let call =
                PastCall { kind: Kind::Llm, dependency, operation: &operation, sent, received, id, start, phases: &phases };
            history.learn_call(black_box(&call));
        }
    };
    group.bench_function("learn calls, all taken", |bencher| bencher.iter(|| learn(3 * History::SPACING)));
    group.bench_function("learn calls, few taken", |bencher| bencher.iter(|| learn(10 * MICRO)));
    group.finish();
}

criterion_group!(benches, decomposition_and_blame, history);
criterion_main!(benches);
