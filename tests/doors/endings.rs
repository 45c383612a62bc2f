//! The shared table of endings: what every door must tell of each of them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use hopwatch::export::report::HopReport;
use hopwatch::instrument::hop::Hop;
use hopwatch::model::{FailedBy, Kind, Outcome, Phase};
use hopwatch::watch::Hopwatch;
use serde_json::json;

use crate::support::peers::refused;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};

/// A client's own limit, far below what a stalled server takes, far above what a loopback answer takes.
pub(crate) const LIMIT: Duration = Duration::from_millis(500);

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    ClientError,
    ServerError,
    /// The client's own timer, while the server says nothing.
    Timeout,
    /// Refused.
    Connect,
    /// RST before the answer.
    Reset,
    /// FIN within the answer's body.
    Body,
    /// The caller leaves before the answer.
    DroppedFuture,
    /// The caller leaves within the answer's body.
    DroppedBody,
    /// Code of the caller panics inside the call.
    Panic,
}

/// What is told of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) outcome: Outcome,
    pub(crate) failed_by: Option<FailedBy>,
    pub(crate) status: Option<u16>,
    /// The phase it ended in; `None` = any.
    pub(crate) phase: Option<Phase>,
}

impl End {
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::ClientError,
        Self::ServerError,
        Self::Timeout,
        Self::Connect,
        Self::Reset,
        Self::Body,
        Self::DroppedFuture,
        Self::DroppedBody,
        Self::Panic,
    ];

    /// What a door that sees everything tells.
    pub(crate) fn expected(self) -> Expected {
        use FailedBy::{Caller, Peer};
        let expected = |outcome, failed_by, status, phase| Expected { outcome, failed_by, status, phase };
        match self {
            Self::Ok => expected(Outcome::Ok, None, Some(200), None),
            Self::ClientError => expected(Outcome::ClientError, Some(Peer), Some(404), None),
            Self::ServerError => expected(Outcome::ServerError, Some(Peer), Some(503), None),
            Self::Timeout => expected(Outcome::Timeout, Some(Caller), None, Some(Phase::Wait)),
            Self::Connect => expected(Outcome::Connect, Some(Peer), None, Some(Phase::Connect)),
            Self::Reset => expected(Outcome::Reset, Some(Peer), None, Some(Phase::Wait)),
            Self::Body => expected(Outcome::Body, Some(Peer), Some(200), Some(Phase::Stream)),
            Self::DroppedFuture => expected(Outcome::Cancelled, Some(Caller), None, Some(Phase::Wait)),
            Self::DroppedBody => expected(Outcome::Cancelled, Some(Caller), Some(200), Some(Phase::Stream)),
            Self::Panic => expected(Outcome::Error, Some(Caller), None, None),
        }
    }
}

/// The peers of all endings.
pub(crate) struct Stage {
    pub(crate) server: Server,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let server = Router::new()
            .route("/ok", |_| Script::json(&json!({"text": "fine"})))
            .route("/missing", |_| Script::answer(404, &[], &json!({"error": "missing"})))
            .route("/broken", |_| Script::answer(503, &[], &json!({"error": "broken"})))
            .route("/mute", |_| Script::new().then(Step::Stall))
            .route("/reset", |_| Script::new().then(Step::Reset))
            .route("/cut", |_| half().delay(50).then(Step::Close))
            .route("/half", |_| half().then(Step::Stall))
            .start();
        Self { server }
    }

    /// Where a call ends so.
    pub(crate) fn url(&self, end: End) -> String {
        match end {
            End::Ok => self.server.url("/ok"),
            End::ClientError => self.server.url("/missing"),
            End::ServerError => self.server.url("/broken"),
            End::Timeout | End::DroppedFuture => self.server.url("/mute"),
            End::Connect => format!("http://{}/", refused()),
            End::Reset => self.server.url("/reset"),
            End::Body => self.server.url("/cut"),
            End::DroppedBody => self.server.url("/half"),
            // Never asked for: the panic is in the look-up of this name, or wherever a door can have one.
            End::Panic => "http://panics.invalid/".to_owned(),
        }
    }
}

