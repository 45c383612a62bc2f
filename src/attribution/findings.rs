//! What is worth changing although nothing may have failed.

use super::rules::{client_recreated, rebuilt_per_request};
use crate::model::{Finding, Run};

/// Causes seen across these runs. Looks at each span and connection once, or twice.
#[must_use]
pub fn findings(runs: &[&Run]) -> Vec<Finding> {
    let mut found = client_recreated::found(runs);
    found.extend(rebuilt_per_request::found(runs));
    found
}
