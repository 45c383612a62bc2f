//! A log: work that began and ended in one place, under one lock that is hardly ever contended.

use super::record::{Record, SubjectId};
use super::shared::Shared;
use crate::instrument::ending::Ending;
use crate::instrument::propagate::Remote;
use crate::instrument::stall::Blocked;
use crate::instrument::stall::poll::{self, Long, Poll};
use crate::instrument::stall::runtime::{self, same};
use crate::model::{Call, Losses, Nanos, Phase, Reason, SpanId, Stall, TraceId};
use slab::Slab;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ended records in the log of a thread at which the drain is woken: few, so that they stay in the processor's cache.
const SHARD_SOON: usize = 1_024;
/// Ended records at which the thread drains by itself, since the drain's own thread does not keep up.
const SHARD_LATE: usize = 8_192;
/// Most ended records that a log of a thread holds.
const SHARD_MAX: usize = 16_384;
/// Most open records of a thread's log.
const OPEN_MAX: usize = 100_000;
/// Most spans kept of one run; hops beyond it are recorded outside of it.
const RUN_MAX: usize = 10_000;
/// Most stalls kept of one run.
const STALLS_MAX: usize = 1_000;
/// How many of the last stalls are looked at, to tell one from the same seen a second time.
const LAST: usize = 16;

/// Where work is recorded: one per thread for work outside runs, one for each run.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) shared: Arc<Shared>,
    /// The run, for the log of one.
    pub(crate) run: Option<RunFacts>,
    state: Mutex<State>,
    /// The runtime that a run began on.
    pub(crate) runtime: Option<tokio::runtime::Id>,
}

/// What is known of a run from its start.
#[derive(Clone, Debug)]
pub(crate) struct RunFacts {
    pub(crate) name: crate::model::Name,
    /// Its root span.
    pub(crate) id: SpanId,
    pub(crate) trace: TraceId,
    /// The caller in another process.
    pub(crate) caller: Remote,
    pub(crate) start: Nanos,
    pub(crate) deadline: Option<Nanos>,
    /// What it is: a served request, start-up, or any work.
    pub(crate) role: crate::model::Role,
    pub(crate) kind: Option<crate::model::Kind>,
}

#[derive(Debug, Default)]
struct State {
    open: Slab<Record>,
    ended: Vec<Record>,
    /// How many of `ended` the drain has seen, in the log of a run.
    handed: usize,
    counts: Counts,
    /// When the caller was blocked, and whether by a poll of the run itself.
    stalls: Vec<(Stall, bool)>,
    end: Option<(Nanos, Ending)>,
}

/// Hops counted: `started = recorded + open + dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) started: u64,
    pub(crate) recorded: u64,
    pub(crate) open: u64,
    /// Ended while the buffer was full.
    pub(crate) buffer_full: u64,
    /// Began while too many were open.
    pub(crate) too_many_open: u64,
    /// Spans and stalls that a run's log had no room for: recorded outside of it, or not at all for stalls.
    pub(crate) run_full: u64,
}

/// Where an open record is in its log. `id` guards against a slot that was taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) id: SpanId,
}

/// What a piece of work begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    pub(crate) subject: SubjectId,
    pub(crate) is_hop: bool,
    pub(crate) parent: Option<SpanId>,
    pub(crate) root: Option<SpanId>,
    pub(crate) start: Nanos,
    pub(crate) phase: Phase,
}

/// What an ended record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// No run.
    Loose,
    /// A run, with which it is told.
    Run,
    /// A run that had ended before it; the run's trace.
    Late(TraceId),
}

