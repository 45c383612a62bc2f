//! The `tower` doors for clients, as the shared table of endings sees them, and that they change nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use ::tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use bytes::Bytes;
use futures_util::future::join_all;
use hopwatch::Ending;
use hopwatch::instrument::hop::Hop;
use hopwatch::instrument::tower::Upload;
use hopwatch::model::{FailedBy, Kind, Outcome, Phase};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::endings::{Door, End, Expected, LIMIT, Stage, passes};
use crate::phases::told;

/// A client over a connection of its own for each call: all of hyper's errors, and those of the connect, as one type.
fn connecting() -> impl Service<Request<Full<Bytes>>, Response = Response<Incoming>, Error = BoxError, Future: Send> + Clone {
    ::tower::service_fn(|mut request: Request<Full<Bytes>>| async move {
        let host = request.uri().host().unwrap().to_owned();
        assert!(!host.starts_with("panics"), "the client's own fault");
        let stream = TcpStream::connect((host, request.uri().port_u16().unwrap())).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        *request.uri_mut() = request.uri().path().parse()?;
        Ok(sender.send_request(request).await?)
    })
}

/// hyper-util's pooled client.
fn pooled<B>() -> Client<hyper_util::client::legacy::connect::HttpConnector, B>
where
    B: http_body::Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).header("host", "dependency").body(Full::default()).unwrap()
}

/// What a caller does with an answer on the way to this ending.
async fn read<B, E>(answer: impl Future<Output = Result<Response<B>, E>>, end: End)
where
    B: http_body::Body<Error: std::fmt::Debug> + Unpin,
    E: std::fmt::Debug,
{
    if end == End::DroppedFuture {
        return assert!(tokio::time::timeout(Duration::from_millis(200), answer).await.is_err());
    }
    match (end, answer.await) {
        (End::Ok | End::ClientError | End::ServerError, Ok(response)) => drop(response.collect().await.unwrap()),
        (End::Timeout | End::Connect | End::Reset, Err(_)) => {}
        (End::Body, Ok(response)) => drop(response.collect().await.map(drop).unwrap_err()),
        (End::DroppedBody, Ok(mut response)) => drop(response.frame().await.unwrap().unwrap()),
        (end, Ok(response)) => panic!("{end:?} ended with {}", response.status()),
        (end, Err(error)) => panic!("{end:?} ended with {error:?}"),
    }
}

/// [`Hop::http_layer`] around a client that connects in its call.
struct Http;

impl Door for Http {
    async fn call(&self, hop: &Hop, stage: &Stage, end: End) {
        let limit = if end == End::Timeout { LIMIT } else { Duration::from_secs(60) };
        let client = ServiceBuilder::new().layer(hop.http_layer()).timeout(limit).service(connecting());
        read(client.oneshot(get(&stage.url(end))), end).await;
    }

    fn expected(&self, end: End) -> Option<Expected> {
        Some(match end {
            // Opened in the call itself, where nothing tells it from the wait for an answer.
            End::Connect => Expected { phase: Some(Phase::Wait), ..end.expected() },
            _ => end.expected(),
        })
    }
}

#[tokio::test]
async fn the_http_layer_passes_the_table_of_endings() {
    passes(&Http).await;
}

/// The same around hyper-util's client, whose errors tell where they arose.
struct Pooled;

impl Door for Pooled {
    async fn call(&self, hop: &Hop, stage: &Stage, end: End) {
        let client = ServiceBuilder::new().layer(hop.http_layer()).service(pooled());
        read(client.oneshot(get(&stage.url(end))), end).await;
    }

    fn expected(&self, end: End) -> Option<Expected> {
        // It has no timer, and calls nobody's code.
        (!matches!(end, End::Timeout | End::Panic)).then(|| end.expected())
    }
}

#[tokio::test]
async fn the_http_layer_around_a_pooled_client_passes_the_table_of_endings() {
    passes(&Pooled).await;
}

/// [`Hop::layer`]: the head of the answer ends it, and what it says is the user's to tell.
struct Plain;

impl Door for Plain {
    async fn call(&self, hop: &Hop, stage: &Stage, end: End) {
        let by_status = |result: &Result<Response<Incoming>, BoxError>| match result {
            Ok(response) => Ending::of_status(response.status().as_u16()).error_type("status"),
            Err(error) => hopwatch::instrument::failure::classify_any(error).into(),
        };
        let limit = if end == End::Timeout { LIMIT } else { Duration::from_secs(60) };
        let client = ServiceBuilder::new().layer(hop.layer().classify(by_status)).timeout(limit).service(connecting());
        read(client.oneshot(get(&stage.url(end))), end).await;
    }

