//! Blame: a run's wall clock by component.

use super::account::Account;
use super::history::History;
use crate::model::{BlameRow, Run};

/// Charges the time from the run's start to its horizon to components, longest first. The rows sum to it exactly.
///
/// Time of a call goes to its phases; a call's `stall` and `self` are the caller's, as is everything outside of calls, which is
/// `stall` where the run says that the caller was blocked. What a call takes without telling its phases is `wait`, inferred.
#[must_use]
pub fn blame(run: &Run) -> Vec<BlameRow> {
    Account::of(run, &History::default()).blame()
}
