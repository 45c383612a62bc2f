//! Clients come in.

use super::downstream::{Downstream, DownstreamIo, Order};
use super::intercept::{self, Inside, Intercept, Led};
use super::options::InForce;
use super::route::Destination;
use super::serve::{bodiless, serve};
use super::through::{AnySocket, Handover, Socket, Switch, Tunnel, lead};
use super::{Shared, Stage};
use bytes::Bytes;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What a client of HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How soon a client is looked at again that has sent a part of it; each time twice as late, up to the longest.
const PEEK_AGAIN: Duration = Duration::from_millis(2);
const PEEK_LONGEST: Duration = Duration::from_millis(250);
/// How long to wait when no more connections can be accepted: descriptors come back.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// HTTP/2, as TLS agrees on it (RFC 7301, RFC 9113, 3.1).
const ALPN_H2: &[u8] = b"h2";

/// What bytes come and go by.
enum Io {
    Plain(DownstreamIo),
    Tls(Box<TlsStream<DownstreamIo>>),
}

/// A client that is connected.
struct Client {
    shared: Arc<Shared>,
    downstream: Arc<Downstream>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.clients().remove(&self.downstream.number);
        self.shared.recorder.closed(Arc::clone(&self.downstream));
    }
}

/// Who is told of clients that have come.
type Gate = Option<SyncSender<Arc<Downstream>>>;

/// What those get who come in at a listener.
#[derive(Clone, Debug)]
pub(super) enum Entrance {
    /// HTTP.
    Http,
    /// A connection that leads there, from the next one on.
    Tcp(Arc<RwLock<Arc<Destination>>>),
}

/// Accepts clients until the gateway drains, or this listener of it is closed.
pub(super) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    entrance: Entrance,
    gate: Gate,
    mut closed: oneshot::Receiver<()>,
) {
    let mut stage = shared.stage.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage >= Stage::Draining) => return,
            _ = &mut closed => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if shared.clients().len() >= shared.settings().limits.max_clients {
                    // It may come again; those that are served matter more.
                    continue;
                }
                admit(&shared, stream, peer, &entrance, &gate);
            }
            Err(_) => tokio::time::sleep(EXHAUSTED).await,
        }
    }
}

fn admit(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, entrance: &Entrance, gate: &Gate) {
    // Without it each piece of a stream may wait for an acknowledgement. A client that is gone already needs none.
    let _gone = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let downstream = Arc::new(Downstream::new(*shared.recorder.anchor(), shared.number(), peer, local));
    shared.clients().insert(downstream.number, Arc::clone(&downstream));
    if *shared.stage.borrow() >= Stage::Draining {
        // It came while the others were told.
        downstream.orders.give(Order::Finish);
    }
    if let Some(gate) = gate {
        // With too many at once, some stay without a name.
        let _full = gate.try_send(Arc::clone(&downstream));
    }
    let client = Client { shared: Arc::clone(shared), downstream };
    match entrance {
        Entrance::Http => tokio::spawn(client.serve(stream)),
        Entrance::Tcp(route) => tokio::spawn(client.lead(stream, route.read().unwrap_or_else(PoisonError::into_inner).clone())),
    };
}

impl Client {
    /// Serves a connection to its end.
    async fn serve(self, stream: TcpStream) {
        let serving = async {
            let tls = self.shared.settings().tls.clone();
            match tls {
                Some(config) => {
                    let io = DownstreamIo::new(stream, Arc::clone(&self.downstream));
                    // Who cannot do it is gone, and was no exchange.
                    let Ok(io) = TlsAcceptor::from(config).accept(io).await else { return None };
                    Some((io.get_ref().1.alpn_protocol() == Some(ALPN_H2), Io::Tls(Box::new(io))))
                }
                None => {
                    let is_h2 = begins_h2(&stream, &self.downstream).await;
                    Some((is_h2, Io::Plain(DownstreamIo::new(stream, Arc::clone(&self.downstream)))))
                }
            }
        };
        let ordered = poll_fn(|cx| self.downstream.orders.poll(cx).map_or(Poll::Pending, |_| Poll::Ready(())));
        let begun = tokio::select! {
            biased;
            begun = serving => begun,
            () = ordered => return,
        };
        match begun {
            Some((true, Io::Plain(io))) => self.serve_h2(TokioIo::new(io), None).await,
            Some((true, Io::Tls(io))) => self.serve_h2(TokioIo::new(io), None).await,
            Some((false, Io::Plain(io))) => self.serve_h1(TokioIo::new(io), None).await,
            Some((false, Io::Tls(io))) => self.serve_h1(TokioIo::new(io), None).await,
            None => {}
        }
    }

