//! What a call normally takes: the median of the other calls of its dependency, kind, operation and size class, in this run and in
//! what is remembered of earlier ones.

use super::forest::NONE;
use super::history::{History, Past};
use super::measure::{Key, MEASURES, WHOLE, ended_well, received, value};
use crate::model::{Nanos, Phase, Span, SpanId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::OnceCell;

/// Fewest other calls that a median is taken of.
const MIN_OTHERS: usize = 3;

/// Medians of the calls that ended as they should.
#[derive(Debug)]
pub(super) struct Baselines<'a> {
    spans: &'a [Span],
    history: &'a History,
    /// The run's calls, made once something remembered is asked for: what was learned of the run itself already counts once.
    known: OnceCell<FxHashSet<(SpanId, Nanos)>>,
    /// The group each span is of; [`NONE`] for spans that are no calls.
    group_of: Vec<u32>,
    by_key: FxHashMap<Key<'a>, u32>,
    groups: Vec<Group>,
}

/// Calls of one kind, with each measure's values sorted once they are asked for.
#[derive(Debug, Default)]
struct Group {
    members: Vec<u32>,
    /// Made for groups that are asked for, since it is large.
    sorted: OnceCell<Box<Sorted>>,
}

/// Each measure's values, sorted.
#[derive(Debug, Default)]
struct Sorted {
    own: [OnceCell<Vec<Nanos>>; MEASURES],
    /// Together with those of the size classes next to it.
    near: [OnceCell<Vec<Nanos>>; MEASURES],
}

/// The other calls' values of one measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usual {
    /// Their median.
    pub(super) median: Nanos,
    /// How many there are.
    pub(super) calls: usize,
}

impl History {
    /// What calls like this one took, as far as that is remembered: the median of three or more.
    #[must_use]
    pub fn usual(&self, span: &Span) -> Option<Nanos> {
        let mut values: Vec<Nanos> = self.past(Key::of(span)?)?.values(WHOLE, |_, _| true).collect();
        (values.len() >= MIN_OTHERS).then(|| median(&mut values))
    }
}

impl<'a> Baselines<'a> {
    pub(super) fn of(spans: &'a [Span], history: &'a History) -> Self {
        let mut baselines = Self {
            spans,
            history,
            known: OnceCell::new(),
            group_of: vec![NONE; spans.len()],
            by_key: FxHashMap::default(),
            groups: Vec::new(),
        };
        for (index, span) in spans.iter().enumerate() {
            let Some(key) = Key::of(span) else { continue };
            let next = baselines.groups.len() as u32;
            let group = *baselines.by_key.entry(key).or_insert(next);
            if group == next {
                baselines.groups.push(Group::default());
            }
            baselines.group_of[index] = group;
            if ended_well(span) {
                baselines.groups[group as usize].members.push(index as u32);
            }
        }
        baselines
    }

    /// The median of the other calls in one phase, or of the whole call (`None`).
    pub(super) fn usual(&self, span: u32, phase: Option<Phase>) -> Option<Usual> {
        let group = self.group(span)?;
        let span = &self.spans[span as usize];
        let measure = phase.map_or(WHOLE, |phase| phase as usize);
        let own = ended_well(span).then(|| value(span, measure));
        let sorted = || group.sorted.get_or_init(Box::default);
        // Asked for every call on the path: nothing is looked up where nothing is remembered.
        let past = if self.history.is_empty() { 0 } else { self.past(Key::of(span)?).map_or(0, Past::calls) };
        if group.members.len() + past >= MIN_OTHERS {
            let all = || Key::of(span).map_or_else(Vec::new, |key| self.sorted(std::iter::once(key), measure));
            if let Some(usual) = without(sorted().own.get(measure)?.get_or_init(all), own) {
                return Some(usual);
            }
        }
        let key = Key::of(span)?;
        // Too few of the very class: those next to it are near enough.
        if key.class == 0 || key.near().map(|key| self.count(key)).sum::<usize>() < MIN_OTHERS {
            return None;
        }
        let values = sorted().near.get(measure)?.get_or_init(|| self.sorted(key.near(), measure));
        without(values, own)
    }

