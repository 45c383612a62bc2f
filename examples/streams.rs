//! A streamed answer: headers, first token, gaps and end are told apart, and so is a consumer that is busy.

use futures_util::{Stream, StreamExt};
use hopwatch::{Hopwatch, Kind, Outcome};
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// As a client of a language model has it: the head after 50 ms, the first token after 150 more, a pause of 100 before the last.
async fn chat() -> Result<impl Stream<Item = Result<&'static str, io::Error>> + Unpin, io::Error> {
    let (send, mut receive) = mpsc::unbounded_channel();
    pause(50).await;
    tokio::spawn(async move {
        for (ms, token) in [(150, "It"), (10, " takes"), (10, " three"), (100, " days.")] {
            pause(ms).await;
            let _ = send.send(Ok(token));
        }
    });
    Ok(futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let watch = Hopwatch::builder().service("example").build()?;
    let llm = watch.hop(Kind::Llm, "openai");

    // One run reads all of it and takes its time over the last token, another has heard enough after the first.
    let whole = watch.scope("whole").run(async {
        let mut answer = llm.stream(chat()).await?.bytes(|token| token.as_ref().map_or(0, |token| token.len()));
        let mut text = String::new();
        while let Some(token) = answer.next().await {
            text += token?;
        }
        Ok::<_, io::Error>(text)
    });
    assert_eq!(whole.await??, "It takes three days.");
    let half = watch.scope("half").run(async { llm.stream(chat()).await?.next().await.transpose() });
    assert_eq!(half.await??, Some("It"));

    let report = watch.report();
    let [whole, half] = [&report.runs[0].hops[0], &report.runs[1].hops[0]];
    println!("{:?} {:?}", whole.phases, half.outcome);
    assert_eq!((whole.outcome, whole.bytes.received, whole.stream), (Some(Outcome::Ok), 20, Some(true)));
    let [wait, first, stream] = [whole.phases.wait, whole.phases.first_token, whole.phases.stream].map(Option::unwrap_or_default);
    assert!(wait >= 50.0 && first >= 15.0 && stream >= 12.0, "{:?}", whole.phases);
    assert_eq!(half.outcome, Some(Outcome::Cancelled));
    Ok(())
}
