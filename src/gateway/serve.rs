//! One request: where it goes, and its way there and back.

use super::Shared;
use super::connect::{ConnectError, Origin, Protocols, Scheme};
use super::download::{Carried, Download, Recorded, Relay, unavailable};
use super::downstream::Downstream;
use super::failure::{self, Failure};
use super::headers::{self, Head};
use super::intercept::{Brought, Inside};
use super::options::{InForce, Settings, UpstreamFailure};
use super::record::{Answered, Asked, Exchange};
use super::route::{self, Destination, Found};
use super::through::{Handover, Switch, Tunnel, Upgrade};
use super::upload::Upload;
use super::upstream::{Carrier, Lease, Opening, Slot, Unanswered};
use crate::hops::{Judged, peer_failed};
use crate::model::{ConnectionState, Nanos, Outcome, error_type, grpc};
use crate::wire::headers::{ContentType, Message, RequestFields, ResponseFields};
use crate::wire::http1::ResponseContent;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The client's connection, or the stream of HTTP/2 that it asked in, is closed without an answer.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Why the stream is reset.
    reason: Option<h2::Error>,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream failed before an answer")
    }
}

impl Error for Closed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_ref().map(|error| error as _)
    }
}

/// What a client gets.
type Answer = Result<Response<Download>, Closed>;

/// Serves one request of a client, which came `inside` of TLS that is ended here, or not. What becomes of its connection, if another
/// protocol is to be spoken on it, is left in `handover`; `None` = it can become nothing else.
///
/// # Errors
/// The upstream failed before an answer, and the client's connection is to be closed for it.
///
/// # Cancel safety
/// Dropped midway, its client has left: so it is recorded, and what was done for it is undone.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    downstream: Arc<Downstream>,
    inside: Option<Arc<Inside>>,
    handover: Option<&Handover>,
    request: Request<Incoming>,
) -> Answer {
    let (came, heard, client) = downstream.asks();
    let settings = shared.settings();
    if !settings.admits(downstream.peer.ip()) {
        let why = "programs of other machines are not served here; `gateway.allow` names networks that are";
        return Ok(refuse(&downstream, StatusCode::FORBIDDEN, why));
    }
    let head = Head::of_request(request.headers());
    if let Some((status, why)) = head.ambiguous(request.headers()) {
        let mut refused = refuse(&downstream, status, why);
        // Where the next request begins is in doubt too.
        refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Ok(refused);
    }
    let found = match &inside {
        None => route::find(&settings, &request, |host, port| shared.own.is(host, port)),
        Some(inside) => route::inside(&inside.destination, &request),
    };
    match found {
        Found::Upstream { destination, target, host } => {
            let brought = inside.and_then(|inside| inside.take());
            let way = Way { destination, target, host, brought };
            relay(&shared, &settings, downstream, Heard { came, heard, client, head }, way, handover, request).await
        }
        Found::Tunnel(origin) => tunnel(&shared, &settings, downstream, came, origin, handover).await,
        Found::Refused(status, why) => Ok(refuse(&downstream, status, why)),
    }
}

/// Leads a client on that asked for it (RFC 9110, 9.3.6).
async fn tunnel(
    shared: &Arc<Shared>,
    settings: &InForce,
    downstream: Arc<Downstream>,
    start: Nanos,
    origin: Origin,
    handover: Option<&Handover>,
) -> Answer {
    let Some(handover) = handover else {
        return Ok(refuse(&downstream, StatusCode::NOT_IMPLEMENTED, "tunnels are led by HTTP/1.1"));
    };
    // What is asked inside of it counts.
    downstream.uncalled();
    match Tunnel::open(shared, settings, &downstream, Arc::new(Destination::of(origin)), start).await {
        Ok(tunnel) => {
            handover.put(Switch::Tunnel(Box::new(tunnel)));
            Ok(Response::new(Download::Text(None)))
        }
        Err(error) => {
            downstream.served(downstream.anchor.now());
            Failing { settings, is_grpc: false }.answer(&error.to_string(), None)
        }
    }
}

/// An answer of the gateway's own.
fn refuse(downstream: &Downstream, status: StatusCode, why: &str) -> Response<Download> {
    downstream.served(downstream.anchor.now());
    text(status, why)
}

/// The answer to HEAD: by HTTP/2 nobody else leaves out a text of the gateway's own.
pub(crate) fn bodiless(mut answer: Response<Download>) -> Response<Download> {
    if let Download::Text(text) = answer.body_mut() {
        *text = None;
    }
    answer
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
    /// The connection that was opened for it before.
    brought: Option<Box<Brought>>,
}

/// How a request came.
#[derive(Debug)]
struct Heard {
    /// Its first byte came, and the last of its head.
    came: Nanos,
    heard: Nanos,
    client: ConnectionState,
    head: Head<RequestFields>,
}

