//! What is remembered: the last runs with their verdicts, every dependency added up, and what is normal.

use super::trend::{Steps, Trend};
use super::weight::{ROOM, weight_of_run};
use crate::attribution::{History, Judgement};
use crate::export::report::{DependencyReport, DependencyStats};
use crate::model::{Call, Kind, Name, Nanos, Run, Span};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most dependencies that are told apart.
const DEPENDENCIES: usize = 10_000;
/// Most of them whose last minutes are remembered step by step.
const TRENDS: usize = 500;
/// What those beyond are told as.
const OTHER: &str = "other";

/// What is remembered.
#[derive(Debug)]
pub(super) struct Store {
    keep: usize,
    keep_for: Nanos,
    runs: VecDeque<Kept>,
    /// Runs that were forgotten, of all that were ever kept.
    forgotten: u64,
    /// Bytes that they take.
    held: usize,
    dependencies: BTreeMap<(Kind, Name), DependencyStats>,
    trends: BTreeMap<(Kind, Name), Trend>,
    /// Calls that were counted.
    counted: u64,
    history: History,
}

/// A run, when it was kept, and the bytes that it takes.
#[derive(Debug)]
struct Kept {
    at: Nanos,
    weight: usize,
    judged: Arc<Judged>,
}

/// A run and what came of it.
#[derive(Debug)]
pub(super) struct Judged {
    /// Which one.
    pub(super) id: String,
    pub(super) run: Run,
    pub(super) judgement: Judgement,
}

impl Store {
    pub(super) fn new(keep: usize, keep_for: Nanos) -> Self {
        Self {
            keep,
            keep_for,
            runs: VecDeque::new(),
            forgotten: 0,
            held: 0,
            dependencies: BTreeMap::new(),
            trends: BTreeMap::new(),
            counted: 0,
            history: History::default(),
        }
    }

    /// Keeps so many runs from here on, for so long.
    pub(super) fn limit(&mut self, keep: usize, keep_for: Nanos) {
        (self.keep, self.keep_for) = (keep, keep_for);
        self.forget_more();
    }

    /// Counts a hop that ended about now.
    pub(super) fn count(&mut self, span: &Span, now: Nanos) {
        let counts = |call: &&Call| !span.is_open() && !call.relayed;
        let (Some(call), Some(dependency)) = (span.call.as_deref().filter(counts), &span.dependency) else { return };
        let key = (span.kind.unwrap_or(Kind::Http), dependency.clone());
        let full = self.dependencies.len() >= DEPENDENCIES && !self.dependencies.contains_key(&key);
        let key = if full { (key.0, OTHER.into()) } else { key };
        self.counted += 1;
        let has_room = self.trends.len() < TRENDS;
        match self.trends.get_mut(&key) {
            Some(trend) => trend.count(call, now),
            None if has_room => self.trends.entry(key.clone()).or_default().count(call, now),
            None => {}
        }
        self.dependencies.entry(key).or_default().count(call);
    }

    /// Learns from a hop that ended.
    pub(super) fn learn(&mut self, span: &Span) {
        self.history.learn_span(span);
    }

    /// Keeps a run that was judged. The oldest ones go where there are too many, or they take too much; the last one always stays.
    pub(super) fn keep(&mut self, judged: Judged, at: Nanos) {
        let weight = weight_of_run(&judged.run);
        self.held += weight;
        self.runs.push_back(Kept { at, weight, judged: Arc::new(judged) });
        self.forget_more();
    }

    /// Forgets runs that were kept for long enough, and how calls went long ago.
    pub(super) fn forget_old(&mut self, now: Nanos) {
        while self.runs.front().is_some_and(|kept| now.saturating_sub(kept.at) >= self.keep_for) {
            self.forget_first();
        }
        self.trends.retain(|_, trend| trend.forget_old(now));
    }

    fn forget_more(&mut self) {
        while self.runs.len() > self.keep || (self.held > ROOM && self.runs.len() > 1) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(kept) = self.runs.pop_front() {
            self.held -= kept.weight;
            self.forgotten += 1;
        }
    }

    /// The runs kept, the oldest first.
    pub(super) fn runs(&self) -> impl ExactSizeIterator<Item = &Arc<Judged>> {
        self.runs.iter().map(|kept| &kept.judged)
    }

    /// Runs that were ever kept, those that are forgotten included.
    pub(super) fn ever_kept(&self) -> u64 {
        self.forgotten + self.runs.len() as u64
    }

    /// Calls that were ever counted.
    pub(super) const fn counted(&self) -> u64 {
        self.counted
    }

    /// Every dependency with its calls, by kind and name.
    pub(super) fn dependencies(&self, steps: Steps, now: Nanos) -> Vec<DependencyReport> {
        let trend = |key| self.trends.get(key).map(|trend| trend.report(steps, now)).unwrap_or_default();
        let told = self.dependencies.iter();
        told.map(|(key, stats)| DependencyReport { trend: trend(key), ..stats.report(key.0, &key.1) }).collect()
    }

    /// What calls normally took.
    pub(super) const fn history(&self) -> &History {
        &self.history
    }
}

#[cfg(test)]
mod tests;
