//! One request: where it goes, and its way there and back.

use super::connect::{ConnectError, Protocols, Scheme};
use super::download::{Carried, Download, Recorded, Relay};
use super::downstream::Downstream;
use super::options::{InForce, Settings, UpstreamFailure};
use super::record::{Answered, Asked, Exchange};
use super::route::{self, Destination, Found};
use super::upload::Upload;
use super::upstream::{Carrier, Lease, Opening, Slot, Unanswered};
use super::{Shared, failure, headers};
use crate::hops::Judged;
use crate::model::{ConnectionState, Nanos, grpc};
use crate::wire::http1::ResponseContent;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header, request};
use hyper::body::Incoming;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The client's connection is closed without an answer.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream failed before an answer")
    }
}

impl Error for Closed {}

/// What a client gets.
type Answer = Result<Response<Download>, Closed>;

/// Serves one request of a client.
///
/// # Errors
/// The upstream failed before an answer, and the client's connection is to be closed for it.
///
/// # Cancel safety
/// Dropped midway, its client has left: so it is recorded, and what was done for it is undone.
pub(crate) async fn serve(shared: Arc<Shared>, downstream: Arc<Downstream>, request: Request<Incoming>) -> Answer {
    let asked = downstream.asks();
    let settings = shared.settings();
    if !settings.admits(downstream.peer.ip()) {
        let why = "programs of other machines are not served here; `gateway.allow` names networks that are";
        return Ok(refuse(&downstream, StatusCode::FORBIDDEN, why));
    }
    if let Some((status, why)) = headers::ambiguous(request.headers()) {
        let mut refused = refuse(&downstream, status, why);
        // Where the next request begins is in doubt too.
        refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Ok(refused);
    }
    match route::find(&settings, &request, |host, port| shared.is_own(host, port)) {
        Found::Upstream { destination, target, host } => {
            let way = Way { destination, target, host };
            relay(&shared, &settings, downstream, asked, way, request).await
        }
        Found::Tunnel(_) => Ok(refuse(&downstream, StatusCode::NOT_IMPLEMENTED, "no tunnels yet")),
        Found::Refused(status, why) => Ok(refuse(&downstream, status, why)),
    }
}

/// An answer of the gateway's own.
fn refuse(downstream: &Downstream, status: StatusCode, why: &str) -> Response<Download> {
    downstream.served(downstream.anchor.now());
    text(status, why)
}

