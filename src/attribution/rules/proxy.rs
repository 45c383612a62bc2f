//! `proxy`: the forward proxy on the way refused to lead on, or was slow to.
//!
//! Needs the time of its `CONNECT` exchange, or how that failed. Silent when another phase took the time.

use super::Rule;
use crate::model::{Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::Proxy,
    failed: |case, call| matches!(call.outcome, Some(Outcome::Connect | Outcome::Timeout)) && case.phase() == Phase::Proxy,
    slow: |case| case.phase() == Phase::Proxy,
    evidence: &["status", "gave_up_after", "address", "calls_seen", "times_usual"],
    remedy: "Check the proxy at {address}: its credentials (http://user:password@host:port), what it lets through and its log; or name the host in NO_PROXY.",
};
