//! The extension: a request sent under a hop, timed to the last byte of its answer.

use super::exchange::{CALL, Exchange};
use super::upload;
use super::watcher::AnswerWatcher;
use crate::instrument::answer::{self, Answer, Said};
use crate::instrument::body::WatchedBody;
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::instrument::hop::{Hop, OpenHop};
use crate::instrument::propagate;
use crate::model::{FailedBy, Kind, Name, Outcome, Phase};
use hyper_util::client::legacy::connect::HttpInfo;
use pin_project_lite::pin_project;
use reqwest::{Body, Client, Request, RequestBuilder, Response, ResponseBuilderExt, Url};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

impl Hop {
    /// Sends a request and times the call to the last byte of its answer: `pool`, `dns`, `connect`, `tls`, `send`, `wait`,
    /// `first_token`, `stream`; connection new or reused; status, model and tokens. It ends with the body: at its end, at an
    /// error, or when the response is dropped.
    ///
    /// Works with any client; `dns`, `connect` and `tls` are told apart for clients built with [`watch`](super::watch). The
    /// response is reqwest's own, with URL, addresses, extensions and length as they were, and an error of sending is passed on
    /// untouched. An error of a body is told inside two more `reqwest::Error`s of the kind "body".
    ///
    /// A response that is dropped before anything of its body was read is no failure, except for a stream of events; one that is
    /// dropped half-read is `cancelled`. Dropped before the answer, the call is `cancelled` in the phase it was in; `timeout`
    /// when its run's deadline passed.
    ///
    /// # Cancel safety
    /// That of [`RequestBuilder::send`]; nothing is sent, and no timeout begins, before the first poll.
    ///
    /// # Cost
    /// About 2 microseconds a call. Of questions to models, 32 KiB at most are read for the model's name; of their answers, the events
    /// of a stream and 24 KiB of anything else.
    pub fn send(&self, request: RequestBuilder) -> Sending {
        let (client, request) = request.build_split();
        Sending::new(self.clone(), client, request)
    }

    /// Executes a request that was built already; otherwise, cancel safety and cost included, as [`send`](Self::send).
    pub fn execute(&self, client: &Client, request: Request) -> Sending {
        Sending::new(self.clone(), client.clone(), Ok(request))
    }
}

/// A call that is sent when this is polled. Made by [`Hop::send`].
#[must_use = "futures do nothing unless polled"]
pub struct Sending(Stage);

enum Stage {
    Planned(Option<Box<Plan>>),
    Running(Pin<Box<dyn Future<Output = reqwest::Result<Response>> + Send>>),
}

struct Plan {
    call: Prepared,
    client: Client,
    request: reqwest::Result<Request>,
    propagates: bool,
}

impl Sending {
    fn new(hop: Hop, client: Client, mut request: reqwest::Result<Request>) -> Self {
        let mut call = Prepared::new(hop);
        if let Ok(request) = &mut request {
            call.read(request);
        }
        Self(Stage::Planned(Some(Box::new(Plan { call, client, request, propagates: false }))))
    }

    /// Sends W3C trace context and baggage along (see [`propagate`]), the call being the parent of what the server does. Headers
    /// of that name that are there already stay.
    pub fn propagate(mut self) -> Self {
        if let Stage::Planned(Some(plan)) = &mut self.0 {
            plan.propagates = true;
        }
        self
    }
}

impl Plan {
    fn run(self) -> Pin<Box<dyn Future<Output = reqwest::Result<Response>> + Send>> {
        let Self { call, client, request, propagates } = self;
        match request {
            Ok(mut request) => Box::pin(call.time(move || {
                if propagates {
                    propagate::inject(request.headers_mut());
                }
                client.execute(request)
            })),
            // Never sent: the call fails as it begins.
            Err(error) => Box::pin(call.time(move || std::future::ready(Err(error)))),
        }
    }
}

impl Future for Sending {
    type Output = reqwest::Result<Response>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Stage::Running(call) => return call.as_mut().poll(cx),
                Stage::Planned(plan) => match plan.take() {
                    Some(plan) => self.0 = Stage::Running(plan.run()),
                    // Taken and not put back: it panicked on the way.
                    None => return Poll::Pending,
                },
            }
        }
    }
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

/// A call that is about to begin.
pub(super) struct Prepared {
    hop: Hop,
    said: Said,
    address: Option<Name>,
    sent: u64,
    upload: Option<upload::Slot>,
}

impl Prepared {
    pub(super) fn new(hop: Hop) -> Self {
        Self { hop, said: Said::default(), address: None, sent: 0, upload: None }
    }

    /// Notes what the request says. A streamed body is wrapped; one in memory is left alone, since the client could not send a
    /// wrapped one again after a redirect or a refused stream.
    pub(super) fn read(&mut self, request: &mut Request) {
        self.address = host_and_port(request.url());
        if let Some(body) = request.body_mut() {
            match body.as_bytes() {
                Some(bytes) => {
                    self.sent = bytes.len() as u64;
                    self.said = answer::asked(self.hop.kind(), bytes);
                }
                None => {
                    let slot = upload::Slot::default();
                    let inner = std::mem::take(body);
                    *body = upload::wrap(inner, Arc::clone(&slot));
                    self.upload = Some(slot);
                }
            }
        }
    }

