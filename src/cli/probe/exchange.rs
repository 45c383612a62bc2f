//! What is said on a connection: a request of HTTP, or PostgreSQL's question whether TLS is spoken.

use super::attempt::Prober;
use super::progress::Progress;
use super::target::{Speech, Target};
use crate::gateway::connect::{Form, Protocol, Stream, Via};
use crate::instrument::failure::classify;
use crate::model::{FailedBy, Name, Outcome, Phase, error_type};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::error::Error;
use std::fmt::Write;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// As much of a body is read; the time for more would say nothing of the endpoint.
const BODY_MAX: usize = 1024 * 1024;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("hopwatch/", env!("CARGO_PKG_VERSION")));

/// What a forward proxy answers that wants credentials.
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;

/// PostgreSQL's `SSLRequest`, and the answers to it: spoken, and not spoken.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const SSL_ANSWERS: [u8; 2] = *b"SN";

/// A connection, and how to speak on it.
pub(super) struct Line {
    pub(super) io: Stream,
    pub(super) protocol: Protocol,
    pub(super) via: Option<Via>,
}

/// Why no whole answer came.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) outcome: Outcome,
    /// Where, if not where it was when it broke.
    pub(super) phase: Option<Phase>,
    pub(super) failed_by: FailedBy,
    pub(super) error_type: Name,
    pub(super) status: Option<u16>,
    /// What happened, as part of a sentence.
    pub(super) reason: String,
    /// What happened and where, in one line.
    pub(super) text: String,
}

/// Says what is to be said and reads the answer, which is forgotten; its status, where it has one.
pub(super) async fn run(prober: &Prober, target: &Target, line: Line, progress: &Arc<Progress>) -> Result<Option<u16>, Broken> {
    match &target.speech {
        Speech::Nothing => Ok(None),
        Speech::Postgres => ask_for_tls(target, line.io, progress).await.map(|()| None),
        Speech::Http { uri, host } => ask(target, compose(prober, uri, host, &line), line, progress).await.map(Some),
    }
}

async fn ask_for_tls(target: &Target, mut io: Stream, progress: &Progress) -> Result<(), Broken> {
    let broken = |error: io::Error| Broken::of(target, &error);
    io.write_all(&SSL_REQUEST).await.map_err(broken)?;
    io.flush().await.map_err(broken)?;
    progress.sent();
    // More than one byte is what another protocol says.
    let mut answer = [0; 2];
    let read = io.read(&mut answer).await.map_err(broken)?;
    progress.answered();
    match &answer[..read] {
        [] => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
        [one] if SSL_ANSWERS.contains(one) => return Ok(()),
        _ => {}
    }
    let reason = "what answers does not speak PostgreSQL".to_owned();
    Err(Broken::new(target, Outcome::Error, error_type::INVALID_RESPONSE, reason))
}

fn compose(prober: &Prober, uri: &Uri, host: &HeaderValue, line: &Line) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    request.method_mut().clone_from(&prober.method);
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(authorization) = &prober.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    let absolute = match &line.via {
        Some(Via { form: Form::Absolute(authorization), .. }) => {
            headers.extend(authorization.clone().map(|authorization| (PROXY_AUTHORIZATION, authorization)));
            true
        }
        _ => line.protocol == Protocol::H2,
    };
    if line.protocol == Protocol::H1 {
        headers.insert(HOST, host.clone());
    }
    let path = uri.path_and_query().filter(|_| !absolute);
    *request.uri_mut() = path.map_or_else(|| uri.clone(), |path| Uri::from(path.clone()));
    request
}

async fn ask(target: &Target, request: Request<Empty<Bytes>>, line: Line, progress: &Arc<Progress>) -> Result<u16, Broken> {
    let Line { io, protocol, via } = line;
    let io = TokioIo::new(Leaving { io, progress: Arc::clone(progress) });
    let answered = match protocol {
        Protocol::H1 => match hyper::client::conn::http1::handshake(io).await {
            Ok((mut sender, connection)) => beside(connection, read(sender.send_request(request), progress)).await,
            Err(error) => Err(error),
        },
        Protocol::H2 => match hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await {
            Ok((mut sender, connection)) => beside(connection, read(sender.send_request(request), progress)).await,
            Err(error) => Err(error),
        },
    };
    let status = answered.map_err(|error| Broken::of(target, &error))?;
    match via {
        Some(Via { proxy, form: Form::Absolute(_) }) if status == PROXY_AUTHENTICATION_REQUIRED => {
            let reason = format!("it answered {status}");
            let text = format!("the proxy `{proxy}` does not lead to `{}`: {reason}", target.origin);
            let broken = Broken::new(target, Outcome::Connect, error_type::PROXY_AUTHENTICATION_REQUIRED, reason);
            Err(Broken { phase: Some(Phase::Proxy), status: Some(status), text, ..broken })
        }
        _ => Ok(status),
    }
}

/// Runs an exchange while its connection is driven. Of a connection that ended, the exchange is told.
async fn beside<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    tokio::select! {
        biased;
        result = &mut exchange => return result,
        _ended = &mut connection => {}
    }
    exchange.await
}

async fn read(answer: impl Future<Output = hyper::Result<Response<Incoming>>>, progress: &Progress) -> hyper::Result<u16> {
    let response = answer.await?;
    progress.answered();
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
        if length >= BODY_MAX {
            break;
        }
    }
    Ok(status)
}

impl Broken {
    fn new(target: &Target, outcome: Outcome, error_type: &str, reason: String) -> Self {
        let text = format!("no whole answer from `{}`: {reason}", target.origin);
        let error_type = error_type.into();
        Self { outcome, phase: None, failed_by: FailedBy::Peer, error_type, status: None, reason, text }
    }

    fn of(target: &Target, error: &(dyn Error + 'static)) -> Self {
        let failure = classify(error);
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _infallible = write!(reason, ": {error}");
            cause = error.source();
        }
        Self {
            failed_by: failure.failed_by.unwrap_or(FailedBy::Peer),
            ..Self::new(target, failure.outcome, &failure.error_type, reason)
        }
    }
}

/// A connection on which it is noted when the first bytes leave. In HTTP/2 its preface goes with the request, or a moment before.
struct Leaving {
    io: Stream,
    progress: Arc<Progress>,
}

impl Leaving {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.progress.sent();
        }
        written
    }
}

impl AsyncRead for Leaving {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Leaving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
