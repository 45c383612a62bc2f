//! Retries with `backon`: one hop, whose attempts and waits between them are told apart.

use backon::{ExponentialBuilder, Retryable};
use hopwatch::{Ending, Hopwatch, Kind, Outcome};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// A model that is busy twice.
async fn chat(calls: &AtomicU32) -> Result<&'static str, u16> {
    sleep(Duration::from_millis(10)).await;
    if calls.fetch_add(1, Ordering::Relaxed) < 2 { Err(429) } else { Ok("answer") }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let watch = Hopwatch::builder().build()?;
    let model = watch.hop(Kind::Llm, "openai");
    let calls = AtomicU32::new(0);

    let answer = watch
        .scope("support")
        .run(async {
            let call = model.attempts();
            let told =
                |result: &Result<_, u16>| result.as_ref().err().map_or_else(Ending::ok, |&status| Ending::of_status(status));
            let tries =
                (|| call.classify(chat(&calls), told)).retry(ExponentialBuilder::new().with_min_delay(Duration::from_millis(20)));
            // The call ends with this; dropped in the middle of a wait, it is cancelled in `backoff`.
            call.over(tries.into_future()).await
        })
        .await?;
    assert_eq!(answer, Ok("answer"));

    let report = watch.report();
    let [hop] = &report.runs[0].hops[..] else { return Err("one hop".into()) };
    for attempt in &hop.attempts {
        println!("{}: {:?} {:?} ms", attempt.number, attempt.outcome, attempt.duration_ms);
    }
    let outcomes: Vec<_> = hop.attempts.iter().filter_map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::RateLimited, Outcome::RateLimited, Outcome::Ok]);
    assert_eq!(hop.outcome, Some(Outcome::Ok));
    println!("waiting for the next try: {:?} ms", hop.phases.backoff);
    assert!(hop.phases.backoff.is_some_and(|ms| ms >= 40.0), "20 ms, then 40");
    Ok(())
}
