//! What is remembered: the last runs with their verdicts, every dependency added up, and what is normal.

use super::weight::{ROOM, weight_of_run};
use crate::attribution::{History, Judgement};
use crate::export::report::{DependencyReport, DependencyStats};
use crate::model::{Call, Kind, Name, Nanos, Run, Span};
use std::collections::{BTreeMap, VecDeque};

/// Most dependencies that are told apart.
const DEPENDENCIES: usize = 10_000;
/// What those beyond are told as.
const OTHER: &str = "other";

/// What is remembered.
#[derive(Debug)]
pub(super) struct Store {
    keep: usize,
    keep_for: Nanos,
    runs: VecDeque<Kept>,
    /// Bytes that they take.
    held: usize,
    dependencies: BTreeMap<(Kind, Name), DependencyStats>,
    history: History,
}

/// A run, when it was kept, and the bytes that it takes.
#[derive(Debug)]
struct Kept {
    at: Nanos,
    weight: usize,
    run: Run,
    judgement: Judgement,
}

impl Store {
    pub(super) fn new(keep: usize, keep_for: Nanos) -> Self {
        let (runs, dependencies, history) = (VecDeque::new(), BTreeMap::new(), History::default());
        Self { keep, keep_for, runs, held: 0, dependencies, history }
    }

    /// Keeps so many runs from here on, for so long.
    pub(super) fn limit(&mut self, keep: usize, keep_for: Nanos) {
        (self.keep, self.keep_for) = (keep, keep_for);
        self.forget_more();
    }

    /// Counts a hop that ended.
    pub(super) fn count(&mut self, span: &Span) {
        let counts = |call: &&Call| !span.is_open() && !call.relayed;
        let (Some(call), Some(dependency)) = (span.call.as_deref().filter(counts), &span.dependency) else { return };
        let key = (span.kind.unwrap_or(Kind::Http), dependency.clone());
        let full = self.dependencies.len() >= DEPENDENCIES && !self.dependencies.contains_key(&key);
        let key = if full { (key.0, OTHER.into()) } else { key };
        self.dependencies.entry(key).or_default().count(call);
    }

    /// Learns from a hop that ended.
    pub(super) fn learn(&mut self, span: &Span) {
        self.history.learn_span(span);
    }

    /// Keeps a run that was judged. The oldest ones go where there are too many, or they take too much; the last one always stays.
    pub(super) fn keep(&mut self, run: Run, judgement: Judgement, at: Nanos) {
        let weight = weight_of_run(&run);
        self.held += weight;
        self.runs.push_back(Kept { at, weight, run, judgement });
        self.forget_more();
    }

    /// Forgets runs that were kept for long enough.
    pub(super) fn forget_old(&mut self, now: Nanos) {
        while self.runs.front().is_some_and(|kept| now.saturating_sub(kept.at) >= self.keep_for) {
            self.forget_first();
        }
    }

    fn forget_more(&mut self) {
        while self.runs.len() > self.keep || (self.held > ROOM && self.runs.len() > 1) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        self.held -= self.runs.pop_front().map_or(0, |kept| kept.weight);
    }

    /// The runs kept, the oldest first.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Run, &Judgement)> {
        self.runs.iter().map(|kept| (&kept.run, &kept.judgement))
    }

    /// Every dependency with its calls, by kind and name.
    pub(super) fn dependencies(&self) -> Vec<DependencyReport> {
        self.dependencies.iter().map(|((kind, name), stats)| stats.report(*kind, name)).collect()
    }

    /// What calls normally took.
    pub(super) const fn history(&self) -> &History {
        &self.history
    }
}

#[cfg(test)]
mod tests;
