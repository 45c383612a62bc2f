//! Why: the causes that a run's own facts are certain of, with their evidence and remedy.

use super::account::{Account, Row};
use super::baseline::Usual;
use super::verdict::{Basis, Culprit, failed_in};
use crate::model::human::human_duration;
use crate::model::{Call, Cause, Evidence, FailedBy, ImportFact, Kind, Nanos, Outcome, Phase, Span};

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

/// One line of the catalogue: its evidence, in order, and what to change. `{dependency}` and `{address}` are filled in.
struct Entry {
    evidence: &'static [&'static str],
    remedy: Option<&'static str>,
}

/// What is shown and advised for each cause that is stated here.
const fn entry(cause: Option<Cause>) -> Entry {
    let (evidence, remedy): (&[_], _) = match cause {
        Some(Cause::Unreachable) => (
            &["errno", "address", "attempts"],
            "Check that {dependency} runs and that the host and port are right: inside a container, `localhost` is the container itself.",
        ),
        Some(Cause::ConnectTimeout) => (
            &["gave_up_after", "errno", "address", "attempts"],
            "Nothing answers at {address}: check firewall, egress rules and proxy settings, and set a connect timeout of a few seconds.",
        ),
        Some(Cause::Dns) => (
            &["lookup", "gave_up_after", "calls_seen", "times_usual"],
            "Check the spelling of the host name and the resolver that this machine or container uses.",
        ),
        Some(Cause::Tls) => (
            &["handshake", "gave_up_after", "address", "calls_seen", "times_usual"],
            "Check that {address} speaks TLS, its certificate and what stands between; reuse connections so that handshakes are rare.",
        ),
        Some(Cause::RateLimited) => (
            &["status", "attempts", "retry_after", "backoff"],
            "Send {dependency} fewer calls at once, or ask for a higher limit; wait as long as it says in `retry-after`.",
        ),
        Some(Cause::ConnectionDropped) => (
            &["errno", "received", "attempts", "address"],
            "Look at {dependency} for a restart, a crash or a proxy's idle timeout at that moment; a retry is safe for idempotent calls.",
        ),
        Some(Cause::StreamStalled) => (
            &["gave_up_after", "received", "calls_seen", "times_usual"],
            "Look at {dependency} for what interrupts its output, and set a timeout between chunks rather than one for the whole answer.",
        ),
        Some(Cause::BlockingInAsync) => (
            &["blocked", "blocked_in", "own_time"],
            "Move the blocking call off the event loop (`asyncio.to_thread`, an async client, `await asyncio.sleep`).",
        ),
        Some(Cause::SlowDependency) => (
            &["calls_seen", "times_usual", "gave_up_after", "attempts"],
            "Give {dependency} a timeout of its own well under the run's, and look there for what was slow at that moment.",
        ),
        Some(Cause::SlowTool) => (
            &["calls_seen", "times_usual", "gave_up_after"],
            "Give the tool {dependency} a timeout of its own well under the run's, and look at what it did at that moment.",
        ),
        _ => {
            return Entry {
                evidence: &[
                    "status",
                    "gave_up_after",
                    "attempts",
                    "calls_seen",
                    "times_usual",
                    "own_time",
                    "imports",
                    "tls_contexts",
                ],
                remedy: None,
            };
        }
    };
    Entry { evidence, remedy: Some(remedy) }
}

/// The cause, where the facts leave no other.
pub(super) fn of(case: &Case<'_>) -> Option<Cause> {
    let phase = case.culprit.component.phase;
    if case.row.is_some_and(Row::is_callers) {
        let blocker = case.row.and_then(|row| row.blockers.first());
        return blocker.filter(|(blocker, _)| blocker.event_loop).map(|_| Cause::BlockingInAsync);
    }
    // A call that is to blame for its time may have failed in that very phase.
    let failed = case.span.filter(|span| case.culprit.basis == Basis::Failure || failed_in(span) == phase);
    let call = failed.and_then(|span| span.call.as_deref());
    call.and_then(|call| of_failure(call, phase)).or_else(|| of_time(case, phase))
}

