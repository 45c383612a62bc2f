//! The forward proxies that a user has set, read as curl and Python's clients read them.
//!
//! | variable | for |
//! |---|---|
//! | `http_proxy`, `HTTP_PROXY` | `http` origins; the latter not in a CGI program, where a client's header sets it |
//! | `https_proxy`, `HTTPS_PROXY` | `https` origins and tunnels |
//! | `all_proxy`, `ALL_PROXY` | what has no proxy of its own, TCP included |
//! | `no_proxy`, `NO_PROXY` | origins that are reached without |
//!
//! Lower case wins, and switches a proxy off where it is set and empty. A value is `[http[s]://][user[:password]@]host[:port][/]`.

use super::{Origin, Scheme};
use crate::model::Name;
use crate::model::naming::Rule;
use base64::prelude::{BASE64_STANDARD, Engine};
use http::HeaderValue;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use std::sync::Arc;

/// Which proxy leads to which origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Setting>,
    https: Option<Setting>,
    all: Option<Setting>,
    exceptions: Vec<Exception>,
}

/// A proxy, or why its variable names none: that matters only where it would be used.
type Setting = Result<Arc<Proxy>, ProxyError>;

/// A forward proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    /// Its host, lower case, without brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// TLS is spoken to the proxy itself.
    pub(super) tls: bool,
    /// `Proxy-Authorization`; marked as sensitive, so that it is never shown.
    pub(super) authorization: Option<HeaderValue>,
    /// How it is told: `proxy.corp:3128`.
    pub(super) name: Name,
}

/// A variable that names no proxy that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{variable}` {problem}")]
pub(crate) struct ProxyError {
    variable: &'static str,
    problem: &'static str,
}

/// Origins that no proxy leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    which: Which,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    All,
    /// A name, and all below it.
    Domain(String),
    Network(IpNet),
}

impl Proxies {
    /// Reads the variables, which `lookup` gives.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let setting = |lower: &'static str, upper: &'static str| {
            let (variable, value) = match lookup(lower) {
                Some(value) => (lower, value),
                None => (upper, lookup(upper)?),
            };
            let value = value.trim();
            (!value.is_empty()).then(|| Proxy::parse(variable, value).map(Arc::new))
        };
        // In a CGI program `HTTP_PROXY` is what a client sent as the field `Proxy`.
        let upper_http = if lookup("REQUEST_METHOD").is_some() { "http_proxy" } else { "HTTP_PROXY" };
        let exceptions = lookup("no_proxy").or_else(|| lookup("NO_PROXY")).unwrap_or_default();
        Self {
            http: setting("http_proxy", upper_http),
            https: setting("https_proxy", "HTTPS_PROXY"),
            all: setting("all_proxy", "ALL_PROXY"),
            exceptions: exceptions.split([',', ' ', '\t']).filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy that leads to an origin; `None` = it is reached without.
    pub(crate) fn of(&self, origin: &Origin) -> Result<Option<&Proxy>, &ProxyError> {
        let own = match origin.scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https | Scheme::Tunnel => self.https.as_ref(),
            Scheme::Tcp => None,
        };
        match own.or(self.all.as_ref()) {
            Some(setting) if !self.is_excepted(origin) => setting.as_ref().map(|proxy| Some(&**proxy)),
            _ => Ok(None),
        }
    }

    /// Variables that cannot be used, to be told before they matter.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &ProxyError> {
        self.each().filter_map(|(_, setting)| setting.err())
    }

    /// What is set, each by its variable in lower case: the proxy, or why it is none.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, Result<&Proxy, &ProxyError>)> {
        let all = [("http_proxy", &self.http), ("https_proxy", &self.https), ("all_proxy", &self.all)];
        let set = all.into_iter().filter_map(|(variable, setting)| Some((variable, setting.as_ref()?)));
        set.map(|(variable, setting)| (variable, setting.as_ref().map(|proxy| &**proxy)))
    }

    fn is_excepted(&self, origin: &Origin) -> bool {
        let host = origin.host.trim_end_matches('.');
        let address = host.parse().ok().map(|address: IpAddr| address.to_canonical());
        self.exceptions.iter().any(|exception| exception.covers(host, address, origin.port))
    }
}

