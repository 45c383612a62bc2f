//! What calls normally took before this run: a bounded memory, so that the first slow call of a run is told from a usual one.

use super::measure::{self, Key, MEASURES};
use crate::model::{Kind, Name, Nanos, Phase, Run, Span, SpanId};
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};

/// Past calls that ended well, by kind, dependency, operation and size class.
///
/// Bounded twice: per group of like calls it keeps [`Self::CALLS`] and only their numbers (each phase's time, what was received);
/// beyond [`Self::GROUPS`] groups the least recently used one goes, which [`Self::evicted`] counts. At most 10 KiB a group.
///
/// A group that is full takes one call per [`Self::SPACING`]: its memory then reaches minutes back however many calls there are, and
/// an outage of a minute does not become normal. Until then it takes all, so that few calls are enough to begin with.
#[derive(Clone, Debug)]
pub struct History {
    /// Place in `groups` by the digest of the key. Keys with one digest replace each other, as if there were no room.
    places: FxHashMap<u64, u32>,
    groups: Vec<Past>,
    /// Most groups that are kept.
    room: usize,
    /// Counts what was learned: the clock by which groups were last used.
    learned: u64,
    evicted: u64,
}

/// What is remembered of a call.
#[derive(Clone, Copy, Debug)]
pub struct PastCall<'a> {
    /// What the dependency is.
    pub kind: Kind,
    /// Whom it called.
    pub dependency: &'a Name,
    /// What was done.
    pub operation: &'a Name,
    /// Bytes sent (or tokens of the input), which tell its size class; 0 = not known, as in the span of the same call.
    pub sent: u64,
    /// Tokens or else bytes received, where known.
    pub received: Option<u64>,
    /// Which call it was, as in the run it may be judged in.
    pub id: SpanId,
    /// When it began.
    pub start: Nanos,
    /// The time in each phase.
    pub phases: &'a [(Phase, Nanos)],
}

/// Like calls of the past. A column holds one measure of each call; phases that no call was in have none.
#[derive(Clone, Debug)]
pub(super) struct Past {
    digest: u64,
    kind: Kind,
    dependency: Name,
    operation: Name,
    class: u8,
    used: u64,
    /// When the last call that was taken began.
    taken: Nanos,
    /// Calls kept; the next one goes to `next`, once they are all there.
    calls: usize,
    next: usize,
    /// Which call it was, so that none is compared with itself.
    ids: Vec<(SpanId, Nanos)>,
    received: Vec<Option<u64>>,
    columns: [Option<Box<[Nanos; History::CALLS]>>; MEASURES],
}

impl Default for History {
    fn default() -> Self {
        Self::with_room(Self::GROUPS)
    }
}

impl History {
    /// Calls kept of each group of like calls.
    pub const CALLS: usize = 64;

    /// Groups kept by default.
    pub const GROUPS: usize = 1024;

    /// How far apart the calls begin that a full group takes.
    pub const SPACING: Nanos = 5_000_000_000;

    /// An empty memory for so many groups of like calls. Allocates nothing yet.
    #[must_use]
    pub fn with_room(groups: usize) -> Self {
        Self { places: FxHashMap::default(), groups: Vec::new(), room: groups, learned: 0, evicted: 0 }
    }

    /// Remembers the calls of a run that ended well, whether the run did or not: medians bear a few that did not belong.
    pub fn learn(&mut self, run: &Run) {
        run.spans.iter().for_each(|span| self.learn_span(span));
    }

    /// Remembers a call that ended well; anything else is left out. Each call is to be told once.
    ///
    /// A hash of its names and a write per phase; allocates for a group or a phase not seen before. With all groups taken, a new one
    /// costs a look at each.
    pub fn learn_span(&mut self, span: &Span) {
        let (Some(key), Some(dependency)) = (Key::of(span), &span.dependency) else { return };
        if measure::ended_well(span) {
            let call = (span.id, span.start);
            self.remember(key, (dependency, &span.operation), call, || (measure::values(span), measure::received(span)));
        }
    }

    /// Remembers a call of which no span was made; it ended well. As cheap as [`Self::learn_span`].
    pub fn learn_call(&mut self, call: &PastCall<'_>) {
        let PastCall { kind, dependency, operation, sent, received, id, start, phases } = *call;
        let Some(key) = Key::new(kind, dependency, operation, sent) else { return };
        self.remember(key, (dependency, operation), (id, start), || (measure::summed(phases.iter().copied()), received));
    }