    /// Times the call that `start` makes, once this is polled. It is made as part of the call, whose context is the current one.
    pub(super) fn time<S, F, E>(self, start: S) -> Timed<S, F>
    where
        S: FnOnce() -> F,
        F: Future<Output = Result<Response, E>>,
    {
        Timed { future: None, state: State::Idle(Some((self, start))) }
    }

    fn begin(self) -> Open {
        let clock = self.hop.recorder.clock();
        let exchange = Arc::new(Exchange::new(clock));
        exchange.asks(self.address, self.said, self.sent);
        if let Some(slot) = self.upload {
            // Only one call is made of a request.
            let _ = slot.set(Arc::clone(&exchange));
        }
        let mut open = self.hop.start_at(Phase::Wait, exchange.start());
        open.live(Arc::clone(&exchange) as _);
        Open { open: Some(open), exchange, kind: self.hop.kind() }
    }
}

/// `host:port` of a URL; never its path, query or credentials.
fn host_and_port(url: &Url) -> Option<Name> {
    let host = url.host_str()?;
    Some(url.port_or_known_default().map_or_else(|| host.into(), |port| format!("{host}:{port}").into()))
}

/// A call that is open. Dropped, it ends as its hop does.
#[derive(Debug)]
pub(super) struct Open {
    open: Option<OpenHop>,
    pub(super) exchange: Arc<Exchange>,
    kind: Kind,
}

impl Open {
    /// Does a piece of the call's work.
    pub(super) fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        match &mut self.open {
            Some(open) => open.poll_in(work),
            None => work(),
        }
    }

    /// Ends it; only the first time counts.
    pub(super) fn end(&mut self, ending: Ending) {
        if let Some(mut open) = self.open.take() {
            self.exchange.released();
            let timed_out = ending.outcome == Outcome::Timeout && ending.failed_by == Some(FailedBy::Caller);
            if timed_out {
                self.exchange.times_out();
            }
            open.finish_live(ending);
        }
    }

    /// Whether it has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How it ends when it is dropped now.
    pub(super) fn dropped(&self) -> Option<Ending> {
        self.open.as_ref().map(OpenHop::dropped)
    }

    fn failed<E: 'static>(&mut self, error: &E) {
        if let Some(info) = failure::find::<hyper_util::client::legacy::Error, _>(error).and_then(info_of_error) {
            self.exchange.served_by((info.local_addr(), info.remote_addr()));
        }
        let failure = failure::classify_any(error);
        let phase = failure.phase;
        self.exchange.fails(phase);
        self.end(Ending::from(failure));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(ending) = self.dropped() {
            self.end(ending);
        }
    }
}

fn info_of_error(error: &hyper_util::client::legacy::Error) -> Option<HttpInfo> {
    let mut extensions = http::Extensions::new();
    error.connect_info()?.get_extras(&mut extensions);
    extensions.remove()
}

enum State<S> {
    Idle(Option<(Prepared, S)>),
    Open(Open),
    Done,
}

pin_project! {
    /// A call up to its answer's head.
    #[must_use = "futures do nothing unless polled"]
    pub(super) struct Timed<S, F> {
        // Dropped before the state, so that what it holds ends first.
        #[pin]
        future: Option<F>,
        state: State<S>,
    }
}

impl<S, F, E> Future for Timed<S, F>
where
    S: FnOnce() -> F,
    F: Future<Output = Result<Response, E>>,
    E: 'static,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let State::Idle(prepared) = this.state
            && let Some((prepared, start)) = prepared.take()
        {
            let mut open = prepared.begin();
            let exchange = Arc::clone(&open.exchange);
            this.future.set(Some(CALL.sync_scope(exchange, || open.poll_in(start))));
            *this.state = State::Open(open);
        }
        // There from the first poll on.
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        // Polled again after its output, the future itself answers for it.
        let State::Open(open) = this.state else { return future.poll(cx) };
        let exchange = Arc::clone(&open.exchange);
        let result = ready!(CALL.sync_scope(exchange, || open.poll_in(|| future.poll(cx))));
        let State::Open(mut open) = std::mem::replace(this.state, State::Done) else { return Poll::Ready(result) };
        Poll::Ready(match result {
            Ok(response) => Ok(answered(response, open)),
            Err(error) => {
                open.failed(&error);
                Err(error)
            }
        })
    }
}

/// The response with its body watched to the end.
fn answered(response: Response, mut open: Open) -> Response {
    if let Some(info) = response.extensions().get::<HttpInfo>() {
        open.exchange.served_by((info.local_addr(), info.remote_addr()));
    }
    let status = response.status().as_u16();
    open.exchange.head(status, response.headers());
    if response.content_length() == Some(0) {
        // No body: there is nothing to wait for, and the response stays as it is.
        open.end(of_status(status));
        return response;
    }
    let answer = Answer::new(open.kind, response.headers());
    let url = response.url().clone();
    let (mut parts, body) = http::Response::<Body>::from(response).into_parts();
    // The URL lives in an extension that is private to reqwest; a builder makes one.
    if let Ok(carrier) = http::Response::builder().url(url).body(()) {
        parts.extensions.extend(carrier.into_parts().0.extensions);
    }
    let body = WatchedBody::new(body, AnswerWatcher::new(open, answer, status));
    http::Response::from_parts(parts, Body::wrap(body)).into()
}

/// The ending of a complete answer. OpenTelemetry's `error.type` of an error status is the status.
pub(super) fn of_status(status: u16) -> Ending {
    let ending = Ending::of_status(status);
    if ending.is_ok() { ending } else { ending.error_type(status.to_string()) }
}
