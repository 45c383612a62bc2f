//! What the handle remembers: the last runs with their verdicts, and every dependency's statistics.

use crate::attribution::{History, Judgement, PastCall};
use crate::export::metrics::{DependencyId, Metrics};
use crate::export::report::DependencyStats;
use crate::instrument::recorder::{Record, Recorder, SubjectId};
use crate::model::{Kind, Name, Nanos, Outcome, Run};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Runs kept for the report.
pub(super) const RUNS_KEPT: usize = 256;

/// The last runs and all dependencies.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) runs: VecDeque<(Judgement, Run)>,
    dependencies: Vec<Dependency>,
    by_name: FxHashMap<(Kind, Name), usize>,
    /// Where each subject's dependency is, by the subject's number.
    by_subject: Vec<Option<usize>>,
}

/// A dependency and its calls.
#[derive(Debug)]
pub(super) struct Dependency {
    /// Which it is to the metrics.
    pub(super) id: DependencyId,
    pub(super) kind: Kind,
    pub(super) name: Name,
    pub(super) stats: DependencyStats,
    /// Plain calls learned from.
    learned: usize,
    /// When the last of them began.
    last: Nanos,
}

impl Dependency {
    /// Whether the history may want a plain call that began at `start`: it takes some of many (see [`History`]).
    fn is_worth_learning(&mut self, start: Nanos) -> bool {
        let soon = start.saturating_sub(self.last) < History::SPACING;
        // Several operations and sizes share a dependency: twice as many as one group takes.
        let worth = self.learned < 2 * History::CALLS || !soon;
        if worth {
            self.learned += 1;
            self.last = start;
        }
        worth
    }
}

impl Store {
    /// Keeps a judged run; the oldest goes when there are too many.
    pub(super) fn keep(&mut self, run: Run, judgement: Judgement) {
        if self.runs.len() == RUNS_KEPT {
            self.runs.pop_front();
        }
        self.runs.push_back((judgement, run));
    }

    /// Counts an ended hop and learns from it. Allocates nothing for most of the many of which only duration and outcome are known.
    pub(super) fn count(&mut self, recorder: &Recorder, metrics: &mut Metrics, record: &Record, now: Nanos) {
        let index = self.dependency(recorder, metrics, record.subject);
        let known = &mut self.dependencies[index];
        if record.is_brief()
            && let Some(outcome) = record.outcome
        {
            let took = record.end.saturating_sub(record.start);
            known.stats.count_brief(outcome, record.phase, took);
            // What is conventional of a kind asks for the whole record.
            if matches!(known.kind, Kind::Llm | Kind::Embedding | Kind::Retrieval) {
                metrics.hop(&recorder.span(record, now));
            } else {
                metrics.brief(known.id, outcome, record.phase, took);
            }
            if outcome == Outcome::Ok && known.is_worth_learning(record.start) {
                let operation = &recorder.shared.named(record.subject).operation;
                recorder.history().learn_call(&PastCall {
                    kind: known.kind,
                    dependency: &known.name,
                    operation,
                    sent: 0,
                    received: None,
                    id: record.id,
                    start: record.start,
                    phases: &[(record.phase, took)],
                });
            }
            return;
        }
        let span = recorder.span(record, now);
        if let Some(call) = span.call.as_deref() {
            known.stats.count(call);
        }
        metrics.hop(&span);
        recorder.history().learn_span(&span);
    }

    fn dependency(&mut self, recorder: &Recorder, metrics: &mut Metrics, subject: SubjectId) -> usize {
        let number = subject.0 as usize;
        if let Some(&Some(index)) = self.by_subject.get(number) {
            return index;
        }
        let named = recorder.shared.named(subject);
        let (kind, name) = (named.kind.unwrap_or(Kind::Http), named.dependency.clone().unwrap_or_default());
        let next = self.dependencies.len();
        let index = *self.by_name.entry((kind, name.clone())).or_insert(next);
        if index == next {
            let (id, stats) = (metrics.dependency(kind, &name), DependencyStats::default());
            self.dependencies.push(Dependency { id, kind, name, stats, learned: 0, last: 0 });
        }
        if self.by_subject.len() <= number {
            self.by_subject.resize(number + 1, None);
        }
        self.by_subject[number] = Some(index);
        index
    }

    /// Every dependency with its calls, by kind and name.
    pub(super) fn dependencies(&self) -> Vec<&Dependency> {
        let mut all: Vec<&Dependency> = self.dependencies.iter().collect();
        all.sort_by_key(|dependency| (dependency.kind, &dependency.name));
        all
    }
}
