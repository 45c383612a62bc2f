//! A start-up by named phases, counted from the start of the process; and a client that is made again in every request.

use hopwatch::{Hopwatch, Kind};
use std::time::Duration;
use tokio::time::sleep;

/// Makes a client, wherever it is called.
async fn client(watch: &Hopwatch) -> &'static str {
    watch.startup_phase("search client").time(sleep(Duration::from_millis(10))).await;
    "client"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let watch = Hopwatch::builder().build()?;
    let startup = watch.startup();
    let objects = watch.hop(Kind::Http, "s3");

    startup.phase("config").try_time_blocking(|| "8".parse::<u32>())?;
    // Phases nest, run side by side, and hops in them are theirs.
    let index = startup.phase("index load");
    let index = index.time(objects.time(sleep(Duration::from_millis(40))));
    let tools = tokio::spawn({
        let phase = startup.phase("tools");
        async move { phase.time(sleep(Duration::from_millis(20))).await }
    });
    let ((), made) = tokio::join!(index, client(&watch));
    tools.await?;
    // Counted from the start of the process, not of `main`.
    let took = startup.ready();
    println!("ready after {took:?} with a {made}");
    assert!(took >= Duration::from_millis(40));

    for _ in 0..3 {
        let answer = watch.run("support", Duration::from_secs(1), async {
            client(&watch).await;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>("answer")
        });
        assert_eq!(answer.await?, "answer");
    }

    let report = watch.report();
    let run = report.runs.iter().find(|run| run.name == "startup").ok_or("the start-up is a run")?;
    println!("{}: {} ms, {:?}", run.name, run.duration_ms, run.blame);
    assert_eq!(run.hops[0].dependency, "s3");
    let finding = &report.findings[0];
    println!("{}\n{}", finding.sentence, finding.remedy);
    assert!(finding.sentence.contains("search client"));
    Ok(())
}
