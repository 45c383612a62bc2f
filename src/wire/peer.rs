//! What a peer is called, by what its traffic says of it.

use super::provider;
use crate::model::naming::Named;
use crate::model::{Kind, Naming, Peer, redact};
use std::net::IpAddr;

/// A peer as a request shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// Its host name, without port.
    pub host: Option<&'a str>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: Option<u16>,
    /// Whether TLS is spoken with it.
    pub tls: bool,
    /// The path that was asked for; `None` = no HTTP was seen.
    pub path: Option<&'a str>,
}

/// Names a peer by the report reference, section 2: by the explicit names, a base URL, a known provider, else its host.
#[must_use]
pub fn name(naming: &Naming, shown: Shown<'_>) -> Named {
    let Shown { host, address, port, tls, path } = shown;
    let host = host.map(|host| redact::name(&host.to_ascii_lowercase()));
    let provider = host.as_deref().and_then(|host| provider::of_host(host, port));
    let kind = hint(path).or(provider.filter(|_| path.is_none()).map(|_| Kind::Llm));
    naming.name(&Peer { host: host.as_deref(), address, port, tls, not_http: path.is_none(), provider, kind })
}

/// The kind of a call, by its path.
#[must_use]
pub fn hint(path: Option<&str>) -> Option<Kind> {
    Some(match provider::hint(path?)? {
        provider::Hint::Llm => Kind::Llm,
        provider::Hint::Embedding => Kind::Embedding,
    })
}
