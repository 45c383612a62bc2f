//! Calls that were turned away at the caller's own gate.

use super::judge::{Evidence, Judged};
use crate::model::{FailedBy, Outcome};
use std::error::Error;

/// No permit was free, and the caller would not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no permit is free")]
pub struct Shed(pub(crate) ());

pub(super) fn see(error: &(dyn Error + 'static), evidence: &mut Evidence) {
    if error.is::<Shed>() {
        evidence.client.get_or_insert(Judged { outcome: Outcome::Shed, failed_by: FailedBy::Own, code: "shed" });
    }
}
