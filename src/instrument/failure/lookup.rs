//! Names that were not resolved.

use super::judge::{Evidence, Place};
use crate::lookup::LookupError;
use std::error::Error;

pub(super) fn see(error: &(dyn Error + 'static), evidence: &mut Evidence) {
    if let Some(lookup) = error.downcast_ref::<LookupError>() {
        evidence.place = Place::Dns;
        evidence.lookup.get_or_insert(lookup.error_type());
    }
}
