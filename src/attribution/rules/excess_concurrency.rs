//! `excess_concurrency`: the caller wants more in flight than its own gate lets through.
//!
//! Needs the phase `gate`, which a gate tells. Silent when less than half of the call was that wait.

use super::Rule;
use crate::model::{Cause, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::ExcessConcurrency,
    failed: |_, _| false,
    slow: |case| case.phase() == Phase::Gate && case.dominates(),
    evidence: &["gate_wait", "in_flight", "calls_seen", "times_usual", "gave_up_after"],
    remedy: "Start fewer calls at once, or raise the limit of the gate ({dependency}) if what it guards has room; shed what would wait longer than its deadline.",
};
