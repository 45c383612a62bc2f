//! Ends the TLS of a tunnel, if that can be done.

use super::authority;
use super::hello::{self, Hello, Said};
use super::inside::{Brought, Inside};
use super::replay::Replay;
use super::{Intercept, Why};
use crate::gateway::Shared;
use crate::gateway::connect::{ConnectError, Origin, Protocol, Protocols, Scheme, keep_alive};
use crate::gateway::options::InForce;
use crate::gateway::record::Line;
use crate::gateway::route::Destination;
use crate::gateway::through::{AnySocket, Reader, Socket, TURNED_DOWN, Tunnel, gone};
use crate::model::Nanos;
use crate::model::clock::{monotonic, nanos};
use crate::wire::tls::Alert;
use bytes::{Bytes, BytesMut};
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// HTTP/2 without a word of it in the handshake begins like this (RFC 9113, 3.4), and no request of HTTP/1.1 does.
const PRIOR_KNOWLEDGE: &[u8] = b"PRI ";

/// A client's TLS.
type Secured = Box<TlsStream<Replay<AnySocket>>>;

/// What becomes of a tunnel.
pub(crate) enum Led {
    /// Bytes pass as they are, or as they are inside of TLS. Some were read of both sides already.
    Through(Box<Tunnel>, AnySocket, [Bytes; 2]),
    /// Requests are to be served; by HTTP/2, or not.
    Inside(Replay<Secured>, Arc<Inside>, bool),
    /// It is over.
    Over,
}

/// A tunnel whose client has said hello.
struct Greeted<'a> {
    shared: &'a Arc<Shared>,
    settings: &'a InForce,
    intercept: &'a Intercept,
    line: Arc<Line>,
    client: AnySocket,
    /// What it said.
    said: Bytes,
    hello: Hello,
}

/// Ends the TLS of a tunnel where that breaks nothing. `early` was read of the client already.
///
/// # Cancel safety
/// Dropped midway, both connections are closed, and what went on is recorded as left by the client.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    settings: &InForce,
    intercept: &Intercept,
    tunnel: Box<Tunnel>,
    mut client: AnySocket,
    early: Bytes,
) -> Led {
    let line = Arc::clone(tunnel.line());
    let origin = &line.destination.origin;
    // Nothing but the system notices that a client has vanished. One that has is noticed anyway.
    let _vanished = keep_alive(client.tcp());
    if intercept.alone.has(origin) {
        return Led::Through(tunnel, client, [early, Bytes::new()]);
    }
    let Said { bytes: said, hello } = hello::wait(&mut client, early, tunnel.upstream(), line.downstream.anchor).await;
    let leaf = intercept.authority.leaf(&origin.host).ok();
    let (Some(hello), Some(leaf)) = (hello.filter(|hello| hello.is_for(origin)), leaf) else {
        return Led::Through(tunnel, client, [said, Bytes::new()]);
    };
    let greeted = Greeted { shared, settings, intercept, line: Arc::clone(&line), client, said, hello };
    greeted.open(*tunnel, leaf).await
}

