//! How a peer gets its name: the order of the report reference, section 2.

use super::{Kind, Name};
use std::net::IpAddr;

/// PostgreSQL's own port.
const POSTGRES: u16 = 5432;

/// What is known of a peer when it is to be named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer<'a> {
    /// The name that was looked up, asked for by SNI, or stands in `host`; without port.
    pub host: Option<&'a str>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: Option<u16>,
    /// Whether the scheme's own port is 443 (TLS) or 80.
    pub tls: bool,
    /// It speaks no HTTP, as far as is known: PostgreSQL's own port is 5432.
    pub not_http: bool,
    /// Kind and name that a known provider's host or path gives (`wire::provider`).
    pub provider: Option<&'a str>,
    /// Kind that the path gives (`/chat/completions`).
    pub kind: Option<Kind>,
}

/// One explicit name: `--dep KIND/NAME=HOST[:PORT]`, or a `[[dependency]]` of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its kind, where given.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: Name,
    /// Host (a name or an address, lower case), as written.
    pub host: String,
    /// Port; `None` = any.
    pub port: Option<u16>,
}

/// All that names peers.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// Explicit names, first match wins.
    pub rules: Vec<Rule>,
    /// Providers whose base-URL variable in the child's environment points at an address: after the explicit ones.
    pub base_urls: Vec<Rule>,
}

/// A peer's name, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Kind.
    pub kind: Kind,
    /// Dependency.
    pub name: Name,
    /// The user named it.
    pub explicit: bool,
}

impl Naming {
    /// Names a peer: explicit, base URL, known provider, then `host` or `host:port`.
    #[must_use]
    pub fn name(&self, peer: &Peer<'_>) -> Named {
        if let Some(rule) = self.rules.iter().find(|rule| rule.matches(peer)) {
            return Named { kind: rule.kind.or(peer.kind).unwrap_or(Kind::Http), name: rule.name.clone(), explicit: true };
        }
        if let Some(rule) = self.base_urls.iter().find(|rule| rule.matches(peer)) {
            return Named { kind: peer.kind.or(rule.kind).unwrap_or(Kind::Llm), name: rule.name.clone(), explicit: false };
        }
        let kind = peer.kind.unwrap_or(Kind::Http);
        if let Some(provider) = peer.provider {
            return Named { kind, name: provider.into(), explicit: false };
        }
        let is_own_port = |port: u16| match port {
            POSTGRES => peer.not_http,
            port => port == if peer.tls { 443 } else { 80 },
        };
        let host = match (peer.host, peer.address) {
            (Some(host), _) if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{host}]"),
            (Some(host), _) => host.to_ascii_lowercase(),
            (None, Some(IpAddr::V6(address))) if address.to_ipv4_mapped().is_none() => format!("[{address}]"),
            (None, Some(address)) => address.to_canonical().to_string(),
            (None, None) => "unknown".to_owned(),
        };
        let name = match peer.port {
            Some(port) if !is_own_port(port) => format!("{host}:{port}"),
            _ => host,
        };
        Named { kind, name: name.into(), explicit: false }
    }
}

impl Rule {
    /// Parses `HOST[:PORT]`, IPv6 in brackets.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse_host(text: &str) -> Result<(String, Option<u16>), String> {
        let port_of = |port: &str| port.parse::<u16>().map_err(|_| format!("`{port}` is no port (1 to 65535)"));
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, port)) => (host, Some(port_of(port.trim_start_matches(':'))?)),
                None => return Err(format!("`{text}` has no closing bracket")),
            },
            None => match text.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port_of(port)?)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(['/', ' ', '@', '?']) {
            return Err(format!("`{text}` is no host; write HOST or HOST:PORT"));
        }
        Ok((host.to_ascii_lowercase(), port))
    }

    fn matches(&self, peer: &Peer<'_>) -> bool {
        if self.port.is_some() && self.port != peer.port {
            return false;
        }
        if peer.host.is_some_and(|host| host.eq_ignore_ascii_case(&self.host)) {
            return true;
        }
        // `localhost` and the loopback addresses are one place.
        let is_local = |address: IpAddr| address.to_canonical().is_loopback();
        match (self.host.parse::<IpAddr>(), peer.address) {
            (Ok(own), Some(address)) => own.to_canonical() == address.to_canonical(),
            (Ok(own), None) => is_local(own) && peer.host.is_some_and(|host| host.eq_ignore_ascii_case("localhost")),
            (Err(_), Some(address)) => self.host == "localhost" && is_local(address),
            (Err(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: Option<Kind>, name: &str, host: &str) -> Rule {
        let (host, port) = Rule::parse_host(host).unwrap();
        Rule { kind, name: name.into(), host, port }
    }

    #[test]
    fn explicit_names_come_first_and_localhost_is_loopback() {
        let naming = Naming {
            rules: vec![rule(Some(Kind::Retrieval), "docs", "localhost:9000")],
            base_urls: vec![rule(Some(Kind::Llm), "openai", "127.0.0.1:9000"), rule(Some(Kind::Llm), "openai", "127.0.0.1:9001")],
        };
        let peer = Peer { address: Some([127, 0, 0, 1].into()), port: Some(9000), ..Peer::default() };
        assert_eq!(naming.name(&peer), Named { kind: Kind::Retrieval, name: "docs".into(), explicit: true });
        let other = Peer { port: Some(9001), kind: Some(Kind::Embedding), ..peer };
        assert_eq!(naming.name(&other), Named { kind: Kind::Embedding, name: "openai".into(), explicit: false });
    }

    #[test]
    fn the_port_is_named_only_when_it_is_not_the_schemes_own() {
        let naming = Naming::default();
        let name = |host, port, tls| naming.name(&Peer { host: Some(host), port: Some(port), tls, ..Peer::default() }).name;
        assert_eq!(&*name("Docs.Internal", 443, true), "docs.internal");
        assert_eq!(&*name("docs.internal", 443, false), "docs.internal:443");
        assert_eq!(&*name("docs.internal", 80, false), "docs.internal");
        assert_eq!(&*name("db.internal", 5432, true), "db.internal:5432");
        let database = |port| naming.name(&Peer { host: Some("db"), port: Some(port), not_http: true, ..Peer::default() }).name;
        assert_eq!((&*database(5432), &*database(6432)), ("db", "db:6432"));
    }

    #[test]
    fn hosts_are_parsed_with_and_without_port() {
        assert_eq!(Rule::parse_host("[::1]:80"), Ok(("::1".into(), Some(80))));
        assert_eq!(Rule::parse_host("::1"), Ok(("::1".into(), None)));
        assert_eq!(Rule::parse_host("Docs:1"), Ok(("docs".into(), Some(1))));
        assert!(Rule::parse_host("docs:99999").is_err());
        assert!(Rule::parse_host("http://docs").is_err());
    }
}
