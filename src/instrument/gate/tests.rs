//! The gate on paused time.

use super::*;
use crate::instrument::hop::Hop;
use crate::instrument::run::{RunStart, Scoped};
use crate::model::{Call, GateSample, Kind, Outcome, Span};
use futures_core::Stream;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

const MS: Nanos = 1_000_000;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Counts from its first poll, unlike tokio's, which counts from when it is made.
async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

fn recorder() -> Arc<Recorder> {
    Arc::new(Recorder::new("test"))
}

fn told(recorder: &Recorder) -> GateSample {
    let [sample] = recorder.gates().try_into().unwrap();
    sample
}

/// The calls that ended, in order.
fn ended(recorder: &Recorder) -> Vec<Call> {
    let mut spans: Vec<Span> = Vec::new();
    recorder.drain(&mut Vec::new(), &mut |record, _| spans.push(recorder.span(record, 0)));
    spans.into_iter().filter_map(|span| span.call).map(|call| *call).collect()
}

#[tokio::test(start_paused = true)]
async fn waits_and_holds_are_measured() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    let first = gate.acquire().await;
    let second = tokio::spawn({
        let gate = gate.clone();
        async move { gate.run(sleep(ms(5))).await }
    });
    sleep(ms(20)).await;
    let now = told(&recorder);
    assert_eq!((now.limit, now.in_use, now.queue, now.waits), (1, 1, 1, vec![0]));
    drop(first);
    second.await.unwrap();
    let now = told(&recorder);
    assert_eq!((now.in_use, now.queue), (0, 0));
    assert_eq!((now.waits, now.holds), (vec![20 * MS], vec![20 * MS, 5 * MS]));
    assert_eq!((now.abandoned, now.shed, now.missed), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn permits_are_given_in_the_order_they_were_asked_for() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    let held = gate.acquire().await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..5)
        .map(|nth| {
            let (gate, order) = (gate.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                sleep(ms(nth)).await;
                gate.run(async { order.lock().unwrap().push(nth) }).await;
            })
        })
        .collect();
    sleep(ms(50)).await;
    assert!(gate.try_acquire().is_err(), "nobody overtakes");
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(told(&recorder).shed, 1);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_wait_counts_and_loses_its_place() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    let held = gate.acquire().await;
    assert!(timeout(ms(10), gate.acquire()).await.is_err());
    let next = tokio::spawn({
        let gate = gate.clone();
        async move { drop(gate.acquire().await) }
    });
    sleep(ms(10)).await;
    drop(held);
    next.await.unwrap();
    let now = told(&recorder);
    assert_eq!((now.abandoned, now.queue, now.in_use), (1, 0, 0));
    assert_eq!(now.waits, [0, 10 * MS], "an abandoned wait is no wait for a permit");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_never_began_is_none() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 0);
    drop(gate.acquire());
    let mut polled = Box::pin(gate.acquire());
    assert!(futures_util::poll!(&mut polled).is_pending());
    assert_eq!(gate.queue(), 1);
    drop(polled);
    let now = told(&recorder);
    assert_eq!((now.abandoned, now.queue), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_through_a_limit_of_nothing_until_it_is_raised() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "closed", 0);
    assert_eq!(gate.try_acquire().unwrap_err().to_string(), "no permit is free");
    assert!(timeout(Duration::from_secs(3_600), gate.acquire()).await.is_err());
    gate.set_limit(1);
    drop(gate.acquire().await);
    let huge = Gate::fixed(&recorder, "huge", usize::MAX);
    let permits: Vec<_> = (0..1_000).map(|_| huge.try_acquire().unwrap()).collect();
    huge.set_limit(3);
    assert_eq!((huge.in_use(), huge.limit()), (1_000, 3));
    drop(permits);
    let three: Vec<_> = (0..3).map(|_| huge.try_acquire().unwrap()).collect();
    assert!(huge.try_acquire().is_err(), "permits beyond a lower limit are not given again");
    huge.set_limit(usize::MAX);
    assert!(huge.try_acquire().is_ok());
    drop(three);
    assert_eq!(huge.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_whatever_it_is_changed_to() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 4);
    let mut held = Vec::new();
    for (limit, taken) in [(4, 4), (2, 0), (3, 0), (6, 2), (1, 0), (8, 2), (0, 0), (8, 0)] {
        gate.set_limit(limit);
        let before = held.len();
        while let Ok(permit) = gate.try_acquire() {
            held.push(permit);
        }
        assert_eq!(held.len() - before, taken, "limit {limit} with {before} out");
    }
    held.clear();
    assert_eq!(std::iter::from_fn(|| gate.try_acquire().ok()).collect::<Vec<_>>().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_gated_hop_shows_the_wait_as_its_first_phase() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    let hop = Hop::new(Arc::clone(&recorder), Kind::Llm, "openai", "openai").gated(&gate);
    let work = |hop: GatedHop| tokio::spawn(async move { hop.time(sleep(ms(30))).await });
    let (first, second) = (work(hop.clone()), work(hop));
    first.await.unwrap();
    second.await.unwrap();
    let mut calls = ended(&recorder);
    calls.sort_by_key(|call| call.timeline.end());
    let times = |call: &Call| (call.timeline.total(Phase::Gate), call.timeline.total(Phase::Wait), call.outcome);
    assert_eq!(times(&calls[0]), (None, Some(30 * MS), Some(Outcome::Ok)));
    assert_eq!(times(&calls[1]), (Some(30 * MS), Some(30 * MS), Some(Outcome::Ok)));
}

