//! `slow_tool`: the tool took longer than it usually does.
//!
//! Needs the usual time of calls like it. Silent below twice the usual time, and where the phase says more (`dns`, `tls`, `pool`, `gate`, `backoff`).

use super::Rule;
use crate::model::{Cause, Kind};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::SlowTool,
    failed: |_, _| false,
    slow: |case| case.culprit.component.kind == Some(Kind::Tool) && case.is_slower(),
    evidence: &["calls_seen", "times_usual", "gave_up_after"],
    remedy: "Give the tool {dependency} a timeout of its own well under the run's, and look at what it did at that moment.",
};
