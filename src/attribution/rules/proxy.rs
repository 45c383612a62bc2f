//! `proxy`: the forward proxy on the way refuses to lead on, or is slow to.
//!
//! Needs the time of its `CONNECT` exchange, or how that failed. Silent where the proxy was passed: what comes behind it is the peer's.

use super::Rule;
use crate::model::{Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::Proxy,
    failed: |case, call| {
        case.phase() == Phase::Proxy && matches!(call.outcome, Some(Outcome::Connect | Outcome::Tls | Outcome::Timeout))
    },
    slow: |case| case.phase() == Phase::Proxy,
    evidence: &["status", "error", "gave_up_after", "address", "calls_seen", "times_usual"],
    remedy: "Check the proxy at {address}: its credentials (http://user:password@host:port), what it lets through and its log; or name the host in NO_PROXY.",
};
