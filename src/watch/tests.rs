use super::*;
use crate::instrument::context::Context;
use crate::model::{Outcome, Phase};
use std::time::Duration;

fn watch() -> Hopwatch {
    Hopwatch::builder().service("test").build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_deadline_error_names_the_culprit() {
    let watch = watch();
    let docs = watch.hop(Kind::Retrieval, "qdrant");
    let llm = watch.hop(Kind::Llm, "openai");
    let result: Result<(), Box<dyn std::error::Error>> = watch
        .run("support", Duration::from_secs(10), async {
            docs.time(tokio::time::sleep(Duration::from_millis(7_900))).await;
            llm.time(tokio::time::sleep(Duration::from_secs(60))).await;
            Ok(())
        })
        .await;
    let error = result.unwrap_err();
    let error = error.downcast_ref::<RunError>().unwrap();
    assert!(error.is_deadline());
    let verdict = error.verdict().unwrap();
    assert_eq!(verdict.component.dependency.as_deref(), Some("qdrant"), "{error}");
    assert_eq!(verdict.component.phase, Phase::Wait);
    let report = watch.report();
    assert_eq!(report.runs.len(), 1);
    assert_eq!(report.runs[0].outcome, Outcome::Timeout);
    let ended: Vec<_> = report.runs[0].hops.iter().map(|hop| (hop.dependency.as_str(), hop.outcome, hop.duration_ms)).collect();
    assert_eq!(ended, [("qdrant", Some(Outcome::Ok), 7_900.0), ("openai", Some(Outcome::Timeout), 2_100.0)]);
    let losses = watch.losses();
    assert_eq!((losses.started, losses.recorded, losses.open), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn hops_outside_runs_are_counted() {
    let watch = watch();
    let tool = watch.hop(Kind::Tool, "lookup");
    for _ in 0..3 {
        tool.time(tokio::time::sleep(Duration::from_millis(20))).await;
    }
    let report = watch.report();
    assert!(report.runs.is_empty());
    assert_eq!(report.dependencies.len(), 1);
    let waits = &report.dependencies[0].phases[&Phase::Wait];
    assert_eq!((waits.count, waits.sum_ms), (3, 60.0));
}

/// The hops of the only run, with what is asked of each.
fn hops<T>(watch: &Hopwatch, of: impl Fn(&crate::export::report::HopReport) -> T) -> Vec<T> {
    let report = watch.report();
    assert_eq!(report.runs.len(), 1);
    report.runs[0].hops.iter().map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn nested_hops_lie_below_the_hop_that_makes_them() {
    let watch = watch();
    let (tool, http) = (watch.hop(Kind::Tool, "lookup"), watch.hop(Kind::Http, "search"));
    let work = tool.time(async {
        tokio::join!(
            http.time(tokio::time::sleep(Duration::from_millis(20))),
            http.time(tokio::time::sleep(Duration::from_millis(30)))
        )
    });
    watch.scope("support").run(work).await.unwrap();
    let mut parents = hops(&watch, |hop| (hop.dependency.clone(), hop.parent_id.is_some()));
    parents.sort();
    assert_eq!(parents, [("lookup".into(), false), ("search".into(), true), ("search".into(), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_spawned_task_keeps_its_run_only_when_asked() {
    let watch = watch();
    let http = watch.hop(Kind::Http, "search");
    let call = |name: &str| {
        let hop = http.operation(name);
        async move { hop.time(tokio::time::sleep(Duration::from_millis(5))).await }
    };
    let work = async {
        let kept = tokio::spawn(Context::current().carry(call("kept")));
        let lost = tokio::spawn(call("lost"));
        tokio::join!(kept, lost)
    };
    let (kept, lost) = watch.scope("support").run(work).await.unwrap();
    kept.unwrap();
    lost.unwrap();
    assert_eq!(hops(&watch, |hop| hop.operation.clone()), ["kept"]);
    assert_eq!(watch.report().dependencies[0].calls, 2);
}

#[tokio::test(start_paused = true)]
async fn the_slower_branch_of_a_select_is_cancelled() {
    let watch = watch();
    let (fast, slow) = (watch.hop(Kind::Http, "fast"), watch.hop(Kind::Http, "slow"));
    let work = async {
        tokio::select! {
            () = fast.time(tokio::time::sleep(Duration::from_millis(5))) => {}
            () = slow.time(tokio::time::sleep(Duration::from_millis(50))) => {}
        }
    };
    watch.scope("support").run(work).await.unwrap();
    let mut endings = hops(&watch, |hop| (hop.dependency.clone(), hop.outcome, hop.duration_ms));
    endings.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(endings, [("fast".into(), Some(Outcome::Ok), 5.0), ("slow".into(), Some(Outcome::Cancelled), 5.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_nested_run_has_its_own_deadline_and_lies_within_the_other() {
    let watch = watch();
    let docs = watch.hop(Kind::Retrieval, "docs");
    let outer = watch.scope("outer").deadline(Duration::from_secs(10)).run(async {
        assert_eq!(Context::current().remaining(), Some(Duration::from_secs(10)));
        let inner = watch.scope("inner").deadline(Duration::from_secs(2));
        let cut = inner.run(docs.time(tokio::time::sleep(Duration::from_secs(5)))).await;
        assert!(cut.unwrap_err().is_deadline());
        assert_eq!(Context::current().remaining(), Some(Duration::from_secs(8)));
        watch.scope("longer").deadline(Duration::from_secs(60)).run(async { Context::current().remaining() }).await.unwrap()
    });
    assert_eq!(outer.await.unwrap(), Some(Duration::from_secs(8)));
    let report = watch.report();
    let runs: Vec<_> = report.runs.iter().map(|run| (run.name.as_str(), run.outcome, run.hops.len())).collect();
    assert!(runs.contains(&("inner", Outcome::Timeout, 1)), "{runs:?}");
    assert!(runs.contains(&("outer", Outcome::Ok, 1)), "{runs:?}");
    assert!(runs.contains(&("longer", Outcome::Ok, 0)), "{runs:?}");
    assert_eq!(report.losses.started, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_zero_lets_work_be_done_that_needs_no_wait() {
    let watch = watch();
    assert_eq!(watch.scope("quick").deadline(Duration::ZERO).run(async { 7 }).await.unwrap(), 7);
    let slow = watch.scope("slow").deadline(Duration::ZERO).run(tokio::time::sleep(Duration::from_millis(1))).await;
    assert!(slow.unwrap_err().is_deadline());
    let longest = watch.scope("long").deadline(Duration::MAX).run(tokio::time::sleep(Duration::from_millis(1))).await;
    longest.unwrap();
}

#[test]
fn a_deadline_outside_a_runtime_is_a_clear_error() {
    let watch = watch();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let run = std::pin::pin!(watch.scope("support").deadline(Duration::from_secs(1)).run(async {}));
    let std::task::Poll::Ready(Err(error)) = run.poll(&mut cx) else { panic!("it should be refused") };
    assert!(error.is_no_runtime());
    assert!(error.to_string().contains("tokio runtime"), "{error}");
    // Without a deadline any executor will do.
    let run = std::pin::pin!(watch.scope("support").run(async { 7 }));
    assert!(matches!(run.poll(&mut cx), std::task::Poll::Ready(Ok(7))));
}

#[tokio::test]
async fn a_panic_ends_hop_and_run_once() {
    let watch = watch();
    let hop = watch.hop(Kind::Tool, "lookup");
    let task = tokio::spawn({
        let watch = watch.clone();
        async move { watch.scope("support").run(hop.time(async { panic!("the tool's own") })).await }
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(hops(&watch, |hop| (hop.outcome, hop.error_type.clone())), [(Some(Outcome::Error), Some("panic".into()))]);
    let losses = watch.losses();
    assert_eq!((losses.started, losses.recorded, losses.open), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn hops_that_outlive_their_run_are_open_in_it_and_counted_when_they_end() {
    let watch = watch();
    let hop = watch.hop(Kind::Http, "slow");
    let task = watch.scope("support").run(async {
        let task = tokio::spawn(Context::current().carry({
            let hop = hop.clone();
            async move { hop.time(tokio::time::sleep(Duration::from_secs(5))).await }
        }));
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some(task)
    });
    let task = task.await.unwrap().unwrap();
    assert_eq!(hops(&watch, |hop| (hop.open, hop.current_phase)), [(true, Some(Phase::Wait))]);
    assert_eq!(watch.losses().open, 1);
    task.await.unwrap();
    assert_eq!(watch.report().dependencies[0].outcomes[&Outcome::Ok], 1);
    assert_eq!((watch.losses().open, watch.losses().recorded), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn two_handles_keep_apart_what_each_saw() {
    let (one, other) = (watch(), watch());
    let (hop, foreign) = (one.hop(Kind::Tool, "lookup"), other.hop(Kind::Http, "search"));
    let work = foreign.time(async { hop.time(tokio::time::sleep(Duration::from_millis(5))).await });
    one.scope("support").run(work).await.unwrap();
    assert_eq!(hops(&one, |hop| hop.dependency.clone()), ["lookup"]);
    let report = other.report();
    assert!(report.runs.is_empty());
    assert_eq!(report.dependencies.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_is_cancelled() {
    let watch = watch();
    let hop = watch.hop(Kind::Http, "slow");
    let run = watch.scope("support").run(hop.time(tokio::time::sleep(Duration::from_secs(5))));
    assert!(tokio::time::timeout(Duration::from_millis(10), run).await.is_err());
    assert_eq!(hops(&watch, |hop| (hop.outcome, hop.duration_ms)), [(Some(Outcome::Cancelled), 10.0)]);
}

#[cfg(feature = "prometheus")]
#[tokio::test(start_paused = true)]
async fn the_metrics_count_what_the_report_counts() {
    let watch = Hopwatch::builder().service("test").own_metrics().build().unwrap();
    let (docs, llm) = (watch.hop(Kind::Retrieval, "docs"), watch.hop(Kind::Llm, "openai"));
    for _ in 0..3 {
        let work = async {
            docs.time(tokio::time::sleep(Duration::from_millis(250))).await;
            llm.time(tokio::time::sleep(Duration::from_millis(750))).await;
        };
        watch.scope("support").run(work).await.unwrap();
    }
    let open = docs.start();
    let text = watch.metrics().unwrap();
    for line in [
        "hopwatch_hop_calls_total{kind=\"retrieval\",dependency=\"docs\",outcome=\"ok\"} 3",
        "hopwatch_hop_phase_seconds_sum{kind=\"llm\",dependency=\"openai\",phase=\"wait\"} 2.25",
        "hopwatch_hop_phase_seconds_count{kind=\"llm\",dependency=\"openai\",phase=\"wait\"} 3",
        "hopwatch_runs_total{run=\"support\",outcome=\"ok\"} 3",
        "hopwatch_blame_seconds_total{run=\"support\",kind=\"llm\",dependency=\"openai\",phase=\"wait\"} 2",
        "hopwatch_hop_in_flight{kind=\"retrieval\",dependency=\"docs\"} 1",
        "hopwatch_hops_started_total 7",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    drop(open);
}

#[cfg(feature = "prometheus")]
#[test]
fn prometheus_may_scrape_as_long_as_the_handle_lives() {
    use std::io::{Read, Write};
    let watch = Hopwatch::builder().prometheus(([127, 0, 0, 1], 0)).build().unwrap();
    let address = watch.metrics_address().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("hopwatch_build_info"), "{text}");
    drop(watch);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_blocked_runtime_is_told_by_name_and_to_its_runs() {
    let watch = watch();
    assert!(watch.heartbeat("main").is_err(), "outside of a runtime");
    let docs = watch.hop(Kind::Retrieval, "qdrant");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result: Result<(), Box<dyn std::error::Error>> = runtime.block_on(async {
        watch.heartbeat("main")?;
        watch
            .run("support", Duration::from_millis(500), async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let careless = tokio::spawn(async { std::thread::sleep(Duration::from_millis(400)) });
                docs.time(tokio::time::sleep(Duration::from_millis(50))).await;
                careless.await?;
                std::future::pending::<()>().await;
                Ok(())
            })
            .await
    });
    let error = result.unwrap_err();
    let verdict = error.downcast_ref::<RunError>().unwrap().verdict().unwrap();
    assert_eq!((verdict.component.dependency.as_deref(), verdict.component.phase), (None, Phase::Stall), "{error}");
    let report = watch.report();
    assert!(report.runs[0].hops[0].phases.stall > Some(300.0), "{:?}", report.runs[0].hops[0].phases);
    assert!(report.runs[0].blame.iter().any(|row| row.detail.as_deref() == Some("event loop blocked in sleep")));
}

#[tokio::test(start_paused = true)]
async fn the_error_knows_what_is_normal() {
    let watch = watch();
    let docs = watch.hop(Kind::Retrieval, "qdrant");
    for _ in 0..5 {
        docs.time(tokio::time::sleep(Duration::from_millis(300))).await;
    }
    watch.flush();
    let slow = async {
        docs.time(tokio::time::sleep(Duration::from_millis(7_900))).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<(), RunError>(())
    };
    let error = watch.run("support", Duration::from_secs(10), slow).await.unwrap_err();
    assert_eq!(error.to_string(), "10 s exceeded: 7.9 s in retrieval/qdrant (wait), normally 0.3 s");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_by_the_deadline_of_another_is_a_timeout() {
    let watch = watch();
    let inner = || {
        watch.run("inner", Duration::from_secs(1), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok::<(), RunError>(())
        })
    };
    watch.run("plain", Duration::from_secs(10), inner()).await.unwrap_err();
    let boxed = async { Ok::<(), Box<dyn std::error::Error + Send + Sync>>(inner().await?) };
    watch.run("boxed", Duration::from_secs(10), boxed).await.unwrap_err();
    let report = watch.report();
    for name in ["plain", "boxed"] {
        let run = report.runs.iter().find(|run| run.name == name).unwrap();
        assert_eq!(run.outcome, Outcome::Timeout, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn nested_runs_may_end_in_any_order() {
    let watch = watch();
    let hop = watch.hop(Kind::Tool, "lookup");
    let run = |name: &'static str, millis| {
        let (scope, hop) = (watch.scope(name), hop.operation(name));
        Context::current().carry(async move { scope.run(hop.time(tokio::time::sleep(Duration::from_millis(millis)))).await })
    };
    let late = watch.scope("outer").run(async {
        let (first, second, late) = (run("first", 30), run("second", 10), tokio::spawn(run("late", 50)));
        let (first, second) = tokio::join!(first, second);
        first.unwrap();
        second.unwrap();
        Some(late)
    });
    let late = late.await.unwrap().unwrap();
    late.await.unwrap().unwrap();
    let report = watch.report();
    let hops = |name: &str| report.runs.iter().find(|run| run.name == name).map(|run| run.hops.len());
    assert_eq!([hops("first"), hops("second"), hops("late"), hops("outer")], [Some(1), Some(1), Some(1), Some(3)]);
    assert_eq!((report.losses.started, report.losses.recorded, report.losses.open), (3, 3, 0));
}

#[tokio::test]
async fn a_closure_of_the_user_s_that_panics_ends_its_call_once() {
    let watch = watch();
    let hop = watch.hop(Kind::Tool, "lookup");
    let judged = tokio::spawn({
        let hop = hop.clone();
        async move { hop.classify(std::future::ready(()), |()| -> Ending { panic!("the user's own") }).await }
    });
    assert!(judged.await.unwrap_err().is_panic());
    let blocking = hop.clone();
    let worked = std::thread::spawn(move || blocking.time_blocking(|| -> () { panic!("the user's own") }));
    worked.join().unwrap_err();
    assert_eq!(watch.report().dependencies[0].outcomes, [(Outcome::Error, 2)].into());
    assert_eq!((watch.losses().started, watch.losses().recorded), (2, 2));
    // The handle goes on as before.
    assert_eq!(hop.time(async { 7 }).await, 7);
    assert_eq!(watch.report().dependencies[0].calls, 3);
}

#[cfg(feature = "prometheus")]
#[test]
fn a_burst_is_counted_whoever_takes_it_out_of_the_logs() {
    let watch = Hopwatch::builder().own_metrics().build().unwrap();
    let hop = watch.hop(Kind::Tool, "lookup");
    for nth in 0..60_000 {
        let mut open = hop.start();
        if nth % 7 == 0 {
            open.phase(Phase::Stream);
        }
        open.end(Ending::ok());
    }
    let report = watch.report();
    let losses = watch.losses();
    assert_eq!(report.dependencies[0].calls, losses.recorded);
    assert_eq!(losses.recorded + losses.dropped.values().sum::<u64>(), 60_000);
    let counted = format!("hopwatch_hop_duration_seconds_count{{kind=\"tool\",dependency=\"lookup\"}} {}", losses.recorded);
    assert!(watch.metrics().unwrap().lines().any(|line| line == counted), "{counted}");
}
