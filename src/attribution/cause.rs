//! A culprit with everything it is known by: what the rules of causes argue with, and the numbers that are told.

use super::account::{Account, Row};
use super::baseline::Usual;
use super::rules::Rule;
use super::verdict::{Basis, Culprit};
use crate::model::human::human_duration;
use crate::model::{Call, Evidence, FailedBy, ImportFact, Kind, Nanos, Phase, Span};

/// Everything a culprit is known by.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) account: &'a Account<'a>,
    pub(super) culprit: &'a Culprit,
    /// Its row in the blame; a call off the critical path has none.
    pub(super) row: Option<&'a Row<'a>>,
    /// The call that matters most.
    pub(super) span: Option<&'a Span>,
    /// What this phase of that call usually takes.
    pub(super) usual: Option<Usual>,
}

impl<'a> Case<'a> {
    pub(super) fn call(&self) -> Option<&'a Call> {
        self.span.and_then(|span| span.call.as_deref())
    }

    /// The culprit's phase.
    pub(super) const fn phase(&self) -> Phase {
        self.culprit.component.phase
    }

    /// Whether the call is still open, or its caller left it.
    pub(super) fn is_open_or_left(&self) -> bool {
        self.call().is_some_and(|call| call.outcome.is_none() || call.failed_by == Some(FailedBy::Caller))
    }

    /// Whether the call took at least twice its usual time where the time is the peer's own doing.
    pub(super) fn is_slower(&self) -> bool {
        let peers =
            matches!(self.phase(), Phase::Connect | Phase::Send | Phase::Wait | Phase::FirstToken | Phase::Stream | Phase::Own);
        peers && self.usual.is_some_and(|usual| self.in_phase() >= usual.median.saturating_mul(2))
    }

    /// Whether the culprit's phase is at least half of the call that matters most.
    pub(super) fn dominates(&self) -> bool {
        let whole = self.call().map_or(0, |call| call.timeline.duration());
        self.in_phase() > 0 && self.in_phase() >= whole / 2
    }

    /// Other calls to the same dependency that had begun, and were past waiting for their turn, while this one waited.
    fn in_flight(&self) -> Option<usize> {
        let (run, span) = (self.account.run, self.span?);
        let until = |span: &Span| span.end_or(run.horizon());
        let waiting = |call: &Call| matches!(call.timeline.last_phase(), Some(Phase::Pool | Phase::Gate));
        let beside = |other: &&Span| {
            !std::ptr::eq(*other, span)
                && (other.kind, &other.dependency) == (span.kind, &span.dependency)
                && other.start < until(span)
                && until(other) > span.start
                && other.call.as_ref().is_some_and(|call| !waiting(call))
        };
        Some(run.spans.iter().filter(beside).count())
    }

    /// How long the call that matters most was in the culprit's phase.
    pub(super) fn in_phase(&self) -> Nanos {
        let phase = self.culprit.component.phase;
        let on_path = || {
            let hop = self.culprit.hop?;
            self.row?.parts.iter().find(|part| part.span == hop).map(|part| part.time)
        };
        self.call().and_then(|call| call.timeline.total(phase)).or_else(on_path).unwrap_or(0)
    }
}

/// What is told where no cause is certain.
const WITHOUT_CAUSE: [&str; 10] = [
    "status",
    "gave_up_after",
    "attempts",
    "calls_seen",
    "times_usual",
    "own_time",
    "ended_in",
    "phases",
    "imports",
    "tls_contexts",
];

/// The numbers behind a cause, as many as there are.
pub(super) fn evidence(case: &Case<'_>, rule: Option<&Rule>) -> Vec<Evidence> {
    let names = rule.map_or(&WITHOUT_CAUSE[..], |rule| rule.evidence);
    names.iter().filter_map(|&name| number(case, name)).collect()
}

