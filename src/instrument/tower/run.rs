//! The layer for servers: a run of each request.

use super::answered::Answered;
use super::classify::{ByStatus, Classify};
use super::grpc::{self, grpc_timeout};
use crate::instrument::body::{WatchedBody, Watcher};
use crate::instrument::ending::Ending;
use crate::instrument::propagate::Remote;
use crate::instrument::recorder::Recorder;
use crate::instrument::run::{OpenRun, RunStart};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

type Naming = dyn Fn(&Parts) -> Option<Cow<'static, str>> + Send + Sync;
type Allowing = dyn Fn(&HeaderMap) -> Option<Duration> + Send + Sync;

/// Makes a run of each request to an HTTP server; of gRPC too. Made by [`Hopwatch::run_layer`](crate::Hopwatch::run_layer).
///
/// The run begins with the head of the request, in the trace of the caller if that sent one (`traceparent`), and ends with the body of
/// the answer: at its end, at an error, or when it is dropped. A client that leaves ends it as `cancelled`, or as `timeout` when the
/// deadline passed. Inside another run it is a part of that.
///
/// A deadline is what the run is judged by and what [`Context::remaining`](crate::Context::remaining) counts from. Nothing is cut at
/// it, and no answer changes: that is for a timeout layer, or for [`Hopwatch::run`](crate::Hopwatch::run) in the handler.
#[derive(Clone)]
pub struct RunLayer<C = ByStatus> {
    settings: Arc<Settings>,
    classify: C,
}

#[derive(Clone)]
struct Settings {
    recorder: Arc<Recorder>,
    naming: Option<Arc<Naming>>,
    deadline: Option<Duration>,
    allowing: Option<Arc<Allowing>>,
}

impl RunLayer {
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        let settings = Settings { recorder, naming: None, deadline: None, allowing: None };
        Self { settings: Arc::new(settings), classify: ByStatus::default() }
    }
}

impl<C> RunLayer<C> {
    /// What its runs are called [default: the method, such as `GET`].
    #[must_use]
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.name_by(move |_| Some(name.clone()))
    }

    /// What a run is called, by the head of its request: the template of the route that it matched, never its path, since names are to
    /// be few. `None` is the method.
    #[must_use]
    pub fn name_by<N>(mut self, name: impl Fn(&Parts) -> Option<N> + Send + Sync + 'static) -> Self
    where
        N: Into<Cow<'static, str>>,
    {
        Arc::make_mut(&mut self.settings).naming = Some(Arc::new(move |parts| name(parts).map(Into::into)));
        self
    }

    /// How long a request may take. Where its caller waits less, by `grpc-timeout` of a gRPC request or by
    /// [`deadline_by`](Self::deadline_by), that counts.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        Arc::make_mut(&mut self.settings).deadline = Some(deadline);
        self
    }

    /// How long the caller waits, by the headers of the request.
    #[must_use]
    pub fn deadline_by(mut self, allowed: impl Fn(&HeaderMap) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.settings).allowing = Some(Arc::new(allowed));
        self
    }

    /// You tell how a request ended, by the error or by the head of the answer. One that is not `ok` by its head stays so; one that is
    /// can still fail in its body or, for gRPC, by its trailers.
    pub fn classify<B, E, F>(self, classify: F) -> RunLayer<F>
    where
        F: Fn(&Result<Response<B>, E>) -> Ending + Clone,
    {
        RunLayer { settings: self.settings, classify }
    }
}

impl Settings {
    fn begin(&self, parts: &Parts) -> OpenRun {
        let name = self.naming.as_ref().and_then(|name| name(parts));
        let of_grpc = grpc_timeout(&parts.headers).filter(|_| grpc::is_grpc(&parts.headers));
        let told = self.allowing.as_ref().and_then(|allowed| allowed(&parts.headers));
        let start = RunStart {
            deadline: [self.deadline, of_grpc, told].into_iter().flatten().min(),
            caller: Remote::extract(&parts.headers),
            is_served: true,
            ..RunStart::new(name.as_deref().unwrap_or_else(|| method(&parts.method)))
        };
        OpenRun::begin(&self.recorder, start)
    }
}

