//! Retries on paused time.

use super::*;
use crate::instrument::gate::Gate;
use crate::instrument::hop::OpenHop;
use crate::instrument::recorder::{EndedRun, Live, Recorder, run_of};
use crate::instrument::run::{RunStart, Scoped};
use crate::model::{Attempt as Told, Call, Kind, Nanos, Origin, Span, Timeline};
use backon::{ConstantBuilder, Retryable};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::timeout;

const MS: Nanos = 1_000_000;

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn hop() -> Hop {
    Hop::new(Arc::new(Recorder::new("test")), Kind::Llm, "openai", "openai")
}

/// The spans that ended.
fn ended(hop: &Hop) -> Vec<Span> {
    let mut spans = Vec::new();
    hop.recorder.drain(&mut Vec::new(), &mut |record, _| spans.push(hop.recorder.span(record, 0)));
    spans
}

/// The only call, which ended.
fn only(hop: &Hop) -> Call {
    let losses = hop.recorder.losses();
    assert_eq!((losses.started, losses.recorded, losses.open), (1, 1, 0), "exactly one");
    let [span] = ended(hop).try_into().unwrap();
    let call = *span.call.unwrap();
    assert_eq!(call.timeline.duration(), span.end.unwrap() - span.start, "phases sum to the hop");
    assert!(call.attempts.iter().enumerate().all(|(nth, attempt)| attempt.number as usize == nth + 1 || nth == 63));
    call
}

/// Phase and length in ms of each tile.
fn tiles(timeline: &Timeline) -> Vec<(Phase, u64)> {
    timeline.stretches().map(|part| (part.phase, (part.end - part.start) / MS)).collect()
}

fn outcomes(call: &Call) -> Vec<Option<Outcome>> {
    call.attempts.iter().map(|attempt| attempt.outcome).collect()
}

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

#[tokio::test(start_paused = true)]
async fn tries_and_backoff_of_a_retry_crate_are_told_apart() {
    let hop = hop();
    let tried = AtomicU32::new(0);
    let call = hop.attempts();
    let answer = (|| {
        call.attempt(async {
            sleep(10).await;
            if tried.fetch_add(1, Ordering::Relaxed) < 2 { Err(refused()) } else { Ok(7) }
        })
    })
    .retry(ConstantBuilder::default().with_delay(ms(50)).with_max_times(5))
    .await;
    assert_eq!(answer.unwrap(), 7);
    sleep(1_000).await;
    drop(call);
    let call = only(&hop);
    let expected = [(Phase::Wait, 10), (Phase::Backoff, 50), (Phase::Wait, 10), (Phase::Backoff, 50), (Phase::Wait, 10)];
    assert_eq!(tiles(&call.timeline), expected, "what comes after the last attempt is no part of the call");
    assert_eq!((call.outcome, call.failed_by), (Some(Outcome::Ok), None));
    let failed = Some(Outcome::Connect);
    assert_eq!(outcomes(&call), [failed, failed, Some(Outcome::Ok)]);
    assert!(call.attempts.iter().all(|attempt| tiles(&attempt.timeline) == [(Phase::Wait, 10)]));
}

