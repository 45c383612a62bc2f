use super::*;
use crate::instrument::hop::Hop;
use crate::instrument::recorder::Recorder;
use crate::instrument::run::{Expired, RunStart, Scoped, Unfinished};
use crate::model::{Phase, Run, Span};
use std::future::Future;
use std::sync::{Arc, Mutex};

const MS: Nanos = 1_000_000;
/// What a test blocks for: fifteen times the threshold.
const LONG: Duration = Duration::from_millis(300);

fn blocked(start: Nanos, end: Nanos) -> Blocked {
    Blocked { start: start * MS, end: end * MS, cause: StallCause::Sleep }
}

/// A timeline from its start and the ends of its phases, in milliseconds.
fn timeline(start: Nanos, phases: &[(Phase, Nanos)]) -> Timeline {
    let mut timeline = Timeline::new(start * MS);
    phases.iter().for_each(|&(phase, end)| timeline.push(phase, end * MS));
    timeline
}

fn parts(timeline: &Timeline) -> Vec<(Phase, Nanos)> {
    timeline.stretches().map(|part| (part.phase, part.end / MS)).collect()
}

#[test]
fn what_goes_on_right_after_a_stall_was_held_up_by_it() {
    let call = timeline(0, &[(Phase::Pool, 20), (Phase::Wait, 305), (Phase::Stream, 400)]);
    let held = blocked(100, 300).held_up(&call, &[]);
    assert_eq!(
        parts(&held),
        [(Phase::Pool, 20), (Phase::Wait, 100), (Phase::Stall, 300), (Phase::Wait, 305), (Phase::Stream, 400)]
    );
}

#[test]
fn what_still_waits_long_after_a_stall_was_not_held_up() {
    let call = timeline(0, &[(Phase::Wait, 500)]);
    assert_eq!(blocked(100, 300).held_up(&call, &[]), call);
}

#[test]
fn a_piece_that_comes_right_after_a_stall_shows_that_it_held_up_the_stream() {
    let call = timeline(0, &[(Phase::Stream, 900)]);
    let held = blocked(100, 300).held_up(&call, &[303 * MS]);
    assert_eq!(parts(&held), [(Phase::Stream, 100), (Phase::Stall, 300), (Phase::Stream, 900)]);
    assert_eq!(blocked(100, 300).held_up(&call, &[350 * MS]), call);
}

#[test]
fn a_call_that_began_at_the_end_of_a_stall_has_nothing_to_do_with_it() {
    let call = timeline(290, &[(Phase::Connect, 305), (Phase::Wait, 500)]);
    assert_eq!(blocked(100, 300).held_up(&call, &[]), call);
}

#[test]
fn a_call_that_is_open_at_the_end_of_a_stall_may_have_been_held_up() {
    let call = timeline(110, &[(Phase::Wait, 300)]);
    assert_eq!(parts(&blocked(100, 300).held_up(&call, &[])), [(Phase::Stall, 300)]);
}

fn recorder() -> Arc<Recorder> {
    Arc::new(Recorder::new("test"))
}

fn hop(recorder: &Arc<Recorder>, kind: Kind, name: &str) -> Hop {
    Hop::new(Arc::clone(recorder), kind, name, name)
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Does the work as a run of ours with a deadline, and gives what is known of it when that passed.
async fn late(recorder: &Arc<Recorder>, deadline: Duration, work: impl Future<Output = ()>) -> Expired {
    let start = RunStart { deadline: Some(deadline), ..RunStart::new("test") };
    match Scoped::new(recorder, start, work, |_| crate::instrument::ending::Ending::ok()).await {
        Err(Unfinished::Expired(expired)) => *expired,
        other => panic!("not late: {other:?}"),
    }
}

fn span<'a>(run: &'a Run, dependency: &str) -> &'a Span {
    run.spans.iter().find(|span| span.dependency.as_deref() == Some(dependency)).unwrap()
}

fn total(run: &Run, dependency: &str, phase: Phase) -> Nanos {
    span(run, dependency).call.as_ref().unwrap().timeline.total(phase).unwrap_or(0)
}