impl Proxy {
    fn parse(variable: &'static str, value: &str) -> Result<Self, ProxyError> {
        let wrong = |problem| ProxyError { variable, problem };
        let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
        let tls = match &*scheme.to_ascii_lowercase() {
            "http" => false,
            "https" => true,
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return Err(wrong("names a SOCKS proxy, which is not spoken"));
            }
            _ => return Err(wrong("names a proxy of a kind that is not known")),
        };
        // A password may hold an `@` although it should not.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = Rule::parse_host(place).map_err(|_| wrong("names no host and port"))?;
        // As Python's clients have it; curl takes 1080.
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let authorization = credentials.filter(|text| !text.is_empty()).map(basic).transpose();
        Ok(Self {
            name: super::authority(&host, port).into(),
            host: host.into(),
            port,
            tls,
            authorization: authorization.map_err(|_| wrong("holds credentials that cannot be sent"))?,
        })
    }
}

/// `Basic` credentials (RFC 7617) of `user[:password]`, percent-decoded.
fn basic(credentials: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decoded: Vec<u8> = percent_decode_str(user).chain([b':']).chain(percent_decode_str(password)).collect();
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(decoded)))?;
    value.set_sensitive(true);
    Ok(value)
}

impl ProxyError {
    /// What to do about any.
    pub(crate) const HINT: &str = "write http://[user:password@]host:port, or name hosts that need no proxy in NO_PROXY";
}

