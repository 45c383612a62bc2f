//! Start-ups on paused time.

use super::*;
use crate::instrument::hop::Hop;
use crate::instrument::recorder::{EndedRun, Record, run_of};
use crate::instrument::run::Scoped;
use crate::model::{Outcome, Run, Span};
use std::panic::{AssertUnwindSafe, catch_unwind};

const MS: Nanos = 1_000_000;

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn recorder() -> Arc<Recorder> {
    Arc::new(Recorder::new("test"))
}

/// What the drain takes: the runs that ended, and the phases with their times in ms.
fn drained(recorder: &Recorder) -> (Vec<Run>, Vec<(String, u64)>) {
    let mut phases = Vec::new();
    let mut take = |record: &Record, _| {
        let subject = recorder.shared.named(record.subject);
        if !record.is_hop && subject.kind == Some(Kind::Startup) {
            phases.push((Name::clone(&subject.operation), record.end - record.start));
        }
    };
    let runs = recorder.drain(&mut Vec::new(), &mut take);
    let now = recorder.clock().now();
    let runs = runs.into_iter().filter_map(|run| match run {
        EndedRun::Whole(log) => run_of(&log, now),
        EndedRun::Nested(run) => Some(*run),
    });
    (runs.collect(), phases.iter().map(|(name, took)| (name.to_string(), took / MS)).collect())
}

/// The spans below the root: name, name of the parent, start and end since the run began in ms.
fn below(run: &Run) -> Vec<(String, String, u64, Option<u64>)> {
    let name = |span: &Span| span.operation.to_string();
    let parent = |span: &Span| run.spans.iter().find(|other| Some(other.id) == span.parent).map(name).unwrap_or_default();
    let at = |at: Nanos| (at - run.start) / MS;
    let mut spans: Vec<_> =
        run.spans[1..].iter().map(|span| (name(span), parent(span), at(span.start), span.end.map(at))).collect();
    spans.sort_by_key(|(_, _, start, end)| (*start, std::cmp::Reverse(*end)));
    spans
}

fn row(name: &str, parent: &str, start: u64, end: u64) -> (String, String, u64, Option<u64>) {
    (name.into(), parent.into(), start, Some(end))
}

#[tokio::test(start_paused = true)]
async fn phases_nest_and_run_side_by_side() {
    let recorder = recorder();
    let startup = Startup::begin(&recorder, Duration::from_millis(100));
    let docs = Hop::new(Arc::clone(&recorder), Kind::Http, "s3", "s3");
    startup.phase("config").time(sleep(10)).await;
    let load = startup.phase("index");
    let index = load.time(async {
        startup.phase("read").time(docs.time(sleep(20))).await;
        sleep(5).await;
    });
    let tools = tokio::spawn(startup.phase("tools").start_and(30));
    index.await;
    tools.await.unwrap();
    assert_eq!(startup.ready(), Duration::from_millis(140));
    let (runs, mut phases) = drained(&recorder);
    let [run] = runs.try_into().unwrap();
    assert_eq!((&*run.name, run.spans[0].kind, run.spans[0].role), ("startup", Some(Kind::Startup), Role::Internal));
    assert_eq!((run.duration(), run.ending), (140 * MS, Some(Outcome::Ok)));
    let rows = [
        row("config", "startup", 100, 110),
        row("index", "startup", 110, 135),
        row("read", "index", 110, 130),
        row("s3", "read", 110, 130),
        row("tools", "startup", 110, 140),
    ];
    let mut seen = below(&run);
    seen.sort();
    assert_eq!(seen, rows);
    phases.sort();
    let told = [("config", 10), ("index", 25), ("read", 20), ("tools", 30)].map(|(name, took)| (name.to_owned(), took));
    assert_eq!(phases, told);
}

impl StartupPhase {
    /// A guard in a task that knows of no start-up.
    async fn start_and(self, ms: u64) {
        let phase = self.start();
        sleep(ms).await;
        drop(phase);
    }
}

/// How a start-up may end, and what is told of it.
#[tokio::test(start_paused = true)]
async fn every_ending_is_told_once() {
    async fn ended(act: impl AsyncFnOnce(Startup)) -> Option<Outcome> {
        let recorder = recorder();
        act(Startup::begin(&recorder, Duration::ZERO)).await;
        let (runs, _) = drained(&recorder);
        assert_eq!(runs.len(), 1);
        runs[0].ending
    }
    let ready = async |startup: Startup| {
        startup.ready();
        startup.failed(&"late");
        startup.ready();
    };
    assert_eq!(ended(ready).await, Some(Outcome::Ok));
    assert_eq!(ended(async |startup| drop(startup)).await, Some(Outcome::Cancelled));
    assert_eq!(ended(async |startup| startup.failed(&std::io::Error::other("no index"))).await, Some(Outcome::Error));
    let timed_out = async |startup: Startup| {
        startup.failed(&tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err());
    };
    assert_eq!(ended(timed_out).await, Some(Outcome::Timeout));
    let panics = async |startup: Startup| {
        let task = tokio::spawn(async move { startup.phase("index").time(async { panic!("on purpose") }).await });
        assert!(task.await.is_err());
    };
    assert_eq!(ended(panics).await, Some(Outcome::Error));
    let one_clone_goes = async |startup: Startup| {
        drop(startup.clone());
        startup.ready();
    };
    assert_eq!(ended(one_clone_goes).await, Some(Outcome::Ok));
}

