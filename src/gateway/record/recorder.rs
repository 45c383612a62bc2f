//! Counts exchanges from their first byte on, and makes hops of those that ended.

use super::attempt::Caller;
use super::entry::Entry;
use super::exchange::Exchange;
use crate::gateway::downstream::Downstream;
use crate::gateway::{Carried, Keep};
use crate::hops::{CallerId, Candidate, Hop, Hops, Try};
use crate::model::clock::Anchor;
use crate::model::{ConnectionFact, ConnectionState, Live, Losses, Naming, Nanos, Outcome, Span, Stall, mix};
use slab::Slab;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many that ended are worth being taken at once: few enough that they are still in the processor's caches, and that whoever takes them
/// does not keep a core from those who serve for long.
const BATCH: usize = 64;
/// Most ended exchanges that wait to be made hops of.
const ENDED_MAX: usize = 65_536;
/// Most facts of connections, and of clients that did not read, that are kept for the report of a run.
const FACTS_MAX: usize = 100_000;
/// Likewise where nothing ends: the last ones.
const FACTS_LAST: usize = 10_000;

/// Where the data path tells of exchanges. Its lock is held for a few instructions at each end of an exchange.
#[derive(Debug)]
pub(crate) struct Recorder {
    anchor: Anchor,
    ids: Ids,
    stopped: AtomicBool,
    flow: Mutex<Flow>,
    /// A batch has ended.
    batch: Condvar,
    /// Locked before `flow`, where both are.
    assembly: Mutex<Assembly>,
    /// Whatever ends from here on was cut off.
    closing: AtomicBool,
}

/// What goes on, and what ended since it was last looked at.
#[derive(Debug)]
struct Flow {
    open: Slab<Entry>,
    ended: Vec<Entry>,
    /// How many that ended are a batch. More where some stay because they are not known in full: looking at those again is not for free.
    enough: usize,
    closed: Vec<Arc<Downstream>>,
    dropped: u64,
    missed: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Self { open: Slab::new(), ended: Vec::new(), enough: BATCH, closed: Vec::new(), dropped: 0, missed: 0 }
    }
}

/// Hops, and facts of connections.
#[derive(Debug)]
struct Assembly {
    hops: Hops,
    naming: Arc<Naming>,
    connections: VecDeque<ConnectionFact>,
    stalls: VecDeque<Stall>,
    keep: Keep,
    missed: u64,
}

/// An exchange's place among the open ones.
#[derive(Debug)]
pub(crate) struct Ticket(usize);

/// Ids of spans: one random start, then a walk that meets no number twice and looks random.
#[derive(Debug)]
struct Ids(AtomicU64);

impl Ids {
    fn next(&self) -> u64 {
        mix::mixed(self.0.fetch_add(mix::STEP, Ordering::Relaxed).wrapping_add(mix::STEP)).max(1)
    }
}

impl Recorder {
    pub(crate) fn new(anchor: Anchor, naming: Arc<Naming>, keep: Keep) -> Self {
        let hops = match keep {
            Keep::All => Hops::default(),
            Keep::Open => Hops::endless(),
        };
        let seed = RandomState::new().hash_one(anchor.now());
        Self {
            anchor,
            ids: Ids(AtomicU64::new(seed)),
            stopped: AtomicBool::new(false),
            flow: Mutex::default(),
            batch: Condvar::new(),
            assembly: Mutex::new(Assembly {
                hops,
                naming,
                connections: VecDeque::new(),
                stalls: VecDeque::new(),
                keep,
                missed: 0,
            }),
            closing: AtomicBool::new(false),
        }
    }

    /// What is under way is about to be cut off, and nothing follows it: the next look tells all that ended.
    pub(crate) fn close(&self) {
        {
            let _nobody_begins_to_wait = self.flow();
            self.closing.store(true, Ordering::Relaxed);
        }
        self.batch.notify_all();
    }

    /// Whether what ends now is cut off.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The clock that all instants are of.
    pub(crate) const fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// An id for a span.
    pub(crate) fn id(&self) -> u64 {
        self.ids.next()
    }

    /// An exchange began.
    pub(crate) fn begin(&self, entry: impl Into<Entry>) -> Ticket {
        Ticket(self.flow().open.insert(entry.into()))
    }

    /// What had begun was no exchange.
    pub(crate) fn forget(&self, Ticket(place): Ticket) {
        self.flow().open.try_remove(place);
    }

    /// An exchange is over, as its state says.
    pub(crate) fn end(&self, Ticket(place): Ticket) {
        let mut flow = self.flow();
        let Some(entry) = flow.open.try_remove(place) else { return };
        if flow.ended.len() < ENDED_MAX {
            flow.ended.push(entry);
        } else {
            flow.dropped += 1;
        }
        let is_batch = flow.ended.len() == flow.enough;
        drop(flow);
        if is_batch {
            self.batch.notify_one();
        }
    }

