//! Which upstream a request is for.

use super::connect::{Origin, Scheme};
use super::options::Settings;
use super::told::{Memo, Told};
use crate::model::naming::Named;
use crate::model::{Kind, Name, Naming};
use crate::wire::peer::{self, Shown};
use crate::wire::provider;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A reverse-proxy route: what comes in under its prefix goes to its upstream.
#[derive(Clone, Debug)]
pub struct Route {
    /// Path prefix with its `/`, without one at its end.
    pub prefix: String,
    /// Where it leads.
    pub upstream: Base,
    /// Its dependency; `None` = named by its host as any other.
    pub dependency: Option<(Name, Option<Kind>)>,
    /// The client's `host` goes upstream instead of the upstream's own.
    pub keeps_host: bool,
    /// HTTP/2 is spoken upstream, without TLS by prior knowledge.
    pub http2: bool,
}

/// A TCP route: what comes in at its listener is led to its upstream.
#[derive(Clone, Debug)]
pub struct TcpRoute {
    /// The upstream's name or address, IPv6 with or without its brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its dependency.
    pub dependency: (Name, Option<Kind>),
}

/// A base URL: an origin and a path before all paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub(crate) origin: Origin,
    /// Without a `/` at its end.
    path: String,
}

/// All routes, longest prefix first.
#[derive(Clone, Debug, Default)]
pub struct Routes(Arc<Vec<Ready>>);

/// A route with its destination.
#[derive(Debug)]
struct Ready {
    route: Route,
    destination: Arc<Destination>,
    host: HeaderValue,
}

/// Where requests go, and what it is called.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) origin: Origin,
    /// A route named it.
    dependency: Option<(Name, Option<Kind>)>,
    /// HTTP/2 by prior knowledge.
    pub(crate) http2: bool,
    memo: Memo,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// It goes upstream: where, its target there, and its `host` there (`None` = as the client said).
    Upstream { destination: Arc<Destination>, target: PathAndQuery, host: Option<HeaderValue> },
    /// A tunnel is asked for.
    Tunnel(Origin),
    /// It is not carried.
    Refused(StatusCode, &'static str),
}

