//! What a gateway is told, from the settings in force.

use super::config;
use super::providers::ProviderRoutes;
use crate::gateway::{Connecting, Limits, Route, Routes, Settings, TcpRoute, UpstreamFailure};
use crate::model::Naming;
use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
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
    let configured = config.routes.iter().map(|route| {
        let name = route.dependency.value.clone();
        let kind = route.kind.value.or_else(|| config.kind_of(&name));
        Route {
            prefix: route.prefix.value.0.clone(),
            upstream: route.upstream.base.clone(),
            dependency: Some((name, kind)),
            keeps_host: *route.host == config::HostHeader::Keep,
            http2: *route.http2,
        }
    });
    Settings {
        naming,
        routes: Routes::new(providers.routes(config).chain(configured)),
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
            proxies: gateway.proxy_variables(),
            blocked: gateway.block.value.clone(),
            protected,
        },
        tls: None,
        intercept: None,
    }
}

/// The TCP routes of the settings: where each begins, where that is from, and where it leads.
pub fn tcp_routes(config: &config::Settings) -> impl Iterator<Item = (SocketAddr, &config::Source, TcpRoute)> {
    config.tcp_routes.iter().map(|route| {
        let name = route.dependency.value.clone();
        let kind = route.kind.value.or_else(|| config.kind_of(&name));
        let config::Target { host, port } = route.upstream.value.clone();
        (route.listen.value, &route.listen.source, TcpRoute { host, port, dependency: (name, kind) })
    })
}

/// How clients speak TLS with it, where the settings name a certificate.
///
/// # Errors
/// The certificate or its key cannot be used.
pub fn tls(config: &config::Settings) -> Result<Option<Arc<ServerConfig>>, config::PemError> {
    let gateway = &config.gateway;
    let (Some(certificate), Some(key)) = (&*gateway.tls_certificate, &*gateway.tls_key) else { return Ok(None) };
    let identity = config::identity(certificate, key)?;
    let unusable = |source| config::PemError::Unusable { certificate: certificate.clone(), key: key.clone(), source };
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    let mut server = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(server)))
}