fn text(status: StatusCode, why: &str) -> Response<Download> {
    let mut response = Response::new(Download::Text(Some(Bytes::from(format!("hopwatch: {why}\n")))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Where a request goes.
#[derive(Debug)]
struct Way {
    destination: Arc<Destination>,
    target: PathAndQuery,
    host: Option<HeaderValue>,
}

async fn relay(
    shared: &Shared,
    settings: &InForce,
    downstream: Arc<Downstream>,
    (start, client): (Nanos, ConnectionState),
    Way { destination, target, host }: Way,
    request: Request<Incoming>,
) -> Answer {
    let (mut parts, body) = request.into_parts();
    let upstream = shared.pool.upstream(&destination.origin, settings.limits.max_upstream_connections);
    // What is known of it is kept there.
    let destination = if destination.is_plain() { Arc::clone(&upstream.destination) } else { destination };
    let asked = Asked {
        id: shared.recorder.id(),
        downstream,
        client,
        destination: Arc::clone(&destination),
        start,
        method: parts.method.clone(),
        target: target.clone(),
        fields: headers::request_fields(&parts.headers),
    };
    let protocols = protocols(&destination, &parts);
    let upgrades = headers::upgrades(&parts.headers);
    headers::for_upstream(&mut parts.headers, upgrades);
    // A client of HTTP/2 names the authority instead, one of HTTP/1.0 may name none.
    let named = || parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let own = || HeaderValue::from_str(&destination.origin.to_string()).ok();
    let missing = || (!parts.headers.contains_key(header::HOST)).then(|| named().or_else(own)).flatten();
    if let Some(host) = host.or_else(missing) {
        parts.headers.insert(header::HOST, host);
    }
    parts.uri = target.into();
    parts.version = Version::HTTP_11;
    let mut recorded = Recorded::begin(&shared.recorder, Exchange::new(asked));
    let exchange = Arc::clone(&recorded.exchange);
    if exchange.fields.message.close {
        exchange.downstream.announce_close();
    }
    let mut request = Request::from_parts(parts, Upload::new(Arc::clone(&exchange), body));
    if exchange.fields.expect_continue && !request.body().is_empty() {
        Upload::hold(&mut request);
    }
    let is_own = |address: SocketAddr| shared.is_own_address(address);
    let opening = Opening { connector: &settings.connector, is_own: &is_own, max_head: settings.limits.max_header_size };
    let mut is_second = false;
    loop {
        let carrier = request.body_mut().ahead(shared.pool.take(&upstream, protocols, opening, &exchange, is_second)).await;
        let sent = match carrier {
            Ok(Carrier::H1(lease)) => on_h1(lease, request, &exchange).await,
            Ok(Carrier::H2(slot)) => Box::pin(in_stream(slot, request, &exchange)).await,
            Err(error) => return unconnected(settings, &mut recorded, &error),
        };
        let lost = match sent {
            Ok((response, carried)) => return Ok(answer(response, carried, recorded)),
            Err(lost) => lost,
        };
        let now = exchange.downstream.anchor.now();
        let (judged, code) = failure::unanswered(&lost.error, &exchange, now);
        match lost.again.filter(|_| !is_second) {
            Some(again) => {
                let mut state = exchange.state();
                state.current.error = code.map(Into::into);
                state.try_again(judged, now);
                (request, is_second) = (again, true);
            }
            None => return unanswered(settings, &mut recorded, &lost.error, judged, code, now),
        }
    }
}

/// What may be spoken with a destination. A client of HTTP/1.1 gets what it would have got without the gateway.
fn protocols(destination: &Destination, parts: &request::Parts) -> Protocols {
    let is_grpc = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| grpc::is_grpc(kind.as_bytes()));
    match (parts.version, destination.origin.scheme) {
        _ if destination.http2 => Protocols::H2,
        (Version::HTTP_2, Scheme::Https) => Protocols::H1OrH2,
        (Version::HTTP_2, _) if is_grpc => Protocols::H2,
        _ => Protocols::H1,
    }
}

/// An exchange that lost its connection before an answer.
#[derive(Debug)]
struct Lost {
    /// The request, where it is safe to send it again.
    again: Option<Request<Upload>>,
    error: hyper::Error,
}

type Sent = Result<(Response<Incoming>, Carried), Lost>;

async fn on_h1(mut lease: Lease, mut request: Request<Upload>, exchange: &Arc<Exchange>) -> Sent {
    let is_reused = lease.state == ConnectionState::Reused;
    if let Some(credentials) = lease.h1.absolute_form() {
        let credentials = credentials.cloned();
        absolute(&mut request, exchange, credentials);
    }
    let spare = (is_reused && request.body().is_empty() && request.method().is_idempotent()).then(|| copy(&request, exchange));
    match lease.h1.send(request).await {
        Ok(response) => Ok((response, Carried::H1(lease))),
        Err(Unanswered { unsent, error }) => {
            // The upstream closed a connection that was idle, as it may at any moment (RFC 9112, 9.6).
            let is_stale = is_reused && lease.h1.marks.moved().read.is_none();
            Err(Lost { again: unsent.or(spare).filter(|_| is_stale), error })
        }
    }
}

async fn in_stream(mut slot: Slot, mut request: Request<Upload>, exchange: &Arc<Exchange>) -> Sent {
    let destination = &exchange.destination.origin;
    let scheme = if destination.scheme == Scheme::Https { "https" } else { "http" };
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.and_then(|host| host.to_str().ok().map(str::to_owned)).unwrap_or_else(|| destination.to_string());
    let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    if let Ok(uri) = Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build() {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    slot.marks.wrote(0);
    request.body_mut().mark(Arc::clone(&slot.marks));
    match slot.send.try_send_request(request).await {
        Ok(response) => {
            slot.marks.read(0);
            Ok((response, Carried::H2(slot)))
        }
        Err(mut error) => Err(Lost { again: error.take_message(), error: error.into_error() }),
    }
}

/// Writes a request as a forward proxy wants it (RFC 9112, 3.2.2).
fn absolute(request: &mut Request<Upload>, exchange: &Exchange, credentials: Option<HeaderValue>) {
    let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let authority = exchange.destination.origin.to_string();
    if let Ok(uri) = Uri::builder().scheme("http").authority(authority).path_and_query(target).build() {
        *request.uri_mut() = uri;
    }
    if let Some(credentials) = credentials {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, credentials);
    }
}

/// The same request once more, without a body.
fn copy(request: &Request<Upload>, exchange: &Arc<Exchange>) -> Request<Upload> {
    let mut again = Request::new(Upload::again(Arc::clone(exchange)));
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    again
}

/// The head of an answer is there.
fn answer(response: Response<Incoming>, carried: Carried, recorded: Recorded) -> Response<Download> {
    let (mut parts, body) = response.into_parts();
    let exchange = &recorded.exchange;
    let fields = headers::response_fields(&parts.headers);
    let is_grpc = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| grpc::is_grpc(kind.as_bytes()));
    let content = ResponseContent::new(&fields.message);
    {
        let mut state = exchange.state();
        if is_grpc && let Some(status) = parts.headers.get(grpc::STATUS) {
            state.grpc = Some(grpc::status(grpc::code(status.as_bytes())));
        }
        let at = carried.marks().last_read().unwrap_or_else(|| exchange.downstream.anchor.now());
        state.response = Some(Answered { at, status: parts.status.as_u16(), fields });
    }
    headers::for_downstream(&mut parts.headers, false);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Download::Relay(Box::new(Relay::new(body, carried, content, recorded, is_grpc))))
}

