//! What the handle serves at its Prometheus address.

use super::{Hopwatch, Inner};
use crate::export::prometheus::CONTENT_TYPE;
use crate::export::serve::{Answer, Page, Server};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

impl Hopwatch {
    /// The handle's metrics as Prometheus scrapes them; `None` unless it was built with [`own_metrics`](super::Builder::own_metrics).
    #[must_use]
    pub fn metrics(&self) -> Option<String> {
        self.inner.metrics()
    }

    /// Where Prometheus may scrape; `None` unless it was built with [`prometheus`](super::Builder::prometheus).
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.inner.server.get().map(Server::address)
    }

    pub(super) fn serve(&self, address: SocketAddr) -> io::Result<Server> {
        // The server must not keep the handle alive.
        let inner = Arc::downgrade(&self.inner);
        let answer: Answer = Arc::new(move |asked| answer(&inner, asked.path));
        Server::start(address, answer)
    }
}

impl Inner {
    fn metrics(&self) -> Option<String> {
        let prometheus = self.prometheus.as_ref()?;
        drop(self.drainer.drained());
        Some(prometheus.render())
    }
}

fn answer(inner: &Weak<Inner>, path: &str) -> Option<Page> {
    match path {
        "/metrics" => Some(Page::new(CONTENT_TYPE, inner.upgrade()?.metrics()?)),
        "/healthz" => Some(Page::line(http::StatusCode::OK, "ok")),
        _ => None,
    }
}
