//! The catalogue of causes, one a file: what each needs, when it applies, when it stays silent, its evidence and its remedy.
//!
//! A rule of a verdict is a [`Rule`]: it is asked whether the facts of a culprit leave no other cause. Rules of findings look across runs
//! (`client_recreated`, `rebuilt_per_request`). A cause is only stated with the numbers behind it.

mod blocking_in_async;
pub(super) mod client_recreated;
mod connect_timeout;
mod connection_dropped;
mod dns;
mod excess_concurrency;
mod pool_exhausted;
mod proxy;
mod rate_limited;
pub(super) mod rebuilt_per_request;
mod slow_dependency;
mod slow_tool;
mod stream_stalled;
mod tls;
mod unreachable;

use super::account::Row;
use super::cause::Case;
use super::verdict::{Basis, failed_in};
use crate::model::{Call, Cause, Kind, Phase, Span, error_type};

/// One line of the catalogue.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) cause: Cause,
    /// Whether a failed call failed for it.
    failed: fn(&Case<'_>, &Call) -> bool,
    /// Whether it is why the culprit took its time.
    slow: fn(&Case<'_>) -> bool,
    /// The numbers that are shown with it, in order, as far as they are known.
    pub(super) evidence: &'static [&'static str],
    /// What to change. `{dependency}`, `{address}` and `{offload}` are filled in.
    pub(super) remedy: &'static str,
}

/// The rules about calls; the first that applies is stated.
const OF_CALLS: [&Rule; 12] = [
    &proxy::RULE,
    &unreachable::RULE,
    &connect_timeout::RULE,
    &dns::RULE,
    &tls::RULE,
    &rate_limited::RULE,
    &connection_dropped::RULE,
    &stream_stalled::RULE,
    &pool_exhausted::RULE,
    &excess_concurrency::RULE,
    &slow_tool::RULE,
    &slow_dependency::RULE,
];

/// The rules about the caller's own time.
const OF_THE_CALLER: [&Rule; 1] = [&blocking_in_async::RULE];

/// "Connection timed out" (Linux): the kernel gave up on a connection that was never answered.
const ETIMEDOUT: i32 = 110;

/// Whether a connect was never answered: the kernel gave up on it, or a timer of whoever connected, which has no number.
fn is_unanswered(call: &Call) -> bool {
    let is_timers = call.errno.is_none() && call.error_type.as_deref() == Some(error_type::TIMEOUT);
    call.errno == Some(ETIMEDOUT) || is_timers && call.timeline.last_phase() == Some(Phase::Connect)
}

/// The cause, where the facts leave no other.
pub(super) fn of(case: &Case<'_>) -> Option<&'static Rule> {
    if case.row.is_some_and(Row::is_callers) {
        return OF_THE_CALLER.into_iter().find(|rule| (rule.slow)(case));
    }
    // A call that is to blame for its time may have failed in that very phase.
    let failed = case.span.filter(|span| case.culprit.basis == Basis::Failure || failed_in(span) == case.phase());
    let call = failed.and_then(|span| span.call.as_deref());
    let by_failure = call.and_then(|call| OF_CALLS.into_iter().find(|rule| (rule.failed)(case, call)));
    by_failure.or_else(|| OF_CALLS.into_iter().find(|rule| (rule.slow)(case)))
}

/// Whether a span is a named part of a start-up, and not the start-up as a whole.
pub(super) fn names_a_start_up_phase(span: &Span) -> bool {
    span.kind == Some(Kind::Startup) && *span.operation != *Kind::Startup.as_str()
}
