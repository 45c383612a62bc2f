//! `rate_limited`: the dependency refused calls for its rate limit.
//!
//! Needs the outcomes of attempts. Silent about backoff after other failures.

use super::Rule;
use crate::model::{Call, Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::RateLimited,
    failed: |_, call| call.outcome == Some(Outcome::RateLimited),
    slow: |case| {
        let limited = |call: &Call| call.attempts.iter().any(|attempt| attempt.outcome == Some(Outcome::RateLimited));
        case.phase() == Phase::Backoff && case.call().is_some_and(limited)
    },
    evidence: &["status", "attempts", "retry_after", "backoff"],
    remedy: "Send {dependency} fewer calls at once, or ask for a higher limit; wait as long as it says in `retry-after`.",
};
