//! A small HTTP server for what operators ask: metrics, the report, health, a page. One thread, bounded connections, `GET` and `HEAD`; server-sent
//! events for those who listen; `PUT` for what other processes of hopwatch's own hand over, where somebody takes it.

mod events;
mod host;
#[cfg(test)]
mod tests;

#[cfg(feature = "cli")]
pub(crate) use events::Tell;

use bytes::Bytes;
use events::{Events, Stream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, oneshot};

/// Most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes that are handed over at once, by all together.
const HANDED_MAX: u32 = 64 << 20;
/// How long handing over may take, the wait for others included.
const HANDED_WITHIN: Duration = Duration::from_secs(10);

/// What it says that it is (RFC 9110, 10.2.4).
pub(crate) const SERVER: &str = concat!("hopwatch/", env!("CARGO_PKG_VERSION"));
/// The same, where something is taken.
pub(crate) const SERVER_THAT_TAKES: &str = concat!("hopwatch/", env!("CARGO_PKG_VERSION"), " (agent)");

/// What programs ask by whatever name they know the host. Anything else is for people, and for this host's names alone: see [`host`].
const FOR_PROGRAMS: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// Fields of every answer. A page may use what comes from here alone, runs no script but ours, and is shown in no frame.
const FIELDS: [(header::HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What is answered; `None` = nothing is there. Must not block for long.
pub(crate) type Answer = Arc<dyn Fn(&Asked<'_>) -> Option<Page> + Send + Sync>;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) path: &'a str,
    /// What follows the question mark; empty = nothing.
    query: &'a str,
    /// The media types that the client names (RFC 9110, 12.5.1).
    accept: &'a str,
}

impl<'a> Asked<'a> {
    /// The value of a parameter of the query, as it stands there.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "the library answers no queries"))]
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether a browser asks, that wants a page.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "the library has no page"))]
    pub(crate) fn wants_page(&self) -> bool {
        self.accept.split(',').any(|range| range.split(';').next().is_some_and(|media| media.trim() == "text/html"))
    }
}

/// Takes what is handed over on a path. Must not block for long.
///
/// Only those that ask with [`HANDOVER`] get here: a page in a browser cannot set it without being asked whether it may (CORS), and nobody
/// answers that here.
pub(crate) type Intake = Arc<dyn Fn(&str, &[u8]) -> Result<(), Page> + Send + Sync>;

/// The field that whoever hands something over sends.
pub(crate) const HANDOVER: &str = "x-hopwatch-handover";

/// A body and its type.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Cow<'static, str>,
}

impl Page {
    /// A page that is there.
    pub(crate) fn new(content_type: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::OK, content_type, body: body.into() }
    }

    /// A line of text.
    pub(crate) fn line(status: StatusCode, text: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{text}\n").into() }
    }
}

/// Who answers.
pub(crate) struct Handlers {
    pub(crate) answer: Answer,
    /// Who takes what is handed over.
    pub(crate) intake: Option<Intake>,
    /// Who tells those who listen at [`events::PATH`].
    pub(crate) events: Option<Arc<dyn events::Tell>>,
}

/// A running server; dropped, it stops.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and answers on a thread of its own.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the system gives no thread.
    pub(crate) fn start(address: SocketAddr, answer: Answer) -> io::Result<Self> {
        Self::on(std::net::TcpListener::bind(address)?, Handlers { answer, intake: None, events: None })
    }

    /// The same on a listener that is there, with whoever else answers.
    ///
    /// # Errors
    /// When the listener cannot be used, or the system gives no thread.
    pub(crate) fn on(listener: std::net::TcpListener, handlers: Handlers) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("hopwatch-http".into()).spawn(move || {
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener)
            };
            if let Ok(listener) = listener {
                runtime.block_on(serve(listener, Arc::new(Parts::of(handlers)), stopped));
            }
            runtime.shutdown_timeout(STOP_TIMEOUT);
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens: the port that the system chose, where 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Dropped by what it answered with, it cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // Its panic is its own; there is nobody to tell.
            drop(thread.join());
        }
    }
}

/// Who answers, who takes, and who tells.
struct Parts {
    answer: Answer,
    intake: Option<Taker>,
    events: Option<Events>,
}

/// Who takes, and room for what is on its way to it.
struct Taker {
    take: Intake,
    room: Semaphore,
}

