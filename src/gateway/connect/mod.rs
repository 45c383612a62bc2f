//! The connector: opens one connection to an origin, every step measured where it happens, every failure typed.
//!
//! | step | from → to | given up after |
//! |---|---|---|
//! | `dns` | the name is asked for → it is answered; not for addresses | [`ConnectorOptions::lookup_timeout`] |
//! | `connect` | the first address is tried → one is connected ([RFC 8305](https://www.rfc-editor.org/rfc/rfc8305)) | [`ConnectorOptions::connect_timeout`], over all addresses |
//! | `proxy` | a forward proxy's CONNECT, and TLS with the proxy itself | [`ConnectorOptions::handshake_timeout`], for each of the two |
//! | `tls` | the origin's handshake | [`ConnectorOptions::handshake_timeout`] |
//!
//! With a proxy on the way, `dns` and `connect` are the proxy's. The steps are in [`Steps`] while they go on; why there is no
//! connection is in [`ConnectError`].

mod blocked;
mod error;
mod proxies;
mod race;
mod resolve;
mod steps;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod trust;
mod tunnel;

pub(crate) use error::ConnectError;
pub(crate) use proxies::{Proxies, ProxyError};
pub(crate) use race::{Tried, keep_alive};
pub(crate) use resolve::{Family, Resolver};
pub(crate) use steps::Steps;
pub(crate) use stream::Stream;
pub(crate) use tls::TlsFacts;
pub(crate) use trust::Tls;

use super::own::{self, Own};
use crate::model::{Name, Phase};
use http::HeaderValue;
use ipnet::IpNet;
use proxies::Proxy;
use race::Dialed;
use rustls::ClientConfig;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What is spoken with an origin, as far as connecting is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// HTTP without TLS.
    Http,
    /// HTTP inside TLS.
    Https,
    /// Bytes of any protocol.
    Tcp,
    /// Bytes that a client asked to be led on (CONNECT): TLS of its own, most likely. For proxies this is what `https` is.
    Tunnel,
}

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// What is spoken there.
    pub(crate) scheme: Scheme,
    /// A name or an address; lower case, without brackets.
    pub(crate) host: Arc<str>,
    /// The port.
    pub(crate) port: u16,
}

/// The HTTP versions that may be spoken. Inside TLS the peer chooses by ALPN (RFC 7301); HTTP/2 alone is spoken also to a peer that
/// chooses nothing, and without TLS by prior knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocols {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
    /// HTTP/2 where the peer chooses it, else HTTP/1.1.
    H1OrH2,
}

/// The HTTP version to speak on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct ConnectorOptions {
    /// How long the opening of a TCP connection may take, all addresses together: 5 s.
    pub(crate) connect_timeout: Duration,
    /// How long a name may take: 30 s, what the system's resolver takes for three name servers that are silent. Less would turn a
    /// slow resolver, which is worth telling, into a failed one.
    pub(crate) lookup_timeout: Duration,
    /// How long a proxy's CONNECT and a TLS handshake may take, each: 10 s.
    pub(crate) handshake_timeout: Duration,
    /// TLS with its trust and its store of sessions; its ALPN is set for each connect.
    pub(crate) tls: Tls,
    /// The proxies on the way.
    pub(crate) proxies: Proxies,
    /// Which addresses may be used.
    pub(crate) family: Family,
    /// Networks that are never connected to. Proxies are trusted: where they are, and where they lead names to, is not looked at.
    pub(crate) blocked: Vec<IpNet>,
    /// Listeners that are never connected to; those on all addresses at none of this machine's.
    pub(crate) protected: Vec<SocketAddr>,
    /// What would come back for ever is not connected to, proxies included.
    pub(crate) own: Arc<Own>,
    /// Who resolves names.
    pub(crate) resolver: Resolver,
}

/// Opens connections. Cheap to clone (a reference count).
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    options: Arc<ConnectorOptions>,
}

/// A connection that is ready for its first request.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Its bytes.
    pub(crate) io: Stream,
    /// Its own end.
    pub(crate) local: SocketAddr,
    /// The other end: the origin's, or the proxy's.
    pub(crate) remote: SocketAddr,
    /// What to speak on it.
    pub(crate) protocol: Protocol,
    /// The proxy on the way.
    pub(crate) via: Option<Via>,
    /// What the handshake with the origin settled.
    pub(crate) tls: Option<TlsFacts>,
    /// Addresses that were tried before in vain.
    pub(crate) tried: Vec<Tried>,
}

/// A forward proxy on the way.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    /// How it is told: `proxy.corp:3128`.
    pub(crate) proxy: Name,
    /// How requests are to be written.
    pub(crate) form: Form,
}

