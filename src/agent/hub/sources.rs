//! Who tells: the hub's own source, and runs of other processes, with what each told last.
//!
//! What a run counted stays its own, so that a later word of it takes the place of an earlier one, and nothing is counted twice. Only when
//! it is no longer remembered do its counts become a part of the past.

use super::super::assemble::RunFacts;
use super::weight::{ROOM, weight};
use crate::model::{Losses, Name, Nanos, Span};
use std::collections::{BTreeMap, VecDeque};

/// Most runs at once.
const RUNS: usize = 10_000;
/// Most runs that are remembered after they were over, or gone.
const LEFT: usize = 1_000;
/// Most hops that ended of a run that goes on, to be shown until it tells itself as a whole.
const SHOWN: usize = 1_000;
/// Why hops are dropped whose process is gone.
const GONE: &str = "run_gone";

/// Why a run is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// It told its end before.
    #[error("it told its end before")]
    Over,
    /// There are too many others.
    #[error("{RUNS} runs tell already")]
    Full,
}

/// What the sources told.
#[derive(Debug)]
pub(super) struct Sources {
    own: Told,
    runs: BTreeMap<String, Run>,
    /// Runs that are over or gone, in the order in which they left.
    left: VecDeque<String>,
    /// What those counted that are not remembered any more.
    past: Losses,
    /// How long a run that tells nothing is taken to be there.
    silence: Nanos,
    /// Bytes that the hops of runs take.
    held: usize,
}

/// What a source told last.
#[derive(Debug, Default)]
struct Told {
    open: Vec<Span>,
    losses: Losses,
}

/// A run of another process.
#[derive(Debug)]
struct Run {
    facts: RunFacts,
    told: Told,
    /// Its first hops that ended.
    ended: Vec<Span>,
    /// When it told that, by the hub's clock.
    at: Nanos,
    /// How many of its hops that ended were taken.
    taken: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It tells.
    There,
    /// It has told nothing for too long.
    Gone,
    /// It told its end.
    Over,
}

impl Told {
    fn weight(&self) -> usize {
        self.open.iter().map(weight).sum()
    }
}

impl Run {
    fn weight(&self) -> usize {
        self.told.weight() + self.ended.iter().map(weight).sum::<usize>()
    }

    /// What it counted, as of now: who is gone has nothing open.
    fn losses(&self) -> Losses {
        let mut losses = self.told.losses.clone();
        let open = std::mem::take(&mut losses.open);
        match self.stage {
            Stage::There => losses.open = open,
            Stage::Gone if open > 0 => {
                let gone = losses.dropped.entry(GONE.into()).or_default();
                *gone = gone.saturating_add(open);
            }
            Stage::Gone => {}
            // They were recorded with it.
            Stage::Over => losses.recorded = losses.recorded.saturating_add(open),
        }
        losses
    }
}

impl Sources {
    /// Nobody told anything yet. A run that tells nothing for `silence` is gone.
    pub(super) fn new(silence: Nanos) -> Self {
        Self { own: Told::default(), runs: BTreeMap::new(), left: VecDeque::new(), past: Losses::default(), silence, held: 0 }
    }

    /// The hub's own source tells.
    pub(super) fn tell(&mut self, open: Vec<Span>, losses: Losses) {
        self.own = Told { open, losses };
    }

    /// What the hub's own source counted when it last told.
    pub(super) const fn own(&self) -> &Losses {
        &self.own.losses
    }

