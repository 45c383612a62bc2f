//! `connect_timeout`: nothing answered the connection.
//!
//! Needs how long a call was connecting, and how that ended. Silent about a connect that came to be, however slow, and about one that was refused.

use super::{Rule, is_unanswered};
use crate::model::{Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::ConnectTimeout,
    failed: |case, call| match call.outcome {
        Some(Outcome::Connect) => is_unanswered(call),
        Some(Outcome::Timeout) => case.phase() == Phase::Connect,
        _ => false,
    },
    slow: |case| case.phase() == Phase::Connect && case.is_open_or_left(),
    evidence: &["gave_up_after", "errno", "address", "attempts"],
    remedy: "Nothing answers at {address}: check firewall, egress rules and proxy settings, and set a connect timeout of a few seconds.",
};
