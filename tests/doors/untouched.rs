//! The observer changes nothing: what a caller gets and what a server sees are the same with and without it, under each ending.

use std::error::Error;

use hopwatch::instrument::hop::Hop;
use hopwatch::instrument::reqwest::{ConnectorLayer, HopMiddleware, watch, watch_with};
use hopwatch::model::Kind;
use hopwatch::watch::Hopwatch;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Body, Client, ClientBuilder, RequestBuilder, Response};
use serde_json::json;

use crate::clients::builder;
use crate::endings::{End, LIMIT, Stage};
use crate::support::peers::Unanswered;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};

/// What a caller gets of one call.
#[derive(Debug, PartialEq)]
enum Got {
    Answer {
        status: u16,
        version: reqwest::Version,
        headers: reqwest::header::HeaderMap,
        url: String,
        remote: Option<std::net::SocketAddr>,
        length: Option<u64>,
        extensions: usize,
        body: Result<Vec<u8>, Failed>,
    },
    NoAnswer(Failed),
}

/// An error by all that can be asked of it.
#[derive(Debug, PartialEq)]
struct Failed {
    /// `is_builder`, `is_redirect`, `is_status`, `is_timeout`, `is_request`, `is_connect`, `is_dns`, `is_body`, `is_decode`.
    is: [bool; 9],
    status: Option<u16>,
    url: Option<String>,
    text: String,
    /// The texts of its sources.
    sources: Vec<String>,
}

fn failed(error: &reqwest::Error) -> Failed {
    let mut sources = Vec::new();
    let mut next = error.source();
    while let Some(source) = next {
        sources.push(source.to_string());
        next = source.source();
    }
    // A body that was wrapped tells its errors inside more errors of the client's own kind "body".
    sources.retain(|text| text != "request or response body error");
    Failed {
        is: [
            error.is_builder(),
            error.is_redirect(),
            error.is_status(),
            error.is_timeout(),
            error.is_request(),
            error.is_connect(),
            error.is_dns(),
            error.is_body(),
            error.is_decode(),
        ],
        status: error.status().map(|status| status.as_u16()),
        url: error.url().map(ToString::to_string),
        text: error.to_string(),
        sources,
    }
}

async fn got(result: reqwest::Result<Response>) -> Got {
    let response = match result {
        Ok(response) => response,
        Err(error) => return Got::NoAnswer(failed(&error)),
    };
    Got::Answer {
        status: response.status().as_u16(),
        version: response.version(),
        headers: response.headers().clone(),
        url: response.url().to_string(),
        remote: response.remote_addr(),
        length: response.content_length(),
        extensions: response.extensions().len(),
        body: response.bytes().await.map(|bytes| bytes.to_vec()).map_err(|error| failed(&error)),
    }
}

fn a_hop() -> (Hopwatch, Hop) {
    let watch = Hopwatch::builder().build().unwrap();
    let hop = watch.hop(Kind::Llm, "dependency");
    (watch, hop)
}

/// Makes the calls bare and through the door, and compares everything.
async fn same(settings: impl Fn() -> ClientBuilder, server: &Server, calls: &[&dyn Fn(&Client) -> RequestBuilder]) -> Vec<Got> {
    let (_watch, hop) = a_hop();
    let bare = settings().build().unwrap();
    let watched = watch(settings()).build().unwrap();
    let (before, began) = (sent(server).len(), server.connections());
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for call in calls {
        without.push(got(call(&bare).send().await).await);
    }
    let (between, connections) = (sent(server).len(), server.connections());
    for call in calls {
        with.push(got(hop.send(call(&watched)).await).await);
    }
    assert_eq!(without, with);
    let all = sent(server);
    let (alone, both) = (&all[before..between], &all[between..]);
    assert_eq!(alone, both, "the same bytes both ways");
    assert_eq!(server.connections() - connections, connections - began, "as many connections both ways");
    with
}

fn sent(server: &Server) -> Vec<String> {
    server.requests().iter().map(|request| String::from_utf8_lossy(&request.bytes).into_owned()).collect()
}

