//! `--metrics`: what ended and what is open so far, for Prometheus to scrape while the command runs.

use super::source::View;
use crate::agent::address;
use crate::cli::{Failure, status, tell};
use crate::export::metrics::{Metrics, OpenCalls, Target};
use crate::export::prometheus::{CONTENT_TYPE, Prometheus};
use crate::export::serve::{Page, Server};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The metrics of a run that goes on, at an address; dropped, it serves no more.
#[derive(Debug)]
pub(super) struct Exposed(#[expect(dead_code, reason = "held for its end")] Server);

/// What answers a scrape.
#[derive(Debug)]
struct Scraped {
    view: Option<View>,
    metrics: Metrics,
    prometheus: Prometheus,
}

impl Exposed {
    /// Serves at an address. Where the system chose the port, it is told on standard error: nobody could know it.
    pub(super) fn start(address: SocketAddr, view: Option<View>) -> Result<Self, Failure> {
        let prometheus =
            Prometheus::new().map_err(|error| Failure::new(status::FAILED, format!("cannot make metrics: {error}")))?;
        let mut metrics = Metrics::new(Target::Own(vec![prometheus.recorder()]));
        metrics.refresh();
        let scraped = Mutex::new(Scraped { view, metrics, prometheus });
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
        if let Some(view) = &self.view {
            let live = view.look();
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

/// Reads `[ADDRESS:]PORT`.
pub(super) fn address_option(text: &str) -> Result<SocketAddr, String> {
    address::parse(text).map_err(|message| format!("{message}\nhint: {}", address::HINT))
}