/// How a call may be left, what its outcome is, its attempts' outcomes, and its phases.
#[tokio::test(start_paused = true)]
async fn every_ending_gives_one_call_with_its_attempts() {
    type Row = (Option<Outcome>, Vec<Option<Outcome>>, Vec<(Phase, u64)>);
    async fn row(act: impl AsyncFnOnce(Attempts)) -> Row {
        let hop = hop();
        act(hop.attempts()).await;
        let call = only(&hop);
        (call.outcome, outcomes(&call), tiles(&call.timeline))
    }
    let (ok, limited, cancelled) = (Some(Outcome::Ok), Some(Outcome::RateLimited), Some(Outcome::Cancelled));
    async fn fails() -> Ending {
        sleep(10).await;
        Ending::of_status(429)
    }
    let wait = (Phase::Wait, 10);
    let exhausted = async |call: Attempts| {
        call.classify(fails(), Ending::clone).await;
        sleep(5).await;
        call.classify(fails(), Ending::clone).await;
    };
    assert_eq!(row(exhausted).await, (limited, vec![limited, limited], vec![wait, (Phase::Backoff, 5), wait]));
    let none = async |call: Attempts| {
        sleep(3).await;
        drop(call);
    };
    assert_eq!(row(none).await, (ok, vec![], vec![(Phase::Own, 3)]), "no attempt, nothing that failed");
    let told = async |call: Attempts| {
        call.classify(fails(), Ending::clone).await;
        call.end(Ending::of(Outcome::Shed));
    };
    assert_eq!(row(told).await, (Some(Outcome::Shed), vec![limited], vec![wait]));
    let in_attempt = async |call: Attempts| drop(timeout(ms(4), call.classify(fails(), Ending::clone)).await);
    assert_eq!(row(in_attempt).await, (cancelled, vec![cancelled], vec![(Phase::Wait, 4)]));
    let retry = async |call: &Attempts| loop {
        call.classify(fails(), Ending::clone).await;
        sleep(50).await;
    };
    let in_backoff = async |call: Attempts| drop(timeout(ms(30), call.over(retry(&call))).await);
    assert_eq!(row(in_backoff).await, (cancelled, vec![limited], vec![wait, (Phase::Backoff, 20)]));
    let by_hand = async |call: Attempts| {
        let attempt = call.start();
        sleep(2).await;
        attempt.end(Ending::ok());
        drop(call.start());
    };
    assert_eq!(row(by_hand).await, (cancelled, vec![ok, cancelled], vec![(Phase::Wait, 2)]));
    let panics = async |call: Attempts| {
        let task = tokio::spawn(async move {
            call.attempt(async { if true { panic!("on purpose") } else { Ok::<_, io::Error>(()) } }).await
        });
        assert!(task.await.is_err());
    };
    assert_eq!(row(panics).await, (Some(Outcome::Error), vec![Some(Outcome::Error)], vec![]));
    let never_polled = async |call: Attempts| drop(call.classify(fails(), Ending::clone));
    assert_eq!(row(never_polled).await, (ok, vec![], vec![]));
    let over = async |call: Attempts| {
        call.over(async { call.classify(fails(), Ending::clone).await }).await;
        sleep(1_000).await;
    };
    assert_eq!(row(over).await, (limited, vec![limited], vec![wait]), "the call ended with the future");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_cuts_the_backoff() {
    let hop = hop();
    let start = RunStart { deadline: Some(ms(100)), ..RunStart::new("support") };
    let work = async {
        let call = hop.attempts();
        call.attempt(async { Err::<(), _>(refused()) }).await.unwrap_err();
        sleep(1_000).await;
    };
    assert!(Scoped::new(&hop.recorder, start, work, |()| Ending::ok()).await.is_err());
    let runs = hop.recorder.drain(&mut Vec::new(), &mut |_, _| {});
    let [EndedRun::Whole(log)] = &runs[..] else { panic!("one run") };
    let run = run_of(log, 0).unwrap();
    let call = run.spans[1].call.as_ref().unwrap();
    assert_eq!((call.outcome, tiles(&call.timeline)), (Some(Outcome::Timeout), vec![(Phase::Backoff, 100)]));
}

#[tokio::test(start_paused = true)]
async fn a_wait_at_a_gate_is_part_of_the_attempt() {
    let hop = hop();
    let gate = Gate::fixed(&hop.recorder, "llm", 1);
    let held = gate.acquire().await;
    tokio::spawn(async move {
        sleep(20).await;
        drop(held);
    });
    let call = hop.attempts();
    for _ in 0..2 {
        let failing = async {
            sleep(5).await;
            Err::<(), _>(refused())
        };
        call.attempt(gate.try_run(failing)).await.unwrap_err();
        sleep(1).await;
    }
    drop(call);
    let call = only(&hop);
    assert_eq!(tiles(&call.attempts[0].timeline), [(Phase::Gate, 20), (Phase::Wait, 5)]);
    assert_eq!(tiles(&call.attempts[1].timeline), [(Phase::Wait, 5)]);
}

/// A door that sees more than times.
#[derive(Debug)]
struct Door(Nanos);

impl Live for Door {
    fn call(&self, now: Nanos) -> Call {
        let mut timeline = Timeline::new(self.0);
        timeline.push(Phase::Connect, now.min(self.0 + 2 * MS));
        timeline.push(Phase::Stream, now);
        let mut call = Call::new(Origin::Library, timeline);
        call.status = Some(200);
        call.model = Some("gpt".into());
        (call.tokens.input, call.bytes.received) = (Some(9), 100);
        call.attempts[0].connection = Some(crate::model::ConnectionState::New);
        call
    }
}

fn door(hop: &Hop) -> OpenHop {
    let mut open = hop.start();
    open.live(Arc::new(Door(open.now().unwrap())));
    open
}

#[tokio::test(start_paused = true)]
async fn a_door_inside_an_attempt_is_that_attempt() {
    let hop = hop();
    let call = hop.attempts();
    for ending in [Ending::of_status(503), Ending::ok()] {
        let inner = hop.operation("chat");
        call.attempt(async move {
            sleep(1).await;
            let mut open = door(&inner);
            sleep(5).await;
            open.edit(|call| call.status = Some(1));
            open.finish_live(ending);
            sleep(3).await;
            Ok::<_, io::Error>(())
        })
        .await
        .unwrap();
        sleep(10).await;
    }
    drop(call);
    let call = only(&hop);
    let attempt = [(Phase::Own, 1), (Phase::Connect, 2), (Phase::Stream, 3), (Phase::Own, 3)];
    for told in &call.attempts {
        assert_eq!(tiles(&told.timeline), attempt);
        assert_eq!(told.connection, Some(crate::model::ConnectionState::New));
    }
    assert_eq!(outcomes(&call), [Some(Outcome::ServerError), Some(Outcome::Ok)], "the door saw the failure");
    assert_eq!(
        (call.outcome, call.model.as_deref(), call.tokens.input, call.bytes.received),
        (Some(Outcome::Ok), Some("gpt"), Some(9), 200)
    );
    let whole: Vec<_> = attempt.into_iter().chain([(Phase::Backoff, 10)]).chain(attempt).collect();
    assert_eq!(tiles(&call.timeline), whole);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_read_after_its_attempt_and_its_call() {
    let hop = hop();
    let call = hop.attempts();
    let body = call.attempt(async { Ok::<_, io::Error>(door(&hop)) }).await.unwrap();
    drop(call);
    sleep(7).await;
    let (_, open) = &hop.recorder.open(hop.recorder.clock().now())[0];
    let told = &open.call.as_ref().unwrap().attempts;
    assert_eq!((told.len(), told[0].outcome, tiles(&told[0].timeline)), (1, None, vec![(Phase::Connect, 2), (Phase::Stream, 5)]));
    let mut body = body;
    body.finish_live(Ending::of(Outcome::Body));
    let call = only(&hop);
    assert_eq!((call.outcome, outcomes(&call)), (Some(Outcome::Body), vec![Some(Outcome::Body)]));
    assert_eq!(call.timeline.duration(), 7 * MS);
}

#[tokio::test(start_paused = true)]
async fn under_a_client_that_retries_each_call_is_an_attempt() {
    let hop = hop();
    let call = hop.attempts();
    let send = |status: u16| hop.classify(async { sleep(5).await }, move |()| Ending::of_status(status));
    call.over(async {
        send(429).await;
        call.retry_after(ms(20));
        sleep(20).await;
        send(200).await;
    })
    .await;
    drop(call);
    let call = only(&hop);
    assert_eq!(outcomes(&call), [Some(Outcome::RateLimited), Some(Outcome::Ok)]);
    let asked: Vec<_> = call.attempts.iter().map(|attempt: &Told| (attempt.status, attempt.retry_after)).collect();
    assert_eq!(asked, [(Some(429), Some(20 * MS)), (Some(200), None)]);
    assert_eq!(tiles(&call.timeline), [(Phase::Wait, 5), (Phase::Backoff, 20), (Phase::Wait, 5)]);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_call_to_the_same_dependency_is_the_attempt() {
    let hop = hop();
    let other = Hop::new(Arc::clone(&hop.recorder), Kind::Retrieval, "qdrant", "qdrant");
    let foreign = Hop::new(Arc::new(Recorder::new("other")), Kind::Llm, "openai", "openai");
    let call = hop.attempts();
    call.classify(
        async {
            other.time(async { (hop.time(sleep(1)).await, sleep(1).await) }).await;
            foreign.time(sleep(1)).await;
            hop.time(sleep(2)).await;
            hop.time(sleep(3)).await;
            let inner = hop.attempts();
            inner.classify(sleep(4), |()| Ending::ok()).await;
        },
        |()| Ending::ok(),
    )
    .await;
    drop(call);
    let mut spans = ended(&hop);
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let names: Vec<_> = spans.iter().map(|span| (span.dependency.as_deref().unwrap(), span.parent)).collect();
    let (root, other) = (Some(spans[0].id), Some(spans[1].id));
    let expected = [("openai", None), ("qdrant", root), ("openai", other), ("openai", root), ("openai", root)];
    assert_eq!(names, expected);
    assert_eq!(foreign.recorder.losses().recorded, 1);
}

#[tokio::test(start_paused = true)]
async fn endless_retries_keep_the_first_and_the_last_attempt() {
    let hop = hop();
    let call = hop.attempts();
    for _ in 0..500 {
        call.classify(sleep(1), |()| Ending::of(Outcome::Reset)).await;
        sleep(1).await;
    }
    call.classify(sleep(1), |()| Ending::ok()).await;
    drop(call);
    let call = only(&hop);
    assert_eq!((call.attempts.len(), call.attempts[62].number, call.attempts[63].number), (64, 63, 501));
    assert_eq!(call.timeline.duration(), 1_001 * MS);
    assert_eq!(hop.recorder.losses().missed["attempts"], 501 - 64);
}

#[tokio::test(start_paused = true)]
async fn two_attempts_at_once_are_both_told_and_time_is_counted_once() {
    let hop = hop();
    let call = hop.attempts();
    let hedged = |after: u64, takes: u64| {
        let call = &call;
        async move {
            sleep(after).await;
            call.classify(sleep(takes), |()| Ending::ok()).await;
        }
    };
    tokio::join!(hedged(0, 20), hedged(5, 10));
    drop(call);
    let call = only(&hop);
    let starts: Vec<_> = call.attempts.iter().map(|attempt| attempt.timeline.duration() / MS).collect();
    assert_eq!(starts, [20, 10]);
    assert_eq!(tiles(&call.timeline), [(Phase::Wait, 20)]);
}
