//! What `--json` writes: the tries of each endpoint added up.

use super::attempt::Try;
use super::findings::{self, Case};
use super::limits::Limit;
use crate::export::report::{FindingReport, finding_report};
use crate::model::clock::rfc3339;
use crate::model::{FailedBy, Kind, Nanos, Outcome, Phase, millis, redact};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Name and version of the shape.
const SCHEMA: &str = "hopwatch.probe/1";

/// Endpoints, tested from here.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct ProbeReport {
    /// Name and version of this shape: `hopwatch.probe/1`.
    pub(super) schema: String,
    /// Version of hopwatch.
    pub(super) hopwatch: String,
    /// When the report was made (RFC 3339, UTC).
    pub(super) generated_at: String,
    /// Every try of every endpoint was answered, and none took longer than allowed.
    pub(super) ok: bool,
    /// The endpoints, in the order in which they were given.
    pub(super) targets: Vec<TargetReport>,
}

/// All tries of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct TargetReport {
    /// The URL, without its query.
    pub(super) url: String,
    /// What the dependency is.
    pub(super) kind: Kind,
    /// The dependency.
    pub(super) dependency: String,
    /// Every try was answered with a status below 500, and none took longer than allowed.
    pub(super) ok: bool,
    /// How often it was tried.
    pub(super) tries: u64,
    /// Tries that were answered, whatever the status; without a protocol to speak, those that connected.
    pub(super) answered: u64,
    /// The address of the last connection, or the one that was tried last; the proxy's where one is on the way.
    pub(super) address: Option<String>,
    /// The forward proxy on the way.
    pub(super) via_proxy: Option<String>,
    /// What TLS settled on the last connection.
    pub(super) tls: Option<TlsReport>,
    /// Time in each phase, over the tries that had it.
    pub(super) phases: PhaseReports,
    /// Time of whole tries.
    pub(super) total: Option<Spread>,
    /// Tries by how they ended.
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    /// Answers by their HTTP status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// The phase that the last failed try was in.
    pub(super) failed_phase: Option<Phase>,
    /// Who failed it.
    pub(super) failed_by: Option<FailedBy>,
    /// Why it failed, in one line.
    pub(super) error: Option<String>,
    /// The same as a short code.
    pub(super) error_type: Option<String>,
    /// What took longer than allowed.
    pub(super) exceeded: Vec<ExceededReport>,
    /// What stands in the way or is slow, with its evidence and what to change.
    pub(super) findings: Vec<FindingReport>,
    /// What is worth knowing and no fault of the way.
    pub(super) notes: Vec<String>,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct TlsReport {
    /// `1.3` or `1.2`.
    pub(super) version: String,
    /// Protocol that both sides took: `h2`, `http/1.1`; `null` = none.
    pub(super) alpn: Option<String>,
    /// When the certificate ends (RFC 3339, UTC).
    pub(super) expires_at: Option<String>,
    /// Who issued the certificate.
    pub(super) issuer: Option<String>,
}

/// Time in each phase; `null` = no try had it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct PhaseReports {
    /// Looking the name up; the proxy's, where one is on the way.
    pub(super) dns: Option<Spread>,
    /// Opening the connection; to the proxy, where one is on the way.
    pub(super) connect: Option<Spread>,
    /// The forward proxy's CONNECT exchange, and TLS with the proxy itself.
    pub(super) proxy: Option<Spread>,
    /// The TLS handshake.
    pub(super) tls: Option<Spread>,
    /// Connection ready to request sent.
    pub(super) send: Option<Spread>,
    /// Request sent to the answer's head.
    pub(super) wait: Option<Spread>,
    /// Head to the end of the answer, or of its first MiB.
    pub(super) stream: Option<Spread>,
}

/// The middle and the longest of several times (nearest rank).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct Spread {
    /// Half are at most this long.
    pub(super) p50_ms: f64,
    /// The longest.
    pub(super) max_ms: f64,
}

/// A time beyond what `--max` allows.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct ExceededReport {
    /// A phase, or `total`.
    pub(super) limit: String,
    /// The longest time.
    pub(super) max_ms: f64,
    /// What is allowed.
    pub(super) allowed_ms: f64,
}

