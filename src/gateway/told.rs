//! How requests to one place are told: found out once for those that come over and over.

use crate::model::naming::Named;
use crate::model::{Name, Naming};
use http::Method;
use std::sync::{Arc, Mutex, PoisonError};

/// Most requests that are remembered of one place.
const REMEMBERED: usize = 16;
/// Longer paths are not remembered.
const PATH_MAX: usize = 256;

/// How a request is told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) named: Named,
    pub(crate) operation: Name,
    pub(crate) method: Name,
    pub(crate) path: Name,
}

/// The last requests to one place, as they were told by one naming.
#[derive(Debug, Default)]
pub(crate) struct Memo(Mutex<(Arc<Naming>, Vec<Told>)>);

impl Memo {
    /// How a request is told: as before, or as `find` says.
    pub(crate) fn told(&self, naming: &Arc<Naming>, method: &Method, path: &str, find: impl FnOnce() -> Told) -> Told {
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (by, known) = &mut *memo;
        if !Arc::ptr_eq(by, naming) {
            known.clear();
            *by = Arc::clone(naming);
        }
        if let Some(told) = known.iter().find(|told| *told.path == *path && *told.method == *method.as_str()) {
            return told.clone();
        }
        let told = find();
        if path.len() <= PATH_MAX {
            if known.len() == REMEMBERED {
                known.clear();
            }
            known.push(told.clone());
        }
        told
    }
}
