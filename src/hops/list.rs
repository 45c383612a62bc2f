//! All hops of a source: those that ended, and those whose next try is awaited.

use super::attempt::{Candidate, Key, Try};
use super::hop::{Hop, JOIN_WITHIN};
use super::{CallerId, Place};
use crate::model::{ConnectionState, Losses, Name, Nanos, Outcome, Phase, Reason, Span};
use rustc_hash::{FxHashMap, FxHashSet};
use slab::Slab;
use std::collections::{BTreeMap, VecDeque};

/// Most hops that are kept.
const HOPS: usize = 100_000;
/// Most failed hops of one dependency that wait for another try.
const JOINABLE: usize = 128;

/// All hops that ended.
///
/// Of a run all are kept, up to 100,000, for its report ([`Hops::default`]). A source without an end keeps those alone that another try may
/// join ([`Hops::endless`]); the others leave with the next [`Hops::settled`].
#[derive(Debug)]
pub(crate) struct Hops {
    most: usize,
    keeps_all: bool,
    list: Slab<Hop>,
    waiting: FxHashMap<(CallerId, Name), VecDeque<Place>>,
    started: u64,
    dropped: u64,
    gone: u64,
    continued: u64,
    /// All before this place were told, or are gone.
    untold: Place,
    /// Over for good and not kept.
    over: Vec<Hop>,
    /// How many went that way.
    left: u64,
}

impl Default for Hops {
    fn default() -> Self {
        Self {
            most: HOPS,
            keeps_all: true,
            list: Slab::new(),
            waiting: FxHashMap::default(),
            started: 0,
            dropped: 0,
            gone: 0,
            continued: 0,
            untold: 0,
            over: Vec::new(),
            left: 0,
        }
    }
}

impl Hops {
    /// Hops of a source without an end.
    pub(crate) fn endless() -> Self {
        Self { keeps_all: false, ..Self::default() }
    }

    /// A hop began.
    pub(crate) const fn begin(&mut self) {
        self.started += 1;
    }

    /// Keeps no more than so many hops.
    #[cfg(test)]
    pub(crate) const fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// What had begun was no hop.
    pub(crate) const fn forget(&mut self) {
        self.started -= 1;
    }

    /// The hop that a try is another attempt of; it is taken by it. `slept` says whether the caller did nothing else from one moment to
    /// another.
    pub(crate) fn claim(&mut self, candidate: Candidate<'_>, slept: &dyn Fn(Nanos, Nanos) -> bool) -> Option<Place> {
        let waiting = self.waiting.get_mut(&(candidate.caller, candidate.dependency.clone()))?;
        let list = &self.list;
        let fits = |&&place: &&Place| list.get(place).is_some_and(|hop| hop.takes(candidate, slept));
        let exact = |place: &Place| list.get(*place).is_some_and(|hop| hop.key.same(candidate.key));
        let chosen = *waiting.iter().filter(fits).find(|place| exact(place)).or_else(|| waiting.iter().find(fits))?;
        waiting.retain(|&place| place != chosen);
        let hop = self.list.get_mut(chosen)?;
        hop.continued = true;
        self.continued += 1;
        // Two that began are one.
        self.started -= 1;
        Some(chosen)
    }

    /// The same request went well elsewhere since these failed: what follows is no other try of them.
    pub(crate) fn succeeded(&mut self, caller: CallerId, dependency: &Name, key: &Key, tid: Option<u32>, from: Nanos) {
        let Some(waiting) = self.waiting.get_mut(&(caller, dependency.clone())) else { return };
        let list = &self.list;
        waiting.retain(|&place| {
            list.get(place).is_some_and(|hop| {
                let same = hop.key.is_unsent() || hop.key.same(key);
                !(same && hop.end <= from && tid.is_none_or(|tid| tid == hop.tid))
            })
        });
    }

    /// A try ended: it becomes a hop, or an attempt of the one that it joined. Its place, unless it was dropped or is not kept.
    pub(crate) fn put(&mut self, attempt: Try, joined: Option<Place>) -> Option<Place> {
        let end = attempt.timeline.end();
        let waits = attempt.judged.is_some_and(|judged| judged.outcome.is_retryable(attempt.status));
        let stale = attempt.connection == Some(ConnectionState::Reused)
            && attempt.judged.is_some_and(|judged| judged.outcome == Outcome::Reset)
            && attempt.bytes.received == 0;
        let place = match joined {
            Some(place) => {
                self.continued -= 1;
                let hop = self.list.get_mut(place)?;
                hop.continued = false;
                hop.add(attempt);
                place
            }
            None if !self.keeps_all && !waits => {
                let mut hop = Hop::new(attempt);
                hop.end = end;
                self.leave(hop);
                return None;
            }
            None if self.list.len() >= self.most => {
                self.dropped += 1;
                return None;
            }
            None => self.list.insert(Hop::new(attempt)),
        };
        let hop = self.list.get_mut(place)?;
        hop.end = end;
        hop.stale = stale;
        hop.joinable = waits;
        if waits && let Some(name) = hop.span.dependency.clone() {
            let waiting = self.waiting.entry((hop.caller, name)).or_default();
            if waiting.len() == JOINABLE {
                waiting.pop_front();
            }
            waiting.push_back(place);
        }
        if !self.keeps_all && !waits {
            let hop = self.list.remove(place);
            self.leave(hop);
            return None;
        }
        Some(place)
    }