/// The report of endpoints that were tested; `now` is its moment.
pub(super) fn report(cases: &[Case<'_>], limits: &[Limit], now: Nanos) -> ProbeReport {
    let targets: Vec<TargetReport> = cases.iter().map(|case| target(case, limits, now)).collect();
    ProbeReport {
        schema: SCHEMA.to_owned(),
        hopwatch: env!("CARGO_PKG_VERSION").to_owned(),
        generated_at: rfc3339(now),
        ok: targets.iter().all(|target| target.ok),
        targets,
    }
}

fn target(case: &Case<'_>, limits: &[Limit], now: Nanos) -> TargetReport {
    let Case { target, tries, .. } = case;
    let connected = tries.iter().rev().find(|one| one.failure.is_none());
    let told = connected.or(tries.last());
    let failed = tries.iter().rev().find_map(|one| one.failure.as_ref());
    let exceeded: Vec<ExceededReport> = limits.iter().filter_map(|limit| exceeded(limit, tries)).collect();
    TargetReport {
        url: target.url.clone(),
        kind: target.named.kind,
        dependency: redact::name(&target.named.name),
        ok: tries.iter().all(Try::is_ok) && exceeded.is_empty(),
        tries: tries.len() as u64,
        answered: tries.iter().filter(|one| one.failure.is_none()).count() as u64,
        address: told.and_then(|one| one.address).map(|address| address.to_string()),
        via_proxy: told.and_then(|one| one.proxy.as_deref()).map(redact::name),
        tls: tries.iter().rev().find_map(tls),
        phases: PhaseReports {
            dns: phase(tries, Phase::Dns),
            connect: phase(tries, Phase::Connect),
            proxy: phase(tries, Phase::Proxy),
            tls: phase(tries, Phase::Tls),
            send: phase(tries, Phase::Send),
            wait: phase(tries, Phase::Wait),
            stream: phase(tries, Phase::Stream),
        },
        total: spread(tries.iter().map(|one| one.timeline.duration())),
        outcomes: count(tries.iter().map(|one| one.outcome)),
        statuses: count(tries.iter().filter(|one| one.failure.is_none()).filter_map(|one| one.status)),
        failed_phase: failed.map(|failure| failure.phase),
        failed_by: failed.map(|failure| failure.failed_by),
        error: failed.map(|failure| failure.text.clone()),
        error_type: failed.map(|failure| failure.error_type.to_string()),
        exceeded,
        findings: findings::findings(case, now).iter().map(finding_report).collect(),
        notes: findings::notes(case),
    }
}

fn tls(one: &Try) -> Option<TlsReport> {
    let facts = one.tls.as_ref()?;
    Some(TlsReport {
        version: facts.version.to_owned(),
        alpn: facts.alpn.as_deref().map(redact::name),
        expires_at: facts.certificate_expires_at.map(rfc3339),
        issuer: one.issuer.clone(),
    })
}

fn exceeded(limit: &Limit, tries: &[Try]) -> Option<ExceededReport> {
    let time = |one: &Try| limit.phase.map_or(Some(one.timeline.duration()), |phase| one.timeline.total(phase));
    let longest = tries.iter().filter_map(time).max()?;
    let allowed = crate::model::clock::nanos(limit.allowed);
    let report = || ExceededReport { limit: limit.name().to_owned(), max_ms: millis(longest), allowed_ms: millis(allowed) };
    (longest > allowed).then(report)
}

fn phase(tries: &[Try], phase: Phase) -> Option<Spread> {
    spread(tries.iter().filter_map(|one| one.timeline.total(phase)))
}

fn spread(times: impl Iterator<Item = Nanos>) -> Option<Spread> {
    let mut times: Vec<Nanos> = times.collect();
    times.sort_unstable();
    Some(Spread { p50_ms: millis(*times.get(times.len().div_ceil(2).checked_sub(1)?)?), max_ms: millis(*times.last()?) })
}

fn count<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    items.fold(BTreeMap::new(), |mut counts, item| {
        *counts.entry(item).or_default() += 1;
        counts
    })
}