    /// Leads a connection to where its route leads.
    async fn lead(self, stream: TcpStream, destination: Arc<Destination>) {
        lead(Arc::clone(&self.shared), Arc::clone(&self.downstream), destination, stream).await;
    }

    async fn serve_h1(&self, io: TokioIo<impl Socket + Send + 'static>, inside: Option<Arc<Inside>>) {
        let limits = self.shared.settings().limits;
        let handover = Handover::default();
        let service = service_fn(|request| {
            serve(Arc::clone(&self.shared), Arc::clone(&self.downstream), inside.clone(), Some(&handover), request)
        });
        let mut builder = http1::Builder::new();
        // The sweep keeps the times, at one clock reading for all connections. An answer passes as it came: its date, or none.
        builder.header_read_timeout(None).auto_date_header(false).max_buf_size(limits.max_header_size);
        let mut connection = builder.serve_connection(io, service);
        self.until_over(Pin::new(&mut connection), http1::Connection::graceful_shutdown).await;
        if let Some(switch) = handover.take() {
            let parts = connection.into_parts();
            let (io, early) = (parts.io.into_inner(), parts.read_buf);
            let settings = self.shared.settings();
            match (switch, &settings.intercept) {
                (Switch::Tunnel(tunnel), Some(intercept)) => self.open(&settings, intercept, tunnel, Box::new(io), early).await,
                (switch, _) => Box::pin(switch.carry(io, early)).await,
            }
        }
    }

    /// Serves what is inside of a tunnel, as far as that can be done. Boxed, since what is inside is served as what is outside.
    fn open<'a>(
        &'a self,
        settings: &'a InForce,
        intercept: &'a Intercept,
        tunnel: Box<Tunnel>,
        io: AnySocket,
        early: Bytes,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            match intercept::open(&self.shared, settings, intercept, tunnel, io, early).await {
                Led::Through(tunnel, io, early) => tunnel.carry(io, early).await,
                Led::Inside(io, inside, is_h2) => {
                    let io = TokioIo::new(io);
                    match is_h2 {
                        true => self.serve_h2(io, Some(Arc::clone(&inside))).await,
                        false => self.serve_h1(io, Some(Arc::clone(&inside))).await,
                    }
                    inside.over(&self.shared, intercept, &self.downstream);
                }
                Led::Over => {}
            }
        })
    }

    async fn serve_h2(&self, io: impl Read + Write + Unpin, inside: Option<Arc<Inside>>) {
        self.downstream.share();
        let limits = self.shared.settings().limits;
        let (shared, downstream) = (Arc::clone(&self.shared), Arc::clone(&self.downstream));
        let service = service_fn(move |request: Request<Incoming>| {
            let is_head = request.method() == Method::HEAD;
            let answer = serve(Arc::clone(&shared), Arc::clone(&downstream), inside.clone(), None, request);
            async move { answer.await.map(|answer| if is_head { bodiless(answer) } else { answer }) }
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).auto_date_header(false).adaptive_window(true);
        builder.max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX));
        let connection = pin!(builder.serve_connection(io, service));
        self.until_over(connection, http2::Connection::graceful_shutdown).await;
    }

    /// Drives a connection to its end, or until it is told otherwise. How it ended is in the records of its exchanges.
    async fn until_over<C: Future>(&self, mut connection: Pin<&mut C>, finish: impl Fn(Pin<&mut C>)) {
        let mut finishes = false;
        poll_fn(|cx| {
            match self.downstream.orders.poll(cx) {
                Some(Order::Leave) => return Poll::Ready(()),
                Some(Order::Finish) if !finishes => {
                    finishes = true;
                    finish(connection.as_mut());
                }
                _ => {}
            }
            connection.as_mut().poll(cx).map(drop)
        })
        .await;
    }
}

/// Whether a client's first bytes are those of HTTP/2.
async fn begins_h2(stream: &TcpStream, downstream: &Downstream) -> bool {
    let mut first = [0; PREFACE.len()];
    let mut again = PEEK_AGAIN;
    loop {
        let Ok(count) = stream.peek(&mut first).await else { return false };
        let begins = PREFACE.starts_with(&first[..count]);
        if count == 0 || !begins || count == PREFACE.len() {
            return begins && count > 0;
        }
        downstream.heard();
        tokio::time::sleep(again).await;
        again = (again * 2).min(PEEK_LONGEST);
    }
}
