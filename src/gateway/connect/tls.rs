//! The TLS handshake, and what it settled.

use super::{Protocols, Stream};
use crate::model::{Name, Nanos};
use rustls::client::{ClientConnection, ResolvesClientCert};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ProtocolVersion, SignatureScheme};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// What a handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// `1.3` or `1.2`.
    pub(crate) version: &'static str,
    /// The protocol that both sides took: `h2`, `http/1.1`; `None` = the peer took none.
    pub(crate) alpn: Option<Name>,
    /// An earlier session was taken up again: a shorter handshake.
    pub(crate) resumed: bool,
    /// When the peer's certificate ends; `None` = it cannot be read.
    pub(crate) certificate_expires_at: Option<Nanos>,
}

/// How a handshake came to nothing.
#[derive(Debug)]
pub(super) enum Broken {
    /// The host's name cannot be asked for.
    Name(InvalidDnsNameError),
    /// The connection failed, or a side turned the other down: then rustls' error is inside.
    Io(io::Error),
    /// Nothing for so long.
    Silent(Duration),
}

/// Notes that a peer asks for a certificate of its client, of which there is none here.
#[derive(Debug, Default)]
pub(super) struct Asked(AtomicBool);

impl Asked {
    /// As this configuration, for one handshake.
    pub(super) fn during(self: &Arc<Self>, config: &ClientConfig) -> Arc<ClientConfig> {
        let mut config = config.clone();
        config.client_auth_cert_resolver = Arc::clone(self) as _;
        Arc::new(config)
    }

    /// Whether it did.
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Speaks TLS on a connection.
///
/// # Cancel safety
/// Dropped, the connection is closed.
pub(super) async fn handshake(
    config: &Arc<ClientConfig>,
    host: &str,
    protocols: Protocols,
    stream: Stream,
    timeout: Duration,
) -> Result<(Stream, TlsFacts), Broken> {
    // The dot of a fully qualified name is no part of a server's name (RFC 6066, section 3).
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned()).map_err(Broken::Name)?;
    let connector = TlsConnector::from(Arc::clone(config));
    let handshake = connector.with_alpn(protocols.alpn()).connect(name, stream);
    let stream = match tokio::time::timeout(timeout, handshake).await {
        Ok(result) => result.map_err(Broken::Io)?,
        Err(_) => return Err(Broken::Silent(timeout)),
    };
    let facts = facts(stream.get_ref().1);
    Ok((Stream::Tls(Box::new(stream)), facts))
}

fn facts(session: &ClientConnection) -> TlsFacts {
    TlsFacts {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            // rustls speaks no other.
            _ => "1.3",
        },
        alpn: session.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into()),
        resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        certificate_expires_at: session.peer_certificates().and_then(<[_]>::first).and_then(expiry),
    }
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Nanos> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(seconds.saturating_mul(1_000_000_000))
}
