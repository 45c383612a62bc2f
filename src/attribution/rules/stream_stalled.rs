//! `stream_stalled`: the answer stopped in its middle.
//!
//! Needs the phase that the caller left in. Silent about long answers that kept coming, and about an answer that never began.

use super::Rule;
use crate::model::{Cause, Outcome, Phase};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::StreamStalled,
    failed: |case, call| call.outcome == Some(Outcome::Timeout) && case.phase() == Phase::Stream,
    slow: |_| false,
    evidence: &["gave_up_after", "received", "calls_seen", "times_usual"],
    remedy: "Look at {dependency} for what interrupts its output, and set a timeout between chunks rather than one for the whole answer.",
};
