//! Addresses of the gateway's own: what would come back to it is not connected to.

use super::connect::Scheme;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{PoisonError, RwLock};

/// Where its clients come in.
#[derive(Debug, Default)]
pub(crate) struct Own {
    http: RwLock<Vec<SocketAddr>>,
    /// Where its TCP routes begin.
    tcp: RwLock<Vec<SocketAddr>>,
}

impl Own {
    /// From here on they come in there.
    pub(crate) fn change(&self, http: Vec<SocketAddr>, tcp: Vec<SocketAddr>) {
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = http;
        *self.tcp.write().unwrap_or_else(PoisonError::into_inner) = tcp;
    }

    /// Whether a host and port are the gateway itself.
    pub(crate) fn is(&self, host: &str, port: u16) -> bool {
        is_named(&self.http.read().unwrap_or_else(PoisonError::into_inner), host, port)
    }

    /// Whether a connection to an address comes back for ever. HTTP may take the way of a TCP route, which leads elsewhere.
    pub(super) fn is_circle(&self, scheme: Scheme, address: SocketAddr) -> bool {
        let is_of = |own: &RwLock<Vec<SocketAddr>>| is_reached(&own.read().unwrap_or_else(PoisonError::into_inner), address);
        is_of(&self.http) || (scheme == Scheme::Tcp && is_of(&self.tcp))
    }
}

/// Whether a host and port are one of these addresses, or a name of this machine with their port.
pub(super) fn is_named(own: &[SocketAddr], host: &str, port: u16) -> bool {
    own.iter()
        .any(|address| address.port() == port && (host == "localhost" || host.parse().is_ok_and(|ip| reaches(ip, address.ip()))))
}

/// Whether who connects to this address gets to one of these listeners.
pub(super) fn is_reached(own: &[SocketAddr], address: SocketAddr) -> bool {
    own.iter().any(|listener| listener.port() == address.port() && reaches(address.ip(), listener.ip()))
}

/// Whether who connects to an address gets to a listener at another one.
fn reaches(to: IpAddr, listener: IpAddr) -> bool {
    let (to, listener) = (to.to_canonical(), listener.to_canonical());
    // What can be bound is this machine's. The unspecified address is loopback to those who connect to it.
    let is_here = || to.is_loopback() || to.is_unspecified() || UdpSocket::bind((to, 0)).is_ok();
    to == listener || (to.is_unspecified() && listener.is_loopback()) || (listener.is_unspecified() && is_here())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_listener_is_known_in_every_spelling() {
        let own = [at("127.0.0.1:9464")];
        for address in ["127.0.0.1:9464", "0.0.0.0:9464", "[::ffff:127.0.0.1]:9464", "[::]:9464"] {
            assert!(is_reached(&own, at(address)), "{address}");
        }
        for address in ["127.0.0.1:9465", "127.0.0.2:9464", "192.0.2.1:9464"] {
            assert!(!is_reached(&own, at(address)), "{address}");
        }
    }

    #[test]
    fn one_on_all_addresses_is_reached_at_each_of_this_machine() {
        for own in [[at("0.0.0.0:9464")], [at("[::]:9464")]] {
            for address in ["127.0.0.1:9464", "127.9.9.9:9464", "0.0.0.0:9464", "[::ffff:127.0.0.1]:9464", "[::1]:9464"] {
                assert!(is_reached(&own, at(address)), "{address}");
            }
            assert!(!is_reached(&own, at("192.0.2.1:9464")));
        }
    }

    #[test]
    fn http_may_take_the_way_of_a_tcp_route_and_tcp_none_that_comes_back() {
        let own = Own::default();
        own.change(vec![at("127.0.0.1:1")], vec![at("127.0.0.1:2")]);
        for scheme in [Scheme::Http, Scheme::Https, Scheme::Tunnel, Scheme::Tcp] {
            assert!(own.is_circle(scheme, at("127.0.0.1:1")));
            assert_eq!(own.is_circle(scheme, at("127.0.0.1:2")), scheme == Scheme::Tcp);
        }
        assert!(own.is("localhost", 1) && !own.is("localhost", 2) && !own.is("elsewhere", 1));
    }
}