/// How requests are written.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// As to the origin: the proxy leads bytes on.
    Origin,
    /// With the whole URI as their target (RFC 9112, 3.2.2), and with this `Proxy-Authorization`, which is marked as sensitive.
    Absolute(Option<HeaderValue>),
}

/// Whom a connect is for, and the proxy on the way there.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    origin: &'a Origin,
    proxy: Option<&'a Proxy>,
}

impl Origin {
    /// Of a host as it is written: in any case, an IPv6 address with or without its brackets.
    pub(crate) fn new(scheme: Scheme, host: &str, port: u16) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { scheme, host: bare.to_ascii_lowercase().into(), port }
    }
}

impl fmt::Display for Origin {
    /// `host:port`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Protocols {
    fn alpn(self) -> Vec<Vec<u8>> {
        let offered: &[&[u8]] = match self {
            Self::H1 => &[b"http/1.1"],
            Self::H2 => &[b"h2"],
            Self::H1OrH2 => &[b"h2", b"http/1.1"],
        };
        offered.iter().map(|protocol| protocol.to_vec()).collect()
    }

    /// What to speak where the peer chose this.
    fn chosen(self, alpn: Option<&str>) -> Protocol {
        match (self, alpn) {
            (Self::H2, _) | (Self::H1OrH2, Some("h2")) => Protocol::H2,
            _ => Protocol::H1,
        }
    }
}

impl ConnectorOptions {
    /// The defaults, with this TLS: no proxies, any address, the system's resolver.
    pub(crate) fn new(tls: impl Into<Tls>) -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            lookup_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            tls: tls.into(),
            proxies: Proxies::default(),
            family: Family::Any,
            blocked: Vec::new(),
            protected: Vec::new(),
            own: Arc::default(),
            resolver: Resolver::system(),
        }
    }
}

impl Connector {
    /// Connects as these options say.
    pub(crate) fn new(options: ConnectorOptions) -> Self {
        Self { options: Arc::new(options) }
    }

    /// The proxy that leads to an origin.
    pub(crate) fn proxy(&self, origin: &Origin) -> Option<Name> {
        self.options.proxies.of(origin).ok().flatten().map(|proxy| proxy.name.clone())
    }

