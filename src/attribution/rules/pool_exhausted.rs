//! `pool_exhausted`: the call waited for a free connection or an HTTP/2 stream slot.
//!
//! Needs the phase `pool`, which only the caller's side tells. Silent when less than half of the call was that wait.

use super::Rule;
use crate::model::{Cause, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::PoolExhausted,
    failed: |_, _| false,
    slow: |case| case.phase() == Phase::Pool && case.dominates(),
    evidence: &["pool_wait", "in_flight", "calls_seen", "times_usual", "gave_up_after"],
    remedy: "Let the client of {dependency} keep more connections (or streams), or make fewer calls at once; look for calls that hold theirs for long.",
};