    /// A run tells at `now`. Before these it had told `before` hops that ended, and now as many as `ended`; how many of these are known
    /// already, since an answer was lost on its way.
    pub(super) fn hear(&mut self, id: &str, news: News<'_>, now: Nanos) -> Result<usize, Unheard> {
        let News { facts, before, ended, mut open, losses } = news;
        let is_full = self.runs.len() - self.left.len() >= RUNS;
        let (taken, mut shown) = match self.runs.get_mut(id) {
            Some(run) if run.stage == Stage::Over => return Err(Unheard::Over),
            Some(run) => {
                if run.stage == Stage::Gone {
                    self.left.retain(|left| left != id);
                }
                self.held -= run.told.weight();
                (run.taken, std::mem::take(&mut run.ended))
            }
            None if is_full => return Err(Unheard::Full),
            None => (0, Vec::new()),
        };
        let held = &mut self.held;
        // What there is no room for is counted, and not shown.
        let mut fits = |span: &Span| {
            let more = held.saturating_add(weight(span));
            let fits = more <= ROOM;
            if fits {
                *held = more;
            }
            fits
        };
        open.retain(&mut fits);
        let known = usize::try_from(taken.saturating_sub(before)).unwrap_or(usize::MAX).min(ended.len());
        let room = SHOWN.saturating_sub(shown.len());
        shown.extend(ended[known..].iter().take(room).filter(|span| fits(span)).cloned());
        let all = before.saturating_add(ended.len() as u64).max(taken);
        let run = Run { facts, told: Told { open, losses }, ended: shown, at: now, taken: all, stage: Stage::There };
        self.runs.insert(id.to_owned(), run);
        Ok(known)
    }

    /// A run told its end.
    pub(super) fn over(&mut self, id: &str) {
        self.leave(id, Stage::Over);
    }

    /// Runs that have told nothing for too long are gone: what they had open was lost with them.
    pub(super) fn forget_silent(&mut self, now: Nanos) {
        let is_silent = |run: &Run| run.stage == Stage::There && now.saturating_sub(run.at) >= self.silence;
        let silent: Vec<String> = self.runs.iter().filter(|(_, run)| is_silent(run)).map(|(id, _)| id.clone()).collect();
        silent.iter().for_each(|id| self.leave(id, Stage::Gone));
    }

    fn leave(&mut self, id: &str, stage: Stage) {
        let Some(run) = self.runs.get_mut(id) else { return };
        self.held -= run.weight();
        (run.told.open, run.ended) = (Vec::new(), Vec::new());
        run.stage = stage;
        self.left.push_back(id.to_owned());
        if self.left.len() > LEFT
            && let Some(run) = self.left.pop_front().and_then(|oldest| self.runs.remove(&oldest))
        {
            self.past.add(run.losses());
        }
    }

    /// What was counted in all.
    pub(super) fn losses(&self) -> Losses {
        let mut losses = self.past.clone();
        losses.add(self.own.losses.clone());
        self.runs.values().for_each(|run| losses.add(run.losses()));
        losses
    }

    /// The hops that are open, each with the name of its run.
    pub(super) fn open(&self) -> impl Iterator<Item = (Option<&Name>, &Span)> {
        let own = self.own.open.iter().map(|span| (None, span));
        own.chain(self.runs.values().flat_map(|run| run.told.open.iter().map(|span| (Some(&run.facts.name), span))))
    }

    /// The runs that go on, each with its id, what is known of it, and its hops.
    pub(super) fn going(&self) -> impl Iterator<Item = (&str, &RunFacts, impl Iterator<Item = &Span>)> {
        let there = self.runs.iter().filter(|(_, run)| run.stage == Stage::There);
        there.map(|(id, run)| (&**id, &run.facts, run.ended.iter().chain(&run.told.open)))
    }

    /// The names of the runs that are gone, as far as they are remembered.
    pub(super) fn gone(&self) -> impl Iterator<Item = &Name> {
        let left = self.left.iter().filter_map(|id| self.runs.get(id));
        left.filter(|run| run.stage == Stage::Gone).map(|run| &run.facts.name)
    }
}

/// What a run tells of itself.
#[derive(Debug)]
pub(super) struct News<'a> {
    pub(super) facts: RunFacts,
    /// How many hops that ended it had told before.
    pub(super) before: u64,
    /// Those that it tells of.
    pub(super) ended: &'a [Span],
    pub(super) open: Vec<Span>,
    pub(super) losses: Losses,
}

#[cfg(test)]
mod tests;
