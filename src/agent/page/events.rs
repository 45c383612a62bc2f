//! What goes on, as events: `report`, all in brief; `changes`, the same of what changed; `open`, the calls that are open; `kept`, how many
//! runs are, where some were forgotten.

use super::super::admin::Admin;
use super::super::hub::{Extent, Told};
use crate::export::serve::Tell;
use serde::Serialize;
use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Tells those who listen at one address.
#[derive(Debug)]
pub struct Feed {
    admin: Arc<Admin>,
    told: Mutex<Last>,
}

/// What they were told last.
#[derive(Debug, Default)]
struct Last {
    told: Told,
    forgotten: u64,
}

/// How many runs are kept: of those that ended, others were forgotten, the oldest first.
#[derive(Serialize)]
struct Kept {
    runs: usize,
}

impl Feed {
    /// Tells what this admin knows.
    #[must_use]
    pub fn new(admin: Arc<Admin>) -> Self {
        Self { admin, told: Mutex::default() }
    }
}

impl Tell for Feed {
    fn all(&self) -> String {
        let mut out = String::new();
        if let Some(report) = self.admin.report_of(Extent::Brief) {
            event(&mut out, "report", &report);
        }
        event(&mut out, "open", &self.admin.hub().open());
        out
    }

    fn news(&self) -> String {
        let mut last = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        if let Some(changes) = self.admin.changes(&mut last.told) {
            event(&mut out, "changes", &changes);
        }
        if let Some(open) = self.admin.hub().open_changes(&mut last.told) {
            event(&mut out, "open", &open);
        }
        let (runs, forgotten) = self.admin.hub().kept();
        if forgotten != last.forgotten {
            event(&mut out, "kept", &Kept { runs });
            last.forgotten = forgotten;
        }
        out
    }
}

/// Adds an event. JSON as it is written here has no line break in it.
fn event(out: &mut String, name: &str, data: &impl Serialize) {
    if let Ok(data) = serde_json::to_string(data) {
        let _: fmt::Result = write!(out, "event: {name}\ndata: {data}\n\n");
    }
}
