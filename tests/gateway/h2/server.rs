//! Upstreams of HTTP/2: by a library where they keep to the rules, by raw frames where they end as they must not be able to by that.

use crate::support::authority::Authority;
use crate::wire::Wire;
use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A running server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    /// Streams of which the other side has reset the answer.
    pub(super) abandoned: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a server is to do, as far as all of its connections are concerned.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Streams at once on one connection.
    pub(super) streams: u32,
    /// Requests after which a connection says that it takes no more.
    pub(super) requests: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { streams: 100, requests: usize::MAX }
    }
}

impl Server {
    /// In the clear.
    pub(super) async fn start(rules: Rules) -> Self {
        Self::with(rules, None).await
    }

    /// Inside TLS; the protocols that it agrees to.
    pub(super) async fn tls(rules: Rules, authority: &Authority, alpn: &[&[u8]]) -> Self {
        let mut config = (*authority.config()).clone();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Self::with(rules, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn with(rules: Rules, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, abandoned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&accepted), Arc::clone(&abandoned));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counts.0.fetch_add(1, Ordering::SeqCst);
                let (tls, abandoned) = (tls.clone(), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, rules, abandoned).await,
                        Some(tls) => {
                            // Who does not trust it has gone.
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serve(stream, rules, abandoned).await;
                        }
                    }
                });
            }
        });
        Self { address, accepted, abandoned, task }
    }

    pub(super) fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, rules: Rules, abandoned: Arc<AtomicUsize>) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(rules.streams);
    // Errors here are the other side's leaving.
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    let mut served = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        served += 1;
        if ends(&mut connection, request.uri().path()) {
            continue;
        }
        if served == rules.requests {
            connection.graceful_shutdown();
        }
        let abandoned = Arc::clone(&abandoned);
        tokio::spawn(async move {
            if answer(request, respond).await.is_err() {
                abandoned.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}

/// Whether the whole connection ends by this request.
fn ends<T: AsyncRead + AsyncWrite + Unpin>(connection: &mut Connection<T, Bytes>, path: &str) -> bool {
    let reason = match path {
        "/goaway/calm" => Reason::ENHANCE_YOUR_CALM,
        "/goaway/internal" => Reason::INTERNAL_ERROR,
        _ => return false,
    };
    connection.abrupt_shutdown(reason);
    true
}

/// Does as the path says.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let fields = request.headers().clone();
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    match path.as_str() {
        "/reset/refused" => return reset(&mut respond, Reason::REFUSED_STREAM),
        "/reset/cancel" => return reset(&mut respond, Reason::CANCEL),
        "/reset/calm" => return reset(&mut respond, Reason::ENHANCE_YOUR_CALM),
        "/reset/internal" => return reset(&mut respond, Reason::INTERNAL_ERROR),
        "/mute" => return until_reset(std::future::poll_fn(|cx| respond.poll_reset(cx))).await,
        _ => {}
    }
    let mut body = request.into_body();
    let mut received = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
    }
    let sum = body.trailers().await?.and_then(|trailers| trailers.get("x-sum").cloned());
    if let Some(millis) = path.strip_prefix("/after/") {
        tokio::time::sleep(Duration::from_millis(millis.parse().unwrap())).await;
    }
    let mut response = Response::builder().header("x-authority", authority).header("x-path", &path);
    if let Some(sum) = sum {
        response = response.header("x-got-sum", sum);
    }
    if let Some(te) = fields.get("te") {
        response = response.header("x-te", te);
    }
    let mut stream = respond.send_response(response.body(()).unwrap(), false)?;
    match path.as_str() {
        "/mid-body" => {
            stream.send_data("half".into(), false)?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "/drip" => loop {
            stream.send_data("drop".into(), false)?;
            let wait = tokio::time::sleep(Duration::from_millis(20));
            tokio::select! {
                () = wait => {}
                reset = std::future::poll_fn(|cx| stream.poll_reset(cx)) => return Err(reset?.into()),
            }
        },
        "/long" => {
            for _ in 0..64 {
                stream.send_data(vec![b'x'; 64 << 10].into(), false)?;
            }
            stream.send_data(Bytes::new(), true)?;
        }
        _ => {
            stream.send_data(received.into(), false)?;
            let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
            stream.send_trailers(trailers)?;
        }
    }
    Ok(())
}

fn reset(respond: &mut SendResponse<Bytes>, reason: Reason) -> Result<(), h2::Error> {
    respond.send_reset(reason);
    Ok(())
}

async fn until_reset(reset: impl Future<Output = Result<Reason, h2::Error>>) -> Result<(), h2::Error> {
    Err(reset.await?.into())
}

/// Frames as bytes, for what no library does.
pub(super) struct Frames<'a>(pub(super) &'a mut Wire);

impl Frames<'_> {
    const PREFACE: &'static [u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;

    /// Takes the client's first words and says its own.
    pub(super) fn begin(&mut self) {
        assert_eq!(self.0.exactly(Self::PREFACE.len()), Self::PREFACE);
        self.say(Self::SETTINGS, 0, 0, &[]);
    }

    fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.0.say([&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat());
    }

    /// Waits for the next request: its stream.
    pub(super) fn request(&mut self) -> Option<u32> {
        loop {
            let head = self.0.try_exactly(9).ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            self.0.try_exactly(length).ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match head[3] {
                Self::HEADERS => return Some(stream),
                Self::SETTINGS if head[4] == 0 => self.say(Self::SETTINGS, 1, 0, &[]),
                _ => {}
            }
        }
    }

    /// `200` without a body.
    pub(super) fn answer(&mut self, stream: u32) {
        // `:status: 200`, the eighth of the static table (RFC 7541, appendix A).
        self.say(Self::HEADERS, 0b101, stream, &[0x88]);
    }

    pub(super) fn goaway(&mut self, last: u32, reason: Reason) {
        self.say(Self::GOAWAY, 0, 0, &[last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat());
    }

    pub(super) fn reset(&mut self, stream: u32, reason: Reason) {
        self.say(Self::RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes());
    }
}