fn number(case: &Case<'_>, name: &'static str) -> Option<Evidence> {
    let call = case.call();
    let phase = |phase: Phase| call.and_then(|call| call.timeline.total(phase)).map(|time| Evidence::time(name, time));
    let blocker = || case.row.and_then(|row| row.blockers.first());
    let is_startup = case.culprit.component.kind == Some(Kind::Startup);
    match name {
        "address" => call.and_then(|call| call.address.as_deref()).map(|address| Evidence::text(name, address)),
        "attempts" => {
            call.map(|call| call.attempts.len()).filter(|&tries| tries > 1).map(|tries| Evidence::number(name, tries as f64))
        }
        "backoff" => phase(Phase::Backoff),
        "blocked" => case.row.map(|row| Evidence::time(name, row.time)),
        "blocked_in" => blocker().map(|(blocker, _)| Evidence::text(name, blocker.cause.as_str())),
        "calls_seen" => case.usual.map(|usual| Evidence::number(name, usual.calls as f64)),
        "ended_in" => ended_in(case).map(|phase| Evidence::text(name, phase)),
        "errno" => call.and_then(|call| call.errno).map(|errno| match errno_name(errno) {
            Some(text) => Evidence::text(name, text),
            None => Evidence::number(name, f64::from(errno)),
        }),
        "error" => call.and_then(|call| call.error_type.as_deref()).map(|error| Evidence::text(name, error)),
        "gave_up_after" => call.and_then(|call| call.gave_up_after).map(|after| Evidence::time(name, after)),
        "gate_wait" => phase(Phase::Gate),
        "handshake" => phase(Phase::Tls),
        "lookup" => phase(Phase::Dns),
        "in_flight" => case.in_flight().filter(|&calls| calls > 0).map(|calls| Evidence::number(name, calls as f64)),
        "phases" => case.row.and_then(Row::phases).map(|text| Evidence::text(name, text)),
        "pool_wait" => phase(Phase::Pool),
        "proxy" => phase(Phase::Proxy),
        "imports" => imports(&case.account.run.imports).filter(|_| is_startup).map(|text| Evidence::text(name, text)),
        "tls_contexts" => {
            let built = &case.account.run.contexts;
            let took = built.iter().fold(0, |sum: Nanos, context| sum.saturating_add(context.took));
            (is_startup && !built.is_empty()).then(|| Evidence::time(name, took))
        }
        "own_time" => case.row.filter(|row| row.is_callers()).map(|_| Evidence::time(name, case.account.own())),
        "received" => call.map(|call| Evidence { unit: Some("bytes"), ..Evidence::number(name, call.bytes.received as f64) }),
        "retry_after" => {
            let asked = call.and_then(|call| call.attempts.iter().filter_map(|attempt| attempt.retry_after).max());
            asked.map(|asked| Evidence::time(name, asked))
        }
        "status" => call.and_then(|call| call.status).map(|status| Evidence::number(name, f64::from(status))),
        "times_usual" => {
            let usual = case.usual.map(|usual| usual.median).filter(|&usual| usual > 0)?;
            let times = case.in_phase() as f64 / usual as f64;
            Some(Evidence::number(name, (times * 10.0).round() / 10.0))
        }
        _ => None,
    }
}

/// The part of a start-up that was going on when it was given up.
pub(super) fn ended_in<'a>(case: &Case<'a>) -> Option<&'a str> {
    let is_aborted = case.culprit.basis == Basis::Failure && case.culprit.component.kind == Some(Kind::Startup);
    let span = case.span.filter(|_| is_aborted)?;
    Some(&span.operation)
}

/// What took longest to load: `openai 445 ms, numpy 163 ms`.
fn imports(facts: &[ImportFact]) -> Option<String> {
    const TOLD: usize = 3;
    let told: Vec<String> = facts.iter().take(TOLD).map(|fact| format!("{} {}", fact.name, human_duration(fact.took))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// What to change.
pub(super) fn remedy(case: &Case<'_>, rule: &Rule) -> String {
    let dependency = case.culprit.component.dependency.as_deref().unwrap_or("the dependency");
    let address = case.call().and_then(|call| call.address.as_deref()).unwrap_or(dependency);
    // A run that knows how its own code ended is the library's, and of this language.
    let offload = match case.account.run.ending {
        Some(_) => "`tokio::task::spawn_blocking`, an async client, `tokio::time::sleep`",
        None => "`asyncio.to_thread`, an async client, `await asyncio.sleep`",
    };
    rule.remedy.replace("{dependency}", dependency).replace("{address}", address).replace("{offload}", offload)
}

/// The name of an error number that connections end with (Linux).
pub(super) const fn errno_name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        13 => "EACCES",
        24 => "EMFILE",
        32 => "EPIPE",
        99 => "EADDRNOTAVAIL",
        101 => "ENETUNREACH",
        103 => "ECONNABORTED",
        104 => "ECONNRESET",
        110 => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        113 => "EHOSTUNREACH",
        _ => return None,
    })
}
