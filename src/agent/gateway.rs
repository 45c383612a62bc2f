//! What a gateway is told, from the settings in force.

use super::config;
use super::providers::ProviderRoutes;
use crate::gateway::{Base, Connecting, Limits, Route, Routes, Settings, UpstreamFailure};
use crate::model::Naming;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What a gateway is told. Routes of the configuration come before those of providers; `authorities` are trusted beside those that the
/// configuration names, `protected` are addresses that no client is to reach through it.
#[must_use]
pub fn settings(
    config: &config::Settings,
    naming: Arc<Naming>,
    providers: &ProviderRoutes,
    mut authorities: Vec<PathBuf>,
    protected: Vec<SocketAddr>,
) -> Settings {
    let gateway = &config.gateway;
    authorities.extend(gateway.ca.iter().cloned());
    let configured = config.routes.iter().filter_map(|route| {
        let name = route.dependency.value.clone();
        let kind = route.kind.value.or_else(|| config.kind_of(&name));
        Some(Route {
            prefix: route.prefix.value.0.clone(),
            upstream: Base::parse(&route.upstream.value.0.to_string()).ok()?,
            dependency: Some((name, kind)),
            keeps_host: *route.host == config::HostHeader::Keep,
            http2: false,
        })
    });
    let own: Vec<Route> = configured.collect();
    let taken = |route: &&Route| !own.iter().any(|known| known.prefix == route.prefix);
    let all: Vec<Route> = providers.routes.iter().filter(taken).cloned().chain(own.iter().cloned()).collect();
    Settings {
        naming,
        routes: Routes::new(all),
        forward: *gateway.forward,
        allow: gateway.allow.value.clone(),
        failure: match *gateway.upstream_failure {
            config::UpstreamFailure::Close => UpstreamFailure::Close,
            config::UpstreamFailure::BadGateway => UpstreamFailure::Answer,
        },
        limits: Limits {
            header_timeout: *gateway.header_timeout,
            idle_timeout: *gateway.idle_timeout,
            upstream_idle_timeout: *gateway.upstream_idle_timeout,
            max_header_size: usize::try_from(gateway.max_header_size.value.0).unwrap_or(usize::MAX),
            max_clients: *gateway.max_clients,
            max_upstream_connections: *gateway.max_upstream_connections,
        },
        connecting: Connecting {
            timeout: Some(*gateway.connect_timeout),
            authorities,
            proxies: proxies(gateway),
            blocked: gateway.block.value.clone(),
            protected,
        },
    }
}

/// The proxies in force, by the names of their variables.
fn proxies(gateway: &config::GatewaySettings) -> BTreeMap<String, String> {
    let url = |proxy: &Option<config::ProxyUrl>| proxy.as_ref().map(|proxy| proxy.secret().to_owned());
    let set = [
        ("http_proxy", url(&gateway.http_proxy)),
        ("https_proxy", url(&gateway.https_proxy)),
        ("no_proxy", Some(gateway.no_proxy.join(","))),
    ];
    set.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
