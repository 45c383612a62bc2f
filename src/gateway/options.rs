//! What a gateway is told.

use super::connect::{Connector, ConnectorOptions, Proxies, Tls};
use super::intercept::Intercept;
use super::own::Own;
use super::route::Routes;
use crate::model::Naming;
use crate::model::clock::Anchor;
use ipnet::IpNet;
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a gateway is told once.
#[derive(Debug)]
pub struct Options {
    /// Ties its clock to the epoch.
    pub anchor: Anchor,
    /// Which hops it keeps.
    pub keep: Keep,
    /// Threads that carry traffic; 1 is enough for tens of thousands of requests a second.
    pub workers: usize,
    /// Where clients come in.
    pub listeners: Vec<std::net::TcpListener>,
    /// What may change while it runs.
    pub settings: Settings,
}

/// Which hops a gateway keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All, up to a limit, for the report of a run.
    All,
    /// The open ones, and those that another try may join: it has no end, and others count what ended.
    Open,
}

/// What may change while a gateway runs: see [`super::Gateway::reload`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// What names peers.
    pub naming: Arc<Naming>,
    /// Reverse-proxy routes.
    pub routes: Routes,
    /// It is a forward proxy, for requests in absolute form and `CONNECT`.
    pub forward: bool,
    /// Networks of clients beside this machine's own.
    pub allow: Vec<IpNet>,
    /// What a client gets whose upstream fails before an answer.
    pub failure: UpstreamFailure,
    /// How clients and upstreams are limited.
    pub limits: Limits,
    /// How connections to upstreams are opened.
    pub connecting: Connecting,
    /// Clients speak TLS, by this; `None` = they do not.
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS inside of tunnels is ended here, by this; `None` = it passes as it is.
    pub intercept: Option<Arc<Intercept>>,
}

/// What a client gets whose upstream fails before an answer (report reference, section 5, "Upstream fails before an answer").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// Its connection is closed without an answer: its client library fails as it would without the gateway.
    #[default]
    Close,
    /// A 502 that says why.
    Answer,
}

/// How clients and upstreams are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take for a request's head.
    pub header_timeout: Duration,
    /// How long a client's connection may be idle. Above the 5 s after which Python's clients give up theirs, so that it is they who close.
    pub idle_timeout: Duration,
    /// How long an upstream's connection may be idle.
    pub upstream_idle_timeout: Duration,
    /// Most bytes of a head.
    pub max_header_size: usize,
    /// Most connections of clients at once.
    pub max_clients: usize,
    /// Most connections to one upstream that are in use at once, by HTTP/1.1.
    pub max_upstream_connections: usize,
}

/// How connections to upstreams are opened.
#[derive(Clone, Default)]
pub struct Connecting {
    /// The longest that opening one may take; `None` = 5 s.
    pub timeout: Option<Duration>,
    /// PEM files and folders of authorities beside the system's.
    pub authorities: Vec<PathBuf>,
    /// `http_proxy`, `https_proxy`, `no_proxy` and their like, by these names.
    pub proxies: BTreeMap<String, String>,
    /// Networks that are never connected to.
    pub blocked: Vec<IpNet>,
    /// Addresses of hopwatch's own that no client is to reach this way.
    pub protected: Vec<SocketAddr>,
}

impl Connecting {
    fn connector(&self, own: &Arc<Own>) -> Connector {
        let mut options = ConnectorOptions::new(Tls::trusting(self.authorities.clone()));
        options.connect_timeout = self.timeout.unwrap_or(options.connect_timeout);
        options.proxies = Proxies::read(|name| self.proxies.get(name).cloned());
        options.blocked.clone_from(&self.blocked);
        options.protected.clone_from(&self.protected);
        options.own = Arc::clone(own);
        Connector::new(options)
    }
}

impl fmt::Debug for Connecting {
    /// Without the values of the variables that name proxies: credentials may be in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeout, authorities, proxies, blocked, protected } = self;
        f.debug_struct("Connecting")
            .field("timeout", timeout)
            .field("authorities", authorities)
            .field("proxies", &proxies.keys())
            .field("blocked", blocked)
            .field("protected", protected)
            .finish()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            upstream_idle_timeout: Duration::from_secs(55),
            max_header_size: 64 << 10,
            max_clients: 16_384,
            max_upstream_connections: 1_024,
        }
    }
}

/// Settings in force, with what is made of them once.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) settings: Settings,
    pub(crate) connector: Connector,
}

impl InForce {
    pub(crate) fn new(settings: Settings, own: &Arc<Own>) -> Self {
        let connector = settings.connecting.connector(own);
        Self { settings, connector }
    }
}

impl std::ops::Deref for InForce {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Settings {
    /// Whether a client at this address is served.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_loopback() || self.allow.iter().any(|network| network.contains(&client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_proxies_are_not_shown() {
        let proxies = [("https_proxy".to_owned(), "http://user:s3cret@proxy:3128".to_owned())].into();
        let connecting = Connecting { proxies, ..Connecting::default() };
        let shown = format!("{connecting:?} {:?}", connecting.connector(&Arc::default()));
        assert!(!shown.contains("s3cret") && !shown.contains("user"), "{shown}");
        assert!(shown.contains("https_proxy") && shown.contains("proxy:3128"), "{shown}");
    }
}
