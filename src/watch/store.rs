//! What the handle remembers: the last runs with their verdicts, and every dependency's statistics.

use crate::attribution::Judgement;
use crate::export::report::DependencyStats;
use crate::instrument::recorder::{Record, Recorder, SubjectId};
use crate::model::{Kind, Name, Nanos, Run};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Runs kept for the report.
pub(super) const RUNS_KEPT: usize = 256;

/// The last runs and all dependencies.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) runs: VecDeque<(Run, Judgement)>,
    dependencies: Vec<(Kind, Name, DependencyStats)>,
    by_name: FxHashMap<(Kind, Name), usize>,
    /// Where each subject's dependency is, by the subject's number.
    by_subject: Vec<Option<usize>>,
}

impl Store {
    /// Keeps a judged run; the oldest goes when there are too many.
    pub(super) fn keep(&mut self, run: Run, judgement: Judgement) {
        if self.runs.len() == RUNS_KEPT {
            self.runs.pop_front();
        }
        self.runs.push_back((run, judgement));
    }

    /// Counts an ended hop. Allocates nothing for the many of which only duration and outcome are known.
    pub(super) fn count(&mut self, recorder: &Recorder, record: &Record, now: Nanos) {
        let index = self.dependency(recorder, record.subject);
        let (_, _, stats) = &mut self.dependencies[index];
        match record.outcome.filter(|_| record.is_brief()) {
            Some(outcome) => stats.count_brief(outcome, record.phase, record.end.saturating_sub(record.start)),
            None => {
                if let Some(call) = recorder.span(record, now).call {
                    stats.count(&call);
                }
            }
        }
    }

    fn dependency(&mut self, recorder: &Recorder, subject: SubjectId) -> usize {
        let number = subject.0 as usize;
        if let Some(&Some(index)) = self.by_subject.get(number) {
            return index;
        }
        let named = recorder.shared.named(subject);
        let (kind, name) = (named.kind.unwrap_or(Kind::Http), named.dependency.clone().unwrap_or_default());
        let next = self.dependencies.len();
        let index = *self.by_name.entry((kind, name.clone())).or_insert(next);
        if index == next {
            self.dependencies.push((kind, name, DependencyStats::default()));
        }
        if self.by_subject.len() <= number {
            self.by_subject.resize(number + 1, None);
        }
        self.by_subject[number] = Some(index);
        index
    }

    /// Every dependency with its calls, by kind and name.
    pub(super) fn dependencies(&self) -> Vec<(Kind, &Name, &DependencyStats)> {
        let mut all: Vec<_> = self.dependencies.iter().map(|(kind, name, stats)| (*kind, name, stats)).collect();
        all.sort_by_key(|&(kind, name, _)| (kind, name));
        all
    }
}
