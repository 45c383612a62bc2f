//! The admin address: what operators and their tools ask (report reference, section 4).
//!
//! `GET /metrics`, `/healthz`, `/readyz`, `/api/report`, `/api/open`; runs are handed over by `PUT /api/runs/ID` where they are taken.

use super::handoff;
use super::hub::Hub;
use crate::attribution::Judgement;
use crate::export::prometheus::CONTENT_TYPE;
use crate::export::report::{Style, text};
use crate::export::serve::{Answer, Intake, Page, Server};
use crate::model::Run;
use http::StatusCode;
use serde::Serialize;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const JSON: &str = "application/json";
/// Said where there is nothing to tell.
const NOTHING: &str =
    "No run and no failed call so far. Calls are counted at /metrics, listed at /api/report, and while open at /api/open.\n";

/// The run that goes on, judged as of now; `None` = there is none.
pub type Making = Box<dyn Fn() -> Option<(Run, Judgement)> + Send + Sync>;

/// What is served at an admin address.
pub struct Admin {
    hub: Arc<Hub>,
    making: Option<Making>,
    ready: AtomicBool,
}

/// An admin address that is served; dropped, it is no more.
#[derive(Debug)]
pub struct AdminServer(Server);

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Admin {
    /// Serves what a hub knows, and a run that goes on. Not ready yet.
    #[must_use]
    pub fn new(hub: Arc<Hub>, making: Option<Making>) -> Arc<Self> {
        Arc::new(Self { hub, making, ready: AtomicBool::new(false) })
    }

    /// Whether more work is welcome: `/readyz` says so.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Serves on a listener. `takes_runs`: other processes may hand their runs over.
    ///
    /// # Errors
    /// When the listener cannot be used, or the system gives no thread.
    pub fn serve(self: &Arc<Self>, listener: TcpListener, takes_runs: bool) -> io::Result<AdminServer> {
        let admin = Arc::clone(self);
        let answer: Answer = Arc::new(move |path| admin.answer(path));
        let hub = Arc::clone(&self.hub);
        let intake: Option<Intake> =
            takes_runs.then(|| Arc::new(move |path: &str, body: &[u8]| take(&hub, path, body)) as Intake);
        Server::on(listener, answer, intake).map(AdminServer)
    }

    fn answer(&self, path: &str) -> Option<Page> {
        Some(match path {
            "/metrics" => Page::new(CONTENT_TYPE, self.hub.metrics()),
            "/healthz" => Page::line(StatusCode::OK, "ok"),
            "/readyz" if self.ready.load(Ordering::Relaxed) => Page::line(StatusCode::OK, "ready"),
            "/readyz" => Page::line(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            "/api/report" => json(&self.report()),
            "/api/open" => json(&self.hub.open()),
            "/" => Page::new("text/plain; charset=utf-8", self.text()),
            _ => return None,
        })
    }

    fn text(&self) -> String {
        let report = self.report();
        let told = text(&report, Style { color: false });
        if told.is_empty() { NOTHING.to_owned() } else { told }
    }

    fn report(&self) -> crate::export::report::Report {
        let making = self.making.as_ref().and_then(|making| making());
        self.hub.report(making.as_ref().map(|(run, judgement)| (run, judgement)))
    }
}

impl AdminServer {
    /// Where it is: the port that the system chose, where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

fn json(value: &impl Serialize) -> Page {
    match serde_json::to_string(value) {
        Ok(body) => Page::new(JSON, body),
        Err(_) => Page::line(StatusCode::INTERNAL_SERVER_ERROR, "it could not be written"),
    }
}

fn take(hub: &Hub, path: &str, body: &[u8]) -> Result<(), Page> {
    let id = path.strip_prefix(handoff::PATH).ok_or_else(|| Page::line(StatusCode::NOT_FOUND, "nothing is taken here"))?;
    handoff::take(hub, id, body).map_err(|reason| Page::line(StatusCode::BAD_REQUEST, &reason))
}
