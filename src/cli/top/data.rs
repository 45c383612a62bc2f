//! What an agent told, as of when.

use crate::export::report::waterfall::Waterfall;
use crate::export::report::{DependencyReport, OpenReport, Report, RunReport};
use std::collections::HashMap;
use std::time::Instant;

/// What was told last.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) report: Report,
    pub(super) open: OpenReport,
    /// When it came here.
    pub(super) at: Instant,
    /// Calls a second since it was told before, by dependency.
    rates: HashMap<(String, String), f64>,
}

/// One run with its hops.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) run: RunReport,
    pub(super) waterfall: Waterfall,
}

impl Detail {
    pub(super) fn of(run: RunReport) -> Self {
        Self { waterfall: Waterfall::of(&run), run }
    }
}

impl Data {
    /// What is told at `at`, after `before` was.
    pub(super) fn new(report: Report, open: OpenReport, at: Instant, before: Option<&Self>) -> Self {
        let mut rates = HashMap::new();
        if let Some(before) = before {
            let seconds = at.saturating_duration_since(before.at).as_secs_f64();
            let calls: HashMap<_, u64> = before.report.dependencies.iter().map(|one| (key(one), one.calls)).collect();
            for one in report.dependencies.iter().filter(|_| seconds > 0.0) {
                // Fewer than before: another agent answers, or the same started anew.
                let told = calls.get(&key(one)).copied().filter(|&told| told <= one.calls).unwrap_or(0);
                rates.insert(key(one), (one.calls - told) as f64 / seconds);
            }
        }
        Self { report, open, at, rates }
    }

    /// Calls a second to a dependency; `None` = that was told once only.
    pub(super) fn rate(&self, one: &DependencyReport) -> Option<f64> {
        self.rates.get(&key(one)).copied()
    }
}

fn key(one: &DependencyReport) -> (String, String) {
    (one.kind.to_string(), one.dependency.clone())
}