    fn remember(
        &mut self,
        key: Key<'_>,
        names: (&Name, &Name),
        (id, start): (SpanId, Nanos),
        facts: impl FnOnce() -> ([Nanos; MEASURES], Option<u64>),
    ) {
        let Some(place) = self.place(key, names) else { return };
        self.learned += 1;
        let group = &mut self.groups[place];
        group.used = self.learned;
        if group.wants(start) {
            let (values, received) = facts();
            group.take((id, start), &values, received);
        }
    }

    /// How many groups of like calls are remembered.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many groups were forgotten for lack of room.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The past calls like this one.
    pub(super) fn past(&self, key: Key<'_>) -> Option<&Past> {
        let &place = self.places.get(&digest(key))?;
        self.groups.get(place as usize).filter(|group| group.key() == key)
    }

    /// The place of a group, made where it is not there yet; `None` = there is no room at all.
    fn place(&mut self, key: Key<'_>, (dependency, operation): (&Name, &Name)) -> Option<usize> {
        let digest = digest(key);
        let known = self.places.get(&digest).map(|&place| place as usize);
        if let Some(place) = known.filter(|&place| self.groups[place].key() == key) {
            return Some(place);
        }
        let group = Past::new(digest, key, dependency.clone(), operation.clone());
        let oldest = || self.groups.iter().enumerate().min_by_key(|(_, group)| group.used).map(|(place, _)| place);
        let replaced = known.or_else(|| (self.groups.len() >= self.room).then(oldest).flatten());
        let place = match replaced {
            Some(place) => {
                self.places.remove(&self.groups[place].digest);
                self.groups[place] = group;
                self.evicted += 1;
                place
            }
            None if self.room == 0 => return None,
            None => {
                self.groups.push(group);
                self.groups.len() - 1
            }
        };
        self.places.insert(digest, place as u32);
        Some(place)
    }
}

impl Past {
    fn new(digest: u64, key: Key<'_>, dependency: Name, operation: Name) -> Self {
        Self {
            digest,
            kind: key.kind,
            dependency,
            operation,
            class: key.class,
            used: 0,
            taken: 0,
            calls: 0,
            next: 0,
            ids: Vec::new(),
            received: Vec::new(),
            columns: [const { None }; MEASURES],
        }
    }

    fn key(&self) -> Key<'_> {
        Key { kind: self.kind, dependency: &self.dependency, operation: &self.operation, class: self.class }
    }

    /// Whether a call that began then is taken.
    const fn wants(&self, start: Nanos) -> bool {
        // A clock that went back is no reason to stop learning.
        self.calls < History::CALLS || start < self.taken || start - self.taken >= History::SPACING
    }

    fn take(&mut self, call: (SpanId, Nanos), values: &[Nanos; MEASURES], received: Option<u64>) {
        self.taken = call.1;
        let at = self.next;
        self.next = (at + 1) % History::CALLS;
        if self.calls == History::CALLS {
            (self.ids[at], self.received[at]) = (call, received);
        } else {
            self.ids.push(call);
            self.received.push(received);
            self.calls += 1;
        }
        for (column, &value) in self.columns.iter_mut().zip(values) {
            if value > 0 || column.is_some() {
                column.get_or_insert_with(|| Box::new([0; History::CALLS]))[at] = value;
            }
        }
    }

    /// How many calls are kept.
    pub(super) const fn calls(&self) -> usize {
        self.calls
    }

    /// One measure of each call that passes.
    pub(super) fn values(&self, measure: usize, is_other: impl Fn(SpanId, Nanos) -> bool) -> impl Iterator<Item = Nanos> {
        let column = self.columns.get(measure).and_then(Option::as_deref);
        let others = self.ids.iter().enumerate().filter(move |&(_, &(id, start))| is_other(id, start));
        others.map(move |(at, _)| column.map_or(0, |column| column[at]))
    }

    /// What each call that passes received, where it is known.
    pub(super) fn received(&self, is_other: impl Fn(SpanId, Nanos) -> bool) -> impl Iterator<Item = u64> {
        let others = self.ids.iter().zip(&self.received).filter(move |&(&(id, start), _)| is_other(id, start));
        others.filter_map(|(_, &received)| received)
    }
}

fn digest(key: Key<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}
