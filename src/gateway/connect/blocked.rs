//! Places that are never connected to, whoever asks.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a connection to this address would get into the network, however it is written.
pub(super) fn covers(network: &IpNet, address: IpAddr) -> bool {
    network.contains(&reached(address))
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
        let network: IpNet = "169.254.0.0/16".parse().unwrap();
        for address in ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"] {
            assert!(covers(&network, address.parse().unwrap()), "{address}");
        }
        for address in ["169.253.0.1", "fe80::1"] {
            assert!(!covers(&network, address.parse().unwrap()), "{address}");
        }
        let network: IpNet = "127.0.0.0/8".parse().unwrap();
        for address in ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(covers(&network, address.parse().unwrap()), "{address}");
        }
    }
}
