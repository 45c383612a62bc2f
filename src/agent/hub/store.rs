//! What is remembered: the last runs with their verdicts, every dependency added up, and what is normal.

use crate::attribution::{History, Judgement};
use crate::export::report::{DependencyReport, DependencyStats};
use crate::model::{Kind, Name, Nanos, Run, Span};
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
    dependencies: BTreeMap<(Kind, Name), DependencyStats>,
    history: History,
}

/// A run, and when it was kept.
#[derive(Debug)]
struct Kept {
    at: Nanos,
    run: Run,
    judgement: Judgement,
}

impl Store {
    pub(super) fn new(keep: usize, keep_for: Nanos) -> Self {
        Self { keep, keep_for, runs: VecDeque::new(), dependencies: BTreeMap::new(), history: History::default() }
    }

    /// Keeps so many runs from here on, for so long.
    pub(super) fn limit(&mut self, keep: usize, keep_for: Nanos) {
        (self.keep, self.keep_for) = (keep, keep_for);
        self.runs.drain(..self.runs.len().saturating_sub(keep));
    }

    /// Counts a hop that ended.
    pub(super) fn count(&mut self, span: &Span) {
        let (Some(call), Some(dependency)) = (span.call.as_deref().filter(|call| !call.relayed), &span.dependency) else {
            return;
        };
        let key = (span.kind.unwrap_or(Kind::Http), dependency.clone());
        let full = self.dependencies.len() >= DEPENDENCIES && !self.dependencies.contains_key(&key);
        let key = if full { (key.0, OTHER.into()) } else { key };
        self.dependencies.entry(key).or_default().count(call);
    }

    /// Learns from a hop that ended.
    pub(super) fn learn(&mut self, span: &Span) {
        self.history.learn_span(span);
    }

    /// Keeps a run that was judged.
    pub(super) fn keep(&mut self, run: Run, judgement: Judgement, at: Nanos) {
        if self.runs.len() >= self.keep {
            self.runs.pop_front();
        }
        self.runs.push_back(Kept { at, run, judgement });
    }

    /// Forgets runs that were kept for long enough.
    pub(super) fn forget_old(&mut self, now: Nanos) {
        while self.runs.front().is_some_and(|kept| now.saturating_sub(kept.at) >= self.keep_for) {
            self.runs.pop_front();
        }
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
