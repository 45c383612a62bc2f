//! `blocking_in_async`: the event loop was blocked.
//!
//! Needs stalls, from whoever sees the loop's thread. Silent about plain threads: blocking is what they are for.

use super::Rule;
use crate::model::Cause;

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::BlockingInAsync,
    failed: |_, _| false,
    slow: |case| {
        case.row.is_some_and(|row| row.is_callers() && row.blockers.first().is_some_and(|(blocker, _)| blocker.event_loop))
    },
    evidence: &["blocked", "blocked_in", "ended_in", "phases", "own_time"],
    remedy: "Move the blocking call off the event loop ({offload}).",
};
