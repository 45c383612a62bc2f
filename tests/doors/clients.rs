//! The `reqwest` door, in each of its uses, as the shared table of endings sees it.

use std::time::Duration;

use hopwatch::instrument::hop::Hop;
use hopwatch::instrument::reqwest::{HopMiddleware, watch, watch_with};
use hopwatch::model::{Kind, Outcome, Phase};
use hopwatch::{Context, Hopwatch};
use reqwest::dns::{Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Response};

use crate::endings::{Door, End, Expected, LIMIT, Stage, hops, passes};

/// One look-up after the other panics.
#[derive(Clone, Copy)]
pub(crate) struct Panics;

impl Resolve for Panics {
    fn resolve(&self, _: Name) -> Resolving {
        panic!("the resolver's own fault")
    }
}

/// How the door is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Send,
    Execute,
    Middleware,
    /// A client that somebody else built.
    Foreign,
}

/// A client's settings. reqwest asks for a TLS provider whether it is used or not.
pub(crate) fn builder() -> ClientBuilder {
    // The first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy()
}

pub(crate) fn client(end: End, watched: bool) -> Client {
    let bare = builder();
    let builder = match (end == End::Panic, watched) {
        (true, true) => watch_with(bare, Panics),
        (true, false) => bare.dns_resolver(Panics),
        (false, true) => watch(bare),
        (false, false) => bare,
    };
    if end == End::Timeout { builder.timeout(LIMIT) } else { builder }.build().unwrap()
}

/// What a caller does with an answer on the way to this ending.
async fn read<E: std::fmt::Debug>(response: Result<Response, E>, end: End) {
    match (end, response) {
        (End::Ok | End::ClientError | End::ServerError, Ok(response)) => drop(response.bytes().await.unwrap()),
        (End::Timeout | End::Connect | End::Reset, Err(_)) => {}
        (End::Body, Ok(response)) => drop(response.bytes().await.unwrap_err()),
        (End::DroppedBody, Ok(mut response)) => drop(response.chunk().await.unwrap()),
        (end, response) => panic!("{end:?} ended with {response:?}"),
    }
}

/// Waits for the answer; leaves before it where that is the ending.
pub(crate) async fn ask<E: std::fmt::Debug>(answer: impl Future<Output = Result<Response, E>>, end: End) {
    if end == End::DroppedFuture {
        tokio::time::timeout(Duration::from_millis(200), answer).await.unwrap_err();
    } else {
        read(answer.await, end).await;
    }
}

impl Door for Way {
    async fn call(&self, hop: &Hop, stage: &Stage, end: End) {
        let client = client(end, *self != Self::Foreign);
        let request = client.get(stage.url(end));
        match self {
            Self::Send | Self::Foreign => ask(hop.send(request), end).await,
            Self::Execute => ask(hop.execute(&client, request.build().unwrap()), end).await,
            Self::Middleware => {
                let client = reqwest_middleware::ClientBuilder::new(client).with(HopMiddleware::new(hop.clone())).build();
                ask(client.get(stage.url(end)).send(), end).await;
            }
        }
    }
}

#[tokio::test]
async fn send_passes_the_table_of_endings() {
    passes(&Way::Send).await;
}

#[tokio::test]
async fn execute_passes_the_table_of_endings() {
    passes(&Way::Execute).await;
}

#[tokio::test]
async fn the_middleware_passes_the_table_of_endings() {
    passes(&Way::Middleware).await;
}

#[tokio::test]
async fn a_client_that_somebody_else_built_passes_the_table_of_endings() {
    passes(&Way::Foreign).await;
}

/// A timed future that holds nothing but `send`: connector and resolver tell what they can; the answer's head ends it.
struct UnderTime;

impl Door for UnderTime {
    async fn call(&self, hop: &Hop, stage: &Stage, end: End) {
        let client = client(end, true);
        ask(hop.try_time(client.get(stage.url(end)).send()), end).await;
    }

    fn expected(&self, end: End) -> Option<Expected> {
        let ok = Expected { outcome: Outcome::Ok, failed_by: None, status: None, phase: Some(Phase::Wait) };
        Some(match end {
            End::Ok | End::ClientError | End::ServerError | End::Body | End::DroppedBody => ok,
            // It waited a moment before it connected; the order of the phases is not told.
            End::Connect => Expected { phase: None, ..end.expected() },
            _ => end.expected(),
        })
    }
}

#[tokio::test]
async fn a_timed_send_of_a_watched_client_passes_the_table_of_endings() {
    passes(&UnderTime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_calls_at_once_are_each_told_once_with_their_own_ending() {
    let stage = Stage::new();
    let watch = Hopwatch::builder().build().unwrap();
    let hop = watch.hop(Kind::Tool, "dependency");
    let client = watch.reqwest(builder()).build().unwrap();
    let ends = [End::Ok, End::ClientError, End::DroppedFuture, End::Reset, End::DroppedBody];
    let run = watch.scope("run").run(async {
        let calls = (0..60).map(|number| {
            let end = ends[number % ends.len()];
            let call = hop.send(client.get(stage.url(end)));
            tokio::spawn(Context::current().carry(async move { ask(call, end).await }))
        });
        for call in futures_util::future::join_all(calls).await {
            call.unwrap();
        }
    });
    run.await.unwrap();
    let told = hops(&watch);
    let losses = watch.losses();
    assert_eq!((told.len(), losses.started, losses.recorded, losses.open), (60, 60, 60, 0));
    for end in [End::Ok, End::ClientError, End::Reset] {
        let expected = Some(end.expected().outcome);
        assert_eq!(told.iter().filter(|hop| hop.outcome == expected).count(), 12, "{end:?}");
    }
    assert_eq!(told.iter().filter(|hop| hop.outcome == Some(Outcome::Cancelled)).count(), 24);
}