async fn relay(
    shared: &Shared,
    settings: &InForce,
    downstream: Arc<Downstream>,
    Heard { came, heard, client, head }: Heard,
    Way { destination, target, host, mut brought }: Way,
    handover: Option<&Handover>,
    request: Request<Incoming>,
) -> Answer {
    let (mut parts, body) = request.into_parts();
    let upstream = shared.pool.upstream(&destination.origin, settings.limits.max_upstream_connections);
    // What is known of it is kept there.
    let destination = if destination.is_plain() { Arc::clone(&upstream.destination) } else { destination };
    let is_grpc = is_grpc(&head.fields.message, &parts.headers);
    let protocols = protocols(&destination, parts.version, is_grpc);
    let failing = Failing { settings, is_grpc: is_grpc && parts.version == Version::HTTP_2 };
    // Only HTTP/1.1 has it (RFC 9110, 7.8), so that both sides have to speak it.
    let is_h1 = parts.version == Version::HTTP_11 && protocols == Protocols::H1;
    let handover = handover.filter(|_| is_h1 && head.upgrades(&parts.headers));
    head.for_upstream(&mut parts.headers, handover.is_some());
    if parts.version == Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
    }
    // A client of HTTP/2 names the authority instead, one of HTTP/1.0 may name none.
    let named = || parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let own = || HeaderValue::from_str(&destination.origin.to_string()).ok();
    let missing = || (!head.has_host()).then(|| named().or_else(own)).flatten();
    if let Some(host) = host.or_else(missing) {
        parts.headers.insert(header::HOST, host);
    }
    let asked = Asked {
        id: shared.recorder.id(),
        downstream,
        client,
        destination: Arc::clone(&destination),
        start: brought.as_ref().map_or(came, |brought| brought.start_of(came)),
        came,
        heard,
        method: parts.method.clone(),
        target: target.clone(),
        fields: head.fields,
    };
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
    let opening = Opening { connector: &settings.connector, max_head: settings.limits.max_header_size };
    let (mut is_second, mut failed) = (false, None);
    loop {
        let taking = shared.pool.take(&upstream, protocols, opening, &exchange, (brought.take(), failed));
        let carrier = request.body_mut().ahead(taking).await;
        let sent = match carrier {
            Ok(Carrier::H1(lease)) => on_h1(lease, request, &exchange).await,
            Ok(Carrier::H2(slot)) => Box::pin(in_stream(slot, request, &exchange)).await,
            Err(error) => return unconnected(failing, &mut recorded, &error),
        };
        let lost = match sent {
            Ok((response, carried)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Ok(switch(response, carried, handover, recorded));
            }
            Ok((response, carried)) => return Ok(answer(response, carried, recorded)),
            Err(lost) => lost,
        };
        let now = exchange.downstream.anchor.now();
        let (judged, code) = failure::unanswered(&lost.error, lost.connection, &exchange, now);
        match lost.again.filter(|_| !is_second) {
            Some(again) => {
                let mut state = exchange.state();
                state.current.error = code.map(Into::into);
                state.try_again(judged, now);
                let used = state.earlier.last().and_then(|tried| tried.connection.as_ref()?.number);
                // A connection of which one stream alone was refused takes it again.
                failed = used.filter(|_| failure::reset(&lost.error).is_none());
                (request, is_second) = (again, true);
            }
            None => return unanswered(failing, &mut recorded, &lost.error, judged, code, now),
        }
    }
}

/// What may be spoken with a destination. A client of HTTP/1.1 gets what it would have got without the gateway.
fn protocols(destination: &Destination, version: Version, is_grpc: bool) -> Protocols {
    match (version, destination.origin.scheme) {
        _ if destination.http2 => Protocols::H2,
        (Version::HTTP_2, Scheme::Https) => Protocols::H1OrH2,
        (Version::HTTP_2, _) if is_grpc => Protocols::H2,
        _ => Protocols::H1,
    }
}

fn is_grpc(message: &Message, headers: &HeaderMap) -> bool {
    message.content_type != ContentType::Absent
        && headers.get(header::CONTENT_TYPE).is_some_and(|kind| grpc::is_grpc(kind.as_bytes()))
}

/// An exchange that lost its connection before an answer.
#[derive(Debug)]
struct Lost {
    /// The request, where it is safe to send it again.
    again: Option<Request<Upload>>,
    error: hyper::Error,
    /// How its connection ended, where the peer said so.
    connection: Option<Failure>,
}

type Sent = Result<(Response<Incoming>, Carried), Lost>;

async fn on_h1(mut lease: Lease, mut request: Request<Upload>, exchange: &Arc<Exchange>) -> Sent {
    let is_reused = lease.state == ConnectionState::Reused;
    origin_form(&mut request);
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
            Err(Lost { again: unsent.or(spare).filter(|_| is_stale), error, connection: None })
        }
    }
}

async fn in_stream(mut slot: Slot, mut request: Request<Upload>, exchange: &Arc<Exchange>) -> Sent {
    let destination = &exchange.destination.origin;
    origin_form(&mut request);
    let spare = request.body().is_empty().then(|| copy(&request, exchange));
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
        Err(mut error) => {
            let (unsent, error) = (error.take_message(), error.into_error());
            let connection = if failure::h2(&error).is_none() { slot.failure_soon().await } else { None };
            let is_stale = slot.state == ConnectionState::Reused && failure::h2(&error).is_none();
            let is_safe =
                |request: &Request<Upload>| failure::is_unprocessed(&error) || (is_stale && request.method().is_idempotent());
            Err(Lost { again: unsent.or(spare.filter(is_safe)), error, connection })
        }
    }
}

