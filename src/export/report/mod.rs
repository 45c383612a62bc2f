//! The report: one shape for `run --json`, for machines and for the text that people read.
//!
//! Times are milliseconds with three decimals, instants RFC 3339 UTC with milliseconds; absent knowledge is `null`. Fields may be
//! added; one that is renamed or removed raises the version in [`SCHEMA`].

#[cfg(feature = "cli")]
pub(crate) mod axis;
mod build;
#[cfg(feature = "cli")]
pub(crate) mod columns;
mod open;
#[cfg(feature = "cli")]
pub(crate) mod read;
mod stats;
mod terminal;
#[cfg(test)]
mod tests;
#[cfg(feature = "cli")]
pub(crate) mod waterfall;

#[cfg(feature = "cli")]
pub(crate) use build::{finding_report, run_brief, run_id, run_report};
pub use build::{report, report_with};
pub use open::{OPEN_SCHEMA, OpenHopReport, OpenReport, open, open_text};
pub use stats::DependencyStats;
pub use terminal::{Style, open_hops, text};
#[cfg(feature = "cli")]
pub(crate) use terminal::{component, doing, finding_text, human, line, outcome_text, paint, plural, took_text};

use crate::model::{Cause, Confidence, ConnectionState, FailedBy, Kind, Origin, Outcome, Phase, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and version of the report's shape.
pub const SCHEMA: &str = "hopwatch.report/1";

/// Declares types of the report: serialised as they stand and read back, with a JSON schema where asked for.
macro_rules! shape {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)+ }

            #[cfg(feature = "cli")]
            impl crate::export::report::read::Printable for $name {
                fn make_printable(&mut self) {
                    $(crate::export::report::read::Printable::make_printable(&mut self.$field);)+
                }
            }
        )+
    };
}
use shape;

