//! Runs of other processes that go on: what was told of them so far, judged as of their last word.

use super::super::assemble::{RunFacts, process_run};
use super::State;
use super::store::Judged;
use crate::attribution::judge_with;
use crate::model::Losses;
use crate::observe::Observed;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// Most of them that are told, the latest ones: each is judged anew whenever somebody looks.
const TOLD: usize = 50;

impl State {
    /// The runs that go on, the earliest first.
    pub(super) fn going(&self) -> Vec<Judged> {
        let mut going: Vec<_> = self.sources.going().collect();
        going.sort_by_key(|(_, facts, _)| std::cmp::Reverse(facts.start));
        going.truncate(TOLD);
        let judged = going.into_iter().rev().map(|(id, facts, hops)| {
            let spans: Vec<_> = hops.cloned().collect();
            let first = spans.iter().map(|span| span.start).min();
            let start = if facts.start > 0 { facts.start } else { first.unwrap_or(facts.seen_until) };
            let facts = RunFacts { start, seen_until: facts.seen_until.max(start), ..facts.clone() };
            let run = process_run(Observed { spans, ..Observed::default() }, facts);
            let judgement = judge_with(&run, &Losses::default(), self.store.history());
            Judged { id: id_of(id), run, judgement }
        });
        judged.collect()
    }
}

/// Which run of the report the one is that is handed over by this id: the same from its first word to its last.
pub(super) fn id_of(id: &str) -> String {
    let mut hasher = FxHasher::default();
    id.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
