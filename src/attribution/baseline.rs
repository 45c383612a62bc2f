//! What a call normally takes: the median of the run's other calls of its dependency, kind, operation and size class.

use super::forest::NONE;
use crate::model::{Kind, Nanos, Outcome, Phase, Span};
use rustc_hash::FxHashMap;
use std::cell::OnceCell;

/// Fewest other calls that a median is taken of.
const MIN_OTHERS: usize = 3;

/// What is measured of a call: one of its phases, or all that is not the caller's.
const WHOLE: usize = Phase::ALL.len();

/// Kind, dependency, operation, size class.
type Key<'a> = (Kind, &'a str, &'a str, u8);

/// Medians of the calls that ended as they should.
#[derive(Debug)]
pub(super) struct Baselines<'a> {
    spans: &'a [Span],
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
    own: [OnceCell<Vec<Nanos>>; WHOLE + 1],
    /// Together with those of the size classes next to it.
    near: [OnceCell<Vec<Nanos>>; WHOLE + 1],
}

/// The other calls' values of one measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usual {
    /// Their median.
    pub(super) median: Nanos,
    /// How many there are.
    pub(super) calls: usize,
}

impl<'a> Baselines<'a> {
    pub(super) fn of(spans: &'a [Span]) -> Self {
        let mut baselines = Self { spans, group_of: vec![NONE; spans.len()], by_key: FxHashMap::default(), groups: Vec::new() };
        for (index, span) in spans.iter().enumerate() {
            let Some(key) = key(span) else { continue };
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
        if group.members.len() >= MIN_OTHERS
            && let Some(usual) = without(group.values(self.spans, measure)?, own)
        {
            return Some(usual);
        }
        // Too few of the very class: those next to it are near enough. Never further, since a large prompt is no slow call.
        let (kind, dependency, operation, class) = key(span)?;
        if class == 0 {
            return None;
        }
        let near = ((class - 1).max(1)..=class.saturating_add(1))
            .filter_map(|class| self.groups.get(*self.by_key.get(&(kind, dependency, operation, class))? as usize));
        if near.clone().map(|group| group.members.len()).sum::<usize>() < MIN_OTHERS {
            return None;
        }
        let values = group.sorted.get_or_init(Box::default).near.get(measure)?.get_or_init(|| {
            let mut values: Vec<Nanos> = near.flat_map(|group| group.measured(self.spans, measure)).collect();
            values.sort_unstable();
            values
        });
        without(values, own)
    }

    /// How far the other calls' whole time is from its median, at the median.
    pub(super) fn spread(&self, span: u32, around: Nanos) -> Nanos {
        let others = self.others(span).map(|other| value(&self.spans[other as usize], WHOLE).abs_diff(around));
        median(&mut others.collect::<Vec<_>>())
    }

    /// The median of what the other calls received, in bytes or else in tokens, beside what this one did.
    pub(super) fn received(&self, span: u32) -> Option<(u64, u64)> {
        let size = |span: &Span| {
            let call = span.call.as_ref()?;
            call.tokens.output.or((call.bytes.received > 0).then_some(call.bytes.received))
        };
        let own = size(&self.spans[span as usize])?;
        let mut others: Vec<u64> = self.others(span).filter_map(|other| size(&self.spans[other as usize])).collect();
        (!others.is_empty()).then(|| (own, median(&mut others)))
    }

    fn group(&self, span: u32) -> Option<&Group> {
        self.groups.get(self.group_of[span as usize] as usize)
    }

    fn others(&self, span: u32) -> impl Iterator<Item = u32> + '_ {
        self.group(span).into_iter().flat_map(|group| group.members.iter().copied()).filter(move |&other| other != span)
    }
}

impl Group {
    fn values(&self, spans: &[Span], measure: usize) -> Option<&Vec<Nanos>> {
        let cell = self.sorted.get_or_init(Box::default).own.get(measure)?;
        Some(cell.get_or_init(|| {
            let mut values: Vec<Nanos> = self.measured(spans, measure).collect();
            values.sort_unstable();
            values
        }))
    }

    fn measured(&self, spans: &[Span], measure: usize) -> impl Iterator<Item = Nanos> {
        self.members.iter().map(move |&member| value(&spans[member as usize], measure))
    }
}

fn key(span: &Span) -> Option<Key<'_>> {
    let kind = span.kind.filter(|&kind| kind != Kind::Startup)?;
    let dependency = span.dependency.as_deref()?;
    let size = span.call.as_ref().map_or(0, |call| match call.bytes.sent {
        // An unanswered call has no token count, so that bytes compare more calls than tokens do.
        0 => call.tokens.input.unwrap_or(0),
        sent => sent,
    });
    let class = if size == 0 { 0 } else { 1 + size.ilog2() / 2 };
    Some((kind, dependency, &span.operation, class as u8))
}

fn ended_well(span: &Span) -> bool {
    !span.is_open() && span.call.as_ref().is_none_or(|call| call.outcome == Some(Outcome::Ok))
}

/// One measure of a call. A call that was not in a phase spent nothing in it.
fn value(span: &Span, measure: usize) -> Nanos {
    let whole = || span.end.unwrap_or(span.start).saturating_sub(span.start);
    match (&span.call, Phase::ALL.get(measure)) {
        (Some(call), Some(&phase)) => call.timeline.total(phase).unwrap_or(0),
        (Some(call), None) => {
            let parts = call.timeline.stretches().filter(|part| !part.phase.is_callers());
            parts.map(|part| part.end - part.start).sum()
        }
        (None, None | Some(Phase::Wait | Phase::Own)) => whole(),
        (None, Some(_)) => 0,
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