shape! {
    /// Runs, what was found across them, their dependencies, and what was lost on the way.
    pub struct Report {
        /// Name and version of this shape: `hopwatch.report/1`.
        pub schema: String,
        /// Version of hopwatch.
        pub hopwatch: String,
        /// When the report was made (RFC 3339, UTC).
        pub generated_at: String,
        /// Which verb or form made it: `run`, `demo`, `agent`, `library`.
        pub source: String,
        /// The runs.
        pub runs: Vec<RunReport>,
        /// Causes seen across runs or outside any failed run.
        pub findings: Vec<FindingReport>,
        /// Every dependency with its calls.
        pub dependencies: Vec<DependencyReport>,
        /// What was counted on the way.
        pub losses: LossReport,
        /// What was not seen, and why.
        pub notes: Vec<String>,
    }

    /// One end-to-end unit of work.
    pub struct RunReport {
        /// Which one: 16 hexadecimal digits, the same as long as it goes on and afterwards.
        pub id: String,
        /// What the user calls it.
        pub name: String,
        /// The trace (32 hexadecimal digits), when one is carried.
        pub trace_id: Option<String>,
        /// When it began (RFC 3339, UTC).
        pub started_at: String,
        /// Wall time, also beyond the deadline.
        pub duration_ms: f64,
        /// How long it might take.
        pub deadline_ms: Option<f64>,
        /// It goes on, and is judged as of the report's moment.
        pub open: bool,
        /// How it ended.
        pub outcome: Outcome,
        /// The process's exit code (128 + signal).
        pub exit_code: Option<i32>,
        /// Nothing stood out: no failure, no deadline missed, no excess over the baseline.
        pub healthy: bool,
        /// Shares of the wall clock on the critical path, largest first; they sum to the duration, or to the deadline when cut there.
        pub blame: Vec<BlameReport>,
        /// The culprit; `null` when nothing is to blame.
        pub verdict: Option<VerdictReport>,
        /// The critical path in order of time: without gap or overlap, and by component what `blame` says.
        pub critical_path: Vec<PathPieceReport>,
        /// The calls, by their start.
        pub hops: Vec<HopReport>,
    }

    /// A stretch of a run's critical path.
    pub struct PathPieceReport {
        /// The hop that the run waited for; `null` = the caller itself.
        pub hop_id: Option<String>,
        /// Kind of the dependency; `null` = the caller itself.
        pub kind: Option<Kind>,
        /// The dependency; `null` = the caller itself.
        pub dependency: Option<String>,
        /// The phase.
        pub phase: Phase,
        /// When it begins, after the run's start.
        pub started_ms: f64,
        /// How long it is.
        pub duration_ms: f64,
    }

    /// A share of a run's wall clock.
    pub struct BlameReport {
        /// Kind of the dependency; `null` = the caller itself.
        pub kind: Option<Kind>,
        /// The dependency; `null` = the caller itself.
        pub dependency: Option<String>,
        /// The phase.
        pub phase: Phase,
        /// Time on the critical path.
        pub ms: f64,
        /// Part of the run, 0 to 1.
        pub share: f64,
        /// What one call takes normally: the median of the run's other calls; `null` = too few to say.
        pub usual_ms: Option<f64>,
        /// Calls on the critical path that make this share; 0 for the caller itself.
        pub calls: u64,
        /// Some of it is estimated.
        pub inferred: bool,
        /// What blocked, for the caller's own rows.
        pub detail: Option<String>,
    }

    /// The culprit of a run.
    pub struct VerdictReport {
        /// Kind of the dependency; `null` = the caller itself.
        pub kind: Option<Kind>,
        /// The dependency; `null` = the caller itself.
        pub dependency: Option<String>,
        /// The phase.
        pub phase: Phase,
        /// Why, when a rule of the catalogue is sure.
        pub cause: Option<Cause>,
        /// Time on the critical path.
        pub ms: f64,
        /// Part of the run, 0 to 1.
        pub share: f64,
        /// What one call takes normally.
        pub usual_ms: Option<f64>,
        /// How sure.
        pub confidence: Confidence,
        /// Where the error was raised, when that is not the culprit.
        pub raised_at: Option<RaisedAtReport>,
        /// The numbers behind it.
        pub evidence: Vec<EvidenceReport>,
        /// One sentence for people.
        pub sentence: String,
        /// What to change.
        pub remedy: Option<String>,
    }

    /// The hop whose failure the program saw.
    pub struct RaisedAtReport {
        /// Its kind.
        pub kind: Kind,
        /// Its dependency.
        pub dependency: String,
        /// Its outcome.
        pub outcome: Outcome,
        /// The client's exception class, where known.
        pub error_type: Option<String>,
    }

    /// One number behind a statement.
    pub struct EvidenceReport {
        /// What it is.
        pub name: String,
        /// Its value: a number or a short text.
        pub value: Value,
        /// Its unit; `null` = a count or a ratio.
        pub unit: Option<String>,
    }

    /// One logical call to a dependency.
    pub struct HopReport {
        /// Span id, 16 hexadecimal digits.
        pub id: String,
        /// The hop that it is a part of; `null` = the run itself.
        pub parent_id: Option<String>,
        /// What the dependency is.
        pub kind: Kind,
        /// The dependency.
        pub dependency: String,
        /// What is done, low in cardinality.
        pub operation: String,
        /// Which source made the record.
        pub origin: Origin,
        /// When it began, after the run's start.
        pub started_ms: f64,
        /// How long it took, or takes up to the report's moment.
        pub duration_ms: f64,
        /// It has not ended.
        pub open: bool,
        /// The phase an open hop is in.
        pub current_phase: Option<Phase>,
        /// How it ended; `null` while open.
        pub outcome: Option<Outcome>,
        /// Who failed; `null` when nothing did.
        pub failed_by: Option<FailedBy>,
        /// HTTP status.
        pub status: Option<u16>,
        /// The client's exception class or a short code.
        pub error_type: Option<String>,
        /// The phases of all attempts; they sum to the duration.
        pub phases: PhaseTimes,
        /// The tries.
        pub attempts: Vec<AttemptReport>,
        /// Model asked for, or answered with.
        pub model: Option<String>,
        /// Whether the answer was a stream.
        pub stream: Option<bool>,
        /// The longest time between two pieces of a streamed answer for which its consumer had to wait.
        pub gap_ms: Option<f64>,
        /// Tokens, where the answer told.
        pub tokens: TokenReport,
        /// Bytes on the wire.
        pub bytes: ByteReport,
        /// The caller's side.
        pub client: ClientReport,
        /// The peer's address.
        pub address: Option<String>,
        /// The client left after this long without a move of the peer.
        pub gave_up_after_ms: Option<f64>,
        /// Times are estimates from record heads of opaque TLS or the like.
        pub inferred: bool,
        /// The peer is a process of the observed tree itself.
        pub internal: bool,
    }

    /// Time in each phase, ms; `null` = the phase was not there, or is not known.
    #[derive(Default)]
    pub struct PhaseTimes {
        /// Waiting for a concurrency permit.
        pub gate: Option<f64>,
        /// Waiting for a connection.
        pub pool: Option<f64>,
        /// Looking the name up.
        pub dns: Option<f64>,
        /// Opening the connection.
        pub connect: Option<f64>,
        /// A forward proxy's CONNECT exchange.
        pub proxy: Option<f64>,
        /// The TLS handshake.
        pub tls: Option<f64>,
        /// Sending the request.
        pub send: Option<f64>,
        /// Request sent, no answer yet.
        pub wait: Option<f64>,
        /// Answer's head to its first content.
        pub first_token: Option<f64>,
        /// First content to last.
        pub stream: Option<f64>,
        /// Between two attempts.
        pub backoff: Option<f64>,
        /// The caller was blocked while bytes waited.
        pub stall: Option<f64>,
        /// The caller's own time within the call otherwise.
        #[serde(rename = "self")]
        pub own: Option<f64>,
    }

    /// One try of a hop on the wire.
    pub struct AttemptReport {
        /// Counts from 1.
        pub number: u32,
        /// When it began, after the run's start.
        pub started_ms: f64,
        /// How long it took.
        pub duration_ms: f64,
        /// How it ended; `null` while open.
        pub outcome: Option<Outcome>,
        /// Who failed.
        pub failed_by: Option<FailedBy>,
        /// HTTP status.
        pub status: Option<u16>,
        /// Whether it opened its connection.
        pub connection: Option<ConnectionState>,
        /// How long a reused connection had been idle.
        pub idle_ms: Option<f64>,
        /// How long the peer asked to wait before the next try.
        pub retry_after_ms: Option<f64>,
        /// Its phases.
        pub phases: PhaseTimes,
    }

    /// Token counts as the answer told them.
    pub struct TokenReport {
        /// Of the input.
        pub input: Option<u64>,
        /// Of the output.
        pub output: Option<u64>,
    }

    /// Bytes moved, above TLS where plaintext is seen.
    pub struct ByteReport {
        /// From the caller.
        pub sent: u64,
        /// To the caller.
        pub received: u64,
    }

    /// The caller's side of a hop.
    pub struct ClientReport {
        /// Its process id.
        pub pid: Option<u32>,
        /// Whether the first attempt opened its connection.
        pub connection: Option<ConnectionState>,
        /// Its own read timeout, where it says so.
        pub read_timeout_ms: Option<f64>,
        /// The retry it says it is.
        pub retry: Option<u32>,
    }

    /// A cause worth telling although nothing may have failed yet.
    pub struct FindingReport {
        /// Which.
        pub cause: Cause,
        /// Kind of the dependency; `null` = the caller itself.
        pub kind: Option<Kind>,
        /// The dependency; `null` = the caller itself.
        pub dependency: Option<String>,
        /// Runs it was seen in.
        pub runs: u64,
        /// How sure.
        pub confidence: Confidence,
        /// The numbers behind it.
        pub evidence: Vec<EvidenceReport>,
        /// One sentence for people.
        pub sentence: String,
        /// What to change.
        pub remedy: String,
    }

    /// All calls to one dependency.
    pub struct DependencyReport {
        /// What it is.
        pub kind: Kind,
        /// Its name.
        pub dependency: String,
        /// Calls, open ones included.
        pub calls: u64,
        /// Ended calls by outcome.
        pub outcomes: BTreeMap<Outcome, u64>,
        /// Attempts by state of their connection.
        pub connections: ConnectionCounts,
        /// Ended calls' time by phase.
        pub phases: BTreeMap<Phase, PhaseSummary>,
        /// The last ten minutes in steps of ten seconds, the oldest first; steps without a call are left out. Empty where nobody keeps
        /// them: an agent does.
        pub trend: Vec<TrendReport>,
    }

    /// The calls of a dependency in a step of time.
    pub struct TrendReport {
        /// When the step began (RFC 3339, UTC).
        pub started_at: String,
        /// Calls that ended in it.
        pub calls: u64,
        /// Those of them that failed.
        pub failed: u64,
        /// The sum of their time by phase, ms.
        pub phases: BTreeMap<Phase, f64>,
    }

    /// Attempts by state of their connection.
    pub struct ConnectionCounts {
        /// Opened for the attempt.
        pub new: u64,
        /// Opened earlier.
        pub reused: u64,
    }

    /// Time in one phase over several calls. Percentiles are exact (nearest rank).
    pub struct PhaseSummary {
        /// Calls that had the phase.
        pub count: u64,
        /// Their sum.
        pub sum_ms: f64,
        /// Half are at most this long.
        pub p50_ms: f64,
        /// 95 % are at most this long.
        pub p95_ms: f64,
        /// 99 % are at most this long.
        pub p99_ms: f64,
    }

    /// What was counted on the way: `started = recorded + open + dropped`.
    pub struct LossReport {
        /// Hops that began.
        pub started: u64,
        /// Hops that ended and are here.
        pub recorded: u64,
        /// Hops that are open.
        pub open: u64,
        /// Hops that were dropped, by reason.
        pub dropped: BTreeMap<String, u64>,
        /// Observations that a full buffer did not take, by buffer.
        pub missed: BTreeMap<String, u64>,
    }
}

impl PhaseTimes {
    /// The time in one phase, ms.
    #[must_use]
    pub const fn of(&self, phase: Phase) -> Option<f64> {
        match phase {
            Phase::Gate => self.gate,
            Phase::Pool => self.pool,
            Phase::Dns => self.dns,
            Phase::Connect => self.connect,
            Phase::Proxy => self.proxy,
            Phase::Tls => self.tls,
            Phase::Send => self.send,
            Phase::Wait => self.wait,
            Phase::FirstToken => self.first_token,
            Phase::Stream => self.stream,
            Phase::Backoff => self.backoff,
            Phase::Stall => self.stall,
            Phase::Own => self.own,
        }
    }
}

/// The JSON schema of the report, from the types' own documentation.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}
