//! Whether a request means this host.
//!
//! A page of somebody else's may have its own name resolved to an address here, and then read what is answered as if it came from its own
//! server (DNS rebinding). Its browser names that server in `Host`, though: on loopback only names of loopback are answered.

use http::header::{HOST, HeaderMap};
use std::net::{IpAddr, SocketAddr};

/// Said to those who ask for another host.
pub(super) const MISDIRECTED: &str = "this is served on loopback, to those who ask for it by a name of loopback: \
     use http://localhost:PORT/ or http://127.0.0.1:PORT/, and let a proxy in between set `Host` so";

/// Whether the host that is asked for is the one at this address. On other addresses than loopback any name may be meant; clients that name
/// no host (HTTP/1.0) are no browsers.
pub(super) fn is_ours(headers: &HeaderMap, at: Option<SocketAddr>) -> bool {
    let at = at.map(|at| at.ip().to_canonical());
    if at.is_some_and(|at| !at.is_loopback()) {
        return true;
    }
    headers.get_all(HOST).iter().all(|host| host.to_str().is_ok_and(is_of_loopback))
}

/// Whether an authority is a name or an address of loopback (RFC 6761, 6.3; RFC 1122, 3.2.1.3).
fn is_of_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split_once(']').map_or("", |(address, _)| address),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_loopback_are_told_from_those_that_only_lead_there() {
        for ours in [
            "localhost",
            "LocalHost:9470",
            "localhost.:1",
            "a.localhost:9470",
            "127.0.0.1",
            "127.8.9.1:80",
            "[::1]:9470",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_of_loopback(ours), "{ours}");
        }
        for other in [
            "",
            ":9470",
            "evil.test",
            "localhost.evil.test:9470",
            "127.0.0.1.evil.test",
            "10.0.0.1:9470",
            "notlocalhost",
            "[::1",
            "[::2]:1",
            "2130706433",
        ] {
            assert!(!is_of_loopback(other), "{other}");
        }
    }

    #[test]
    fn elsewhere_than_on_loopback_any_name_may_be_meant() {
        let named = |host: &'static str| [(HOST, host.parse().unwrap())].into_iter().collect::<HeaderMap>();
        assert!(is_ours(&named("agent.pod:9470"), "10.0.0.7:9470".parse().ok()));
        assert!(!is_ours(&named("agent.pod:9470"), "127.0.0.1:9470".parse().ok()));
        assert!(!is_ours(&named("agent.pod:9470"), None));
        assert!(is_ours(&HeaderMap::new(), "127.0.0.1:9470".parse().ok()));
        let two = [(HOST, "localhost".parse().unwrap()), (HOST, "evil.test".parse().unwrap())];
        assert!(!is_ours(&two.into_iter().collect(), "[::1]:9470".parse().ok()));
    }
}