impl Greeted<'_> {
    async fn open(self, tunnel: Tunnel, leaf: Arc<CertifiedKey>) -> Led {
        let (line, intercept) = (Arc::clone(&self.line), self.intercept);
        let (connected, mut reader) = tunnel.into_parts();
        reader.opens(self.hello.host.clone(), self.hello.at);
        let step = line.steps.tls();
        let https = Origin { scheme: Scheme::Https, ..line.destination.origin.clone() };
        let protocols = self.hello.protocols.unwrap_or(Protocols::H1);
        let secured = tokio::select! {
            biased;
            secured = self.settings.connector.secure(&https, protocols, connected) => secured,
            // Which the reader records.
            () = gone(&line.downstream, self.client.tcp()) => return Led::Over,
        };
        let connected = match secured {
            Ok(connected) => connected,
            Err(error) => return self.without(reader, &error).await,
        };
        // The client gets what the host has chosen.
        let protocol = connected.tls.as_ref().and_then(|tls| tls.alpn.as_deref()).map(str::as_bytes);
        let Ok(config) = authority::server(leaf, protocol) else {
            reader.release();
            return Led::Over;
        };
        let (shared, hello) = (self.shared, self.hello);
        let stream = match accept(config, self.said, self.client, self.settings.limits.header_timeout).await {
            Ok(stream) => stream,
            Err(Refused::TurnedDown(why)) => {
                reader.release();
                intercept.leave_alone(&https, why);
                return Led::Over;
            }
            // Which the reader records.
            Err(Refused::Left) => return Led::Over,
        };
        drop(step);
        let ready = line.downstream.anchor.now();
        reader.opened(ready);
        let (mut stream, mut connected) = (Box::new(stream), connected);
        let mut first = BytesMut::new();
        if hello.protocols.is_none() {
            let mut answered = BytesMut::new();
            let has_left = tokio::select! {
                biased;
                read = stream.read_buf(&mut first) => !matches!(read, Ok(1..)),
                // Whatever comes of it, whoever carries it on sees.
                _ = connected.io.read_buf(&mut answered) => false,
            };
            if has_left && line.downstream.anchor.now().saturating_sub(ready) < TURNED_DOWN {
                reader.release();
                intercept.leave_alone(&https, Why::Pins);
                return Led::Over;
            }
            let is_http = matches!(first[..], [b'A'..=b'Z', ..]) && !first.starts_with(PRIOR_KNOWLEDGE);
            if !is_http {
                let early = [first.freeze(), answered.freeze()];
                return Led::Through(Box::new(Tunnel::of(connected, reader)), Box::new(stream), early);
            }
        }
        reader.release();
        line.downstream.served(ready);
        let is_h2 = connected.protocol == Protocol::H2;
        let (number, start, steps) = (shared.pool.number(), line.start, Arc::clone(&line.steps));
        let inside = Inside::new(Destination::of(https), Brought { connected, number, start, steps, ready });
        Led::Inside(Replay::new(first.freeze(), stream), Arc::new(inside), is_h2)
    }

    /// Leads the client to the host by another connection, so that it sees for itself what is wrong there.
    async fn without(self, mut reader: Reader, error: &ConnectError) -> Led {
        let Self { shared, settings, intercept, line, client, said, .. } = self;
        if error.is_silence() {
            reader.unconnected(error);
            return Led::Over;
        }
        reader.release();
        if error.is_lasting() {
            intercept.leave_alone(&line.destination.origin, Why::Host(error.reason.clone()));
        }
        let now = line.downstream.anchor.now();
        let opening = Tunnel::open(shared, settings, &line.downstream, Arc::clone(&line.destination), now);
        let opened = tokio::select! {
            biased;
            opened = opening => opened,
            () = gone(&line.downstream, client.tcp()) => return Led::Over,
        };
        opened.map_or(Led::Over, |tunnel| Led::Through(Box::new(tunnel), client, [said, Bytes::new()]))
    }
}

/// Why there is no TLS with a client.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// It did not want what it was offered.
    TurnedDown(Why),
    /// It left, or waits.
    Left,
}

async fn accept(
    config: Arc<ServerConfig>,
    said: Bytes,
    client: AnySocket,
    timeout: Duration,
) -> Result<TlsStream<Replay<AnySocket>>, Refused> {
    let began = monotonic();
    let accepting = TlsAcceptor::from(config).accept(Replay::new(said, client));
    match tokio::time::timeout(timeout, accepting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(refused(&error, nanos(began.elapsed()))),
        Err(_) => Err(Refused::Left),
    }
}

/// What ended a handshake `after` a client was shown a certificate.
fn refused(error: &io::Error, after: Nanos) -> Refused {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => {
            let alert = Alert { level: 2, description: u8::from(*alert) };
            Refused::TurnedDown(if alert.is_distrust() { Why::Pins } else { Why::Client })
        }
        Some(_) => Refused::TurnedDown(Why::Client),
        None if after < TURNED_DOWN => Refused::TurnedDown(Why::Pins),
        None => Refused::Left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::AlertDescription;
    use std::io::ErrorKind;

    fn broken(error: rustls::Error) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, error)
    }

    #[test]
    fn a_client_that_pins_says_so_or_leaves_at_once() {
        use AlertDescription::{BadCertificate, CertificateUnknown, UnknownCA};
        let pins = Refused::TurnedDown(Why::Pins);
        for alert in [BadCertificate, CertificateUnknown, UnknownCA] {
            assert_eq!(refused(&broken(rustls::Error::AlertReceived(alert)), 10 * TURNED_DOWN), pins, "{alert:?}");
        }
        let closed = io::Error::from(ErrorKind::UnexpectedEof);
        assert_eq!(refused(&closed, TURNED_DOWN / 2), pins);
        assert_eq!(refused(&closed, TURNED_DOWN), Refused::Left);
    }

    #[test]
    fn a_client_that_speaks_another_tls_does_not_pin() {
        let other = Refused::TurnedDown(Why::Client);
        let alert = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
        assert_eq!(refused(&broken(alert), 0), other);
        assert_eq!(refused(&broken(rustls::Error::HandshakeNotComplete), 0), other);
    }
}