    /// A hop that is not kept is over for good. It waits for the next [`Hops::settled`], as long as there is room for it.
    fn leave(&mut self, hop: Hop) {
        if self.over.len() >= self.most {
            self.dropped += 1;
            return;
        }
        self.over.push(hop);
        self.left += 1;
    }

    /// A recorded failure turned out to be a part of what followed at once.
    pub(crate) fn revoke(&mut self, place: Place) {
        let Some(hop) = self.list.get_mut(place) else { return };
        if hop.continued || hop.gone || hop.attempts() > 1 {
            return;
        }
        hop.gone = true;
        hop.joinable = false;
        self.gone += 1;
        self.started -= 1;
        let key = (hop.caller, hop.span.dependency.clone().unwrap_or_default());
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.retain(|&waiting| waiting != place);
        }
    }

    /// A hop of a try that is under way.
    pub(crate) fn preview(&self, attempt: Try, joined: Option<Place>) -> Span {
        let before = joined.and_then(|place| self.list.get(place));
        let mut hop = Hop::new(attempt);
        if let Some(before) = before {
            let attempt = std::mem::replace(&mut hop, before.clone());
            hop.absorb(attempt);
        }
        hop.span
    }

    /// Whether a failed hop of a dependency waits for another try.
    pub(crate) fn is_awaited(&self, caller: CallerId, dependency: &Name) -> bool {
        self.waiting.get(&(caller, dependency.clone())).is_some_and(|waiting| !waiting.is_empty())
    }

    /// The callers of whom a failed hop of a dependency waits for another try.
    pub(crate) fn awaited<'a>(&'a self, dependency: &'a Name) -> impl Iterator<Item = CallerId> + 'a {
        self.waiting
            .iter()
            .filter(move |((_, name), waiting)| name == dependency && !waiting.is_empty())
            .map(|((caller, _), _)| *caller)
    }

    /// Takes up again the hops whose caller waits to try again, as `waits` says of each: they are open.
    pub(crate) fn in_backoff(&mut self, now: Nanos, waits: &dyn Fn(&Hop) -> bool) -> Vec<(Place, Span)> {
        let mut found = Vec::new();
        for (place, hop) in self.list.iter().rev().take(JOINABLE) {
            let open = hop.joinable && !hop.continued && !hop.gone && now.saturating_sub(hop.end) <= JOIN_WITHIN;
            if open && waits(hop) {
                let mut span = hop.span.clone();
                span.end = None;
                if let Some(call) = span.call.as_deref_mut() {
                    call.timeline.push(Phase::Backoff, now);
                    (call.outcome, call.failed_by) = (None, None);
                }
                found.push((place, span));
            }
        }
        found
    }

    /// A hop is under way again: no other try is to take it.
    pub(crate) fn reopen(&mut self, place: Place) {
        let Some(hop) = self.list.get_mut(place) else { return };
        hop.continued = true;
        self.continued += 1;
        let key = (hop.caller, hop.span.dependency.clone().unwrap_or_default());
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.retain(|&waiting| waiting != place);
        }
    }

    /// The hops of a source without an end that no other try can join, those alone: it costs nothing for the others.
    pub(crate) fn take_over(&mut self) -> Vec<Hop> {
        // Room for as many again: to grow step by step copies them over and over.
        let room = Vec::with_capacity(self.over.len());
        std::mem::replace(&mut self.over, room)
    }

    /// The hops that are over for good, as `may_change` says of each and whether another try of it is awaited, and were not told before.
    pub(crate) fn settled(&mut self, may_change: &dyn Fn(&Hop, bool) -> bool) -> Vec<Hop> {
        let awaited: FxHashSet<Place> = self.waiting.values().flatten().copied().collect();
        let mut settled = self.take_over();
        let mut told = Vec::new();
        for (place, hop) in self.list.iter_mut().skip(self.untold) {
            if !hop.told && !hop.gone && !hop.continued && !may_change(hop, awaited.contains(&place)) {
                hop.told = true;
                told.push(place);
            }
        }
        if self.keeps_all {
            settled.extend(told.iter().filter_map(|&place| self.list.get(place).cloned()));
            let over = self.list.iter().skip(self.untold).take_while(|(_, hop)| hop.told || hop.gone).count();
            self.untold += over;
            return settled;
        }
        self.waiting.retain(|_, waiting| {
            waiting.retain(|place| self.list.get(*place).is_some_and(|hop| !hop.told));
            !waiting.is_empty()
        });
        self.left += told.len() as u64;
        settled.extend(told.into_iter().map(|place| self.list.remove(place)));
        settled
    }

    /// Counts as they are now; `open` are under way: such as were counted when they began, and such as only set up.
    pub(crate) fn losses(&self, open: (u64, u64), missed: BTreeMap<Reason, u64>) -> Losses {
        let recorded = self.list.len() as u64 - self.gone - self.continued + self.left;
        let dropped = if self.dropped > 0 { BTreeMap::from([("hops_full".into(), self.dropped)]) } else { BTreeMap::new() };
        let (begun, setting_up) = open;
        Losses { started: self.started + setting_up, recorded, open: begun + setting_up, dropped, missed }
    }

    /// The hops that ended so far.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Hop> {
        self.list.iter().map(|(_, hop)| hop).filter(|hop| !hop.gone)
    }

    /// Takes all hops that ended.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Hop> + use<> {
        let hops = std::mem::take(&mut self.list);
        self.waiting.clear();
        hops.into_iter().map(|(_, hop)| hop).filter(|hop| !hop.gone && !hop.continued)
    }
}

#[cfg(test)]
mod tests;