/// The head of an answer of 100 bytes, and 10 of them.
fn half() -> Script {
    Script::new()
        .then(Step::Bytes(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\n0123456789".to_vec()))
}

/// A door, or one way of using it.
pub(crate) trait Door {
    /// Makes one call of `hop` that ends so. A [`End::Panic`] panics out of this.
    async fn call(&self, hop: &Hop, stage: &Stage, end: End);

    /// What this door can tell of it; `None` = a call through this door cannot end so.
    fn expected(&self, end: End) -> Option<Expected> {
        Some(end.expected())
    }
}

/// Every ending gives exactly one sample, with the right outcome, who failed, status and phase.
pub(crate) async fn passes(door: &impl Door) {
    let stage = Stage::new();
    for end in End::ALL {
        let Some(expected) = door.expected(end) else { continue };
        // Clients are made inside the run, which a loaded machine may take long for: that is not what is asked here.
        let watch = Hopwatch::builder().service("doors").stall_threshold(Duration::from_secs(3_600)).build().unwrap();
        let hop = watch.hop(Kind::Tool, "dependency");
        let call = AssertUnwindSafe(door.call(&hop, &stage, end)).catch_unwind();
        let panicked = watch.scope("run").run(call).await.unwrap().is_err();
        assert_eq!(panicked, end == End::Panic, "{end:?}");
        let losses = watch.losses();
        let counted = (losses.started, losses.recorded, losses.open, losses.dropped.len());
        assert_eq!(counted, (1, 1, 0, 0), "{end:?}: exactly one sample");
        let told = only_hop(&watch);
        let phase = expected.phase.and_then(|_| last_phase(&told));
        let found = Expected { outcome: told.outcome.unwrap(), failed_by: told.failed_by, status: told.status, phase };
        assert_eq!(found, expected, "{end:?}: {told:#?}");
        assert!(
            told.outcome == Some(Outcome::Ok)
                || told.outcome == Some(Outcome::Cancelled)
                || told.error_type.is_some()
                || told.failed_by == Some(FailedBy::Caller),
            "{end:?}: {told:#?}"
        );
        sums(&told);
    }
}

/// The one hop of the one run.
pub(crate) fn only_hop(watch: &Hopwatch) -> HopReport {
    let mut hops = hops(watch);
    assert_eq!(hops.len(), 1, "{hops:#?}");
    hops.remove(0)
}

/// The hops of the one run, in order.
pub(crate) fn hops(watch: &Hopwatch) -> Vec<HopReport> {
    let mut report = watch.report();
    assert_eq!(report.runs.len(), 1, "{report:#?}");
    report.runs.remove(0).hops
}

/// The phases with their times, in the order that they have in one attempt.
pub(crate) fn phases(hop: &HopReport) -> Vec<(Phase, f64)> {
    let times = &hop.phases;
    [
        (Phase::Gate, times.gate),
        (Phase::Pool, times.pool),
        (Phase::Dns, times.dns),
        (Phase::Connect, times.connect),
        (Phase::Proxy, times.proxy),
        (Phase::Tls, times.tls),
        (Phase::Send, times.send),
        (Phase::Wait, times.wait),
        (Phase::FirstToken, times.first_token),
        (Phase::Stream, times.stream),
        (Phase::Backoff, times.backoff),
        (Phase::Stall, times.stall),
        (Phase::Own, times.own),
    ]
    .into_iter()
    .filter_map(|(phase, time)| Some((phase, time?)))
    .collect()
}

/// The names of the phases.
pub(crate) fn names(hop: &HopReport) -> Vec<Phase> {
    phases(hop).into_iter().map(|(phase, _)| phase).collect()
}

/// The last one, whatever held the caller up meanwhile on a busy machine.
pub(crate) fn last_phase(hop: &HopReport) -> Option<Phase> {
    names(hop).into_iter().rfind(|phase| !phase.is_callers())
}

/// The phases sum to the call, each rounded to a microsecond.
pub(crate) fn sums(hop: &HopReport) {
    let sum: f64 = phases(hop).iter().map(|(_, time)| time).sum();
    assert!((sum - hop.duration_ms).abs() < 0.01, "{sum} of {}: {hop:#?}", hop.duration_ms);
}