/// A method by name; others than the known ones are as many as their senders like.
fn method(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    if known.contains(method) { method.as_str() } else { "HTTP" }
}

impl<S, C: Clone> Layer<S> for RunLayer<C> {
    type Service = RunService<S, C>;

    fn layer(&self, inner: S) -> RunService<S, C> {
        RunService { inner, settings: Arc::clone(&self.settings), classify: self.classify.clone() }
    }
}

/// A server each of whose requests is a run. Made by [`RunLayer`].
///
/// Errors and readiness are those of the service inside; so are answers, but for the type of their body, which is a [`RunBody`].
#[derive(Clone)]
pub struct RunService<S, C = ByStatus> {
    inner: S,
    settings: Arc<Settings>,
    classify: C,
}

super::service!(RunService, RunLayer, RunFuture);

impl<S, C, Q, B> Service<Request<Q>> for RunService<S, C>
where
    S: Service<Request<Q>, Response = Response<B>>,
    C: Classify<Response<B>, S::Error>,
    B: Body,
{
    type Response = Response<RunBody<B>>;
    type Error = S::Error;
    type Future = RunFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let mut open = self.settings.begin(&parts);
        let has_body = parts.method != Method::HEAD;
        let future = open.poll_in(|| self.inner.call(Request::from_parts(parts, body)));
        RunFuture { future, open: Some(open), has_body, classify: self.classify.clone() }
    }
}

pin_project! {
    /// A request up to the head of its answer. Made by [`RunService`].
    ///
    /// Cancel safety: that of the handler inside; dropped, the run is recorded as `cancelled`, or as `timeout` when its deadline passed.
    #[must_use = "futures do nothing unless polled"]
    pub struct RunFuture<F, C> {
        // Dropped before the run, so that its hops end first.
        #[pin]
        future: F,
        open: Option<OpenRun>,
        has_body: bool,
        classify: C,
    }
}

impl<F, C, B, E> Future for RunFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    C: Classify<Response<B>, E>,
    B: Body,
{
    type Output = Result<Response<RunBody<B>>, E>;

    #[expect(clippy::panic, reason = "the contract of `Future`: not to be polled after its output")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(open) = this.open else { panic!("polled after it was done") };
        let result = ready!(open.poll_in(|| this.future.poll(cx)));
        let ending = this.classify.classify(&result);
        match result {
            Ok(response) => {
                let answered = Answered::new(ending, &response);
                let mut watcher = RunWatcher { open: this.open.take(), answered };
                if !*this.has_body || response.body().is_end_stream() {
                    watcher.ended();
                }
                Poll::Ready(Ok(response.map(|body| RunBody { inner: WatchedBody::new(body, watcher) })))
            }
            Err(error) => {
                open.finish(ending);
                *this.open = None;
                Poll::Ready(Err(error))
            }
        }
    }
}

super::body! {
    /// The body of an answer, with which its run ends. Made by [`RunService`].
    ///
    /// Frames, trailers, errors, size and end are those of the body inside, whose work belongs to the run.
    RunBody(RunWatcher)
}

/// Watches the body of an answer that is sent. Dropped with it.
#[derive(Debug)]
struct RunWatcher {
    open: Option<OpenRun>,
    answered: Answered,
}

impl RunWatcher {
    fn end(&mut self, ending: Ending) {
        if let Some(mut open) = self.open.take() {
            open.finish(ending);
        }
    }
}

impl Watcher for RunWatcher {
    fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        match &mut self.open {
            Some(open) => open.poll_in(work),
            None => work(),
        }
    }

    fn data(&mut self, _start: &[u8], _length: usize) {}

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.answered.trailers(trailers);
    }

    fn ended(&mut self) {
        self.end(self.answered.complete());
    }

    fn failed<E: 'static>(&mut self, error: &E) {
        self.end(self.answered.failed(error));
    }
}

impl Drop for RunWatcher {
    /// The client left before the end of its answer.
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            self.end(self.answered.left(open.dropped(), false));
        }
    }
}
