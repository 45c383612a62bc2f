//! Addresses to listen on as people write them: `127.0.0.1:9470`, `[::1]:9470`, `localhost:9470`, or a port alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How to write one.
pub const HINT: &str = "write [ADDRESS:]PORT, like `127.0.0.1:9464`, `9464` or `0.0.0.0:9464`";

/// What to do where nobody can listen.
#[must_use]
pub fn hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::AddrInUse => Some("something else listens there; port 0 takes any that is free and tells which"),
        io::ErrorKind::AddrNotAvailable => Some("name an address of this machine, like `127.0.0.1:9464`"),
        io::ErrorKind::PermissionDenied => Some("ports below 1024 need a privilege; take a higher one"),
        _ => None,
    }
}

/// Reads `[ADDRESS:]PORT`; a port alone is the loopback's.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    let port = |text: &str| text.parse::<u16>().ok();
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    text.parse()
        .ok()
        .or_else(|| port(text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text)).map(loopback))
        .ok_or_else(|| format!("`{text}` is no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_the_loopbacks() {
        for text in ["9464", ":9464", "localhost:9464", "127.0.0.1:9464"] {
            assert_eq!(parse(text), Ok(([127, 0, 0, 1], 9464).into()), "{text}");
        }
        assert_eq!(parse("0.0.0.0:0"), Ok(([0, 0, 0, 0], 0).into()));
        assert_eq!(parse("[::1]:9464"), Ok((std::net::Ipv6Addr::LOCALHOST, 9464).into()));
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in ["", ":", "here", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:9464", "::1:9464:"] {
            assert_eq!(parse(text), Err(format!("`{text}` is no address")));
        }
    }
}