    fn expected(&self, end: End) -> Option<Expected> {
        let ok = Expected { phase: Some(Phase::Wait), ..End::Ok.expected() };
        Some(match end {
            End::Ok | End::Body | End::DroppedBody => ok,
            End::Connect => Expected { phase: Some(Phase::Wait), ..end.expected() },
            _ => end.expected(),
        })
    }
}

#[tokio::test]
async fn the_layer_for_any_client_passes_the_table_of_endings() {
    passes(&Plain).await;
}

/// What a caller gets: the head and the body of an answer, or the errors down to their texts.
async fn got<B>(answer: Result<Response<B>, BoxError>) -> Result<(http::response::Parts, Result<Bytes, String>), Vec<String>>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let response = answer.map_err(|error| {
        let first: &(dyn std::error::Error + 'static) = &*error;
        std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>()
    })?;
    let (parts, body) = response.into_parts();
    Ok((parts, body.collect().await.map(|body| body.to_bytes()).map_err(|error| format!("{error:?}"))))
}

#[tokio::test]
async fn caller_and_server_get_the_same_with_and_without_the_layer() {
    for end in [End::Ok, End::ClientError, End::ServerError, End::Timeout, End::Connect, End::Reset, End::Body] {
        let watch = hopwatch::Hopwatch::builder().build().unwrap();
        let stage = Stage::new();
        let url = stage.url(end);
        let client = || ServiceBuilder::new().timeout(LIMIT).service(connecting());
        let hop = watch.hop(Kind::Llm, "dependency");
        let bare = got(client().oneshot(get(&url)).await).await;
        let watched = got(hop.http_layer().layer(client()).oneshot(get(&url)).await).await;
        let of = |got: &Result<(http::response::Parts, Result<Bytes, String>), Vec<String>>| format!("{got:?}");
        assert_eq!(of(&bare), of(&watched), "{end:?}");
        let requests: Vec<_> = stage.server.requests().iter().map(|request| request.bytes.clone()).collect();
        assert!(requests.chunks(2).all(|both| both[0] == both[1]), "{end:?}: the same bytes both ways");
        assert_eq!(stage.server.connections() % 2, 0, "{end:?}: as many connections both ways");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_takes_its_connection_along() {
    for end in [End::DroppedFuture, End::DroppedBody] {
        let watch = hopwatch::Hopwatch::builder().build().unwrap();
        let stage = Stage::new();
        let client = watch.hop(Kind::Llm, "dependency").http_layer().layer(connecting());
        read(client.oneshot(get(&stage.url(end))), end).await;
        let left = tokio::task::spawn_blocking(move || (stage.server.connections(), stage.server.all_left())).await.unwrap();
        assert_eq!(left, (1, true), "{end:?}");
    }
}

/// An HTTP/2 server that takes so many streams at once and answers after 200 ms; it gives `hopwatch`'s header back.
async fn slow_server(streams: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(|request: Request<Incoming>| async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok::<_, Infallible>(Response::new(Full::new(body)))
            });
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(streams);
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

#[tokio::test]
async fn the_wait_for_a_stream_slot_is_told_apart_where_the_body_tells_it() {
    let address = slow_server(1).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let connection = ::tower::service_fn(move |request| sender.clone().send_request(request));
    let (_, told) = told(Kind::Tool, async |hop| {
        let client = ServiceBuilder::new()
            .layer(hop.http_layer())
            .map_request(|request: Request<Full<Bytes>>| request.map(Upload::new))
            .service(connection);
        let ask = || async {
            let request = Request::post(format!("http://{address}/")).body(Full::from("question")).unwrap();
            client.clone().oneshot(request).await.unwrap().collect().await.unwrap()
        };
        // The server's limit is known once the connection stands.
        ask().await;
        join_all([ask(), ask()]).await
    })
    .await;
    let mut pools: Vec<f64> = told[1..].iter().map(|hop| hop.phases.pool.unwrap_or_default()).collect();
    pools.sort_by(f64::total_cmp);
    // The slot of the one was free again once the other had its answer.
    assert!(pools[1] - pools[0] >= 190.0, "{pools:?}: {told:#?}");
    assert!(told.iter().all(|hop| hop.phases.wait.is_some_and(|wait| wait >= 190.0)), "{told:#?}");
    assert!(told.iter().all(|hop| (hop.bytes.sent, hop.bytes.received) == (8, 8)), "{told:#?}");
}

#[tokio::test]
async fn trace_context_goes_out_only_when_asked_for() {
    let headers = ::tower::service_fn(|request: Request<Empty<Bytes>>| async move {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{:?}", request.headers().get("traceparent")))))
    });
    let (sent, told) = told(Kind::Tool, async |hop| {
        let ask = |layer: hopwatch::instrument::tower::HttpHopLayer| async move {
            let body = layer.layer(headers).oneshot(Request::new(Empty::new())).await.unwrap().collect().await.unwrap();
            String::from_utf8(body.to_bytes().to_vec()).unwrap()
        };
        [ask(hop.http_layer()).await, ask(hop.http_layer().propagate()).await]
    })
    .await;
    assert_eq!(sent[0], "None");
    assert!(sent[1].contains(&told[1].id), "{sent:?}");
}

#[tokio::test]
async fn grpc_is_told_by_its_status_in_trailers_or_head() {
    type Answer = Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;
    fn answer(head: Option<&str>, trailers: Option<&str>) -> Answer {
        let trailers = trailers.map(|code| Ok(HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())])));
        let body = Full::<Bytes>::from("message").with_trailers(std::future::ready(trailers)).boxed();
        let mut response = Response::builder().header("content-type", "application/grpc");
        if let Some(code) = head {
            response = response.header("grpc-status", code);
        }
        response.body(if head.is_some() { Empty::new().boxed() } else { body }).unwrap()
    }
    let server = ::tower::service_fn(|request: Request<(Option<&'static str>, Option<&'static str>)>| async move {
        let (head, trailers) = request.into_body();
        Ok::<_, Infallible>(answer(head, trailers))
    });
    let (_, told) = told(Kind::Retrieval, async |hop| {
        for answer in [(None, Some("0")), (None, Some("8")), (Some("5"), None), (None, None)] {
            let response = hop.http_layer().layer(server).oneshot(Request::new(answer)).await.unwrap();
            response.collect().await.unwrap();
        }
    })
    .await;
    let found: Vec<_> = told.iter().map(|hop| (hop.outcome.unwrap(), hop.error_type.as_deref(), hop.status)).collect();
    assert_eq!(
        found,
        [
            (Outcome::Ok, None, Some(200)),
            (Outcome::RateLimited, Some("RESOURCE_EXHAUSTED"), Some(200)),
            (Outcome::ClientError, Some("NOT_FOUND"), Some(200)),
            (Outcome::Body, Some("grpc_status_missing"), Some(200)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_nobody_knows_is_a_timeout_where_the_callers_own_header_says_so() {
    #[derive(Debug, thiserror::Error)]
    #[error("some client's own")]
    struct Own;
    let server = ::tower::service_fn(|request: Request<u64>| async move {
        tokio::time::sleep(Duration::from_millis(request.into_body())).await;
        Err::<Response<Full<Bytes>>, _>(Own)
    });
    let (_, told) = told(Kind::Retrieval, async |hop| {
        for millis in [10, 250] {
            let request = Request::builder().header("grpc-timeout", "250m").body(millis).unwrap();
            hop.http_layer().layer(server).oneshot(request).await.unwrap_err();
        }
    })
    .await;
    assert_eq!([told[0].outcome, told[1].outcome], [Some(Outcome::Error), Some(Outcome::Timeout)]);
    assert_eq!(told[1].failed_by, Some(FailedBy::Caller));
}

#[tokio::test]
async fn a_shed_request_is_shed_and_a_head_keeps_what_it_asks_for() {
    let limited = ::tower::service_fn(|_: Request<()>| async {
        let response = Response::builder().status(429).header("retry-after", "3");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let shed = ::tower::service_fn(|_: Request<()>| async {
        Err::<Response<Full<Bytes>>, BoxError>(::tower::load_shed::error::Overloaded::new().into())
    });
    let (_, told) = told(Kind::Llm, async |hop| {
        let request = || Request::get("http://user:secret@llm.test:8080/v1/chat?key=secret").body(()).unwrap();
        hop.http_layer().layer(limited).oneshot(request()).await.unwrap();
        hop.http_layer().layer(shed).oneshot(request()).await.unwrap_err();
    })
    .await;
    assert_eq!((told[0].outcome, told[0].attempts[0].retry_after_ms), (Some(Outcome::RateLimited), Some(3_000.0)));
    assert_eq!(told[0].address.as_deref(), Some("llm.test:8080"));
    assert!(!format!("{told:?}").contains("secret"));
    assert_eq!((told[1].outcome, told[1].failed_by), (Some(Outcome::Shed), Some(FailedBy::Caller)));
}
