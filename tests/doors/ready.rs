//! Readiness: a service that is not ready makes its caller wait in `pool`, wakes it, and the wait is told once, whatever becomes of it.

use std::time::Duration;

use hopwatch::export::report::HopReport;
use hopwatch::instrument::tower::HopService;
use hopwatch::model::{FailedBy, Kind, Outcome, Phase};
use hopwatch::{Context, Hopwatch};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock::{Mock, Spawn, spawn_layer};
use tower_test::{assert_request_eq, mock};

use crate::endings::{hops, names, only_hop, sums};

type Watched = Spawn<HopService<Mock<&'static str, &'static str>>>;
type Handle = mock::Handle<&'static str, &'static str>;

fn watched() -> (Hopwatch, Watched, Handle) {
    let watch = Hopwatch::builder().service("ready").build().unwrap();
    let (service, mut handle) = spawn_layer(watch.hop(Kind::Retrieval, "docs").layer());
    handle.allow(0);
    assert!(!service.is_woken());
    (watch, service, handle)
}

async fn pass(millis: u64) {
    tokio::time::advance(Duration::from_millis(millis)).await;
}

fn times(hop: &HopReport) -> [Option<f64>; 3] {
    [hop.phases.pool, hop.phases.own, hop.phases.wait]
}

macro_rules! assert_pending {
    ($service:expr) => {
        assert!($service.poll_ready::<&'static str>().is_pending())
    };
}

macro_rules! assert_ready_ok {
    ($service:expr) => {
        assert!(matches!($service.poll_ready::<&'static str>(), std::task::Poll::Ready(Ok(()))))
    };
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_readiness_is_the_pool_of_the_call_that_follows() {
    let (watch, mut service, mut handle) = watched();
    let work = async {
        assert_pending!(service);
        pass(300).await;
        assert_pending!(service);
        assert_eq!(watch.losses().open, 1, "the wait is open while it lasts");
        handle.allow(1);
        assert!(service.is_woken());
        assert_ready_ok!(service);
        pass(20).await;
        let answer = service.call("question");
        pass(50).await;
        assert_request_eq!(handle, "question").send_response("answer");
        assert_eq!(answer.await.unwrap(), "answer");
    };
    watch.scope("run").run(work).await.unwrap();
    let hop = only_hop(&watch);
    assert_eq!(times(&hop), [Some(300.0), Some(20.0), Some(50.0)]);
    assert_eq!((hop.outcome, hop.duration_ms), (Some(Outcome::Ok), 370.0));
    sums(&hop);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_ready_at_once_has_no_pool_and_no_hop_before_its_call() {
    let (watch, mut service, mut handle) = watched();
    handle.allow(2);
    let work = async {
        assert_ready_ok!(service);
        assert_eq!(watch.losses().started, 0);
        let answer = service.call("one");
        assert_request_eq!(handle, "one").send_response("answer");
        answer.await.unwrap();
        let refused = service.get_ref().clone().ready().await.unwrap().call("two");
        assert_request_eq!(handle, "two").send_error("no");
        assert_eq!(refused.await.unwrap_err().to_string(), "no");
    };
    watch.scope("run").run(work).await.unwrap();
    let told: Vec<_> = hops(&watch).iter().map(|hop| (names(hop), hop.outcome)).collect();
    // No time passed: a hop has no phases that last.
    assert_eq!(told.len(), 2);
    assert_eq!([told[0].1, told[1].1], [Some(Outcome::Ok), Some(Outcome::Error)]);
    assert!(told.iter().all(|(names, _)| !names.contains(&Phase::Pool)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_is_cancelled_in_pool_and_one_cut_by_its_deadline_a_timeout() {
    let (watch, mut service, _handle) = watched();
    let work = async {
        assert_pending!(service);
        pass(40).await;
        drop(service);
    };
    watch.scope("run").run(work).await.unwrap();
    let hop = only_hop(&watch);
    assert_eq!((hop.outcome, hop.failed_by), (Some(Outcome::Cancelled), Some(FailedBy::Caller)));
    assert_eq!(times(&hop), [Some(40.0), None, None]);

    let (watch, service, _handle) = watched();
    let work = async move { service.into_inner().oneshot("question").await.map(drop) };
    let error = watch.scope("run").deadline(Duration::from_millis(500)).run(work).await.unwrap_err();
    let culprit = &error.verdict().unwrap().component;
    assert_eq!((culprit.dependency.as_deref(), culprit.phase), (Some("docs"), Phase::Pool), "{error}");
    let hop = only_hop(&watch);
    assert_eq!((hop.outcome, hop.failed_by), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!(times(&hop), [Some(500.0), None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_is_one_failed_call() {
    for waits in [false, true] {
        let (watch, mut service, mut handle) = watched();
        let work = async {
            if waits {
                assert_pending!(service);
                pass(30).await;
            }
            handle.send_error("closed");
            let std::task::Poll::Ready(Err(error)) = service.poll_ready::<&'static str>() else { panic!("it failed") };
            assert_eq!(error.to_string(), "closed");
        };
        watch.scope("run").run(work).await.unwrap();
        let hop = only_hop(&watch);
        assert_eq!((hop.outcome, hop.duration_ms), (Some(Outcome::Error), if waits { 30.0 } else { 0.0 }));
        assert_eq!(watch.losses().started, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_outside_the_run_of_its_call_goes_along_to_it() {
    let (watch, mut service, mut handle) = watched();
    assert_pending!(service);
    pass(100).await;
    handle.allow(1);
    assert_ready_ok!(service);
    let work = async {
        let answer = service.call("question");
        pass(50).await;
        assert_request_eq!(handle, "question").send_response("answer");
        answer.await.unwrap();
    };
    watch.scope("run").run(work).await.unwrap();
    let losses = watch.losses();
    assert_eq!((losses.started, losses.recorded, losses.open), (1, 1, 0));
    let hop = only_hop(&watch);
    assert_eq!((hop.phases.pool, hop.phases.wait), (Some(100.0), Some(50.0)));
}

#[tokio::test(start_paused = true)]
async fn when_somebody_else_asks_the_wait_before_was_given_up() {
    let (watch, mut service, mut handle) = watched();
    watch.scope("first").run(async { assert_pending!(service) }).await.unwrap();
    pass(1_000).await;
    let work = async {
        assert_pending!(service);
        pass(10).await;
        handle.allow(1);
        assert_ready_ok!(service);
        let answer = service.call("question");
        assert_request_eq!(handle, "question").send_response("answer");
        answer.await.unwrap();
    };
    watch.scope("second").run(work).await.unwrap();
    let report = watch.report();
    let of = |name: &str| {
        let run = report.runs.iter().find(|run| run.name == name).unwrap();
        assert_eq!(run.hops.len(), 1);
        (run.hops[0].outcome, run.hops[0].phases.pool)
    };
    assert_eq!(of("second"), (Some(Outcome::Ok), Some(10.0)));
    // In its own run it may have been open still when that was judged.
    assert!(matches!(of("first").0, None | Some(Outcome::Cancelled)));
    assert_eq!(report.dependencies[0].outcomes[&Outcome::Cancelled], 1);
    assert_eq!(watch.losses().open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_clone_waits_for_itself_and_a_call_sees_its_hop_as_current() {
    let (watch, mut service, mut handle) = watched();
    let context = tower::service_fn(async |()| Ok::<_, std::convert::Infallible>(Context::current().remaining()));
    let hop = watch.hop(Kind::Tool, "context");
    let work = async {
        assert_pending!(service);
        let clone = service.get_ref().clone();
        drop(clone);
        assert_eq!(watch.losses().open, 1, "the clone had no wait of its own");
        handle.allow(1);
        assert_ready_ok!(service);
        drop(service.call("question"));
        hop.layer().layer(context).oneshot(()).await.unwrap()
    };
    let remaining = watch.scope("run").deadline(Duration::from_secs(3)).run(work).await.unwrap();
    assert_eq!(remaining, Some(Duration::from_secs(3)));
    let outcomes: Vec<_> = hops(&watch).iter().map(|hop| hop.outcome.unwrap()).collect();
    assert_eq!(outcomes, [Outcome::Cancelled, Outcome::Ok]);
}
