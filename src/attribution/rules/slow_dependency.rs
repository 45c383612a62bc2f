//! `slow_dependency`: the dependency took longer than it usually does, and nothing else explains it.
//!
//! Needs the usual time of calls like it. Silent below twice the usual time, and where the phase says more (`dns`, `tls`, `pool`, `gate`, `backoff`).

use super::Rule;
use crate::model::{Cause, Kind};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::SlowDependency,
    failed: |_, _| false,
    slow: |case| case.culprit.component.kind != Some(Kind::Tool) && case.is_slower(),
    evidence: &["calls_seen", "times_usual", "gave_up_after", "attempts"],
    remedy: "Give {dependency} a timeout of its own well under the run's, and look there for what was slow at that moment.",
};