/// How a gated call ends, and what is seen of it: outcome, time at the gate, permits out afterwards, waits abandoned.
#[tokio::test(start_paused = true)]
async fn every_ending_gives_one_call_and_its_permit_back() {
    type Row = (Option<Outcome>, Option<Nanos>, u64, u64);
    async fn row<F: Future>(act: impl FnOnce(GatedHop) -> F) -> Row {
        let recorder = recorder();
        let gate = Gate::fixed(&recorder, "llm", 1);
        let hop = Hop::new(Arc::clone(&recorder), Kind::Llm, "openai", "openai").gated(&gate);
        let held = gate.acquire().await;
        tokio::spawn(async move {
            sleep(ms(10)).await;
            drop(held);
        });
        let _ = timeout(ms(100), act(hop)).await;
        sleep(ms(10)).await;
        let calls = ended(&recorder);
        assert_eq!(calls.len(), 1);
        let now = told(&recorder);
        (calls[0].outcome, calls[0].timeline.total(Phase::Gate), now.in_use, now.abandoned)
    }
    let gate = Some(10 * MS);
    assert_eq!(row(|hop| async move { hop.time(async {}).await }).await, (Some(Outcome::Ok), gate, 0, 0));
    let failing = |hop: GatedHop| async move { hop.try_time(async { Err::<(), _>(std::io::Error::other("no")) }).await };
    assert_eq!(row(failing).await, (Some(Outcome::Error), gate, 0, 0));
    let told = |hop: GatedHop| async move { hop.classify(async {}, |()| Ending::of_status(429)).await };
    assert_eq!(row(told).await, (Some(Outcome::RateLimited), gate, 0, 0));
    let slow = |hop: GatedHop| async move { hop.time(sleep(ms(1_000))).await };
    assert_eq!(row(slow).await, (Some(Outcome::Cancelled), gate, 0, 0));
    let left = |hop: GatedHop| async move { timeout(ms(5), hop.time(sleep(ms(1)))).await };
    assert_eq!(row(left).await, (Some(Outcome::Cancelled), Some(5 * MS), 0, 1));
    let panics = |hop: GatedHop| async move { tokio::spawn(async move { hop.time(async { panic!("on purpose") }).await }).await };
    assert_eq!(row(panics).await, (Some(Outcome::Error), gate, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_the_work_of_a_hop_is_its_phase_and_overlapping_ones_are_one() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    let hop = Hop::new(Arc::clone(&recorder), Kind::Llm, "openai", "openai");
    let held = gate.acquire().await;
    tokio::spawn(async move {
        sleep(ms(10)).await;
        drop(held);
    });
    hop.time(async {
        tokio::join!(gate.run(sleep(ms(3))), gate.run(sleep(ms(4))));
        sleep(ms(5)).await;
    })
    .await;
    let [call] = ended(&recorder).try_into().unwrap();
    assert_eq!(call.timeline.total(Phase::Gate), Some(10 * MS));
    assert_eq!(call.timeline.duration(), 22 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_a_run_is_blamed_on_the_gate() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm-slots", 0);
    let start = RunStart { deadline: Some(ms(100)), ..RunStart::new("support") };
    let expired = Scoped::new(
        &recorder,
        start,
        async {
            sleep(ms(20)).await;
            gate.acquire().await
        },
        |_| Ending::ok(),
    )
    .await
    .unwrap_err();
    let crate::instrument::run::Unfinished::Expired(expired) = expired else { panic!("cut") };
    let verdict = expired.judgement.verdict.unwrap();
    let component = &verdict.component;
    assert_eq!((component.kind, component.dependency.as_deref(), component.phase), (None, Some("llm-slots"), Phase::Gate));
    assert_eq!(verdict.time, 80 * MS, "{}", verdict.sentence);
    assert_eq!(recorder.losses().started, 0, "a wait is no hop");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_turned_away_is_shed_by_the_caller_s_own_limit() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 0);
    let hop = Hop::new(Arc::clone(&recorder), Kind::Llm, "openai", "openai");
    let call = async {
        let _permit = gate.try_acquire()?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    hop.try_time(call).await.unwrap_err();
    let [call] = ended(&recorder).try_into().unwrap();
    assert_eq!((call.outcome, call.failed_by), (Some(Outcome::Shed), Some(crate::model::FailedBy::Own)));
    assert_eq!(told(&recorder).shed, 1);
}

#[cfg(any(feature = "reqwest", feature = "tower"))]
#[tokio::test]
async fn a_permit_goes_along_with_a_body_to_its_last_byte() {
    use http_body::Body;
    use http_body_util::{BodyExt, Full};
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    let body = Full::new(bytes::Bytes::from_static(b"answer"));
    let mut held = gate.acquire().await.with(body);
    assert_eq!((held.size_hint().exact(), gate.in_use()), (Some(6), 1));
    held.frame().await.unwrap().unwrap();
    assert!(held.is_end_stream());
    assert_eq!(gate.in_use(), 0, "who knows the length never asks for the end");
    let left = gate.acquire().await.with(Full::new(bytes::Bytes::from_static(b"answer")));
    drop(left);
    assert_eq!(gate.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_goes_along_with_a_stream_to_its_end() {
    struct Two(u8);
    impl Stream for Two {
        type Item = u8;
        fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<Option<u8>> {
            self.0 += 1;
            Poll::Ready((self.0 <= 2).then_some(self.0))
        }
    }
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    let mut stream = pin!(gate.acquire().await.with(Two(0)));
    let mut next = async || std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
    assert_eq!((next().await, next().await), (Some(1), Some(2)));
    assert_eq!(gate.in_use(), 1);
    assert_eq!(next().await, None);
    assert_eq!(gate.in_use(), 0);
    let held = gate.acquire().await.with("value");
    assert_eq!(held.len(), 5);
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!(gate.in_use(), 0, "dropped on another thread");
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_gate_learns_from_endings() {
    let recorder = recorder();
    let gate = Gate::adaptive(&recorder, "llm", 2..=64);
    assert_eq!(gate.limit(), 2);
    let call = |gate: Gate, work: Duration| tokio::spawn(async move { gate.run(sleep(work)).await });
    for _ in 0..10 {
        let calls: Vec<_> = (0..64).map(|_| call(gate.clone(), ms(10))).collect();
        for call in calls {
            call.await.unwrap();
        }
    }
    let grown = gate.limit();
    assert!(grown > 8, "nothing queues behind it: {grown}");
    let failing = gate.try_run(async { tokio::time::timeout(ms(5), std::future::pending::<()>()).await });
    assert!(failing.await.is_err());
    gate.acquire().await.done(&Ending::of_status(429));
    assert!(gate.limit() < grown, "refused");
    let before = gate.limit();
    assert!(timeout(ms(5), gate.run(sleep(ms(10)))).await.is_err());
    gate.acquire().await.done(&Ending::of(Outcome::Reset));
    assert_eq!(gate.limit(), before, "neither a call that was left nor a quick failure says anything");
    gate.set_limit(1_000);
    assert_eq!(gate.limit(), 64);
}

#[tokio::test(start_paused = true)]
async fn gates_of_one_name_are_told_as_one_and_a_dropped_one_a_last_time() {
    let recorder = recorder();
    let (one, two) = (Gate::fixed(&recorder, "llm\u{1b}", 2), Gate::fixed(&recorder, "llm\u{1b}", 3));
    drop((one.acquire().await, two.acquire().await));
    assert_eq!(one.name(), "llm\u{fffd}");
    let now = told(&recorder);
    assert_eq!((now.limit, now.waits.len()), (5, 2));
    drop(one.acquire().await);
    drop((one, two));
    assert_eq!(told(&recorder).holds.len(), 1);
    assert!(recorder.gates().is_empty());
}

#[test]
fn a_buffer_that_nobody_empties_is_bounded_and_counted() {
    let recorder = recorder();
    let gate = Gate::fixed(&recorder, "llm", 1);
    for _ in 0..20_000 {
        drop(gate.try_acquire().unwrap());
    }
    let now = told(&recorder);
    assert_eq!((now.waits.len(), now.holds.len(), now.missed), (16_384, 16_384, 2 * (20_000 - 16_384)));
}