#[test]
fn a_sleep_in_async_code_is_the_callers_and_not_that_of_the_call_that_waits_meanwhile() {
    let recorder = recorder();
    let qdrant = hop(&recorder, Kind::Retrieval, "qdrant");
    let expired = on_one_thread(late(&recorder, Duration::from_millis(250), async {
        let search = qdrant.time(tokio::time::sleep(Duration::from_millis(30)));
        let careless = async { std::thread::sleep(LONG) };
        tokio::join!(search, careless);
        std::future::pending::<()>().await;
    }));
    let [stall] = expired.run.stalls.as_slice() else { panic!("{:?}", expired.run.stalls) };
    assert!(stall.end - stall.start >= 300 * MS, "{stall:?}");
    assert_eq!((stall.cause, stall.event_loop, &stall.dependency), (StallCause::Sleep, true, &None));
    assert!(total(&expired.run, "qdrant", Phase::Stall) >= 290 * MS);
    assert!(total(&expired.run, "qdrant", Phase::Wait) <= 20 * MS);
    let verdict = expired.judgement.verdict.unwrap();
    assert_eq!((verdict.component.dependency.as_deref(), verdict.component.phase), (None, Phase::Stall));
    let row = &expired.judgement.blame[0];
    assert_eq!(row.detail.as_deref(), Some("event loop blocked in sleep"));
}

#[test]
fn a_call_that_waits_long_after_the_sleep_keeps_its_wait() {
    let recorder = recorder();
    let qdrant = hop(&recorder, Kind::Retrieval, "qdrant");
    let expired = on_one_thread(late(&recorder, Duration::from_millis(900), async {
        let search = qdrant.time(tokio::time::sleep(Duration::from_millis(2_000)));
        tokio::join!(search, async { std::thread::sleep(LONG) });
    }));
    assert_eq!(expired.run.stalls.len(), 1);
    assert_eq!(total(&expired.run, "qdrant", Phase::Stall), 0);
}

#[test]
fn a_future_that_blocks_by_itself_is_told_by_name() {
    let recorder = recorder();
    let lookup = hop(&recorder, Kind::Tool, "lookup");
    let expired = on_one_thread(late(&recorder, Duration::from_millis(250), async {
        lookup.time(async { std::thread::sleep(LONG) }).await;
        std::future::pending::<()>().await;
    }));
    assert!(total(&expired.run, "lookup", Phase::Stall) >= 290 * MS);
    let [stall] = expired.run.stalls.as_slice() else { panic!("{:?}", expired.run.stalls) };
    assert_eq!(stall.dependency.as_ref().map(|(kind, name)| (*kind, &**name)), Some((Kind::Tool, "lookup")));
    let row = &expired.judgement.blame[0];
    assert_eq!(row.detail.as_deref(), Some("event loop blocked in sleep on lookup (tool)"));
}

#[test]
fn a_blocking_closure_is_the_time_of_its_hop_and_holds_up_the_others() {
    let recorder = recorder();
    let (index, qdrant) = (hop(&recorder, Kind::Tool, "index"), hop(&recorder, Kind::Retrieval, "qdrant"));
    let expired = on_one_thread(late(&recorder, Duration::from_millis(250), async {
        let search = qdrant.time(tokio::time::sleep(Duration::from_millis(30)));
        tokio::join!(search, async { index.time_blocking(|| std::thread::sleep(LONG)) });
        std::future::pending::<()>().await;
    }));
    assert_eq!(total(&expired.run, "index", Phase::Stall), 0);
    assert!(total(&expired.run, "index", Phase::Wait) >= 300 * MS);
    assert!(total(&expired.run, "qdrant", Phase::Stall) >= 290 * MS);
    assert_eq!(expired.run.stalls[0].dependency.as_ref().map(|(_, name)| &**name), Some("index"));
}

#[test]
fn computing_and_locks_are_told_apart() {
    let cause = |work: &dyn Fn()| {
        let recorder = recorder();
        let expired = on_one_thread(late(&recorder, Duration::from_millis(250), async {
            work();
            std::future::pending::<()>().await;
        }));
        expired.run.stalls[0].cause
    };
    let until = || crate::model::clock::monotonic() + LONG;
    assert_eq!(
        cause(&|| {
            let until = until();
            while crate::model::clock::monotonic() < until {}
        }),
        StallCause::Cpu
    );
    let lock = Arc::new(Mutex::new(()));
    assert_eq!(
        cause(&|| {
            let (tell, told) = std::sync::mpsc::channel();
            let theirs = Arc::clone(&lock);
            let holder = std::thread::spawn(move || {
                let _held = theirs.lock().unwrap();
                tell.send(()).unwrap();
                std::thread::sleep(LONG);
            });
            told.recv().unwrap();
            drop(lock.lock().unwrap());
            holder.join().unwrap();
        }),
        StallCause::Lock
    );
}

