//! From the model to the report's shape.

use super::{
    AttemptReport, BlameReport, ByteReport, ClientReport, ConnectionCounts, DependencyReport, EvidenceReport, FindingReport,
    HopReport, LossReport, PathPieceReport, PhaseSummary, PhaseTimes, RaisedAtReport, Report, RunReport, SCHEMA, TokenReport,
    VerdictReport,
};
use crate::attribution::{Judgement, PathPiece, critical_path};
use crate::model::clock::rfc3339;
use crate::model::{
    Attempt, BlameRow, Call, ConnectionState, Evidence, Finding, Kind, Losses, Nanos, Origin, Phase, RaisedAt, Reason, Run, Span,
    SpanId, Timeline, Value, Verdict, millis, redact,
};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// Makes the report of judged runs.
///
/// `source` is the verb or form that asks; `generated_at` the moment of the report.
#[must_use]
pub fn report(
    source: &str,
    generated_at: Nanos,
    runs: &[(&Run, &Judgement)],
    findings: &[Finding],
    losses: &Losses,
    notes: Vec<String>,
) -> Report {
    let dependencies = dependencies(runs.iter().map(|(run, _)| *run));
    report_with(source, generated_at, runs, findings, dependencies, losses, notes)
}

/// The same, by one that counted the dependencies' calls itself: also those of no run, and of runs that it no longer keeps.
#[must_use]
pub fn report_with(
    source: &str,
    generated_at: Nanos,
    runs: &[(&Run, &Judgement)],
    findings: &[Finding],
    dependencies: Vec<DependencyReport>,
    losses: &Losses,
    notes: Vec<String>,
) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        hopwatch: env!("CARGO_PKG_VERSION").to_owned(),
        generated_at: rfc3339(generated_at),
        source: source.to_owned(),
        runs: runs.iter().map(|(run, judgement)| run_report(run, judgement)).collect(),
        findings: findings.iter().map(finding_report).collect(),
        dependencies,
        losses: loss_report(losses),
        notes,
    }
}

/// A run as the report tells it.
pub(crate) fn run_report(run: &Run, judgement: &Judgement) -> RunReport {
    let by_id: BTreeMap<SpanId, &Span> = run.spans.iter().map(|span| (span.id, span)).collect();
    let mut hops: Vec<HopReport> = run.spans.iter().filter_map(|span| hop_report(run, span, &by_id)).collect();
    hops.sort_by(|a, b| a.started_ms.total_cmp(&b.started_ms));
    RunReport {
        critical_path: critical_path(run).iter().map(|piece| path_report(run, &by_id, piece)).collect(),
        hops,
        ..run_brief(run, judgement)
    }
}

/// The same without its calls and its critical path.
pub(crate) fn run_brief(run: &Run, judgement: &Judgement) -> RunReport {
    RunReport {
        id: run_id(run),
        name: redact::name(&run.name),
        trace_id: run.trace_id.map(|id| id.to_string()),
        started_at: rfc3339(run.start),
        duration_ms: millis(run.duration()),
        deadline_ms: run.deadline.map(millis),
        open: run.end.is_none(),
        outcome: judgement.outcome,
        exit_code: run.exit.map(|exit| exit.code),
        healthy: judgement.healthy,
        blame: judgement.blame.iter().map(blame_report).collect(),
        verdict: judgement.verdict.as_ref().map(verdict_report),
        critical_path: Vec::new(),
        hops: Vec::new(),
    }
}

