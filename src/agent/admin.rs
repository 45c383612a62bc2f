//! The admin address: what operators and their tools ask (report reference, section 4).
//!
//! `GET /metrics`, `/healthz`, `/readyz`, `/api/report`, `/api/open`, `/api/events`, and `/`, a page for browsers and text for others; runs are
//! handed over by `PUT /api/runs/ID` where they are taken.

use super::handoff;
use super::hub::{Extent, Hub, Told};
use super::page;
use super::page::events::Feed;
use crate::attribution::Judgement;
use crate::export::prometheus::CONTENT_TYPE;
use crate::export::report::{Report, Style, text};
use crate::export::serve::{Answer, Asked, Handlers, Intake, Page, Server};
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
        let answer: Answer = Arc::new(move |asked| admin.answer(asked));
        let hub = Arc::clone(&self.hub);
        let intake: Option<Intake> =
            takes_runs.then(|| Arc::new(move |path: &str, body: &[u8]| take(&hub, path, body)) as Intake);
        let events = Arc::new(Feed::new(Arc::clone(self)));
        Server::on(listener, Handlers { answer, intake, events: Some(events) }).map(AdminServer)
    }

    fn answer(&self, asked: &Asked<'_>) -> Option<Page> {
        Some(match asked.path {
            "/metrics" => Page::new(CONTENT_TYPE, self.hub.metrics()),
            "/healthz" => Page::line(StatusCode::OK, "ok"),
            "/readyz" if self.ready.load(Ordering::Relaxed) => Page::line(StatusCode::OK, "ready"),
            "/readyz" => Page::line(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            "/api/report" => self.report(asked),
            "/api/open" => json(&self.hub.open()),
            "/" if asked.wants_page() => page::index(),
            "/" => Page::new("text/plain; charset=utf-8", self.text()),
            path => return page::asset(path),
        })
    }

    fn text(&self) -> String {
        let told = self.report_of(Extent::Whole).map(|report| text(&report, Style { color: false })).unwrap_or_default();
        if told.is_empty() { NOTHING.to_owned() } else { told }
    }

    /// `?run=ID` that run alone; `?hops=0` no calls of any.
    fn report(&self, asked: &Asked<'_>) -> Page {
        let extent = match (asked.parameter("run"), asked.parameter("hops")) {
            (Some(id), _) => Extent::Run(id),
            (None, Some("0")) => Extent::Brief,
            _ => Extent::Whole,
        };
        let unknown = "no run of this id is kept: `agent.keep_runs` and `agent.keep_for` say how many are, and for how long";
        self.report_of(extent).map_or_else(|| Page::line(StatusCode::NOT_FOUND, unknown), |report| json(&report))
    }

    /// As much of the report as is asked for; `None` = the run is not kept.
    pub(super) fn report_of(&self, extent: Extent<'_>) -> Option<Report> {
        self.with_making(|making| self.hub.report_of(making, extent))
    }

    /// What changed since somebody was told, in brief.
    pub(super) fn changes(&self, told: &mut Told) -> Option<Report> {
        self.with_making(|making| self.hub.changes(making, told))
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    fn with_making<T>(&self, ask: impl FnOnce(Option<(&Run, &Judgement)>) -> T) -> T {
        let making = self.making.as_ref().and_then(|making| making());
        ask(making.as_ref().map(|(run, judgement)| (run, judgement)))
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

#[cfg(test)]
pub(in crate::agent) mod tests;
