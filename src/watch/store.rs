//! What the handle remembers: the last runs with their verdicts, and every dependency's statistics.

use crate::attribution::Judgement;
use crate::export::report::DependencyStats;
use crate::model::{Kind, Name, Run, Span};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Runs kept for the report.
pub(super) const RUNS_KEPT: usize = 256;

/// The last runs and all dependencies.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) runs: VecDeque<(Run, Judgement)>,
    dependencies: FxHashMap<(Kind, Name), DependencyStats>,
}

impl Store {
    /// Keeps a judged run; the oldest goes when there are too many.
    pub(super) fn keep(&mut self, run: Run, judgement: Judgement) {
        if self.runs.len() == RUNS_KEPT {
            self.runs.pop_front();
        }
        self.runs.push_back((run, judgement));
    }

    /// Counts an ended hop.
    pub(super) fn count(&mut self, span: &Span) {
        let (Some(call), Some(dependency)) = (span.call.as_deref(), &span.dependency) else { return };
        let key = (span.kind.unwrap_or(Kind::Http), Name::clone(dependency));
        self.dependencies.entry(key).or_default().count(call);
    }

    /// Every dependency with its calls, by kind and name.
    pub(super) fn dependencies(&self) -> Vec<(Kind, &Name, &DependencyStats)> {
        let mut all: Vec<_> = self.dependencies.iter().map(|((kind, name), stats)| (*kind, name, stats)).collect();
        all.sort_by_key(|&(kind, name, _)| (kind, name));
        all
    }
}
