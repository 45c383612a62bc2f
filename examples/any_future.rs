//! Any future and any closure can be a hop; a run gives them a deadline, and its error names the one that ate it.

use hopwatch::{Ending, Hopwatch, Kind, Outcome, RunError};
use std::error::Error;
use std::time::Duration;

async fn search(question: &str) -> Vec<String> {
    tokio::time::sleep(Duration::from_millis(400)).await;
    vec![format!("what is known of {question}")]
}

async fn answer(_hits: &[String]) -> Result<String, std::io::Error> {
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok("42".into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let watch = Hopwatch::builder().service("example").build()?;
    let docs = watch.hop(Kind::Retrieval, "qdrant");
    let llm = watch.hop(Kind::Llm, "openai");
    let policy = watch.hop(Kind::Tool, "lookup_policy");

    let result: Result<String, Box<dyn Error>> = watch
        .run("support", Duration::from_millis(500), async {
            // Whatever it gives is `ok`.
            let hits = docs.time(search("refunds")).await;
            // You say how it ended.
            let found = policy.classify(async { None::<u32> }, |found| match found {
                Some(_) => Ending::ok(),
                None => Ending::of(Outcome::ClientError).error_type("not_found"),
            });
            assert_eq!(found.await, None);
            // Blocking work: on a thread for it, in the run that spawned it.
            let (here, index) = (hopwatch::Context::current(), docs.operation("load"));
            let load = move || here.within(|| index.time_blocking(|| std::thread::sleep(Duration::from_millis(20))));
            tokio::task::spawn_blocking(load).await?;
            // An `Err` is classified by its sources.
            Ok(llm.try_time(answer(&hits)).await?)
        })
        .await;

    let Err(error) = result else { return Err("half a second is enough".into()) };
    println!("{error}");
    let late = error.downcast_ref::<RunError>().ok_or("some other error")?;
    let verdict = late.verdict().ok_or("no verdict")?;
    assert_eq!(verdict.component.dependency.as_deref(), Some("qdrant"));

    let report = watch.report();
    let hops: Vec<_> = report.runs[0].hops.iter().map(|hop| (hop.dependency.as_str(), hop.outcome)).collect();
    assert_eq!(hops[0], ("qdrant", Some(Outcome::Ok)));
    assert_eq!(hops[1], ("lookup_policy", Some(Outcome::ClientError)));
    assert_eq!(hops[2], ("qdrant", Some(Outcome::Ok)));
    assert_eq!(hops[3], ("openai", Some(Outcome::Timeout)));
    Ok(())
}
