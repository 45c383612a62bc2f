//! Calls that failed and that nothing made good.

use crate::model::{FailedBy, Kind, Nanos, Outcome, Run, Span};
use rustc_hash::FxHashMap;

/// How close to the run's end a call that the caller left was left by the exit itself.
const EXIT: Nanos = 5_000_000;

/// How soon after one of two like calls was answered the other is dropped by who wanted only one answer.
const HEDGE: Nanos = 50_000_000;

/// Kind, dependency and operation: what a later call must share to have made a failure good.
type Key<'a> = (Option<Kind>, Option<&'a str>, &'a str);

/// The calls that went well, by what they were.
#[derive(Default)]
struct Answered {
    /// When the last of them began.
    last_start: Nanos,
    /// End and bytes sent of each.
    ends: Vec<(Nanos, u64, Nanos)>,
}

/// The last failed call of a run that nothing made good, an index into its spans. A call to a process of the run itself only counts
/// when there is no other, since it failed for a reason of its own.
///
/// A failure was made good when a call to the same dependency with the same operation began later and ended well. No failures are:
/// a call still open; a call left by a program that goes on well (a stream read as far as wanted, the slower of two like calls, a
/// connection held to the exit); an answer that programs ask for (404, 409 and kin), unless the program failed right on it.
///
/// `failed`: the run did not end well; `stopped`: somebody ended it from outside, so that calls left in that moment did not fail.
pub(super) fn last_unrecovered(run: &Run, failed: bool, stopped: bool) -> Option<u32> {
    let mut answered: FxHashMap<Key<'_>, Answered> = FxHashMap::default();
    let mut last_start = 0;
    for span in calls(run) {
        last_start = last_start.max(span.start);
        if let (Some(Outcome::Ok), Some(end)) = (outcome(span), span.end) {
            let group = answered.entry(key(span)).or_default();
            group.last_start = group.last_start.max(span.start);
            group.ends.push((end, sent(span), span.start));
        }
    }
    answered.values_mut().for_each(|group| group.ends.sort_unstable());
    let is_failure = |span: &Span| {
        let (Some(outcome), Some(end), Some(call)) = (outcome(span), span.end, &span.call) else { return false };
        if call.relayed {
            // The record below tells why.
            return false;
        }
        let group = answered.get(&key(span));
        let by_caller = call.failed_by == Some(FailedBy::Caller);
        let recovered = group.is_some_and(|group| group.last_start >= end);
        let left_at_exit = by_caller && run.end.is_some_and(|exit| end.saturating_add(EXIT) >= exit);
        match outcome {
            Outcome::Ok => false,
            _ if recovered => false,
            _ if left_at_exit && (!failed || stopped) => false,
            _ if by_caller && group.is_some_and(|group| group.answered_instead(span, end)) => false,
            Outcome::Cancelled => failed,
            Outcome::ClientError if is_asked_for(call.status) => failed && last_start < end,
            _ => true,
        }
    };
    let failures = run.spans.iter().enumerate().filter(|(_, span)| is_failure(span));
    // A cancelled call is what failure looks like from the side: any other kind of failure says more.
    let rank = |span: &Span| {
        let internal = span.call.as_ref().is_some_and(|call| call.internal);
        (!internal, outcome(span) != Some(Outcome::Cancelled), span.end, span.start)
    };
    failures.max_by_key(|(_, span)| rank(span)).map(|(index, _)| index as u32)
}

impl Answered {
    /// Whether a like call was answered just before this one was dropped.
    fn answered_instead(&self, span: &Span, dropped: Nanos) -> bool {
        let from = self.ends.partition_point(|&(end, ..)| end < dropped.saturating_sub(HEDGE));
        let mut near = self.ends[from..].iter().take_while(|&&(end, ..)| end <= dropped);
        sent(span) > 0 && near.any(|&(_, bytes, start)| bytes == sent(span) && start < dropped)
    }
}

/// Statuses that are answers to a question: is it there, may it be made, is it still the same.
const fn is_asked_for(status: Option<u16>) -> bool {
    matches!(status, Some(401 | 404 | 405 | 407 | 409 | 410 | 412 | 416))
}

fn calls(run: &Run) -> impl Iterator<Item = &Span> {
    run.spans.iter().filter(|span| span.call.as_ref().is_some_and(|call| !call.relayed))
}

fn key(span: &Span) -> Key<'_> {
    (span.kind, span.dependency.as_deref(), &span.operation)
}

fn outcome(span: &Span) -> Option<Outcome> {
    span.call.as_ref().and_then(|call| call.outcome)
}

fn sent(span: &Span) -> u64 {
    span.call.as_ref().map_or(0, |call| call.bytes.sent)
}