fn of_failure(call: &Call, phase: Phase) -> Option<Cause> {
    let by_peer = call.failed_by != Some(FailedBy::Caller);
    match (call.outcome?, phase) {
        (Outcome::Connect, _) if call.errno == Some(ETIMEDOUT) => Some(Cause::ConnectTimeout),
        (Outcome::Connect, _) => Some(Cause::Unreachable),
        (Outcome::Dns, _) | (Outcome::Timeout, Phase::Dns) => Some(Cause::Dns),
        (Outcome::Tls, _) | (Outcome::Timeout, Phase::Tls) => Some(Cause::Tls),
        (Outcome::Timeout, Phase::Connect) => Some(Cause::ConnectTimeout),
        (Outcome::Timeout, Phase::Stream) => Some(Cause::StreamStalled),
        (Outcome::RateLimited, _) => Some(Cause::RateLimited),
        (Outcome::Reset | Outcome::Body, _) if by_peer => Some(Cause::ConnectionDropped),
        _ => None,
    }
}

/// The cause of time, beyond a failure: what the phase itself says, or a call slower than its like.
fn of_time(case: &Case<'_>, phase: Phase) -> Option<Cause> {
    let limited = |call: &Call| call.attempts.iter().any(|attempt| attempt.outcome == Some(Outcome::RateLimited));
    let open_or_left = case.call().is_some_and(|call| call.outcome.is_none() || call.failed_by == Some(FailedBy::Caller));
    let usual = case.usual.map(|usual| usual.median);
    let slower = usual.is_some_and(|usual| case.in_phase() >= usual.saturating_mul(2));
    let slow = || match case.culprit.component.kind {
        Some(Kind::Tool) => Cause::SlowTool,
        _ => Cause::SlowDependency,
    };
    match phase {
        Phase::Backoff => case.call().filter(|call| limited(call)).map(|_| Cause::RateLimited),
        Phase::Dns => Some(Cause::Dns),
        Phase::Tls => Some(Cause::Tls),
        Phase::Connect if open_or_left => Some(Cause::ConnectTimeout),
        Phase::Connect | Phase::Send | Phase::Wait | Phase::FirstToken | Phase::Stream | Phase::Own if slower => Some(slow()),
        _ => None,
    }
}

/// The numbers behind a cause, as many as there are.
pub(super) fn evidence(case: &Case<'_>, cause: Option<Cause>) -> Vec<Evidence> {
    entry(cause).evidence.iter().filter_map(|&name| number(case, name)).collect()
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
        "errno" => call.and_then(|call| call.errno).map(|errno| match errno_name(errno) {
            Some(text) => Evidence::text(name, text),
            None => Evidence::number(name, f64::from(errno)),
        }),
        "gave_up_after" => call.and_then(|call| call.gave_up_after).map(|after| Evidence::time(name, after)),
        "handshake" => phase(Phase::Tls),
        "lookup" => phase(Phase::Dns),
        "imports" => imports(&case.account.run.imports).filter(|_| is_startup).map(|text| Evidence::text(name, text)),
        "tls_contexts" => {
            let built = &case.account.run.contexts;
            let took = built.iter().map(|context| context.took).sum();
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

/// What took longest to load: `openai 445 ms, numpy 163 ms`.
fn imports(facts: &[ImportFact]) -> Option<String> {
    const TOLD: usize = 3;
    let told: Vec<String> = facts.iter().take(TOLD).map(|fact| format!("{} {}", fact.name, human_duration(fact.took))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// What to change.
pub(super) fn remedy(case: &Case<'_>, cause: Cause) -> Option<String> {
    let dependency = case.culprit.component.dependency.as_deref().unwrap_or("the dependency");
    let address = case.call().and_then(|call| call.address.as_deref()).unwrap_or(dependency);
    let text = entry(Some(cause)).remedy?;
    Some(text.replace("{dependency}", dependency).replace("{address}", address))
}

const ETIMEDOUT: i32 = 110;

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
        ETIMEDOUT => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        113 => "EHOSTUNREACH",
        _ => return None,
    })
}
