//! Who is at the other end.

use super::connection::Connection;
use crate::model::naming::Named;
use crate::model::{Naming, Peer};
use crate::observer::layout::SOCKADDR_BYTES;
use crate::wire::peer;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Reads an address with its port from a payload. `None` = too short, or not of the internet.
pub(super) fn endpoint(bytes: &[u8]) -> Option<SocketAddr> {
    let bytes = bytes.get(..SOCKADDR_BYTES)?;
    let family = u16::from_le_bytes([bytes[0], bytes[1]]);
    if i32::from(family) != libc::AF_INET && i32::from(family) != libc::AF_INET6 {
        return None;
    }
    Some(SocketAddr::new(address(bytes.get(4..20)?)?, u16::from_le_bytes([bytes[2], bytes[3]])))
}

/// An address of sixteen bytes, IPv4 as mapped IPv6.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
}

/// What is known of a request when its peer is named.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked<'a> {
    /// `host` field, with its port where given.
    pub(super) host: Option<&'a str>,
    /// Path.
    pub(super) path: Option<&'a str>,
    /// It was asked of a forward proxy, which is not the peer.
    pub(super) by_proxy: bool,
}

/// Names the peer of a connection.
pub(super) fn name(naming: &Naming, connection: &Connection, asked: Asked<'_>) -> Named {
    if connection.unix {
        let host = Some("unix");
        return naming.name(&Peer { host, port: None, kind: peer::hint(asked.path), ..Peer::default() });
    }
    if let Some(host) = asked.host.filter(|_| asked.by_proxy) {
        let name = without_port(host);
        let port =
            host.trim_start_matches('[').strip_prefix(name).and_then(|rest| rest.trim_start_matches([']', ':']).parse().ok());
        return one(naming, Some(name), None, port.or(Some(80)), false, asked.path);
    }
    let endpoint = connection.peer;
    // Behind a forward proxy the address is not the peer's.
    let address = endpoint.map(|peer| peer.ip()).filter(|_| connection.tunnel.is_none());
    let port = connection.tunnel.or(endpoint.map(|peer| peer.port()));
    let header = asked.host.map(without_port);
    let names = [connection.server_name(), header, connection.name.as_deref()];
    let tls = connection.is_tls();
    let mut first = None;
    for host in names.into_iter().flatten() {
        let named = one(naming, Some(host), address, port, tls, asked.path);
        if named.explicit {
            return named;
        }
        first.get_or_insert(named);
    }
    first.unwrap_or_else(|| one(naming, None, address, port, tls, asked.path))
}

/// Names a host of which only the name is known: it was looked up, and that failed.
pub(super) fn name_of_host(naming: &Naming, host: &str) -> Named {
    let rules = naming.rules.iter().chain(&naming.base_urls);
    let port = rules.clone().find(|rule| rule.host.eq_ignore_ascii_case(host)).and_then(|rule| rule.port);
    one(naming, Some(host), None, port, false, None)
}

fn one(naming: &Naming, host: Option<&str>, address: Option<IpAddr>, port: Option<u16>, tls: bool, path: Option<&str>) -> Named {
    peer::name(naming, peer::Shown { host, address, port, tls, path })
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
