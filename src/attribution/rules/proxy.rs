//! `proxy`: the forward proxy on the way refuses, or is slow to lead on.
//!
//! Needs the time of the proxy's own exchange (`CONNECT`). Silent where the proxy was passed: what comes behind it is the peer's.

use super::Rule;
use crate::model::{Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::Proxy,
    failed: |case, call| {
        case.phase() == Phase::Proxy && matches!(call.outcome, Some(Outcome::Connect | Outcome::Tls | Outcome::Timeout))
    },
    slow: |case| case.phase() == Phase::Proxy,
    evidence: &["proxy", "error", "address", "gave_up_after", "calls_seen", "times_usual"],
    remedy: "Check HTTP_PROXY, HTTPS_PROXY and the credentials in them, or name the host of {dependency} in NO_PROXY.",
};