impl Exception {
    /// Reads `*`, a name with or without a leading dot or `*.`, an address, or a network; each but the last with or without a port.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(network) = text.parse() {
            return Some(Self { which: Which::Network(network), port: None });
        }
        if text == "*" {
            return Some(Self { which: Which::All, port: None });
        }
        let (host, port) = Rule::parse_host(text).ok()?;
        let which = match host.parse::<IpAddr>() {
            Ok(address) => Which::Network(address.to_canonical().into()),
            Err(_) => Which::Domain(host.trim_start_matches('*').trim_matches('.').to_owned()),
        };
        (which != Which::Domain(String::new())).then_some(Self { which, port })
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let is_place = match (&self.which, address) {
            (Which::All, _) => true,
            (Which::Network(network), Some(address)) => network.contains(&address),
            (Which::Domain(domain), None) => {
                host.strip_suffix(domain.as_str()).is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }
            _ => false,
        };
        is_place && self.port.is_none_or(|of| of == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let variables: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Proxies::read(|name| variables.get(name).cloned())
    }

    fn name<'a>(proxies: &'a Proxies, scheme: Scheme, host: &str, port: u16) -> Option<&'a str> {
        proxies.of(&Origin::new(scheme, host, port)).unwrap().map(|proxy| &*proxy.name)
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_proxy_the_rest() {
        let set = proxies(&[("HTTP_PROXY", "http://plain:1"), ("https_proxy", "secure:2"), ("ALL_PROXY", "all:3")]);
        assert_eq!(name(&set, Scheme::Http, "a.example", 80), Some("plain:1"));
        assert_eq!(name(&set, Scheme::Https, "a.example", 443), Some("secure:2"));
        assert_eq!(name(&set, Scheme::Tunnel, "a.example", 443), Some("secure:2"));
        assert_eq!(name(&set, Scheme::Tcp, "a.example", 5432), Some("all:3"));
        let set = proxies(&[("HTTPS_PROXY", "secure:2")]);
        assert_eq!(name(&set, Scheme::Http, "a.example", 80), None);
        assert_eq!(name(&set, Scheme::Tcp, "a.example", 5432), None, "databases' drivers know no proxies");
    }

    #[test]
    fn lower_case_wins_and_an_empty_one_switches_off() {
        let set =
            proxies(&[("http_proxy", "lower:1"), ("HTTP_PROXY", "upper:2"), ("https_proxy", ""), ("HTTPS_PROXY", "upper:3")]);
        assert_eq!(name(&set, Scheme::Http, "a.example", 80), Some("lower:1"));
        assert_eq!(name(&set, Scheme::Https, "a.example", 443), None);
    }

    #[test]
    fn a_clients_header_names_no_proxy() {
        let set = proxies(&[("HTTP_PROXY", "evil:1"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(name(&set, Scheme::Http, "a.example", 80), None);
    }

    #[test]
    fn exceptions_are_names_and_all_below_them_addresses_networks_and_ports() {
        let exceptions =
            "corp.example, .dotted.example,*.star.example localhost:8080,10.0.0.0/8,192.168.1.7,[fd00::1]:443,fe80::/10";
        let set = proxies(&[("ALL_PROXY", "p:1"), ("NO_PROXY", exceptions)]);
        let without = |host, port| name(&set, Scheme::Tcp, host, port).is_none();
        for (host, port) in [
            ("corp.example", 1),
            ("Docs.CORP.example.", 1),
            ("dotted.example", 1),
            ("a.dotted.example", 1),
            ("a.star.example", 1),
            ("localhost", 8080),
            ("10.255.0.1", 1),
            ("::ffff:10.0.0.1", 1),
            ("192.168.1.7", 1),
            ("[fd00::1]", 443),
            ("fe80::2", 1),
        ] {
            assert!(without(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("notcorp.example", 1),
            ("corp.example.org", 1),
            ("localhost", 80),
            ("11.0.0.1", 1),
            ("192.168.1.70", 1),
            ("fd00::1", 80),
            ("10.0.0.1.example", 1),
        ] {
            assert!(!without(host, port), "{host}:{port}");
        }
    }

    #[test]
    fn a_star_excepts_everything() {
        for exceptions in ["*", "a.example, *"] {
            let set = proxies(&[("ALL_PROXY", "p:1"), ("no_proxy", exceptions)]);
            assert_eq!(name(&set, Scheme::Https, "b.example", 443), None);
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let proxy = Proxy::parse("HTTPS_PROXY", "http://us%40er:p%3Ass@[::1]:3128/").unwrap();
        // `us@er:p:ss`
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dXNAZXI6cDpzcw==");
        assert_eq!((&*proxy.name, &*proxy.host, proxy.port), ("[::1]:3128", "::1", 3128));
        let shown = format!("{proxy:?}");
        assert!(!shown.contains("Basic") && !shown.contains("us"), "{shown}");
        let proxy = Proxy::parse("HTTPS_PROXY", "user@p@ss@host").unwrap();
        assert_eq!((&*proxy.name, proxy.tls), ("host:80", false));
        assert_eq!(Proxy::parse("HTTPS_PROXY", "HTTPS://:@host").unwrap().name, "host:443".into());
    }

    #[test]
    fn what_cannot_be_used_is_told_only_where_it_would_be() {
        let set = proxies(&[("ALL_PROXY", "socks5h://user:secret@host:1080"), ("HTTP_PROXY", "p:1"), ("NO_PROXY", "b.example")]);
        assert_eq!(name(&set, Scheme::Http, "a.example", 80), Some("p:1"));
        assert_eq!(name(&set, Scheme::Https, "b.example", 443), None);
        let error = set.of(&Origin::new(Scheme::Https, "a.example", 443)).unwrap_err();
        assert_eq!(error.to_string(), "`ALL_PROXY` names a SOCKS proxy, which is not spoken");
        assert_eq!(set.faults().count(), 1);
        for value in ["ftp://host", "http://", "host:port", "http://host:99999", "http://a b"] {
            assert!(Proxy::parse("HTTP_PROXY", value).is_err(), "{value}");
        }
    }
}