    /// Opens a connection of its own for each call; nothing is kept but TLS sessions. On a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When a step fails or takes too long, with the step.
    ///
    /// # Cancel safety
    /// Dropped midway it leaves nothing: its sockets are closed and the step that it was in ends. A name that is being resolved is
    /// resolved to its end on its thread.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        protocols: Protocols,
        steps: &Steps,
    ) -> Result<Connected, Box<ConnectError>> {
        let options = &*self.options;
        if origin.host.is_empty() || origin.host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(ConnectError::no_host(origin));
        }
        let proxy = options.proxies.of(origin).map_err(|error| ConnectError::unusable_proxy(origin, error))?;
        let target = Target { origin, proxy };
        if origin.scheme == Scheme::Https || proxy.is_some_and(|proxy| proxy.tls) {
            // Before the first step: that authorities are read is no part of anybody's handshake.
            self.tls(target).await?;
        }
        let addresses = self.addresses(target, steps).await?;
        let Dialed { stream, local, remote, tried } = {
            let _step = steps.connect();
            let dialed = race::connect(&addresses, options.connect_timeout, steps).await;
            dialed.map_err(|tried| ConnectError::connect(target, tried, options.connect_timeout))?
        };
        let mut io = Stream::Plain(stream);
        let mut via = None;
        if let Some(proxy) = proxy {
            // HTTP/2 has no absolute form that a forward proxy would speak: it is led through, as gRPC's own clients have it.
            let is_led_through = origin.scheme != Scheme::Http || protocols == Protocols::H2;
            let _step = steps.proxy();
            if proxy.tls {
                io = self.handshake(target, Phase::Proxy, self.tls(target).await?, Protocols::H1, io, remote).await?.0;
            }
            let form = if is_led_through {
                self.lead_through(target, proxy, &mut io)
                    .await
                    .map_err(|refusal| ConnectError::refused(target, refusal, remote))?;
                Form::Origin
            } else {
                Form::Absolute(proxy.authorization.clone())
            };
            via = Some(Via { proxy: proxy.name.clone(), form });
        }
        let connected = Connected { io, local, remote, protocol: protocols.chosen(None), via, tls: None, tried };
        if origin.scheme != Scheme::Https {
            return Ok(connected);
        }
        let _step = steps.tls();
        self.secured(target, self.tls(target).await?, protocols, connected).await
    }

    /// Speaks TLS with an origin that a connection leads to already, for a client that may have a certificate of its own, which stays with
    /// it. Its step is its caller's to note.
    ///
    /// # Errors
    /// The handshake fails or takes too long, or the origin asks for that certificate.
    ///
    /// # Cancel safety
    /// Dropped midway, the connection is closed.
    pub(crate) async fn secure(
        &self,
        origin: &Origin,
        protocols: Protocols,
        connected: Connected,
    ) -> Result<Connected, Box<ConnectError>> {
        let target = Target { origin, proxy: None };
        let asked = Arc::new(tls::Asked::default());
        let config = asked.during(self.tls(target).await?);
        let connected = self.secured(target, &config, protocols, connected).await?;
        if asked.is_so() { Err(ConnectError::certificate_wanted(target)) } else { Ok(connected) }
    }

    /// Sets up what TLS needs, which takes tens of milliseconds once. What is wrong with it, whoever needs it is told.
    pub(crate) async fn prepare(&self) {
        let _told_later = self.options.tls.config().await;
    }

    async fn secured(
        &self,
        target: Target<'_>,
        config: &Arc<ClientConfig>,
        protocols: Protocols,
        connected: Connected,
    ) -> Result<Connected, Box<ConnectError>> {
        let Connected { io, remote, .. } = connected;
        let (io, tls) = self.handshake(target, Phase::Tls, config, protocols, io, remote).await?;
        let protocol = protocols.chosen(tls.alpn.as_deref());
        Ok(Connected { io, protocol, tls: Some(tls), ..connected })
    }

    /// What TLS is set up with.
    async fn tls(&self, target: Target<'_>) -> Result<&Arc<ClientConfig>, Box<ConnectError>> {
        self.options.tls.config().await.map_err(|reason| ConnectError::no_tls(target, reason))
    }

    /// Where to connect to, in order; at least one.
    async fn addresses(&self, target: Target<'_>, steps: &Steps) -> Result<Vec<SocketAddr>, Box<ConnectError>> {
        let options = &*self.options;
        let (host, port) = target.proxy.map_or((&target.origin.host, target.origin.port), |proxy| (&proxy.host, proxy.port));
        let mut addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.resolve(target, host, port, steps).await?,
        };
        addresses.retain(|address| match options.family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        });
        let Some(&first) = addresses.first() else { return Err(ConnectError::no_address(target)) };
        let is_blocked = |address: SocketAddr| {
            let is_in = |network: &IpNet| blocked::covers(network, address.ip());
            options.blocked.iter().any(is_in) || own::is_reached(&options.protected, address)
        };
        match target.proxy {
            None => addresses.retain(|&address| !is_blocked(address)),
            // The proxy resolves names; an address can be seen through.
            Some(_) => {
                let meant = target.origin.host.parse().map(|address: IpAddr| SocketAddr::new(address, target.origin.port));
                if let Some(meant) = meant.ok().filter(|&meant| is_blocked(meant)) {
                    return Err(ConnectError::blocked(target, meant));
                }
            }
        }
        let Some(&first) = addresses.first() else { return Err(ConnectError::blocked(target, first)) };
        addresses.retain(|&address| !options.own.is_circle(target.origin.scheme, address));
        if addresses.is_empty() { Err(ConnectError::circle(target, first)) } else { Ok(addresses) }
    }

    async fn resolve(
        &self,
        target: Target<'_>,
        host: &Arc<str>,
        port: u16,
        steps: &Steps,
    ) -> Result<Vec<SocketAddr>, Box<ConnectError>> {
        let options = &*self.options;
        let _step = steps.dns();
        match tokio::time::timeout(options.lookup_timeout, options.resolver.resolve(host, options.family)).await {
            Ok(Ok(found)) => Ok(found.iter().map(|&address| at_port(address, port)).collect()),
            Ok(Err(error)) => Err(ConnectError::lookup(target, error)),
            Err(_) => Err(ConnectError::lookup_silent(target, options.lookup_timeout)),
        }
    }

    async fn lead_through(&self, target: Target<'_>, proxy: &Proxy, io: &mut Stream) -> Result<(), tunnel::Refusal> {
        let timeout = self.options.handshake_timeout;
        let opening = tunnel::open(io, target.origin, proxy.authorization.as_ref());
        tokio::time::timeout(timeout, opening).await.unwrap_or(Err(tunnel::Refusal::Silent(timeout)))
    }

    async fn handshake(
        &self,
        target: Target<'_>,
        phase: Phase,
        config: &Arc<ClientConfig>,
        protocols: Protocols,
        io: Stream,
        remote: SocketAddr,
    ) -> Result<(Stream, TlsFacts), Box<ConnectError>> {
        let host = target.proxy.filter(|_| phase == Phase::Proxy).map_or(&target.origin.host, |proxy| &proxy.host);
        let shaken = tls::handshake(config, host, protocols, io, self.options.handshake_timeout).await;
        shaken.map_err(|broken| ConnectError::handshake(target, phase, broken, remote))
    }
}

/// The same address at a port. A link-local one keeps its zone.
fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