/// There was no connection.
fn unconnected(settings: &Settings, recorded: &mut Recorded, error: &ConnectError) -> Answer {
    let ConnectError { outcome, failed_by, errno, .. } = *error;
    recorded.exchange.state().current.error = Some(error.error_type.clone());
    let judged = Judged { errno, ..Judged::plain(outcome, Some(failed_by)) };
    recorded.judged(judged, recorded.exchange.downstream.anchor.now());
    failed(settings, &error.to_string())
}

/// There was no answer.
fn unanswered(
    settings: &Settings,
    recorded: &mut Recorded,
    error: &hyper::Error,
    judged: Judged,
    code: Option<&'static str>,
    now: Nanos,
) -> Answer {
    let exchange = &recorded.exchange;
    exchange.state().current.error = code.map(Into::into);
    if judged.errno.is_some() && settings.failure == UpstreamFailure::Close {
        exchange.downstream.reset_at_end();
    }
    let client_broke = exchange.state().request_broke;
    recorded.judged(judged, now);
    if client_broke {
        return Ok(text(StatusCode::BAD_REQUEST, "the request's body is no HTTP"));
    }
    if error.is_parse() {
        // Whatever the client would have made of it, it was not its peer that spoke HTTP badly, and it can be told so.
        return Ok(text(StatusCode::BAD_GATEWAY, "the upstream's answer is no HTTP"));
    }
    failed(settings, "the upstream closed the connection before an answer")
}

fn failed(settings: &Settings, why: &str) -> Answer {
    match settings.failure {
        UpstreamFailure::Close => Err(Closed),
        UpstreamFailure::Answer => Ok(text(StatusCode::BAD_GATEWAY, why)),
    }
}
