//! `connection_dropped`: the connection was reset or closed in mid-flight.
//!
//! Needs how the call ended, and who ended it. Silent when the caller left.

use super::Rule;
use crate::model::{Cause, FailedBy, Outcome};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::ConnectionDropped,
    failed: |_, call| matches!(call.outcome, Some(Outcome::Reset | Outcome::Body)) && call.failed_by != Some(FailedBy::Caller),
    slow: |_| false,
    evidence: &["errno", "received", "attempts", "address"],
    remedy: "Look at {dependency} for a restart, a crash or a proxy's idle timeout at that moment; a retry is safe for idempotent calls.",
};