/// Writes a request as an origin wants it by HTTP/1.1 (RFC 9112, 3.2.1), however it was to be sent before.
fn origin_form(request: &mut Request<Upload>) {
    *request.version_mut() = Version::HTTP_11;
    let Some(authority) = request.uri().authority() else { return };
    let host = HeaderValue::from_str(authority.as_str());
    let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = target.into();
    if let Ok(host) = host {
        request.headers_mut().entry(header::HOST).or_insert(host);
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
    let head = Head::of_response(&parts.headers);
    if head.is_coded(&parts.headers) {
        let answered = answered(&recorded.exchange, &carried, parts.status, head.fields);
        return unusable(recorded, &answered, "the upstream's answer has a transfer coding that was not asked for");
    }
    head.for_downstream(&mut parts.headers, false);
    let fields = head.fields;
    let is_grpc = is_grpc(&fields.message, &parts.headers);
    let content = ResponseContent::new(&fields.message);
    {
        let mut state = recorded.exchange.state();
        if is_grpc && let Some(status) = parts.headers.get(grpc::STATUS) {
            state.grpc = Some(grpc::status(grpc::code(status.as_bytes())));
        }
        state.response = Some(answered(&recorded.exchange, &carried, parts.status, fields));
    }
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Download::Relay(Box::new(Relay::new(body, carried, content, recorded, is_grpc))))
}

fn answered(exchange: &Exchange, carried: &Carried, status: StatusCode, fields: ResponseFields) -> Answered {
    let at = carried.marks().last_read().unwrap_or_else(|| exchange.downstream.anchor.now());
    Answered { at, status: status.as_u16(), fields }
}

/// The upstream speaks another protocol from here on.
fn switch(response: Response<Incoming>, carried: Carried, handover: Option<&Handover>, recorded: Recorded) -> Response<Download> {
    let (mut parts, _) = response.into_parts();
    let head = Head::of_response(&parts.headers);
    head.for_downstream(&mut parts.headers, true);
    let answered = answered(&recorded.exchange, &carried, parts.status, head.fields);
    let (Some(handover), Carried::H1(lease)) = (handover, carried) else {
        return unusable(recorded, &answered, "the upstream switched protocols, which was not asked for");
    };
    recorded.exchange.state().response = Some(answered);
    if let Some(upgrade) = Upgrade::new(lease, recorded) {
        handover.put(Switch::Upgrade(Box::new(upgrade)));
    }
    Response::from_parts(parts, Download::Text(None))
}

/// The upstream's answer is none that was asked for. Its connection is not used any more.
fn unusable(mut recorded: Recorded, answered: &Answered, why: &str) -> Response<Download> {
    recorded.exchange.state().current.error = Some(error_type::INVALID_RESPONSE.into());
    recorded.judged(peer_failed(Outcome::Error, None), answered.at);
    text(StatusCode::BAD_GATEWAY, why)
}

/// How a client is told that it gets no answer.
#[derive(Clone, Copy, Debug)]
struct Failing<'a> {
    settings: &'a Settings,
    /// It speaks gRPC.
    is_grpc: bool,
}

/// There was no connection.
fn unconnected(failing: Failing<'_>, recorded: &mut Recorded, error: &ConnectError) -> Answer {
    let ConnectError { outcome, failed_by, errno, .. } = *error;
    recorded.exchange.state().current.error = Some(error.error_type.clone());
    let judged = Judged { errno, ..Judged::plain(outcome, Some(failed_by)) };
    recorded.judged(judged, recorded.exchange.downstream.anchor.now());
    // Nobody has seen the request.
    failing.answer(&error.to_string(), Some(h2::Reason::REFUSED_STREAM))
}

/// There was no answer.
fn unanswered(
    failing: Failing<'_>,
    recorded: &mut Recorded,
    error: &hyper::Error,
    judged: Judged,
    code: Option<&'static str>,
    now: Nanos,
) -> Answer {
    let exchange = &recorded.exchange;
    exchange.state().current.error = code.map(Into::into);
    if judged.errno.is_some() && failing.settings.failure == UpstreamFailure::Close {
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
    let reset = failure::reset(error);
    let failing = Failing { is_grpc: failing.is_grpc && reset.is_none(), ..failing };
    failing.answer("the upstream closed the connection before an answer", reset)
}

impl Failing<'_> {
    /// By its protocol's own means where it has some, else as the settings say; a stream of HTTP/2 is reset for this reason.
    fn answer(self, why: &str, reason: Option<h2::Reason>) -> Answer {
        match self.settings.failure {
            _ if self.is_grpc => {
                let mut response = Response::new(Download::Text(None));
                *response.headers_mut() = unavailable(why);
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                Ok(response)
            }
            UpstreamFailure::Close => Err(Closed { reason: reason.map(Into::into) }),
            UpstreamFailure::Answer => Ok(text(StatusCode::BAD_GATEWAY, why)),
        }
    }
}
