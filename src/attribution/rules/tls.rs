//! `tls`: the TLS handshake was slow, or failed.
//!
//! Needs the time of handshakes, or how one failed. Silent when another phase took the time.

use super::Rule;
use crate::model::{Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::Tls,
    failed: |case, call| match call.outcome {
        Some(Outcome::Tls) => true,
        Some(Outcome::Timeout) => case.phase() == Phase::Tls,
        _ => false,
    },
    slow: |case| case.phase() == Phase::Tls,
    evidence: &["handshake", "gave_up_after", "address", "calls_seen", "times_usual"],
    remedy: "Check that {address} speaks TLS, its certificate and what stands between; reuse connections so that handshakes are rare.",
};
