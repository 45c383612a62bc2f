//! HTTP/2, where one connection serves many calls: who opened it, who waited for it, for a slot on it, and how it refuses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::server::SendResponse;
use hopwatch::export::report::HopReport;
use hopwatch::instrument::reqwest::{watch, watch_with};
use hopwatch::model::{ConnectionState, FailedBy, Kind, Outcome};
use reqwest::{Body, Client};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clients::builder;
use crate::phases::{Slow, told};

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_millis(200);

/// A server that does as the path says. Ends with the test's runtime, or when dropped.
struct Peer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    async fn start(streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let refused = Arc::new(AtomicBool::new(false));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let settings = h2::server::Builder::new().max_concurrent_streams(streams).handshake::<_, Bytes>(stream);
                let refused = Arc::clone(&refused);
                // Errors here are clients that left.
                let Ok(mut connection) = settings.await else { continue };
                tokio::spawn(async move {
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        match request.uri().path() {
                            "/calm-down" => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
                            path => {
                                let again = path == "/refuse-once" && refused.swap(true, Ordering::SeqCst);
                                let path = if again { "/" } else { path }.to_owned();
                                tokio::spawn(async move {
                                    answer(&path, respond).await;
                                    // What was sent with the request is let in, that its sender can end.
                                    let mut body = request.into_body();
                                    while let Some(Ok(data)) = body.data().await {
                                        let _ = body.flow_control().release_capacity(data.len());
                                    }
                                });
                            }
                        }
                    }
                });
            }
        });
        Self { address, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn named(&self, path: &str) -> String {
        format!("http://docs.test:{}{path}", self.address.port())
    }
}

async fn answer(path: &str, mut respond: SendResponse<Bytes>) {
    let head = || http::Response::builder().status(200).body(()).unwrap();
    match path {
        "/refuse" | "/refuse-once" => respond.send_reset(Reason::REFUSED_STREAM),
        "/enhance" => respond.send_reset(Reason::ENHANCE_YOUR_CALM),
        "/cancel" => respond.send_reset(Reason::CANCEL),
        "/breaks" => {
            let mut stream = respond.send_response(head(), false).unwrap();
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "/trailers" => {
            let mut stream = respond.send_response(head(), false).unwrap();
            stream.send_data(Bytes::from_static(b"whole"), false).unwrap();
            stream.send_trailers(http::HeaderMap::from_iter([("x-end".parse().unwrap(), "yes".parse().unwrap())])).unwrap();
        }
        _ => {
            if path == "/slow" {
                tokio::time::sleep(SLOW).await;
            }
            // The client may have left.
            if let Ok(mut stream) = respond.send_response(head(), false) {
                let _ = stream.send_data(Bytes::from_static(b"fine"), true);
            }
        }
    }
}

fn client() -> Client {
    watch(builder().http2_prior_knowledge()).build().unwrap()
}

fn connections(told: &[HopReport], state: ConnectionState) -> Vec<&HopReport> {
    told.iter().filter(|hop| hop.client.connection == Some(state)).collect()
}

#[tokio::test]
async fn of_calls_that_start_together_one_connects_and_the_others_wait_for_it() {
    let peer = Peer::start(100).await;
    let delay = Duration::from_millis(200);
    let client = watch_with(builder().http2_prior_knowledge(), Slow(Some(delay))).build().unwrap();
    let (_, told) = told(Kind::Tool, async |hop| {
        join_all((0..4).map(|_| async { hop.send(client.get(peer.named("/"))).await.unwrap().bytes().await.unwrap() })).await
    })
    .await;
    let (new, reused) = (connections(&told, ConnectionState::New), connections(&told, ConnectionState::Reused));
    assert_eq!((new.len(), reused.len()), (1, 3), "{told:#?}");
    assert!(new[0].phases.dns.is_some_and(|dns| dns >= 200.0), "{new:#?}");
    for hop in reused {
        assert!(hop.phases.pool.is_some_and(|pool| pool >= 100.0), "{hop:#?}");
        assert_eq!((hop.phases.dns, hop.phases.connect), (None, None), "{hop:#?}");
    }
}

#[tokio::test]
async fn the_wait_for_a_stream_slot_is_told_apart_for_streamed_bodies() {
    let peer = Peer::start(1).await;
    let client = client();
    let (_, told) = told(Kind::Tool, async |hop| {
        // The server's limit is known once the connection stands.
        hop.send(client.get(peer.url("/"))).await.unwrap().bytes().await.unwrap();
        join_all((0..2).map(|_| async {
            let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("streamed")]);
            let request = client.post(peer.url("/slow")).body(Body::wrap_stream(chunks));
            hop.send(request).await.unwrap().bytes().await.unwrap()
        }))
        .await
    })
    .await;
    let mut pools: Vec<f64> = told[1..].iter().map(|hop| hop.phases.pool.unwrap_or_default()).collect();
    pools.sort_by(f64::total_cmp);
    // One went at once, the other when the first was done.
    assert!(pools[0] < 150.0 && pools[1] >= 150.0, "{pools:?}: {told:#?}");
}

#[tokio::test]
async fn streams_that_are_refused_or_broken_are_told_by_their_reason() {
    let peer = Peer::start(100).await;
    let (_, told) = told(Kind::Tool, async |hop| {
        for path in ["/refuse", "/enhance", "/cancel", "/calm-down", "/breaks"] {
            let client = client();
            match hop.send(client.get(peer.url(path))).await {
                Ok(response) => drop(response.bytes().await.unwrap_err()),
                Err(error) => assert!(error.is_request(), "{error:?}"),
            }
        }
    })
    .await;
    let found: Vec<_> = told.iter().map(|hop| (hop.outcome.unwrap(), hop.error_type.as_deref().unwrap())).collect();
    let expected = [
        (Outcome::Shed, "refused_stream"),
        (Outcome::RateLimited, "enhance_your_calm"),
        (Outcome::Reset, "stream_reset"),
        // The stream had been taken in before the connection went away: the client only tells that it broke.
        (Outcome::Reset, "connection_closed"),
        (Outcome::Reset, "stream_reset"),
    ];
    assert_eq!(found, expected);
    assert!(told.iter().all(|hop| hop.failed_by == Some(FailedBy::Peer)));
    assert_eq!(told[4].status, Some(200));
}

#[tokio::test]
async fn a_stream_that_is_refused_once_is_sent_again_by_the_client_as_it_is_without_us() {
    for watched in [false, true] {
        let peer = Peer::start(100).await;
        let client = client();
        let request = client.post(peer.url("/refuse-once")).body("question");
        let (status, _) = told(Kind::Tool, async |hop| {
            let response = if watched { hop.send(request).await } else { hop.time(request.send()).await };
            response.unwrap().status()
        })
        .await;
        assert_eq!(status, 200);
    }
}

#[tokio::test]
async fn trailers_pass_and_end_the_call() {
    let peer = Peer::start(100).await;
    let client = client();
    let (trailers, told) = told(Kind::Tool, async |hop| {
        let response: http::Response<Body> = hop.send(client.get(peer.url("/trailers"))).await.unwrap().into();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        body.trailers().cloned()
    })
    .await;
    assert_eq!(trailers.unwrap()["x-end"], "yes");
    assert_eq!((told[0].outcome, told[0].bytes.received), (Some(Outcome::Ok), 5));
}