/// How a phase may end: always recorded once, and never in the way.
#[tokio::test(start_paused = true)]
async fn every_ending_of_a_phase_is_recorded_once() {
    let recorder = recorder();
    let startup = Startup::begin(&recorder, Duration::ZERO);
    let phase = startup.phase("index");
    assert_eq!(phase.time_blocking(|| 7), 7);
    assert_eq!(phase.try_time_blocking(|| Err::<(), _>("no")), Err("no"));
    assert_eq!(phase.try_time(async { Err::<(), _>("no") }).await, Err("no"));
    assert!(tokio::time::timeout(Duration::from_millis(5), phase.time(sleep(50))).await.is_err());
    let caught = |work: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
    caught(&|| phase.time_blocking(|| panic!("on purpose")));
    caught(&|| {
        let _phase = phase.start();
        panic!("on purpose");
    });
    drop(phase.time(sleep(50)));
    let (_, phases) = drained(&recorder);
    assert_eq!(phases.len(), 6, "what was never polled is no phase: {phases:?}");
    assert!(!Context::current().is_known(), "nothing stays behind");
}

#[tokio::test(start_paused = true)]
async fn a_phase_inside_a_request_is_recorded_there() {
    let recorder = recorder();
    let startup = Startup::begin(&recorder, Duration::ZERO);
    startups(&recorder).current = Arc::downgrade(&startup.inner);
    let client = phase_anywhere(&recorder, "client");
    client.time(sleep(10)).await;
    startup.ready();
    let handler = Scoped::new(&recorder, RunStart::new("support"), client.time(sleep(20)), |()| Ending::ok());
    assert!(handler.await.is_ok());
    client.time(sleep(30)).await;
    drop(startup);
    phase_anywhere(&recorder, "client").time(sleep(40)).await;
    let (runs, mut phases) = drained(&recorder);
    let told: Vec<_> = runs.iter().map(|run| (run.name.to_string(), below(run))).collect();
    let in_startup = row("client", "startup", 0, 10);
    let in_request = row("client", "support", 0, 20);
    assert_eq!(told, [("startup".into(), vec![in_startup]), ("support".into(), vec![in_request])]);
    phases.sort();
    assert_eq!(phases.iter().map(|(_, took)| *took).collect::<Vec<_>>(), [10, 20, 30, 40], "counted outside of runs too");
}

#[tokio::test(start_paused = true)]
async fn a_start_up_begun_inside_a_run_is_no_part_of_it() {
    let recorder = recorder();
    let work = async { Startup::of(&recorder).ready() };
    assert!(Scoped::new(&recorder, RunStart::new("test"), work, |_| Ending::ok()).await.is_ok());
    let (runs, _) = drained(&recorder);
    assert_eq!(runs.iter().map(|run| (&*run.name, run.spans.len())).collect::<Vec<_>>(), [("startup", 1), ("test", 1)]);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_call_is_timed_as_such() {
    let recorder = recorder();
    let startup = Startup::begin(&recorder, Duration::ZERO);
    startup.ready();
    let first = startup.first_call();
    for ms in [300, 20, 20] {
        let call = Scoped::new(&recorder, RunStart::new("support"), first.clone().time_it(ms), |()| Ending::ok());
        assert!(call.await.is_ok());
    }
    assert_eq!(drained(&recorder).1, [("first call".to_owned(), 300)]);
}

impl FirstCall {
    async fn time_it(self, ms: u64) {
        self.time(sleep(ms)).await;
    }
}

#[test]
fn the_first_start_up_counts_from_the_start_of_the_process() {
    let recorder = recorder();
    let first = Startup::of(&recorder);
    assert!(Arc::ptr_eq(&first.inner, &Startup::of(&recorder).inner), "one is under way");
    if cfg!(target_os = "linux") {
        let age = recorder.clock().now() - first.inner.start;
        assert!(age < 86_400_000 * MS, "{age}");
        let read_later = process::age().unwrap();
        assert!(read_later + Duration::from_millis(20) >= Duration::from_nanos(age), "{read_later:?} {age}");
    }
    first.ready();
    let second = Startup::of(&recorder);
    assert!(second.inner.start > first.inner.start, "a second one counts from when it was begun");
    assert_eq!(second.ready().as_secs(), 0);
}

#[test]
fn names_are_cleaned_and_capped() {
    let recorder = recorder();
    let startup = Startup::begin(&recorder, Duration::ZERO);
    for name in ["", "a\u{1b}b", &"x".repeat(10_000)] {
        startup.phase(name).time_blocking(|| ());
    }
    (0..200).for_each(|nth| startup.phase(&format!("shard-{nth}")).time_blocking(|| ()));
    let (_, phases) = drained(&recorder);
    let names: FxHashSet<&str> = phases.iter().map(|(name, _)| &**name).collect();
    assert_eq!((phases.len(), names.len()), (203, NAMES_MAX + 1));
    assert!(names.contains("unknown") && names.contains("a\u{fffd}b") && names.contains(OTHER));
    assert!(names.iter().all(|name| name.len() < 130));
    assert!(recorder.losses().missed["odd_names"] >= 139);
}
