//! What an agent told, as of when.

use crate::export::report::waterfall::Waterfall;
use crate::export::report::{DependencyReport, OpenReport, Report, RunReport};
use crate::model::Kind;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How far back the rate of calls looks.
const RATE_OVER: Duration = Duration::from_secs(10);

/// What was told last.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) report: Report,
    pub(super) open: OpenReport,
    /// When it came here.
    pub(super) at: Instant,
    /// Calls by dependency as they were told before, the oldest first.
    counts: VecDeque<(Instant, Counts)>,
}

/// Calls by kind and name of their dependency.
type Counts = HashMap<(Kind, String), u64>;

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
    pub(super) fn new(report: Report, open: OpenReport, at: Instant, before: Option<Self>) -> Self {
        let mut counts = VecDeque::new();
        if let Some(before) = before {
            counts = before.counts;
            counts.push_back((before.at, of(&before.report)));
            while counts.get(1).is_some_and(|(then, _)| at.saturating_duration_since(*then) >= RATE_OVER) {
                counts.pop_front();
            }
            // Fewer than before: another agent answers, or the same started anew.
            let fell = |(key, told): (&(Kind, String), &u64)| {
                let is_it = |one: &&DependencyReport| one.kind == key.0 && one.dependency == key.1;
                report.dependencies.iter().find(is_it).is_none_or(|one| one.calls < *told)
            };
            if counts.back().is_some_and(|(_, last)| last.iter().any(fell)) {
                counts.clear();
            }
        }
        Self { report, open, at, counts }
    }

    /// Calls a second to a dependency, over ten seconds at most; `None` = it was told once only.
    pub(super) fn rate(&self, one: &DependencyReport) -> Option<f64> {
        let (then, calls) = self.counts.front()?;
        let seconds = self.at.saturating_duration_since(*then).as_secs_f64();
        let told = calls.get(&(one.kind, one.dependency.clone())).copied().unwrap_or(0);
        (seconds > 0.0).then(|| one.calls.saturating_sub(told) as f64 / seconds)
    }
}

fn of(report: &Report) -> Counts {
    report.dependencies.iter().map(|one| ((one.kind, one.dependency.clone()), one.calls)).collect()
}
