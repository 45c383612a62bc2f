//! A small HTTP server for what operators ask: metrics, the report, health. One thread, bounded connections, `GET` and `HEAD`; `PUT` for what
//! other processes of hopwatch's own hand over, where somebody takes it.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

/// Most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes that are handed over at once.
const HANDED_MAX: usize = 64 << 20;

/// What is answered on a path; `None` = nothing is there. Must not block for long.
pub(crate) type Answer = Arc<dyn Fn(&str) -> Option<Page> + Send + Sync>;

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
    pub(crate) body: String,
}

impl Page {
    /// A page that is there.
    pub(crate) const fn new(content_type: &'static str, body: String) -> Self {
        Self { status: StatusCode::OK, content_type, body }
    }

    /// A line of text.
    pub(crate) fn line(status: StatusCode, text: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{text}\n") }
    }
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
        Self::on(std::net::TcpListener::bind(address)?, answer, None)
    }

    /// The same on a listener that is there, with somebody who takes what is handed over.
    ///
    /// # Errors
    /// When the listener cannot be used, or the system gives no thread.
    pub(crate) fn on(listener: std::net::TcpListener, answer: Answer, intake: Option<Intake>) -> io::Result<Self> {
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
                runtime.block_on(serve(listener, Handlers { answer, intake }, stopped));
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

/// Who answers, and who takes.
#[derive(Clone)]
struct Handlers {
    answer: Answer,
    intake: Option<Intake>,
}

async fn serve(listener: TcpListener, handlers: Handlers, mut stopped: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
        let handlers = handlers.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request: Request<Incoming>| {
                let handlers = handlers.clone();
                async move { Ok::<_, Infallible>(respond(request, &handlers).await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that leaves is no event.
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn respond(request: Request<Incoming>, handlers: &Handlers) -> Response<Full<Bytes>> {
    let page = match (request.method(), &handlers.intake) {
        (&Method::GET | &Method::HEAD, _) => {
            (handlers.answer)(request.uri().path()).unwrap_or_else(|| Page::line(StatusCode::NOT_FOUND, "nothing is here"))
        }
        (&Method::PUT, Some(intake)) if request.headers().contains_key(HANDOVER) => take(request, intake).await,
        _ => Page::line(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD alone"),
    };
    let Page { status, content_type, body } = page;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

async fn take(request: Request<Incoming>, intake: &Intake) -> Page {
    let (parts, body) = request.into_parts();
    match Limited::new(body, HANDED_MAX).collect().await {
        Ok(body) => match intake(parts.uri.path(), &body.to_bytes()) {
            Ok(()) => Page::line(StatusCode::OK, "taken"),
            Err(page) => page,
        },
        Err(_) => Page::line(StatusCode::PAYLOAD_TOO_LARGE, "too large, or cut"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_answers_and_refuses_and_stops() {
        let page = |path: &str| (path == "/metrics").then(|| Page::new("text/plain", "up 1\n".into()));
        let server = Server::start(([127, 0, 0, 1], 0).into(), Arc::new(page)).unwrap();
        let address = server.address();
        assert!(ask(address, "GET /metrics?x=1").ends_with("\r\n\r\nup 1\n"));
        let head = ask(address, "HEAD /metrics");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask(address, "GET /else").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /metrics").starts_with("HTTP/1.1 405"));
        assert!(ask(address, "PUT /metrics").starts_with("HTTP/1.1 405"));
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
