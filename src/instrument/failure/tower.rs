//! Errors of tower's own layers.

use super::judge::{Evidence, Judged};
use crate::model::Outcome;
use ::tower::load_shed::error::Overloaded;
use ::tower::timeout::error::Elapsed;
use std::error::Error;

pub(super) fn see(error: &(dyn Error + 'static), evidence: &mut Evidence) {
    if error.is::<Elapsed>() {
        evidence.timer = true;
    } else if error.is::<Overloaded>() {
        // Turned away by a limit of the caller's own.
        evidence.client = evidence.client.or(Some(Judged::caller(Outcome::Shed, "overloaded")));
    }
}