    /// Waits until a batch of exchanges has ended, or for so long, or until what is under way is cut off.
    pub(crate) fn wait_for_batch(&self, timeout: Duration) {
        let more = |flow: &mut Flow| flow.ended.len() < flow.enough && !self.is_closing();
        drop(self.batch.wait_timeout_while(self.flow(), timeout, more));
    }

    /// A client's connection is over.
    pub(crate) fn closed(&self, downstream: Arc<Downstream>) {
        let mut flow = self.flow();
        if flow.closed.len() < ENDED_MAX {
            flow.closed.push(downstream);
        } else {
            flow.missed += 1;
        }
    }

    /// Nothing goes on from here: what is under way stays open.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether nothing goes on any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// How many exchanges are under way.
    pub(crate) fn open_count(&self) -> usize {
        self.flow().open.len()
    }

    /// Names by other rules from here on.
    pub(crate) fn rename(&self, naming: Arc<Naming>) {
        self.assembly().naming = naming;
    }

    /// A client did not read what was there for it.
    pub(crate) fn stalled(&self, stall: Stall) {
        let mut assembly = self.assembly();
        let keep = assembly.keep;
        keep.fact(&mut assembly.stalls, stall);
    }

    /// Facts of the connections of clients that are over, as far as they are kept.
    pub(crate) fn connections(&self) -> Vec<ConnectionFact> {
        self.assembly().connections.iter().cloned().collect()
    }

    /// Makes hops of what ended and is known in full.
    pub(crate) fn round(&self) {
        let mut assembly = self.assembly();
        assembly.take(&self.flow, self.anchor.now(), false);
    }

    /// Makes hops of what ended; those that are over for good and were not told before, those that are open, and the counts of this
    /// very moment.
    pub(crate) fn look(&self) -> Live {
        let mut assembly = self.assembly();
        let now = self.anchor.now();
        let is_last = self.is_closing();
        assembly.take(&self.flow, now, is_last);
        let ended = assembly.hops.settled(&|hop: &Hop, awaited| !is_last && awaited && hop.may_change(now, true));
        let open = self.open_in(&assembly, now);
        let losses = self.losses_of(&assembly);
        Live { ended: ended.into_iter().map(|hop| hop.span).collect(), open, losses, now }
    }

    /// Makes hops of what ended; those that no other try can join. Cheaper than a look by what it leaves to that.
    pub(crate) fn take(&self) -> Vec<Span> {
        let mut assembly = self.assembly();
        assembly.take(&self.flow, self.anchor.now(), false);
        assembly.hops.take_over().into_iter().map(|hop| hop.span).collect()
    }

    /// The hops that are open, with their phases up to now.
    pub(crate) fn open(&self) -> Vec<Span> {
        self.open_in(&self.assembly(), self.anchor.now())
    }

    fn open_in(&self, assembly: &Assembly, now: Nanos) -> Vec<Span> {
        let entries: Vec<Entry> = self.flow().open.iter().map(|(_, entry)| entry.clone()).collect();
        let last = |entry: &Entry| entry.tries(&assembly.naming, &caller(entry.downstream()), now).pop();
        // One that has just ended is told as such by the next look.
        let shown = entries.iter().filter(|entry| entry.is_shown(now)).filter_map(last);
        shown.filter(|attempt| attempt.judged.is_none()).map(|attempt| assembly.hops.preview(attempt, None)).collect()
    }

    /// Everything so far, at the end: hops, those still open, facts of connections, counts.
    pub(crate) fn finish(&self) -> Carried {
        {
            let mut assembly = self.assembly();
            assembly.take(&self.flow, self.anchor.now(), true);
        }
        let live = self.look();
        let mut assembly = self.assembly();
        let losses = self.losses_of(&assembly);
        let mut spans: Vec<Span> = assembly.hops.take().map(|hop| hop.span).collect();
        spans.extend(live.open);
        spans.sort_by_key(|span| (span.start, span.id));
        let (connections, stalls) = (std::mem::take(&mut assembly.connections), std::mem::take(&mut assembly.stalls));
        Carried { spans, connections: connections.into(), stalls: stalls.into(), losses }
    }

    /// What was counted, at this very moment: `started = recorded + open + dropped`.
    pub(crate) fn losses(&self) -> Losses {
        self.losses_of(&self.assembly())
    }

