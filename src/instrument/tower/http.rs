//! The layer for HTTP clients: to the last byte of the answer.

use super::answered::Answered;
use super::classify::{BySource, ByStatus, Classify};
use super::grpc::grpc_timeout;
use super::ready::Readiness;
use crate::instrument::answer::Answer;
use crate::instrument::body::{WatchedBody, Watcher};
use crate::instrument::ending::Ending;
use crate::instrument::hop::{Hop, OpenHop};
use crate::instrument::propagate;
use crate::instrument::retry_after::retry_after;
use crate::model::{FailedBy, Kind, Name, Nanos, Outcome, Phase};
use http::{Request, Response, Uri};
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

impl Hop {
    /// A layer that times each call of an HTTP client to the last byte of its answer; gRPC too.
    #[must_use]
    pub fn http_layer(&self) -> HttpHopLayer {
        HttpHopLayer { hop: self.clone(), classify: ByStatus::default(), propagates: false }
    }
}

/// Times each call of an HTTP client to the last byte of its answer. Made by [`Hop::http_layer`].
#[derive(Clone)]
pub struct HttpHopLayer<C = ByStatus> {
    hop: Hop,
    classify: C,
    propagates: bool,
}

impl<C> HttpHopLayer<C> {
    /// You tell how a call ended, by its error or by the head of its answer. One that is not `ok` by its head stays so; one that is can
    /// still fail in its body or, for gRPC, by its trailers.
    pub fn classify<B, E, F>(self, classify: F) -> HttpHopLayer<F>
    where
        F: Fn(&Result<Response<B>, E>) -> Ending + Clone,
    {
        HttpHopLayer { hop: self.hop, classify, propagates: self.propagates }
    }

    /// Errors are told by their sources, whatever their own type: for clients whose errors wrap others, as those of `tonic` do.
    #[must_use]
    pub fn by_source(self) -> HttpHopLayer<ByStatus<BySource>> {
        HttpHopLayer { hop: self.hop, classify: ByStatus(BySource), propagates: self.propagates }
    }

    /// Adds `traceparent`, `tracestate` and `baggage` to requests that have none, naming this hop as their parent [default: requests go
    /// out as they are].
    #[must_use]
    pub fn propagate(mut self) -> Self {
        self.propagates = true;
        self
    }
}

impl<S, C: Clone> Layer<S> for HttpHopLayer<C> {
    type Service = HttpHopService<S, C>;

    fn layer(&self, inner: S) -> HttpHopService<S, C> {
        let readiness = Readiness::default();
        HttpHopService { inner, hop: self.hop.clone(), classify: self.classify.clone(), propagates: self.propagates, readiness }
    }
}

/// An HTTP client whose calls are timed. Made by [`HttpHopLayer`].
///
/// Errors and readiness are those of the client inside; so are answers, but for the type of their body, which is a [`HopBody`].
pub struct HttpHopService<S, C = ByStatus> {
    inner: S,
    hop: Hop,
    classify: C,
    propagates: bool,
    readiness: Readiness,
}

impl<S: Clone, C: Clone> Clone for HttpHopService<S, C> {
    fn clone(&self) -> Self {
        let (hop, classify, readiness) = (self.hop.clone(), self.classify.clone(), Readiness::default());
        Self { inner: self.inner.clone(), hop, classify, propagates: self.propagates, readiness }
    }
}

super::service!(HttpHopService, HttpHopLayer, HttpHopFuture);

impl<S, C, Q, B> Service<Request<Q>> for HttpHopService<S, C>
where
    S: Service<Request<Q>, Response = Response<B>>,
    C: Classify<Response<B>, S::Error>,
    B: Body,
{
    type Response = Response<HopBody<B>>;
    type Error = S::Error;
    type Future = HttpHopFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let Self { inner, hop, classify, readiness, .. } = self;
        readiness.poll(hop, classify, || inner.poll_ready(cx))
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let mut open = self.readiness.call(&self.hop);
        let budget = grpc_timeout(request.headers());
        let until = budget.and_then(|budget| Some(open.now()?.saturating_add(crate::model::clock::nanos(budget))));
        asks(&mut open, &request);
        let future = open.poll_in(|| {
            if self.propagates {
                propagate::inject(request.headers_mut());
            }
            self.inner.call(request)
        });
        let exchange = Some(Exchange { open, kind: self.hop.kind(), until });
        HttpHopFuture { future, exchange, classify: self.classify.clone() }
    }
}

/// What the head of a request says of whom it asks and how much it sends; never its path or query.
fn asks<Q>(open: &mut OpenHop, request: &Request<Q>) {
    let address = address(request.uri());
    let length = request.headers().get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if address.is_some() || length.is_some() {
        open.edit(|call| {
            call.address = address;
            call.bytes.sent = length.unwrap_or(0);
        });
    }
}

/// `host:port` of a URI that has a host.
fn address(uri: &Uri) -> Option<Name> {
    let host = uri.host()?;
    let by_scheme = || match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    Some(uri.port_u16().or_else(by_scheme).map_or_else(|| host.into(), |port| format!("{host}:{port}").into()))
}

