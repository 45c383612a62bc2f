//! A gate before a dependency: how long calls wait for a permit, told apart from how long the dependency takes.
//!
//! The permit goes along with the answer to its last item. The second half lets the gate find its limit by itself.

use futures_util::{StreamExt, stream};
use hopwatch::{Gate, Hopwatch, Kind, Phase};
use std::time::Duration;
use tokio::time::sleep;

/// A model that answers word by word, and serves so many calls at once before it slows down.
async fn chat(gate: &Gate) -> usize {
    let permit = gate.acquire().await;
    let words = stream::iter(["so", "it", "goes"]).then(async |word| {
        sleep(Duration::from_millis(5)).await;
        word
    });
    // Held until the last word came, or until whoever reads stops.
    permit.with(Box::pin(words)).count().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let watch = Hopwatch::builder().build()?;
    let model = watch.hop(Kind::Llm, "openai");

    // Two at once; eight want to.
    let gate = watch.gate("openai-slots", 2);
    let calls = (0..8).map(|_| model.time(chat(&gate)));
    let words: usize = futures_util::future::join_all(calls).await.into_iter().sum();
    assert_eq!((words, gate.in_use(), gate.queue()), (24, 0, 0));

    // The same for any future, and a caller that would rather be turned away than wait.
    let gated = model.gated(&gate);
    let hasty = async {
        let _second = gate.acquire().await;
        gate.try_acquire().is_err()
    };
    let ((), turned_away) = tokio::join!(gated.time(sleep(Duration::from_millis(5))), hasty);
    assert!(turned_away, "both permits were out");

    let report = watch.report();
    let phases = &report.dependencies[0].phases;
    println!("at the gate {:?}\nin the model {:?}", phases[&Phase::Gate], phases[&Phase::Wait]);
    assert!(phases[&Phase::Gate].p95_ms > phases[&Phase::Wait].p50_ms, "the last ones waited for three others");

    // Between 1 and 64, wherever latency begins to grow.
    let adaptive = watch.adaptive_gate("search", 1..=64);
    for _ in 0..20 {
        let calls = (0..32).map(|_| adaptive.run(sleep(Duration::from_millis(2))));
        futures_util::future::join_all(calls).await;
    }
    println!("the limit found: {}", adaptive.limit());
    assert!(adaptive.limit() > 1, "nothing queues behind this one");
    Ok(())
}