/// How full a log is after an entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// The drain should come by soon.
    Little,
    /// The drain should come by now.
    None,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.recorded += other.recorded;
        self.open += other.open;
        self.buffer_full += other.buffer_full;
        self.too_many_open += other.too_many_open;
        self.run_full += other.run_full;
    }

    pub(crate) fn losses(&self) -> Losses {
        let told = |counts: &[(&'static str, u64)]| -> BTreeMap<Reason, u64> {
            counts.iter().filter(|&&(_, count)| count > 0).map(|&(reason, count)| (reason.into(), count)).collect()
        };
        Losses {
            started: self.started,
            recorded: self.recorded,
            open: self.open,
            dropped: told(&[("buffer_full", self.buffer_full), ("too_many_open", self.too_many_open)]),
            missed: told(&[("run_full", self.run_full)]),
        }
    }
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>, run: Option<RunFacts>) -> Self {
        let runtime = run.is_some().then(runtime::current).flatten();
        Self { shared, run, state: Mutex::default(), runtime }
    }

    /// The state. A panic elsewhere in the program while it was held leaves it as good as it was: every change is made whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a record; `None` when there is no room (counted).
    pub(crate) fn open(&self, beginning: Beginning) -> Option<Key> {
        let Beginning { subject, is_hop, parent, root, start, phase } = beginning;
        let id = crate::instrument::ids::span_id();
        let record = Record {
            subject,
            id,
            parent,
            root: root.unwrap_or(id),
            is_hop,
            start,
            end: start,
            phase,
            outcome: None,
            failed_by: None,
            more: None,
        };
        let mut state = self.state();
        state.counts.started += u64::from(is_hop);
        if state.open.len() >= OPEN_MAX {
            state.counts.too_many_open += u64::from(is_hop);
            return None;
        }
        state.counts.open += u64::from(is_hop);
        let slot = state.open.insert(record) as u32;
        Some(Key { slot, id })
    }

    /// Whether a run's log has room for another span; when not, that is counted.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = self.state();
        let room = state.open.len() + state.ended.len() < RUN_MAX;
        state.counts.run_full += u64::from(!room);
        room
    }

    /// Changes an open record.
    pub(crate) fn edit<T>(&self, key: Key, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        self.state().open.get_mut(key.slot as usize).filter(|record| record.id == key.id).map(change)
    }

    /// Takes an open record back, as if it had not begun.
    #[cfg(feature = "tower")]
    pub(crate) fn withdraw(&self, key: Key) -> Option<Record> {
        let mut state = self.state();
        state.open.get(key.slot as usize).filter(|record| record.id == key.id)?;
        let record = state.open.remove(key.slot as usize);
        state.counts.open -= u64::from(record.is_hop);
        state.counts.started -= u64::from(record.is_hop);
        Some(record)
    }

    /// Ends an open record. `call` is what a richer door knows in the end.
    pub(crate) fn end(&self, key: Key, end: Nanos, ending: Ending, call: Option<Box<Call>>) -> Room {
        let mut state = self.state();
        if state.open.get(key.slot as usize).is_none_or(|record| record.id != key.id) {
            return Room::Enough;
        }
        let mut record = state.open.remove(key.slot as usize);
        state.counts.open -= u64::from(record.is_hop);
        record.close(end, ending, call);
        let most = if self.run.is_some() { RUN_MAX } else { SHARD_MAX };
        if state.ended.len() >= most {
            state.counts.buffer_full += u64::from(record.is_hop);
            return Room::None;
        }
        state.counts.recorded += u64::from(record.is_hop);
        state.ended.push(record);
        match state.ended.len() {
            _ if self.run.is_some() => Room::Enough,
            ended if ended >= SHARD_LATE => Room::None,
            ended if ended >= SHARD_SOON => Room::Little,
            _ => Room::Enough,
        }
    }

    /// The caller was blocked, `by_poll` of its own work or by something else. Told twice, it is kept once.
    pub(crate) fn stall(&self, stall: Stall, by_poll: bool) {
        let blocked = |stall: &Stall| Blocked { start: stall.start, end: stall.end, cause: stall.cause };
        let new = blocked(&stall);
        let mut state = self.state();
        // Polls inside each other and a heartbeat beside them tell of the same stall: the widest stays.
        let last = state.stalls.len().saturating_sub(LAST);
        if let Some(same) = state.stalls[last..].iter_mut().find(|(seen, _)| same(&new, &blocked(seen))) {
            let dependency = stall.dependency.or(same.0.dependency.take());
            *same = (Stall { dependency, ..stall }, by_poll || same.1);
            return;
        }
        let known = state.stalls[last..].iter().any(|(seen, _)| same(&blocked(seen), &new));
        if !known && state.stalls.len() < STALLS_MAX {
            state.stalls.push((stall, by_poll));
        } else {
            state.counts.run_full += u64::from(!known);
        }
    }

    /// A poll of the run's own work ended.
    pub(crate) fn polled(&self, poll: Poll) {
        if let Some(long) = poll.end(self.shared.clock, self.shared.stall_threshold()) {
            self.was_blocked(&long);
        }
    }

    #[cold]
    fn was_blocked(&self, long: &Long) {
        let runtime = runtime::current();
        self.stall(long.blocked.stall(poll::blocker(long.blocked), runtime.is_some()), true);
        if long.outermost && runtime.is_some() {
            self.shared.runtimes.blocked(runtime, long.blocked);
        }
    }

    /// Ends the run of this log; the first ending counts.
    pub(crate) fn end_run(&self, end: Nanos, ending: Ending) {
        self.state().end.get_or_insert((end, ending));
    }

    /// Takes what ended since the last time out of a thread's log, in exchange for an empty buffer that keeps its room.
    pub(crate) fn take(&self, spare: Vec<Record>) -> Vec<Record> {
        std::mem::replace(&mut self.state().ended, spare)
    }

    /// What ended in a run's log since the last time, left in place.
    pub(crate) fn hand(&self, each: &mut dyn FnMut(&Record, Belongs)) {
        let (fresh, end) = {
            let mut state = self.state();
            let upto = state.ended.len();
            let from = std::mem::replace(&mut state.handed, upto);
            let mut fresh = state.ended[from..].to_vec();
            fresh.iter_mut().for_each(|record| record.hold_up(&state.stalls));
            (fresh, state.end.as_ref().map(|(end, _)| *end))
        };
        let trace = self.run.as_ref().map_or(TraceId([0; 16]), |run| run.trace);
        for record in &fresh {
            let late = end.is_some_and(|end| record.end > end);
            each(record, if late { Belongs::Late(trace) } else { Belongs::Run });
        }
    }

    /// What is open, as it stands.
    pub(crate) fn open_records(&self) -> Vec<Record> {
        self.state().open.iter().map(|(_, record)| record.clone()).collect()
    }

    /// Everything of a run: what ended, what is open, its stalls, and its end if it came.
    pub(crate) fn snapshot(&self) -> (Vec<Record>, Vec<Stall>, Option<(Nanos, Ending)>) {
        let state = self.state();
        let mut records: Vec<Record> = state.ended.iter().chain(state.open.iter().map(|(_, record)| record)).cloned().collect();
        records.iter_mut().for_each(|record| record.hold_up(&state.stalls));
        (records, state.stalls.iter().map(|(stall, _)| stall.clone()).collect(), state.end.clone())
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Whether the run of this log ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// Whether nothing more can come of a run's log: it ended, nothing is open and everything was handed on.
    pub(crate) fn is_spent(&self) -> bool {
        let state = self.state();
        state.end.is_some() && state.open.is_empty() && state.handed == state.ended.len()
    }
}
