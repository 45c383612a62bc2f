//! A run with a deadline: the error names what ate it, and budgets are handed down.

use hopwatch::{Context, Hopwatch, Kind, RunError};
use std::time::Duration;
use tokio::time::sleep;

type Error = Box<dyn std::error::Error + Send + Sync>;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let watch = Hopwatch::builder().build()?;
    let docs = watch.hop(Kind::Retrieval, "qdrant");
    let model = watch.hop(Kind::Llm, "openai");

    let result = watch.run("support", MS(300), async {
        docs.time(sleep(MS(240))).await;
        // What is left for the rest, to be told to others: a timeout, a header.
        let left = Context::current().remaining().ok_or("no deadline")?;
        assert!(left <= MS(60));
        // Cut here, although it would take another second.
        model.time(sleep(MS(1_000))).await;
        Ok::<_, Error>("answer")
    });
    let error = result.await.err().ok_or("cut")?;
    let late = error.downcast_ref::<RunError>().ok_or("a deadline")?;
    println!("{late}");
    assert!(late.is_deadline() && late.to_string().contains("qdrant"), "not the model, in which it ended");
    let report = late.report().ok_or("the report of this run")?;
    assert_eq!(report.runs[0].hops.len(), 2);

    // A run inside another has its own deadline, and never more than is left around it.
    let outer = watch.run("agent", MS(500), async {
        let step = watch.run("step", MS(20), async {
            docs.time(sleep(MS(1_000))).await;
            Ok::<_, Error>(())
        });
        assert!(step.await.is_err(), "the step is late, and the agent goes on");
        let spawned = tokio::spawn(Context::current().carry(async { Context::current().remaining() }));
        assert!(spawned.await?.is_some_and(|left| left < MS(500)), "a task keeps its run when asked");
        Ok::<_, Error>("without the step")
    });
    assert_eq!(outer.await?, "without the step");
    Ok(())
}
