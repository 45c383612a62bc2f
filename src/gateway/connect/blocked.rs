//! Places that are never connected to, whoever asks.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A network that is never connected to, on one port or on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// Its addresses.
    pub(crate) network: IpNet,
    /// The port; `None` = all.
    pub(crate) port: Option<u16>,
}

impl Blocked {
    /// Whether a connection to this address would get there, however it is written.
    pub(super) fn covers(&self, address: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == address.port()) && self.network.contains(&reached(address.ip()))
    }
}

/// Where a connection to an address ends up: IPv4 inside of IPv6 (mapped, RFC 4291, 2.5.5.2; behind a NAT64, RFC 6052, 2.1) is that
/// IPv4, and the unspecified address is this machine.
fn reached(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(address) => match address.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into(),
            _ => address.into(),
        },
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_network_is_known_in_every_spelling() {
        let blocked = Blocked { network: "169.254.0.0/16".parse().unwrap(), port: None };
        for address in ["169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80"] {
            assert!(blocked.covers(address.parse().unwrap()), "{address}");
        }
        for address in ["169.253.0.1:80", "[fe80::1]:80"] {
            assert!(!blocked.covers(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn one_port_of_this_machine_can_be_blocked() {
        let blocked = Blocked { network: "127.0.0.0/8".parse().unwrap(), port: Some(9464) };
        for address in ["127.0.0.1:9464", "0.0.0.0:9464", "[::ffff:127.0.0.1]:9464"] {
            assert!(blocked.covers(address.parse().unwrap()), "{address}");
        }
        assert!(!blocked.covers("127.0.0.1:9465".parse().unwrap()));
    }
}
