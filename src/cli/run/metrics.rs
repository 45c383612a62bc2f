//! `--metrics`: what ended and what is open so far, for Prometheus to scrape while the command runs.

use crate::cli::{Failure, status, tell};
use crate::export::metrics::{Metrics, OpenCalls, Target};
use crate::export::prometheus::{CONTENT_TYPE, Prometheus};
use crate::export::serve::{Page, Server};
use crate::observe::Glimpse;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// The metrics of a run that goes on, at an address; dropped, it serves no more.
#[derive(Debug)]
pub(super) struct Exposed(#[expect(dead_code, reason = "held for its end")] Server);

/// What answers a scrape.
#[derive(Debug)]
struct Scraped {
    glimpse: Option<Glimpse>,
    metrics: Metrics,
    prometheus: Prometheus,
}

impl Exposed {
    /// Serves at an address. Where the system chose the port, it is told on standard error: nobody could know it.
    pub(super) fn start(address: SocketAddr, glimpse: Option<Glimpse>) -> Result<Self, Failure> {
        let prometheus =
            Prometheus::new().map_err(|error| Failure::new(status::FAILED, format!("cannot make metrics: {error}")))?;
        let mut metrics = Metrics::new(Target::Own(vec![prometheus.recorder()]));
        metrics.refresh();
        let scraped = Mutex::new(Scraped { glimpse, metrics, prometheus });
        let answer = move |path: &str| match path {
            "/metrics" => {
                let body = scraped.lock().unwrap_or_else(PoisonError::into_inner).text();
                Some(Page { content_type: CONTENT_TYPE, body })
            }
            "/healthz" => Some(Page { content_type: "text/plain; charset=utf-8", body: "ok\n".to_owned() }),
            _ => None,
        };
        let server = Server::start(address, Arc::new(answer)).map_err(|error| refused(address, &error))?;
        if address.port() == 0 {
            tell(&format!("hopwatch: metrics at http://{}/metrics\n", server.address()));
        }
        Ok(Self(server))
    }
}

impl Scraped {
    /// Counts what ended since the last scrape, and tells everything so far.
    fn text(&mut self) -> String {
        if let Some(glimpse) = &self.glimpse {
            let live = glimpse.look();
            live.ended.iter().for_each(|span| self.metrics.hop(span));
            self.metrics.open(&OpenCalls::of(&live.open, live.now));
            self.metrics.losses(&live.losses);
        }
        self.prometheus.render()
    }
}

fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::new(status::FAILED, format!("cannot serve metrics at {address}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.hint("something else listens there; port 0 takes any that is free and tells which"),
        io::ErrorKind::AddrNotAvailable => failure.hint("name an address of this machine, like `127.0.0.1:9464`"),
        io::ErrorKind::PermissionDenied => failure.hint("ports below 1024 need a privilege; take a higher one"),
        _ => failure,
    }
}

/// Reads `[HOST:]PORT`: an address, or a port alone, which is the loopback's.
pub(super) fn address_option(text: &str) -> Result<SocketAddr, String> {
    let port = |text: &str| text.parse::<u16>().ok();
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    text.parse()
        .ok()
        .or_else(|| port(text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text)).map(loopback))
        .ok_or_else(|| {
            format!("`{text}` is no address\nhint: write [ADDRESS:]PORT, like `127.0.0.1:9464`, `9464` or `0.0.0.0:9464`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_the_loopbacks() {
        for text in ["9464", ":9464", "localhost:9464", "127.0.0.1:9464"] {
            assert_eq!(address_option(text), Ok(([127, 0, 0, 1], 9464).into()), "{text}");
        }
        assert_eq!(address_option("0.0.0.0:0"), Ok(([0, 0, 0, 0], 0).into()));
        assert_eq!(address_option("[::1]:9464"), Ok((std::net::Ipv6Addr::LOCALHOST, 9464).into()));
    }

    #[test]
    fn what_is_no_address_says_how_to_write_one() {
        for text in ["", ":", "here", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:9464", "::1:9464:"] {
            assert!(address_option(text).unwrap_err().contains("hint: write"), "{text}");
        }
    }
}