#[tokio::test]
async fn each_ending_gives_the_caller_and_the_server_the_same() {
    for end in [End::Ok, End::ClientError, End::ServerError, End::Timeout, End::Reset, End::Body, End::DroppedBody] {
        // A server for each, so that the connections are those of this ending.
        let stage = Stage::new();
        let url = stage.url(end);
        let settings = || if matches!(end, End::Timeout | End::DroppedBody) { builder().timeout(LIMIT) } else { builder() };
        same(settings, &stage.server, &[&|client| client.get(&url)]).await;
    }
}

#[tokio::test]
async fn what_fails_before_a_server_sees_it_fails_the_same() {
    let server = Router::new().start();
    let unanswered = Unanswered::new();
    let refused = Stage::new().url(End::Connect);
    let unanswered = format!("http://{}/", unanswered.address());
    // Refused ports differ, so that both are asked at the same one.
    same(builder, &server, &[&|client| client.get(&refused)]).await;
    same(|| builder().timeout(LIMIT), &server, &[&|client| client.get(&unanswered)]).await;
    same(builder, &server, &[&|client| client.get("http://hopwatch.invalid/")]).await;
    same(builder, &server, &[&|client| client.get("no url"), &|client| client.get("ftp://127.0.0.1/")]).await;
}

#[tokio::test]
async fn a_connect_timeout_can_be_asked_the_same() {
    let unanswered = Unanswered::new();
    let url = format!("http://{}/", unanswered.address());
    let (_watch, hop) = a_hop();
    let limited = || builder().connect_timeout(LIMIT);
    let bare = got_error(limited().build().unwrap().get(&url).send().await);
    let watched = got_error(hop.send(watch(limited()).build().unwrap().get(&url)).await);
    // Two timers of the client run out at once, and whichever is looked at first is the source.
    assert_eq!((bare.is, bare.text), (watched.is, watched.text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_takes_its_connection_along_as_without_us() {
    for (end, watched) in
        [(End::DroppedFuture, false), (End::DroppedFuture, true), (End::DroppedBody, false), (End::DroppedBody, true)]
    {
        let stage = Stage::new();
        let (_watch, hop) = a_hop();
        let client = watch(builder()).build().unwrap();
        let request = client.get(stage.url(end));
        let call: std::pin::Pin<Box<dyn Future<Output = reqwest::Result<Response>> + Send>> =
            if watched { Box::pin(hop.send(request)) } else { Box::pin(request.send()) };
        if end == End::DroppedFuture {
            tokio::time::timeout(std::time::Duration::from_millis(200), call).await.unwrap_err();
        } else {
            call.await.unwrap().chunk().await.unwrap().unwrap();
        }
        let left = tokio::task::spawn_blocking(move || (stage.server.connections(), stage.server.all_left())).await.unwrap();
        assert_eq!(left, (1, true), "{end:?}, watched: {watched}");
        drop(client);
    }
}

#[tokio::test]
async fn bodies_without_length_and_without_bytes_are_the_same() {
    let chunked = || Script::event_stream().event("one").event("two").end();
    let server = Router::new()
        .route("/chunked", move |_| chunked())
        .route("/until-close", |_| {
            Script::new().then(Step::Bytes(b"HTTP/1.1 200 Fine\r\nconnection: close\r\n\r\nall".to_vec())).then(Step::Close)
        })
        .route("/nothing", |_| Script::new().then(Step::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())))
        .route("/empty", |_| Script::new().then(Step::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec())))
        .route("/head", |_| Script::new().then(Step::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec())))
        .start();
    for path in ["/chunked", "/until-close", "/nothing", "/empty"] {
        same(builder, &server, &[&|client| client.get(server.url(path))]).await;
    }
    same(builder, &server, &[&|client| client.head(server.url("/head"))]).await;
}

