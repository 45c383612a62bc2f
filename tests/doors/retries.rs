//! Calls inside attempts: the `reqwest` door becomes the attempt, whoever retries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use hopwatch::export::report::HopReport;
use hopwatch::instrument::hop::Hop;
use hopwatch::instrument::reqwest::{HopMiddleware, watch};
use hopwatch::model::{ConnectionState, Kind, Outcome, Phase};
use hopwatch::watch::Hopwatch;
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{Jitter, RetryTransientMiddleware};
use serde_json::json;

use crate::clients::{ask, builder, client};
use crate::endings::{Door, End, Stage, names, only_hop, passes, sums};
use crate::support::script::Script;
use crate::support::server::{Router, Server};

/// A call of one attempt ends as the door's own call does.
#[derive(Clone, Copy, Debug)]
enum Way {
    Attempt,
    Over,
    Gated,
}

impl Door for Way {
    async fn call(&self, hop: &Hop, stage: &Stage, end: End) {
        let client = client(end, true);
        let send = hop.send(client.get(stage.url(end)));
        let gate = Hopwatch::builder().build().unwrap().gate("slots", 1);
        let call = hop.attempts();
        match self {
            Self::Attempt => ask(call.attempt(send), end).await,
            Self::Over => call.over(ask(send, end)).await,
            Self::Gated => {
                ask(call.attempt(gate.try_run(send)), end).await;
                assert_eq!(gate.in_use(), 0, "{end:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_attempt_passes_the_table_of_endings() {
    passes(&Way::Attempt).await;
}

#[tokio::test]
async fn a_call_under_a_client_that_retries_passes_the_table_of_endings() {
    passes(&Way::Over).await;
}

#[tokio::test]
async fn a_gated_attempt_passes_the_table_of_endings() {
    passes(&Way::Gated).await;
}

/// Busy twice, then well.
fn busy_twice() -> Server {
    let asked = AtomicUsize::new(0);
    let answer = move |_: &crate::support::request::Request| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Script::answer(429, &[("retry-after", "0.02")], &json!({"error": "busy"})),
        1 => Script::answer(503, &[], &json!({"error": "busy"})),
        _ => Script::json(&json!({"text": "fine"})).after(20),
    };
    Router::new().route("/ok", answer).start()
}

fn told(watch: &Hopwatch) -> HopReport {
    let hop: HopReport = only_hop(watch);
    let outcomes: Vec<_> =
        hop.attempts.iter().map(|attempt| (attempt.number, attempt.outcome.unwrap(), attempt.status)).collect();
    let expected = [(1, Outcome::RateLimited, Some(429)), (2, Outcome::ServerError, Some(503)), (3, Outcome::Ok, Some(200))];
    assert_eq!(outcomes, expected, "{hop:#?}");
    assert_eq!(hop.attempts[0].retry_after_ms, Some(20.0));
    // Who retries without reading the answer to its end may lose the connection with it.
    assert_eq!(hop.attempts[0].connection, Some(ConnectionState::New));
    assert!(hop.attempts.iter().all(|attempt| attempt.connection.is_some()), "{hop:#?}");
    assert_eq!((hop.outcome, hop.status), (Some(Outcome::Ok), Some(200)));
    assert!(hop.phases.wait.unwrap() >= 20.0, "{hop:#?}");
    assert!(names(&hop).contains(&Phase::Connect));
    sums(&hop);
    let losses = watch.losses();
    assert_eq!((losses.started, losses.recorded, losses.open), (1, 1, 0));
    hop
}

#[tokio::test]
async fn a_retry_crate_around_send_makes_one_hop() {
    let server = busy_twice();
    let watched = Hopwatch::builder().service("doors").build().unwrap();
    let hop = watched.hop(Kind::Tool, "dependency");
    let client = watch(builder()).build().unwrap();
    let run = watched.scope("run").run(async {
        let call = hop.attempts();
        let one = || call.attempt(async { hop.send(client.get(server.url("/ok"))).await?.error_for_status()?.text().await });
        let tries = one.retry(ConstantBuilder::default().with_delay(Duration::from_millis(30)));
        call.over(tries.into_future()).await
    });
    assert!(run.await.unwrap().unwrap().contains("fine"));
    let hop = told(&watched);
    assert!(hop.phases.backoff.unwrap() >= 2.0 * 30.0, "{hop:#?}");
}

#[tokio::test]
async fn a_client_that_retries_by_itself_makes_one_hop() {
    let server = busy_twice();
    let watched = Hopwatch::builder().service("doors").build().unwrap();
    let hop = watched.hop(Kind::Tool, "dependency");
    let pause = Duration::from_millis(30);
    let policy = ExponentialBackoff::builder().retry_bounds(pause, pause).jitter(Jitter::None).build_with_max_retries(3);
    let client = reqwest_middleware::ClientBuilder::new(watch(builder()).build().unwrap())
        .with(RetryTransientMiddleware::new_with_policy(policy))
        .with(HopMiddleware::new(hop.clone()))
        .build();
    let run = watched.scope("run").run(async {
        let call = hop.attempts();
        let response = call.over(client.get(server.url("/ok")).send()).await.unwrap();
        drop(call);
        // The answer is read when the call was left.
        response.text().await.unwrap()
    });
    assert!(run.await.unwrap().contains("fine"));
    let hop = told(&watched);
    // `reqwest-retry` keeps the refused answer while it pauses, so that the pause is part of the try.
    assert!(hop.attempts[0].duration_ms >= 30.0, "{hop:#?}");
}