    /// How far the other calls' whole time is from its median, at the median.
    pub(super) fn spread(&self, span: u32, around: Nanos) -> Nanos {
        let own = self.others(span).map(|other| value(&self.spans[other as usize], WHOLE));
        let past = self.past_of(span).into_iter().flat_map(|past| past.values(WHOLE, |id, start| self.is_other(id, start)));
        median(&mut own.chain(past).map(|value| value.abs_diff(around)).collect::<Vec<_>>())
    }

    /// The median of what the other calls received, in bytes or else in tokens, beside what this one did.
    pub(super) fn received(&self, span: u32) -> Option<(u64, u64)> {
        let own = received(&self.spans[span as usize])?;
        let others = self.others(span).filter_map(|other| received(&self.spans[other as usize]));
        let past = self.past_of(span).into_iter().flat_map(|past| past.received(|id, start| self.is_other(id, start)));
        let mut others: Vec<u64> = others.chain(past).collect();
        (!others.is_empty()).then(|| (own, median(&mut others)))
    }

    fn group(&self, span: u32) -> Option<&Group> {
        self.groups.get(self.group_of[span as usize] as usize)
    }

    fn group_by(&self, key: Key<'a>) -> Option<&Group> {
        self.groups.get(*self.by_key.get(&key)? as usize)
    }

    fn others(&self, span: u32) -> impl Iterator<Item = u32> + '_ {
        self.group(span).into_iter().flat_map(|group| group.members.iter().copied()).filter(move |&other| other != span)
    }

    fn past(&self, key: Key<'_>) -> Option<&'a Past> {
        if self.history.is_empty() { None } else { self.history.past(key) }
    }

    fn past_of(&self, span: u32) -> Option<&'a Past> {
        self.past(Key::of(&self.spans[span as usize])?)
    }

    /// Whether something remembered is not of this run.
    fn is_other(&self, id: SpanId, start: Nanos) -> bool {
        let known = self.known.get_or_init(|| self.spans.iter().map(|span| (span.id, span.start)).collect());
        !known.contains(&(id, start))
    }

    /// How many calls there are of a key, those of this run that were learned already twice.
    fn count(&self, key: Key<'a>) -> usize {
        self.group_by(key).map_or(0, |group| group.members.len()) + self.past(key).map_or(0, Past::calls)
    }

    fn sorted(&self, keys: impl Iterator<Item = Key<'a>>, measure: usize) -> Vec<Nanos> {
        let mut values: Vec<Nanos> = Vec::new();
        for key in keys {
            let members = self.group_by(key).into_iter().flat_map(|group| &group.members);
            values.extend(members.map(|&member| value(&self.spans[member as usize], measure)));
            values.extend(self.past(key).into_iter().flat_map(|past| past.values(measure, |id, start| self.is_other(id, start))));
        }
        values.sort_unstable();
        values
    }
}

/// The median of sorted values, one of which may be left out.
fn without(sorted: &[Nanos], own: Option<Nanos>) -> Option<Usual> {
    let left_out = own.and_then(|own| sorted.binary_search(&own).ok()).unwrap_or(sorted.len());
    let calls = sorted.len() - usize::from(left_out < sorted.len());
    if calls < MIN_OTHERS {
        return None;
    }
    let at = |rank: usize| sorted[rank + usize::from(rank >= left_out)];
    let (low, high) = (at((calls - 1) / 2), at(calls / 2));
    Some(Usual { median: low + (high - low) / 2, calls })
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    let count = values.len();
    if count == 0 {
        return 0;
    }
    let (low, high) = (values[(count - 1) / 2], values[count / 2]);
    low + (high - low) / 2
}
