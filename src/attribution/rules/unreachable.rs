//! `unreachable`: the connection was refused, or there is no way to the peer.
//!
//! Needs how a connect failed. Silent where the connect was not answered at all: that is `connect_timeout`.

use super::{Rule, is_unanswered};
use crate::model::{Cause, Outcome};

/// The rule.
pub(super) const RULE: Rule = Rule {
    cause: Cause::Unreachable,
    failed: |_, call| call.outcome == Some(Outcome::Connect) && !is_unanswered(call),
    slow: |_| false,
    evidence: &["errno", "address", "attempts"],
    remedy: "Check that {dependency} runs and that the host and port are right: inside a container, `localhost` is the container itself.",
};