#[tokio::test]
async fn a_redirect_that_keeps_the_body_sends_it_again() {
    let server = Router::new()
        .route("/moved", |_| {
            Script::new().then(Step::Bytes(b"HTTP/1.1 307 Moved\r\nlocation: /here\r\ncontent-length: 0\r\n\r\n".to_vec()))
        })
        .route("/here", |request| Script::json(&request.json()))
        .start();
    let body = json!({"question": "again?"});
    let got = same(builder, &server, &[&|client| client.post(server.url("/moved")).json(&body)]).await;
    let Got::Answer { body: answer, url, .. } = &got[0] else { panic!("{got:?}") };
    assert_eq!(answer.as_deref(), Ok(body.to_string().as_bytes()));
    assert_eq!(*url, server.url("/here"));
}

#[tokio::test]
async fn a_streamed_request_body_and_its_failure_are_the_same() {
    let server = Router::new().route("/", |_| Script::json(&json!({}))).start();
    let good = || Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("one"), Ok("two")]));
    let bad = || Body::wrap_stream(futures_util::stream::iter([Ok("one"), Err(std::io::Error::other("disk"))]));
    let with_length = || Body::wrap(http_body_util::Full::new(bytes::Bytes::from_static(b"whole")));
    same(builder, &server, &[&|client| client.post(server.url("/")).body(good())]).await;
    same(builder, &server, &[&|client| client.post(server.url("/")).body(with_length())]).await;
    let got = same(builder, &server, &[&|client| client.post("http://127.0.0.1:1/").body(good())]).await;
    assert!(matches!(&got[0], Got::NoAnswer(failed) if failed.is[5]));
    let (_watch, hop) = a_hop();
    let client = builder().build().unwrap();
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let without = got_error(client.post(&url).body(bad()).send().await);
    let with = got_error(hop.send(client.post(&url).body(bad())).await);
    assert_eq!(without, with);
}

fn got_error(result: reqwest::Result<Response>) -> Failed {
    failed(&result.unwrap_err())
}

/// Gives an address after an odd error, so that what it gave can be told from what came out.
struct Own;

#[derive(Debug, thiserror::Error)]
#[error("nobody knows `{0}`")]
struct NobodyKnows(String);

impl Resolve for Own {
    fn resolve(&self, name: Name) -> Resolving {
        let known = name.as_str() == "known.test";
        let error = NobodyKnows(name.as_str().to_owned());
        Box::pin(async move {
            if known {
                Ok(Box::new(std::iter::once(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))) as Addrs)
            } else {
                Err(error.into())
            }
        })
    }
}

#[tokio::test]
async fn a_resolver_of_the_users_own_is_asked_and_its_error_comes_out() {
    let server = Router::new().route("/", |_| Script::json(&json!({}))).start();
    let (_watch, hop) = a_hop();
    let client = watch_with(builder(), Own).build().unwrap();
    let known = format!("http://known.test:{}/", server.port());
    assert_eq!(hop.send(client.get(known)).await.unwrap().status(), 200);
    let error = hop.send(client.get("http://unknown.test/")).await.unwrap_err();
    let mut next: Option<&dyn Error> = Some(&error);
    let mut found = false;
    while let Some(source) = next {
        found |= source.is::<NobodyKnows>();
        next = source.source();
    }
    assert!(found && error.is_dns(), "{error:?}");
}

#[tokio::test]
async fn the_layer_alone_and_the_middleware_change_nothing_either() {
    let stage = Stage::new();
    let (_watch, hop) = a_hop();
    let bare = got(builder().build().unwrap().get(stage.url(End::Ok)).send().await).await;
    let layered = builder().connector_layer(ConnectorLayer).build().unwrap();
    assert_eq!(got(layered.get(stage.url(End::Ok)).send().await).await, bare);
    let client = reqwest_middleware::ClientBuilder::new(layered).with(HopMiddleware::new(hop)).build();
    let reqwest_middleware::Error::Reqwest(error) = client.get(stage.url(End::Reset)).send().await.unwrap_err() else {
        panic!("an error of the client stays one")
    };
    assert!(error.is_request());
    assert_eq!(got(Ok(client.get(stage.url(End::Ok)).send().await.unwrap())).await, bare);
}
