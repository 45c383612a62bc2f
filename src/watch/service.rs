//! The report as a `tower` service, to be mounted anywhere or served alone.

use super::Hopwatch;
use crate::export::report::{self, Style};
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;
use tower_service::Service;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Hopwatch {
    /// The report as a service: `GET /api/report` (JSON; text where `Accept` asks for `text/plain`), `GET /api/open` (the calls that
    /// are open) and `GET /` (text; JSON where asked for). With axum: `router.nest_service("/hopwatch", watch.service())`.
    ///
    /// It holds a clone of the handle. Nothing in it is secret, but names of dependencies are told to whoever can ask.
    #[must_use]
    pub fn service(&self) -> ReportService {
        ReportService { watch: self.clone() }
    }
}

/// Answers with the report. Made by [`Hopwatch::service`].
///
/// Always ready. An answer costs what [`Hopwatch::report`] does, off the caller's thread where a tokio runtime is there; nothing is
/// done unasked.
#[derive(Clone, Debug)]
pub struct ReportService {
    watch: Hopwatch,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Report,
    Open,
}

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

impl<B> Service<Request<B>> for ReportService {
    type Response = Response<ReportBody>;
    type Error = Infallible;
    type Future = ReportFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ReportFuture {
        let Some((page, form)) = asked(request.uri().path(), request.headers()) else {
            return done(answer(StatusCode::NOT_FOUND, TEXT, "there are /, /api/report and /api/open\n".into()));
        };
        let is_head = request.method() == Method::HEAD;
        if !is_head && request.method() != Method::GET {
            let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are answered\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return done(refused);
        }
        let watch = self.watch.clone();
        let work = move || {
            let response = made(&watch, page, form);
            if is_head { response.map(|_| ReportBody(None)) } else { response }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => ReportFuture(State::Working(runtime.spawn_blocking(work))),
            Err(_) => done(work()),
        }
    }
}

/// Which page, in which form; `None` = there is no such page. A path may have anything in front, for routers that keep it.
fn asked(path: &str, headers: &HeaderMap) -> Option<(Page, Form)> {
    let accepts = |media: &str| {
        let mut lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        lines.any(|line| line.split(',').any(|part| part.split(';').next().is_some_and(|name| name.trim() == media)))
    };
    let (page, usual, other) = match path {
        "" | "/" => (Page::Report, Form::Text, (Form::Json, JSON)),
        path if path.ends_with("/api/report") => (Page::Report, Form::Json, (Form::Text, "text/plain")),
        path if path.ends_with("/api/open") => (Page::Open, Form::Json, (Form::Text, "text/plain")),
        _ => return None,
    };
    let usual_media = if usual == Form::Json { JSON } else { "text/plain" };
    Some((page, if accepts(other.1) && !accepts(usual_media) { other.0 } else { usual }))
}

fn made(watch: &Hopwatch, page: Page, form: Form) -> Response<ReportBody> {
    let body = match (page, form) {
        (Page::Report, Form::Json) => serde_json::to_vec(&watch.report()),
        (Page::Open, Form::Json) => serde_json::to_vec(&watch.open()),
        (Page::Report, Form::Text) => Ok(report::text(&watch.report(), Style { color: false }).into_bytes()),
        (Page::Open, Form::Text) => Ok(report::open_text(&watch.open()).into_bytes()),
    };
    match body {
        Ok(body) => answer(StatusCode::OK, if form == Form::Json { JSON } else { TEXT }, body.into()),
        Err(_) => failed(),
    }
}

fn failed() -> Response<ReportBody> {
    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the report could not be made\n".into())
}

fn answer(status: StatusCode, media: &'static str, body: Bytes) -> Response<ReportBody> {
    let length = body.len();
    let mut response = Response::new(ReportBody((length > 0).then_some(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn done(response: Response<ReportBody>) -> ReportFuture {
    ReportFuture(State::Done(Some(Box::new(response))))
}

/// An answer under way. Made by [`ReportService`].
///
/// Cancel safety: dropped, the answer is made all the same and thrown away.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ReportFuture(State);

#[derive(Debug)]
enum State {
    Done(Option<Box<Response<ReportBody>>>),
    Working(JoinHandle<Response<ReportBody>>),
}

impl Future for ReportFuture {
    type Output = Result<Response<ReportBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.0 {
            State::Done(response) => response.take().map(|response| *response),
            State::Working(work) => ready!(Pin::new(work).poll(cx)).ok(),
        };
        // A runtime that shuts down takes the work along.
        Poll::Ready(Ok(response.unwrap_or_else(failed)))
    }
}

/// The body of an answer, in one piece.
#[derive(Debug)]
pub struct ReportBody(Option<Bytes>);

impl Body for ReportBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
