//! `dns`: the name was resolved slowly, or not at all.
//!
//! Needs the time of look-ups, or the resolver's error. Silent when another phase took the time.

use super::Rule;
use crate::model::{Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::Dns,
    failed: |case, call| match call.outcome {
        Some(Outcome::Dns) => true,
        Some(Outcome::Timeout) => case.phase() == Phase::Dns,
        _ => false,
    },
    slow: |case| case.phase() == Phase::Dns,
    evidence: &["lookup", "gave_up_after", "calls_seen", "times_usual"],
    remedy: "Check the spelling of the host name and the resolver that this machine or container uses.",
};
