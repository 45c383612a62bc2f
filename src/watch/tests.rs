use super::*;
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