/// What tells a run from others, the same at any time of its life: sources count the ids of their spans for themselves, so that those alone
/// do not. 16 hexadecimal digits.
pub(crate) fn run_id(run: &Run) -> String {
    let mut hasher = rustc_hash::FxHasher::default();
    (run.start, &*run.name, run.trace_id, run.spans.first().map(|root| root.id)).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn path_report(run: &Run, by_id: &BTreeMap<SpanId, &Span>, piece: &PathPiece) -> PathPieceReport {
    let is_hop = |id: &SpanId| by_id.get(id).is_some_and(|span| span.is_hop());
    PathPieceReport {
        hop_id: piece.span.filter(is_hop).map(|id| id.to_string()),
        kind: piece.component.kind,
        dependency: piece.component.dependency.as_deref().map(redact::name),
        phase: piece.component.phase,
        started_ms: millis(piece.start.saturating_sub(run.start)),
        duration_ms: millis(piece.end.saturating_sub(piece.start)),
    }
}

fn blame_report(row: &BlameRow) -> BlameReport {
    BlameReport {
        kind: row.component.kind,
        dependency: row.component.dependency.as_deref().map(redact::name),
        phase: row.component.phase,
        ms: millis(row.time),
        share: ratio(row.share),
        usual_ms: row.usual.map(millis),
        calls: row.calls,
        inferred: row.inferred,
        detail: row.detail.as_deref().map(redact::text),
    }
}

fn verdict_report(verdict: &Verdict) -> VerdictReport {
    VerdictReport {
        kind: verdict.component.kind,
        dependency: verdict.component.dependency.as_deref().map(redact::name),
        phase: verdict.component.phase,
        cause: verdict.cause,
        ms: millis(verdict.time),
        share: ratio(verdict.share),
        usual_ms: verdict.usual.map(millis),
        confidence: verdict.confidence,
        raised_at: verdict.raised_at.as_ref().map(raised_report),
        evidence: verdict.evidence.iter().map(evidence_report).collect(),
        sentence: redact::text(&verdict.sentence),
        remedy: verdict.remedy.as_deref().map(redact::text),
    }
}

fn raised_report(raised: &RaisedAt) -> RaisedAtReport {
    RaisedAtReport {
        kind: raised.kind,
        dependency: redact::name(&raised.dependency),
        outcome: raised.outcome,
        error_type: raised.error_type.as_deref().map(redact::name),
    }
}

fn evidence_report(evidence: &Evidence) -> EvidenceReport {
    let value = match &evidence.value {
        Value::Text(text) => Value::Text(redact::name(text)),
        Value::Number(number) => Value::Number(*number),
    };
    EvidenceReport { name: evidence.name.to_owned(), value, unit: evidence.unit.map(str::to_owned) }
}

/// A finding as the report tells it.
pub(crate) fn finding_report(finding: &Finding) -> FindingReport {
    FindingReport {
        cause: finding.cause,
        kind: finding.source.kind,
        dependency: finding.source.dependency.as_deref().map(redact::name),
        runs: finding.runs,
        confidence: finding.confidence,
        evidence: finding.evidence.iter().map(evidence_report).collect(),
        sentence: redact::text(&finding.sentence),
        remedy: redact::text(&finding.remedy),
    }
}

/// The hop around a span: between them may be what a server of the run did.
fn hop_around(span: &Span, by_id: &BTreeMap<SpanId, &Span>) -> Option<SpanId> {
    let mut parent = span.parent;
    // Bounded, since senders may tell circles.
    for _ in 0..by_id.len() {
        let around = by_id.get(&parent?)?;
        if around.is_hop() {
            return Some(around.id);
        }
        parent = around.parent;
    }
    None
}

fn hop_report(run: &Run, span: &Span, by_id: &BTreeMap<SpanId, &Span>) -> Option<HopReport> {
    let call = span.call.as_deref().filter(|_| span.is_hop())?;
    Some(HopReport {
        id: span.id.to_string(),
        parent_id: hop_around(span, by_id).map(|parent| parent.to_string()),
        kind: span.kind.unwrap_or(Kind::Http),
        dependency: redact::name(span.dependency.as_deref().unwrap_or("unknown")),
        operation: redact::name(&span.operation),
        origin: call.origin,
        started_ms: millis(span.start.saturating_sub(run.start)),
        duration_ms: millis(span.end_or(run.seen_until).saturating_sub(span.start)),
        open: span.is_open(),
        current_phase: if span.is_open() { call.timeline.last_phase() } else { None },
        outcome: call.outcome,
        failed_by: call.failed_by,
        status: call.status,
        error_type: call.error_type.as_deref().map(redact::name),
        phases: phase_times(&call.timeline, call.origin),
        attempts: call.attempts.iter().map(|attempt| attempt_report(run, call, attempt)).collect(),
        model: call.model.as_deref().map(redact::name),
        stream: call.stream,
        gap_ms: call.gap.map(millis),
        tokens: TokenReport { input: call.tokens.input, output: call.tokens.output },
        bytes: ByteReport { sent: call.bytes.sent, received: call.bytes.received },
        client: ClientReport {
            pid: call.client.pid,
            connection: call.client.connection,
            read_timeout_ms: call.client.read_timeout.map(millis),
            retry: call.client.retry,
        },
        address: call.address.as_deref().map(redact::name),
        gave_up_after_ms: call.gave_up_after.map(millis),
        inferred: span.inferred || call.opaque,
        internal: call.internal,
    })
}

fn attempt_report(run: &Run, call: &Call, attempt: &Attempt) -> AttemptReport {
    AttemptReport {
        number: attempt.number,
        started_ms: millis(attempt.timeline.start().saturating_sub(run.start)),
        duration_ms: millis(attempt.timeline.duration()),
        outcome: attempt.outcome,
        failed_by: attempt.failed_by,
        status: attempt.status,
        connection: attempt.connection,
        idle_ms: attempt.idle.map(millis),
        retry_after_ms: attempt.retry_after.map(millis),
        phases: phase_times(&attempt.timeline, call.origin),
    }
}

fn phase_times(timeline: &Timeline, origin: Origin) -> PhaseTimes {
    let time = |phase| timeline.total(phase).map(millis);
    PhaseTimes {
        gate: time(Phase::Gate),
        pool: time(Phase::Pool),
        dns: time(Phase::Dns),
        connect: time(Phase::Connect),
        proxy: time(Phase::Proxy),
        tls: time(Phase::Tls),
        send: time(Phase::Send),
        wait: time(Phase::Wait),
        first_token: time(Phase::FirstToken),
        stream: time(Phase::Stream),
        backoff: time(Phase::Backoff),
        // The observer always sees whether bytes lay unread: no stall is known to be none.
        stall: time(Phase::Stall).or((origin == Origin::Observer).then_some(0.0)),
        own: time(Phase::Own),
    }
}

fn dependencies<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<DependencyReport> {
    let mut grouped: BTreeMap<(Kind, &str), Vec<&Call>> = BTreeMap::new();
    for span in runs.flat_map(|run| &run.spans).filter(|span| span.is_hop()) {
        // Counted by the record below.
        let counted = span.call.as_deref().filter(|call| !call.relayed);
        if let (Some(call), Some(dependency)) = (counted, span.dependency.as_deref()) {
            grouped.entry((span.kind.unwrap_or(Kind::Http), dependency)).or_default().push(call);
        }
    }
    grouped
        .into_iter()
        .map(|((kind, dependency), calls)| DependencyReport {
            kind,
            dependency: redact::name(dependency),
            calls: calls.len() as u64,
            outcomes: count(calls.iter().filter_map(|call| call.outcome)),
            connections: connection_counts(&calls),
            phases: Phase::ALL.iter().filter_map(|phase| Some((*phase, phase_summary(&calls, *phase)?))).collect(),
            trend: Vec::new(),
        })
        .collect()
}

fn connection_counts(calls: &[&Call]) -> ConnectionCounts {
    let states = count(calls.iter().flat_map(|call| &call.attempts).filter_map(|attempt| attempt.connection));
    let of = |state| states.get(&state).copied().unwrap_or(0);
    ConnectionCounts { new: of(ConnectionState::New), reused: of(ConnectionState::Reused) }
}

fn phase_summary(calls: &[&Call], phase: Phase) -> Option<PhaseSummary> {
    let mut times: Vec<Nanos> =
        calls.iter().filter(|call| call.outcome.is_some()).filter_map(|call| call.timeline.total(phase)).collect();
    times.sort_unstable();
    let rank = |percent: usize| (times.len() * percent).div_ceil(100).max(1) - 1;
    times.last()?;
    Some(PhaseSummary {
        count: times.len() as u64,
        sum_ms: millis(times.iter().fold(0, |sum: Nanos, &time| sum.saturating_add(time))),
        p50_ms: millis(times[rank(50)]),
        p95_ms: millis(times[rank(95)]),
        p99_ms: millis(times[rank(99)]),
    })
}

fn loss_report(losses: &Losses) -> LossReport {
    let owned = |counts: &BTreeMap<Reason, u64>| counts.iter().map(|(reason, n)| (reason.to_string(), *n)).collect();
    LossReport {
        started: losses.started,
        recorded: losses.recorded,
        open: losses.open,
        dropped: owned(&losses.dropped),
        missed: owned(&losses.missed),
    }
}

fn count<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    items.fold(BTreeMap::new(), |mut counts, item| {
        *counts.entry(item).or_default() += 1;
        counts
    })
}

/// Four decimals: a hundredth of a per cent.
fn ratio(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}