/// A call that was made.
#[derive(Debug)]
struct Exchange {
    open: OpenHop,
    kind: Kind,
    /// When the caller of a gRPC request stops waiting, by its own header.
    until: Option<Nanos>,
}

impl Exchange {
    fn failed(mut self, ending: Ending, phase: Option<Phase>) {
        if let Some(phase) = phase {
            self.open.context().was(phase);
        }
        // A client's own timer gives an error of a type that only its crate knows; the header says when it runs out.
        let unknown = ending.outcome == Outcome::Error;
        let ran_out = self.open.now().zip(self.until).is_some_and(|(now, until)| now >= until);
        self.open.finish(
            if unknown && ran_out { Ending::of(Outcome::Timeout).by(FailedBy::Caller).error_type("timeout") } else { ending },
            None,
        );
    }

    /// The head of an answer is there.
    fn answered<B: Body>(mut self, response: Response<B>, head: Ending) -> Response<HopBody<B>> {
        self.open.phase(Phase::FirstToken);
        let (status, now) = (response.status().as_u16(), self.open.now().unwrap_or_default());
        let asked = retry_after(response.headers(), now);
        self.open.edit(|call| {
            call.status = Some(status);
            if let Some(attempt) = call.attempts.last_mut() {
                attempt.retry_after = asked;
            }
        });
        let answer = Answer::new(self.kind, response.headers());
        let answered = Answered::new(head, &response);
        let mut watcher =
            HopWatcher { open: Some(self.open), answer, answered, received: 0, has_content: false, is_wanted: false };
        if response.body().is_end_stream() {
            watcher.ended();
        }
        response.map(|body| HopBody { inner: WatchedBody::new(body, watcher) })
    }
}

pin_project! {
    /// A call up to the head of its answer. Made by [`HttpHopService`].
    ///
    /// Cancel safety: that of the call inside; dropped, it is recorded as `cancelled`, or as `timeout` when the deadline of its run
    /// passed.
    #[must_use = "futures do nothing unless polled"]
    pub struct HttpHopFuture<F, C> {
        // Dropped before the hop, so that what it holds ends first.
        #[pin]
        future: F,
        exchange: Option<Exchange>,
        classify: C,
    }
}

impl<F, C, B, E> Future for HttpHopFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    C: Classify<Response<B>, E>,
    B: Body,
{
    type Output = Result<Response<HopBody<B>>, E>;

    #[expect(clippy::panic, reason = "the contract of `Future`: not to be polled after its output")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(exchange) = this.exchange else { panic!("polled after it was done") };
        let result = ready!(exchange.open.poll_in(|| this.future.poll(cx)));
        let (ending, failed_in) = (this.classify.classify(&result), this.classify.failed_in(&result));
        let Some(exchange) = this.exchange.take() else { panic!("polled after it was done") };
        Poll::Ready(match result {
            Ok(response) => Ok(exchange.answered(response, ending)),
            Err(error) => {
                exchange.failed(ending, failed_in);
                Err(error)
            }
        })
    }
}

super::body! {
    /// The body of an answer, timed to its end. Made by [`HttpHopService`].
    ///
    /// Frames, trailers, errors, size and end are those of the body inside. The call ends with it: at its end, at an error, or when it is
    /// dropped, which is `cancelled` if something of it was read, or a stream of events, or gRPC.
    HopBody(HopWatcher)
}

/// Watches the body of an answer. Dropped with it.
#[derive(Debug)]
struct HopWatcher {
    open: Option<OpenHop>,
    answer: Answer,
    answered: Answered,
    received: u64,
    has_content: bool,
    /// Somebody asked for the body.
    is_wanted: bool,
}

impl HopWatcher {
    fn end(&mut self, ending: Ending, complete: bool) {
        let Some(mut open) = self.open.take() else { return };
        let said = self.answer.finish(complete);
        open.edit(|call| {
            call.bytes.received = self.received;
            call.model = said.model;
            call.stream = said.stream;
            call.tokens = said.tokens;
        });
        open.finish(ending, None);
    }
}

impl Watcher for HopWatcher {
    fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.is_wanted = true;
        match &mut self.open {
            Some(open) => open.poll_in(work),
            None => work(),
        }
    }

    fn data(&mut self, start: &[u8], length: usize) {
        self.received = self.received.saturating_add(length as u64);
        if let Some(open) = &mut self.open
            && self.answer.data(start, length)
            && !self.has_content
        {
            self.has_content = true;
            open.phase(Phase::Stream);
        }
    }

    fn trailers(&mut self, trailers: &http::HeaderMap) {
        self.answered.trailers(trailers);
    }

    fn ended(&mut self) {
        self.end(self.answered.complete(), true);
    }

    fn failed<E: 'static>(&mut self, error: &E) {
        self.end(self.answered.failed(error), false);
    }
}

impl Drop for HopWatcher {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            let enough = self.answer.is_done() || (!self.is_wanted && !self.answer.is_stream());
            self.end(self.answered.left(open.dropped(), enough), false);
        }
    }
}