#[test]
fn a_run_inside_another_tells_a_stall_once() {
    let recorder = recorder();
    let expired = on_one_thread(late(&recorder, Duration::from_millis(250), async {
        let inner = Scoped::new(&recorder, RunStart::new("inner"), async { std::thread::sleep(LONG) }, |_| {
            crate::instrument::ending::Ending::ok()
        });
        inner.await.unwrap();
        std::future::pending::<()>().await;
    }));
    assert_eq!(expired.run.stalls.len(), 1, "{:?}", expired.run.stalls);
    assert_eq!(recorder.shared.runtimes.take().len(), 1);
}

#[test]
fn a_spawned_task_that_keeps_its_context_tells_its_run() {
    let recorder = recorder();
    let expired = on_one_thread(late(&recorder, Duration::from_millis(900), async {
        let task = crate::Context::current().carry(async { std::thread::sleep(LONG) });
        tokio::spawn(task).await.unwrap();
        std::future::pending::<()>().await;
    }));
    assert_eq!(expired.run.stalls.len(), 1, "{:?}", expired.run.stalls);
    assert_eq!(expired.run.stalls[0].cause, StallCause::Sleep);
}

#[test]
fn a_heartbeat_tells_the_runs_what_others_blocked() {
    let recorder = recorder();
    let qdrant = hop(&recorder, Kind::Retrieval, "qdrant");
    let expired = on_one_thread(async {
        heartbeat::start(&recorder, "main").unwrap();
        heartbeat::start(&recorder, "again").unwrap();
        late(&recorder, Duration::from_millis(900), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            tokio::spawn(async { std::thread::sleep(LONG) });
            qdrant.time(tokio::time::sleep(Duration::from_millis(100))).await;
            std::future::pending::<()>().await;
        })
        .await
    });
    let stalls: Vec<_> = expired.run.stalls.iter().filter(|stall| stall.cause == StallCause::Sleep).collect();
    let [stall] = stalls.as_slice() else { panic!("{:?}", expired.run.stalls) };
    assert!(stall.end - stall.start >= 280 * MS, "{stall:?}");
    assert!(total(&expired.run, "qdrant", Phase::Stall) >= 280 * MS);
    let told = recorder.shared.runtimes.take();
    assert!(told.iter().any(|stall| &*stall.runtime == "main" && stall.took >= 280 * MS), "{told:?}");
    assert!(told.iter().all(|stall| &*stall.runtime == "main"), "{told:?}");
}

#[test]
fn a_heartbeat_outside_a_runtime_is_a_clear_error() {
    let error = heartbeat::start(&recorder(), "main").unwrap_err();
    assert_eq!(error.to_string(), "a heartbeat needs a tokio runtime with time enabled: call this inside one");
}

#[test]
fn a_heartbeat_ends_with_its_recorder_and_frees_its_name() {
    let recorder = recorder();
    let shared = Arc::clone(&recorder.shared);
    on_one_thread(async {
        tokio::time::pause();
        heartbeat::start(&recorder, "main").unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(recorder);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let id = runtime::current().unwrap();
        assert!(shared.runtimes.name(id, &"other".into()));
    });
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_moved_by_hand_blocks_nothing() {
    let recorder = recorder();
    let lookup = hop(&recorder, Kind::Tool, "lookup");
    let expired = late(&recorder, Duration::from_secs(10), async {
        lookup
            .time(async {
                let advance = tokio::time::advance(Duration::from_secs(5));
                // Ticks pass while the clock jumps.
                std::thread::sleep(Duration::from_millis(100));
                advance.await;
            })
            .await;
        std::future::pending::<()>().await;
    })
    .await;
    assert!(expired.run.stalls.is_empty(), "{:?}", expired.run.stalls);
    assert_eq!(total(&expired.run, "lookup", Phase::Wait), 5_000 * MS);
}

#[test]
fn a_future_that_panics_while_it_is_polled_leaves_the_thread_as_it_was() {
    let recorder = recorder();
    let lookup = hop(&recorder, Kind::Tool, "lookup");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        on_one_thread(lookup.time(async { panic!("on purpose") }));
    }));
    assert!(result.is_err());
    let expired = on_one_thread(late(&recorder, Duration::from_millis(250), async {
        std::thread::sleep(LONG);
        std::future::pending::<()>().await;
    }));
    assert_eq!(expired.run.stalls[0].cause, StallCause::Sleep);
}