    fn losses_of(&self, assembly: &Assembly) -> Losses {
        let flow = self.flow();
        let (open, queued) = (flow.open.len() as u64, flow.ended.len() as u64);
        let connections = flow.missed + assembly.missed;
        let missed = if connections > 0 { [("connections".into(), connections)].into() } else { Default::default() };
        let mut losses = assembly.hops.losses((open, 0), missed);
        losses.started += open + queued + flow.dropped;
        losses.recorded += queued;
        if flow.dropped > 0 {
            losses.dropped.insert("queue_full".into(), flow.dropped);
        }
        losses
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assembly(&self) -> MutexGuard<'_, Assembly> {
        self.assembly.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Assembly {
    /// Takes what ended and is known in full, or `all`.
    fn take(&mut self, flow: &Mutex<Flow>, now: Nanos, all: bool) {
        let (ended, closed) = {
            let mut flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
            let ended: Vec<_> = flow.ended.extract_if(.., |entry| all || entry.is_known(now)).collect();
            flow.enough = flow.ended.len() + flow.ended.len().max(BATCH);
            // Counted in one place or the other at any moment.
            ended.iter().for_each(|_| self.hops.begin());
            (ended, std::mem::take(&mut flow.closed))
        };
        for entry in ended {
            let tries = entry.tries(&self.naming, &caller(entry.downstream()), now);
            self.put(&entry, tries, flow);
        }
        for downstream in closed {
            self.close(&downstream);
        }
    }

    fn put(&mut self, entry: &Entry, tries: Vec<Try>, flow: &Mutex<Flow>) {
        let mut joined = tries.first().and_then(|first| {
            entry.downstream().name_once(first.named.kind, &first.named.name);
            entry.may_join().then(|| self.joined(first, entry, flow)).flatten()
        });
        let only = tries.len() == 1;
        for (index, attempt) in tries.into_iter().enumerate() {
            if only && attempt.judged.is_some_and(|judged| judged.outcome == Outcome::Ok) {
                self.hops.succeeded(attempt.caller, &attempt.named.name, &attempt.key, None, attempt.timeline.start());
            }
            if index > 0 {
                // One exchange, whatever became of its first connection.
                let Some(place) = joined else { return };
                self.hops.reopen(place);
            }
            joined = self.hops.put(attempt, joined);
        }
    }

    /// The hop that a try is another attempt of: of its own caller's, else where one of both was gone too soon to be known.
    fn joined(&mut self, attempt: &Try, entry: &Entry, flow: &Mutex<Flow>) -> Option<usize> {
        let (own, dependency) = (attempt.caller, &attempt.named.name);
        let downstream = entry.downstream();
        let is_awaited = |caller: &CallerId| self.hops.is_awaited(*caller, dependency);
        let unknown = attempt.pid.map(|_| address_id(downstream));
        let mut callers: Vec<CallerId> = iter::once(own).chain(unknown).filter(is_awaited).collect();
        if attempt.pid.is_none() && downstream.is_local() {
            callers.extend(self.hops.awaited(dependency).filter(|&caller| caller < ADDRESS));
        }
        let is_ambiguous = !callers.is_empty() && matches!(entry, Entry::Exchange(exchange) if is_twice(exchange, flow));
        callers.into_iter().find_map(|caller| {
            let candidate = Candidate {
                caller,
                dependency,
                key: &attempt.key,
                retry: attempt.retry,
                tid: 0,
                is_loop: true,
                start: attempt.timeline.start(),
                is_new: attempt.connection == Some(ConnectionState::New),
                is_ambiguous,
            };
            self.hops.claim(candidate, &|_, _| true)
        })
    }

    /// Keeps what is known of a client's connection that is over.
    fn close(&mut self, downstream: &Downstream) {
        let Some(fact) = downstream.fact() else { return };
        if !self.keep.fact(&mut self.connections, fact) {
            self.missed += 1;
        }
    }
}

impl Keep {
    /// Keeps a fact; whether there was room for all of them.
    fn fact<T>(self, kept: &mut VecDeque<T>, fact: T) -> bool {
        match self {
            Self::All if kept.len() >= FACTS_MAX => return false,
            Self::Open if kept.len() >= FACTS_LAST => drop(kept.pop_front()),
            Self::All | Self::Open => {}
        }
        kept.push_back(fact);
        true
    }
}

/// Whether the same request of the same caller was under way when this one began, and is.
fn is_twice(exchange: &Exchange, flow: &Mutex<Flow>) -> bool {
    let flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
    let digest = exchange.state().request.digest;
    let others = flow.open.iter().filter_map(|(_, entry)| match entry {
        Entry::Exchange(other) => Some(other),
        Entry::Turn(_) => None,
    });
    others.into_iter().any(|other| {
        other.start < exchange.start
            && (&other.method, other.target, &other.path) == (&exchange.method, exchange.target, &exchange.path)
            && other.downstream.is_of_same(&exchange.downstream)
            && other.state().request.digest == digest
    })
}

/// Whose calls come over a connection.
fn caller(downstream: &Downstream) -> Caller {
    let pid = downstream.pid();
    let id = pid.map_or_else(|| address_id(downstream), |pid| pid as usize);
    Caller { id, pid, service: downstream.service() }
}

/// Ids of callers from here on are of addresses, those before of processes.
const ADDRESS: CallerId = 1 << 63;

/// Who calls, as far as its address tells.
fn address_id(downstream: &Downstream) -> CallerId {
    let mut hasher = rustc_hash::FxHasher::default();
    downstream.peer.ip().hash(&mut hasher);
    hasher.finish() as CallerId | ADDRESS
}