impl Parts {
    fn of(handlers: Handlers) -> Self {
        let Handlers { answer, intake, events } = handlers;
        let intake = intake.map(|take| Taker { take, room: Semaphore::new(HANDED_MAX as usize) });
        Self { answer, intake, events: events.map(Events::new) }
    }
}

async fn serve(listener: TcpListener, parts: Arc<Parts>, mut stopped: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    if parts.events.is_some() {
        let parts = Arc::clone(&parts);
        tokio::spawn(async move {
            if let Some(events) = &parts.events {
                events.tell().await;
            }
        });
    }
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            _ = &mut stopped => return,
            accepted = accepted => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: they come back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let parts = Arc::clone(&parts);
        tokio::spawn(async move {
            let _permit = permit;
            let reader = Reader { at: stream.local_addr().ok(), stalled: Arc::default() };
            let stalled = Arc::clone(&reader.stalled);
            let service = service_fn(move |request: Request<Incoming>| {
                let (parts, reader) = (Arc::clone(&parts), reader.clone());
                async move { Ok::<_, Infallible>(respond(request, &parts, &reader).await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that leaves is no event.
            tokio::select! {
                _ended = http.serve_connection(TokioIo::new(stream), service) => {}
                () = stalled.notified() => {}
            }
        });
    }
}

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug)]
struct Reader {
    /// The address of ours that it came to.
    at: Option<SocketAddr>,
    /// Told when it has stopped to read: the connection is given up.
    stalled: Arc<Notify>,
}

/// An answer in one piece, or events.
type Sent = Either<Full<Bytes>, Stream>;

async fn respond(request: Request<Incoming>, parts: &Parts, reader: &Reader) -> Response<Sent> {
    let mut response = match answered(request, parts, reader).await {
        Ok(stream) => {
            let mut response = Response::new(Either::Right(stream));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(events::MEDIA));
            response
        }
        Err(Page { status, content_type, body }) => {
            let body = match body {
                Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
                Cow::Owned(text) => Bytes::from(text),
            };
            let mut response = Response::new(Either::Left(Full::new(body)));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            response
        }
    };
    let status = response.status();
    let headers = response.headers_mut();
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The page or its text, as is asked for.
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    let server = if parts.intake.is_some() { SERVER_THAT_TAKES } else { SERVER };
    headers.insert(header::SERVER, HeaderValue::from_static(server));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// Events, or else a page.
async fn answered(request: Request<Incoming>, parts: &Parts, reader: &Reader) -> Result<Stream, Page> {
    let path = request.uri().path();
    if !FOR_PROGRAMS.contains(&path) && !host::is_ours(request.headers(), reader.at) {
        return Err(Page::line(StatusCode::MISDIRECTED_REQUEST, host::MISDIRECTED));
    }
    match (request.method(), &parts.events, &parts.intake) {
        (&Method::GET, Some(events), _) if path == events::PATH => {
            let full = || Page::line(StatusCode::SERVICE_UNAVAILABLE, "too many listen to events already");
            events.stream(Arc::clone(&reader.stalled)).ok_or_else(full)
        }
        (&Method::GET | &Method::HEAD, ..) => {
            let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
            let asked = Asked { path, query: request.uri().query().unwrap_or_default(), accept: accept.unwrap_or_default() };
            Err((parts.answer)(&asked).unwrap_or_else(|| Page::line(StatusCode::NOT_FOUND, "nothing is here")))
        }
        (&Method::PUT, _, Some(taker)) if request.headers().contains_key(HANDOVER) => {
            let late = || Page::line(StatusCode::REQUEST_TIMEOUT, "it took too long");
            Err(tokio::time::timeout(HANDED_WITHIN, take(request, taker)).await.unwrap_or_else(|_| late()))
        }
        _ => Err(Page::line(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD alone")),
    }
}

async fn take(request: Request<Incoming>, taker: &Taker) -> Page {
    let (parts, body) = request.into_parts();
    let Some(length) = body.size_hint().exact() else {
        return Page::line(StatusCode::LENGTH_REQUIRED, "it needs a content-length");
    };
    let Some(length) = u32::try_from(length).ok().filter(|&length| length <= HANDED_MAX) else {
        return Page::line(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    };
    let _room = taker.room.acquire_many(length).await;
    match body.collect().await {
        Ok(body) => match (taker.take)(parts.uri.path(), &body.to_bytes()) {
            Ok(()) => Page::line(StatusCode::OK, "taken"),
            Err(page) => page,
        },
        Err(_) => Page::line(StatusCode::BAD_REQUEST, "cut off"),
    }
}