impl Base {
    /// Reads an absolute `http` or `https` URL; query and fragment are left out.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare = text.split(['?', '#']).next().unwrap_or_default();
        let uri: Uri = bare.parse().map_err(|error| format!("`{bare}` is no URL: {error}"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(format!("`{bare}` is no URL with `http://` or `https://`")),
        };
        let authority = uri.authority().ok_or_else(|| format!("`{bare}` names no host"))?;
        let origin = origin_of(scheme, authority).ok_or_else(|| format!("`{bare}` names no host"))?;
        Ok(Self { origin, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// The path before all paths, without a `/` at its end.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> String {
        self.origin.to_string()
    }
}

impl fmt::Display for Base {
    /// As a URL: its port only where it is not the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.scheme == Scheme::Https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", host_of(&self.origin), self.path)
    }
}

impl Routes {
    /// Puts routes in their order.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let ready = |route: Route| {
            let origin = route.upstream.origin.clone();
            let host = HeaderValue::from_str(&host_of(&origin)).unwrap_or(HeaderValue::from_static(""));
            let dependency = route.dependency.clone();
            let destination = Arc::new(Destination { dependency, http2: route.http2, ..Destination::of(origin) });
            Ready { route, destination, host }
        };
        let mut routes: Vec<Ready> = routes.into_iter().map(ready).collect();
        routes.sort_by_key(|ready| std::cmp::Reverse(ready.route.prefix.len()));
        Self(Arc::new(routes))
    }

    /// The prefixes, longest first.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|ready| ready.route.prefix.as_str())
    }

    fn find(&self, path: &str) -> Option<&Ready> {
        self.0.iter().find(|ready| {
            let rest = path.strip_prefix(ready.route.prefix.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl Destination {
    /// Where a TCP route leads.
    pub(crate) fn of_tcp(route: TcpRoute) -> Self {
        let TcpRoute { host, port, dependency } = route;
        Self { dependency: Some(dependency), ..Self::of(Origin::new(Scheme::Tcp, &host, port)) }
    }

    /// A destination that no route names.
    pub(crate) fn of(origin: Origin) -> Self {
        Self { origin, dependency: None, http2: false, memo: Memo::default() }
    }

    /// Whether no route says anything of it: it is any other of its origin.
    pub(crate) const fn is_plain(&self) -> bool {
        self.dependency.is_none() && !self.http2
    }

    /// How a request to it is told.
    pub(crate) fn told(&self, naming: &Arc<Naming>, method: &Method, path: &str) -> Told {
        self.memo.told(naming, method, path, || Told {
            named: self.name(naming, path),
            operation: provider::operation(method.as_str(), path).into(),
            method: method.as_str().into(),
            path: path.into(),
        })
    }

    /// What it is called when this path is asked for.
    pub(crate) fn name(&self, naming: &Naming, path: &str) -> Named {
        self.shown_as(naming, &self.origin.host, self.origin.scheme == Scheme::Https, Some(path))
    }

    /// What it is called when this host and path are asked for there, inside TLS or in the clear.
    pub(crate) fn shown_as(&self, naming: &Naming, host: &str, tls: bool, path: Option<&str>) -> Named {
        let Origin { host: place, port, .. } = &self.origin;
        let named = peer::name(naming, Shown { host: Some(host), address: place.parse().ok(), port: Some(*port), tls, path });
        // An explicit name of the place comes before that of a route.
        let Some((name, kind)) = self.dependency.as_ref().filter(|_| !named.explicit) else { return named };
        let kind = kind.or_else(|| peer::hint(path)).unwrap_or(Kind::Http);
        Named { kind, name: name.clone(), explicit: true }
    }
}

/// Finds where a request goes. `own` says whether an authority is the gateway itself.
pub(crate) fn find<B>(settings: &Settings, request: &Request<B>, own: impl Fn(&str, u16) -> bool) -> Found {
    let uri = request.uri();
    if request.method() == Method::CONNECT {
        return tunnel(settings, uri, own);
    }
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return routed(settings, uri, own);
    };
    // Over HTTP/2 every target has its authority; a proxy's client names another place than the one it is connected to. Names that lead
    // here are not all known, but who uses one names this port too.
    let origin = match scheme {
        "http" => origin_of(Scheme::Http, authority),
        "https" => origin_of(Scheme::Https, authority),
        _ => None,
    };
    let Some(origin) = origin else {
        return Found::Refused(StatusCode::BAD_REQUEST, "the target is no http or https URL");
    };
    let is_alias =
        || request.version() == Version::HTTP_2 && origin.host.parse::<IpAddr>().is_err() && own("localhost", origin.port);
    if own(&origin.host, origin.port) || is_alias() {
        return routed(settings, uri, own);
    }
    if !settings.forward {
        return Found::Refused(StatusCode::FORBIDDEN, "this gateway is no forward proxy (`gateway.forward`)");
    }
    let Ok(host) = HeaderValue::from_str(&host_of(&origin)) else {
        return Found::Refused(StatusCode::BAD_REQUEST, "the target names no host");
    };
    Found::Upstream { destination: Arc::new(Destination::of(origin)), target: target_of(uri, 0, ""), host: Some(host) }
}

/// Where a request goes that came by a connection which leads to one place.
pub(crate) fn inside<B>(destination: &Arc<Destination>, request: &Request<B>) -> Found {
    if request.method() == Method::CONNECT {
        return Found::Refused(StatusCode::NOT_IMPLEMENTED, "no tunnels lead from within one");
    }
    Found::Upstream { destination: Arc::clone(destination), target: target_of(request.uri(), 0, ""), host: None }
}

fn tunnel(settings: &Settings, uri: &Uri, own: impl Fn(&str, u16) -> bool) -> Found {
    let port = uri.authority().and_then(Authority::port_u16);
    let origin = uri.authority().and_then(|authority| origin_of(Scheme::Tunnel, authority));
    let (Some(origin), Some(_)) = (origin, port) else {
        return Found::Refused(StatusCode::BAD_REQUEST, "CONNECT needs HOST:PORT");
    };
    if !settings.forward {
        return Found::Refused(StatusCode::FORBIDDEN, "this gateway is no forward proxy (`gateway.forward`)");
    }
    if own(&origin.host, origin.port) {
        return Found::Refused(StatusCode::LOOP_DETECTED, "the tunnel leads to this very gateway");
    }
    Found::Tunnel(origin)
}

fn routed(settings: &Settings, uri: &Uri, own: impl Fn(&str, u16) -> bool) -> Found {
    match settings.routes.find(uri.path()) {
        Some(Ready { destination, .. }) if own(&destination.origin.host, destination.origin.port) => {
            Found::Refused(StatusCode::LOOP_DETECTED, "the route leads back to this very gateway")
        }
        Some(Ready { route, destination, host }) => {
            let skipped = route.prefix.trim_end_matches('/').len();
            Found::Upstream {
                destination: Arc::clone(destination),
                target: target_of(uri, skipped, &route.upstream.path),
                host: (!route.keeps_host).then(|| host.clone()),
            }
        }
        None => Found::Refused(StatusCode::NOT_FOUND, "no route leads from here"),
    }
}

/// The target without the first bytes of its path, behind a base.
fn target_of(uri: &Uri, skipped: usize, base: &str) -> PathAndQuery {
    let whole = uri.path_and_query();
    if skipped == 0 && base.is_empty() {
        return whole.cloned().unwrap_or(PathAndQuery::from_static("/"));
    }
    let rest = whole.and_then(|whole| whole.as_str().get(skipped..)).unwrap_or_default();
    // The base itself is a path where nothing follows it but a query.
    let is_base = !base.is_empty() && (rest.is_empty() || rest.starts_with('?'));
    let slash = if rest.starts_with('/') || is_base { "" } else { "/" };
    // Two valid parts make a valid whole.
    PathAndQuery::try_from(format!("{base}{slash}{rest}")).unwrap_or(PathAndQuery::from_static("/"))
}

fn origin_of(scheme: Scheme, authority: &Authority) -> Option<Origin> {
    let host = authority.host();
    let place = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, place)| place);
    let port = match place.strip_prefix(host)? {
        "" | ":" => own_port(scheme),
        // What is beyond 65535 is none.
        _ => authority.port_u16(),
    }?;
    (!host.is_empty()).then(|| Origin::new(scheme, host, port))
}

const fn own_port(scheme: Scheme) -> Option<u16> {
    match scheme {
        Scheme::Http => Some(80),
        Scheme::Https => Some(443),
        Scheme::Tcp | Scheme::Tunnel => None,
    }
}

/// `host` of requests to an origin: its port only where it is not the scheme's own.
fn host_of(origin: &Origin) -> String {
    let whole = origin.to_string();
    let own = own_port(origin.scheme) == Some(origin.port);
    whole.rsplit_once(':').filter(|_| own).map(|(host, _)| host.to_owned()).unwrap_or(whole)
}

#[cfg(test)]
mod tests;
