//! A verdict in one sentence.

use super::account::Row;
use super::cause::{Case, ended_in, errno_name};
use super::ending::Ending;
use super::verdict::Basis;
use crate::model::human::human_duration;
use crate::model::{Call, Cause, Component, FailedBy, Kind, Nanos, Outcome, Phase, Verdict};

/// The sentence for a verdict: who, how long of how long, doing what, and what is normal.
pub(super) fn of(case: &Case<'_>, verdict: &Verdict) -> String {
    let Component { kind, dependency, phase } = &case.culprit.component;
    let total = human_duration(case.account.total);
    let Some(dependency) = dependency.as_deref().filter(|_| *kind != Some(Kind::Startup)) else {
        return caller(*kind, *phase, case, &human_duration(verdict.time), &total);
    };
    let who = match kind {
        Some(kind) => format!("{dependency} ({kind})"),
        None => dependency.to_owned(),
    };
    match case.call().filter(|_| case.culprit.basis == Basis::Failure) {
        Some(call) => failure(&who, call, *phase, case, verdict),
        None => time(&who, *phase, case, verdict, &total),
    }
}

fn time(who: &str, phase: Phase, case: &Case<'_>, verdict: &Verdict, total: &str) -> String {
    let took = human_duration(verdict.time);
    let calls = case.row.map_or(0, |row| row.parts.len());
    let (over, subject) = if calls > 1 { (format!(" over {calls} calls"), "one") } else { (String::new(), "it") };
    format!("{who} took {took} of the {total} {}{over}{}.", doing(phase), normally(subject, verdict.usual))
}

fn failure(who: &str, call: &Call, phase: Phase, case: &Case<'_>, verdict: &Verdict) -> String {
    let address = call.address.as_deref().map_or(String::new(), |address| format!(" at {address}"));
    let errno = call.errno.and_then(errno_name).map_or(String::new(), |name| format!(" ({name})"));
    let after = human_duration(call.gave_up_after.unwrap_or_else(|| call.timeline.duration()));
    let tries = match call.attempts.len() {
        0 | 1 => String::new(),
        tries => format!(" in {tries} attempts"),
    };
    let left = call.failed_by == Some(FailedBy::Caller);
    match (verdict.cause, call.outcome) {
        (Some(Cause::Proxy), _) if left => format!("The proxy{address} did not lead to {who}: the client gave up after {after}."),
        (Some(Cause::Proxy), _) => {
            let error = call.error_type.as_deref().map_or(String::new(), |error| format!(" ({error})"));
            format!("The proxy{address} did not lead to {who}{error}.")
        }
        (Some(Cause::Unreachable), _) => format!("{who} could not be reached{address}{errno}{tries}."),
        (Some(Cause::ConnectTimeout), _) => {
            format!("{who} never answered the connection{address}: the client gave up after {after}.")
        }
        (Some(Cause::Dns), _) if left => format!("The name of {who} was not resolved in time: the client gave up after {after}."),
        (Some(Cause::Dns), _) => format!("The name of {who} could not be resolved."),
        (Some(Cause::Tls), _) if left => {
            format!("The TLS handshake with {who}{address} did not end: the client gave up after {after}.")
        }
        (Some(Cause::Tls), _) => format!("The TLS handshake with {who}{address} failed."),
        (Some(Cause::RateLimited), _) => {
            let asked = call.attempts.iter().filter_map(|attempt| attempt.retry_after).max();
            let asked = asked.map_or(String::new(), |asked| format!(", asking to wait {}", human_duration(asked)));
            let status = call.status.map_or(String::new(), |status| format!(" ({status})"));
            format!("{who} refused the call for its rate limit{status}{tries}{asked}.")
        }
        (Some(Cause::ConnectionDropped), _) => format!("{who} dropped the connection{errno} after {after}, {}.", doing(phase)),
        (Some(Cause::StreamStalled), _) => {
            format!("{who} stopped in the middle of its answer: the client gave up after {after}.")
        }
        (_, Some(Outcome::Timeout)) if left => {
            format!("The client gave up on {who} after {after}, {}{}.", doing(phase), normally("it", verdict.usual))
        }
        (_, Some(Outcome::Cancelled)) => {
            format!("The client left {who} after {}, {}.", human_duration(case.in_phase()), doing(phase))
        }
        (_, Some(outcome)) => match call.status.filter(|&status| status >= 400) {
            Some(status) => format!("{who} answered {status}{tries} after {}.", human_duration(call.timeline.duration())),
            None => format!(
                "{who} failed ({outcome}){errno}{tries} after {}, {}.",
                human_duration(call.timeline.duration()),
                doing(phase)
            ),
        },
        (_, None) => format!("{who} had not ended after {}, {}.", human_duration(call.timeline.duration()), doing(phase)),
    }
}

fn caller(kind: Option<Kind>, phase: Phase, case: &Case<'_>, took: &str, total: &str) -> String {
    let detail = case.row.and_then(Row::detail);
    let detail = detail.map_or(String::new(), |detail| format!(": {detail}"));
    let all = case.account.own();
    // Why it is to blame, where it is so by the sum alone.
    let rest = if case.row.is_some_and(|row| row.time <= case.account.total / 2 && row.time < all) {
        format!(" ({} with all else that is its own: work, start-up, stalls)", human_duration(all))
    } else {
        String::new()
    };
    match (kind, phase) {
        (Some(Kind::Startup), _) if case.culprit.basis == Basis::Failure => aborted(case, total),
        (Some(Kind::Startup), _) => format!("Start-up took {took} of the {total}{rest}{detail}."),
        (_, Phase::Stall) => format!("The program was blocked for {took} of the {total}{rest}{detail}."),
        _ => format!("The program's own time was {took} of the {total}{rest}{detail}."),
    }
}

/// A start-up that did not come to its end.
fn aborted(case: &Case<'_>, total: &str) -> String {
    let what = if Ending::of(case.account.run).stopped { "was given up" } else { "failed" };
    match ended_in(case) {
        Some(part) => format!("Start-up {what} after {total}, in {part}."),
        None => format!("Start-up {what} after {total}."),
    }
}

fn normally(subject: &str, usual: Option<Nanos>) -> String {
    // What is usually not there at all (a connect on a kept connection) has no usual time worth telling.
    usual
        .filter(|&usual| usual > 0)
        .map_or(String::new(), |usual| format!("; {subject} normally takes {}", human_duration(usual)))
}

/// What a call is doing in a phase.
const fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Gate => "waiting for a permit",
        Phase::Pool => "waiting for a free connection",
        Phase::Dns => "looking up its name",
        Phase::Connect => "connecting",
        Phase::Proxy => "passing the proxy",
        Phase::Tls => "in the TLS handshake",
        Phase::Send => "sending the request",
        Phase::Wait => "waiting for its response",
        Phase::FirstToken => "waiting for its first token",
        Phase::Stream => "receiving its answer",
        Phase::Backoff => "waiting between attempts",
        Phase::Stall => "blocked",
        Phase::Own => "at work",
    }
}
