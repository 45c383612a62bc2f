//! Runs of other processes that go on: what was told of them so far, judged as of now.

use super::super::assemble::{RunFacts, process_run};
use super::State;
use super::store::Judged;
use crate::attribution::judge_with;
use crate::model::{Losses, Nanos, Run, SpanId};
use crate::observe::Observed;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Most of them that are told, the latest ones: each is judged anew whenever somebody looks.
const TOLD: usize = 50;

impl State {
    /// The runs that go on, the earliest first.
    pub(super) fn going(&self, now: Nanos) -> Vec<Judged> {
        let mut going: Vec<_> = self.sources.going().collect();
        going.sort_by_key(|(_, facts, _)| std::cmp::Reverse(facts.start));
        going.truncate(TOLD);
        let judged = going.into_iter().rev().map(|(id, facts, hops)| {
            let spans: Vec<_> = hops.cloned().collect();
            let first = spans.iter().map(|span| span.start).min();
            let start = if facts.start > 0 { facts.start } else { first.unwrap_or(now) };
            let facts = RunFacts { start, seen_until: now.max(start), ..facts.clone() };
            let mut run = process_run(Observed { spans, ..Observed::default() }, facts);
            set_root(&mut run, root_of(id));
            let judgement = judge_with(&run, &Losses::default(), self.store.history());
            Judged { run, judgement }
        });
        judged.collect()
    }
}

/// The id of the root of a run that is handed over: the same from its first word to its last.
pub(super) fn root_of(id: &str) -> SpanId {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    SpanId(hasher.finish().max(1))
}

/// Gives a run's root another id.
pub(super) fn set_root(run: &mut Run, id: SpanId) {
    let Some(root) = run.spans.first_mut() else { return };
    let before = std::mem::replace(&mut root.id, id);
    for span in &mut run.spans {
        if span.parent == Some(before) {
            span.parent = Some(id);
        }
    }
}
