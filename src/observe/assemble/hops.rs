//! Hops: tries joined into logical calls.

mod settled;

use super::callers::Callers;
use super::exchange::Judged;
use super::peer::Endpoint;
use super::process::Process;
use super::{MILLI, ProcessId, stall};
use crate::model::naming::Named;
use crate::model::{
    Attempt, Bytes, Call, Client, ConnectionState, FailedBy, Losses, Name, Nanos, Origin, Outcome, Phase, Role, Span, SpanId,
    Timeline, Tokens,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;

/// Most hops that are kept.
const HOPS: usize = 100_000;
/// Most tries of one hop.
const ATTEMPTS: usize = 64;
/// Most failed hops of one dependency that wait for another try.
const JOINABLE: usize = 128;
/// Another try comes within this time, what the peer asks for included.
const JOIN_WITHIN: Nanos = 180_000 * MILLI;
/// A stale connection's request is sent again within this time.
const STALE_WITHIN: Nanos = 100 * MILLI;
/// Tries of which nothing was sent are told from separate calls by a pause of at least this long.
const PAUSE_MIN: Nanos = 50 * MILLI;

/// What makes two requests the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// Method; empty = no request was sent.
    pub(super) method: Name,
    pub(super) path: Name,
    /// Digest of the body.
    pub(super) digest: u64,
    /// Digest of the first line, query included.
    pub(super) target: u64,
}

impl Key {
    fn is_unsent(&self) -> bool {
        self.method.is_empty()
    }

    fn same(&self, other: &Self) -> bool {
        !self.is_unsent()
            && self.method == other.method
            && self.path == other.path
            && self.digest == other.digest
            && (self.target == other.target || self.target == 0 || other.target == 0)
    }
}

/// One try on the wire, with everything known of it.
#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) process: ProcessId,
    pub(super) pid: u32,
    pub(super) service: Name,
    pub(super) tid: u32,
    pub(super) is_loop: bool,
    pub(super) id: u64,
    pub(super) parent: Option<SpanId>,
    pub(super) named: Named,
    pub(super) operation: Name,
    pub(super) timeline: Timeline,
    /// `None` = it is under way.
    pub(super) judged: Option<Judged>,
    pub(super) status: Option<u16>,
    pub(super) error_type: Option<Name>,
    pub(super) connection: Option<ConnectionState>,
    pub(super) idle: Option<Nanos>,
    pub(super) retry_after: Option<Nanos>,
    pub(super) stream: Option<bool>,
    pub(super) model: Option<Name>,
    pub(super) tokens: Tokens,
    pub(super) bytes: Bytes,
    pub(super) read_timeout: Option<Nanos>,
    pub(super) retry: Option<u32>,
    pub(super) number: Option<NonZeroU64>,
    pub(super) pair: (Option<Endpoint>, Option<Endpoint>),
    pub(super) opaque: bool,
    pub(super) inferred: bool,
    pub(super) key: Key,
    pub(super) late: Vec<(Nanos, Nanos)>,
}

/// A try that looks for the hop it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) process: ProcessId,
    pub(super) dependency: &'a Name,
    pub(super) key: &'a Key,
    pub(super) retry: Option<u32>,
    pub(super) tid: u32,
    pub(super) is_loop: bool,
    pub(super) start: Nanos,
    /// It opened its connection.
    pub(super) is_new: bool,
    /// The same request is under way elsewhere in the process.
    pub(super) is_ambiguous: bool,
}

/// One logical call.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) span: Span,
    pub(super) process: ProcessId,
    pub(super) tid: u32,
    pub(super) is_loop: bool,
    pub(super) key: Key,
    pub(super) end: Nanos,
    explicit: bool,
    pair: (Option<Endpoint>, Option<Endpoint>),
    late: Vec<(Nanos, Nanos)>,
    /// A later try of it is under way.
    continued: bool,
    /// Another try may follow.
    joinable: bool,
    /// The connection was stale: closed by the peer before any byte of an answer.
    stale: bool,
    /// It turned out to be a part of another one.
    gone: bool,
    /// Whoever counts while the run goes on was told of it.
    told: bool,
}

/// All hops that ended.
#[derive(Debug)]
pub(super) struct Hops {
    most: usize,
    list: Vec<Hop>,
    waiting: FxHashMap<(ProcessId, Name), VecDeque<usize>>,
    started: u64,
    dropped: u64,
    gone: u64,
    continued: u64,
    /// All before this place were told, or are gone.
    untold: usize,
}

impl Default for Hops {
    fn default() -> Self {
        Self {
            most: HOPS,
            list: Vec::new(),
            waiting: FxHashMap::default(),
            started: 0,
            dropped: 0,
            gone: 0,
            continued: 0,
            untold: 0,
        }
    }
}

impl Hops {
    /// A hop began.
    pub(super) const fn begin(&mut self) {
        self.started += 1;
    }

    /// Keeps no more than so many hops.
    #[cfg(test)]
    pub(super) const fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// What had begun was no hop.
    pub(super) const fn forget(&mut self) {
        self.started -= 1;
    }

    /// The hop that a try is another attempt of; it is taken by it.
    pub(super) fn claim(&mut self, candidate: Candidate<'_>, slept: &dyn Fn(Nanos, Nanos) -> bool) -> Option<usize> {
        let waiting = self.waiting.get_mut(&(candidate.process, candidate.dependency.clone()))?;
        let list = &self.list;
        let fits = |&&index: &&usize| list.get(index).is_some_and(|hop| hop.takes(candidate, slept));
        let exact = |index: &usize| list.get(*index).is_some_and(|hop| hop.key.same(candidate.key));
        let chosen = *waiting.iter().filter(fits).find(|index| exact(index)).or_else(|| waiting.iter().find(fits))?;
        waiting.retain(|&index| index != chosen);
        let hop = self.list.get_mut(chosen)?;
        hop.continued = true;
        self.continued += 1;
        // Two that began are one.
        self.started -= 1;
        Some(chosen)
    }

    /// The same request went well elsewhere since these failed: what follows is no other try of them.
    pub(super) fn succeeded(&mut self, process: ProcessId, dependency: &Name, key: &Key, tid: Option<u32>, from: Nanos) {
        let Some(waiting) = self.waiting.get_mut(&(process, dependency.clone())) else { return };
        let list = &self.list;
        waiting.retain(|&index| {
            list.get(index).is_some_and(|hop| {
                let same = hop.key.is_unsent() || hop.key.same(key);
                !(same && hop.end <= from && tid.is_none_or(|tid| tid == hop.tid))
            })
        });
    }

    /// A try ended: it becomes a hop, or an attempt of the one that it joined. Its place, unless it was dropped.
    pub(super) fn put(&mut self, attempt: Try, joined: Option<usize>) -> Option<usize> {
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
            None if self.list.len() >= self.most => {
                self.dropped += 1;
                return None;
            }
            None => {
                self.list.push(Hop::new(attempt));
                self.list.len() - 1
            }
        };
        let hop = self.list.get_mut(place)?;
        hop.end = end;
        hop.stale = stale;
        hop.joinable = waits;
        if waits && let Some(name) = hop.span.dependency.clone() {
            let waiting = self.waiting.entry((hop.process, name)).or_default();
            if waiting.len() == JOINABLE {
                waiting.pop_front();
            }
            waiting.push_back(place);
        }
        Some(place)
    }

    /// A recorded failure turned out to be a part of what followed at once.
    pub(super) fn revoke(&mut self, place: usize) {
        let Some(hop) = self.list.get_mut(place) else { return };
        if hop.continued || hop.gone || hop.attempts() > 1 {
            return;
        }
        hop.gone = true;
        hop.joinable = false;
        self.gone += 1;
        self.started -= 1;
        let key = (hop.process, hop.span.dependency.clone().unwrap_or_default());
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.retain(|&index| index != place);
        }
    }

    /// A hop of a try that is under way.
    pub(super) fn preview(&self, attempt: Try, joined: Option<usize>) -> Span {
        let before = joined.and_then(|place| self.list.get(place));
        let mut hop = Hop::new(attempt);
        if let Some(before) = before {
            let attempt = std::mem::replace(&mut hop, before.clone());
            hop.absorb(attempt);
        }
        hop.span
    }

    /// Whether a failed hop of a dependency waits for another try.
    pub(super) fn is_awaited(&self, process: ProcessId, dependency: &Name) -> bool {
        self.waiting.get(&(process, dependency.clone())).is_some_and(|waiting| !waiting.is_empty())
    }

    /// Takes up again the hops whose caller waits to try again, given its thread, whether that runs a loop, when the last try
    /// ended, and whether the client counts its tries: they are open.
    pub(super) fn in_backoff(
        &mut self,
        process: ProcessId,
        now: Nanos,
        waits: &dyn Fn(u32, bool, Nanos, bool) -> bool,
    ) -> Vec<(usize, Span)> {
        let mut found = Vec::new();
        for (place, hop) in self.list.iter().enumerate().rev().take(JOINABLE) {
            let counts = hop.span.call.as_ref().is_some_and(|call| call.client.retry.is_some());
            let open = hop.joinable
                && !hop.continued
                && !hop.gone
                && hop.process == process
                && now.saturating_sub(hop.end) <= JOIN_WITHIN;
            if open && waits(hop.tid, hop.is_loop, hop.end, counts) {
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

    /// A hop is under way again.
    pub(super) fn reopen(&mut self, place: usize) {
        if let Some(hop) = self.list.get_mut(place) {
            hop.continued = true;
            self.continued += 1;
        }
    }

    /// Counts as they are now; `open` are under way: such as were counted when they began, and such as only set up.
    pub(super) fn losses(&self, open: (u64, u64), missed: BTreeMap<&'static str, u64>) -> Losses {
        let recorded = self.list.len() as u64 - self.gone - self.continued;
        let dropped = if self.dropped > 0 { BTreeMap::from([("hops_full", self.dropped)]) } else { BTreeMap::new() };
        let (begun, setting_up) = open;
        Losses { started: self.started + setting_up, recorded, open: begun + setting_up, dropped, missed }
    }

    /// Who called over which connection.
    pub(super) fn callers(&self) -> Callers {
        let mut callers = Callers::default();
        for hop in self.list.iter().filter(|hop| !hop.gone) {
            if let (Some(own), Some(peer)) = hop.pair {
                callers.add((own, peer), hop.span.id, hop.span.start, hop.end);
            }
        }
        callers
    }

    /// Takes all hops, with what blocked their callers laid over them. `internal` are the pairs of addresses of which both
    /// ends are in the tree.
    pub(super) fn take(&mut self, processes: &[Process], internal: &FxHashSet<(Endpoint, Endpoint)>) -> Vec<Span> {
        let hops = std::mem::take(&mut self.list);
        let finished = hops.into_iter().filter(|hop| !hop.gone && !hop.continued);
        finished.map(|hop| hop.into_span(processes, internal)).collect()
    }
}

impl Hop {
    fn new(attempt: Try) -> Self {
        let Try { named, timeline, judged, .. } = attempt;
        let outcome = judged.map(|judged| judged.outcome);
        let first = Attempt {
            number: 1,
            timeline: timeline.clone(),
            outcome,
            failed_by: judged.and_then(|judged| judged.failed_by),
            status: attempt.status,
            connection: attempt.connection,
            idle: attempt.idle,
            retry_after: attempt.retry_after,
        };
        let (start, end) = (timeline.start(), timeline.end());
        let call = Call {
            origin: Origin::Observer,
            timeline,
            outcome,
            failed_by: first.failed_by,
            status: attempt.status,
            error_type: attempt.error_type,
            errno: judged.and_then(|judged| judged.errno),
            attempts: vec![first],
            model: attempt.model,
            stream: attempt.stream,
            gap: None,
            tokens: attempt.tokens,
            bytes: attempt.bytes,
            client: Client {
                pid: Some(attempt.pid),
                connection: attempt.connection,
                read_timeout: attempt.read_timeout,
                retry: attempt.retry,
                connection_id: attempt.number,
            },
            address: attempt.pair.1.map(|peer| peer.text()),
            gave_up_after: judged.and_then(|judged| judged.gave_up_after),
            internal: false,
            opaque: attempt.opaque,
        };
        let span = Span {
            id: SpanId(attempt.id),
            parent: attempt.parent,
            role: Role::Client,
            follows_from: false,
            service: attempt.service,
            operation: attempt.operation,
            kind: Some(named.kind),
            dependency: Some(named.name),
            start,
            end: judged.map(|_| end),
            inferred: attempt.inferred,
            call: Some(Box::new(call)),
        };
        Self {
            span,
            process: attempt.process,
            tid: attempt.tid,
            is_loop: attempt.is_loop,
            key: attempt.key,
            end,
            explicit: named.explicit,
            pair: attempt.pair,
            late: attempt.late,
            continued: false,
            joinable: false,
            stale: false,
            gone: false,
            told: false,
        }
    }

    fn attempts(&self) -> usize {
        self.span.call.as_ref().map_or(0, |call| call.attempts.len())
    }

    /// Adds a later try.
    fn add(&mut self, attempt: Try) {
        self.absorb(Self::new(attempt));
    }

    fn absorb(&mut self, later: Self) {
        let (Some(call), Some(new)) = (self.span.call.as_deref_mut(), later.span.call) else { return };
        let mut attempts = std::mem::take(&mut call.attempts);
        let bytes = Bytes {
            sent: call.bytes.sent.saturating_add(new.bytes.sent),
            received: call.bytes.received.saturating_add(new.bytes.received),
        };
        let mut timeline = call.timeline.clone();
        timeline.append(Phase::Backoff, &new.timeline);
        let connection = call.client.connection;
        if attempts.len() < ATTEMPTS {
            let number = attempts.len() as u32 + 1;
            attempts.extend(new.attempts.into_iter().map(|attempt| Attempt { number, ..attempt }));
        } else if let Some(last) = attempts.last_mut() {
            last.timeline.append(Phase::Backoff, &new.timeline);
            (last.outcome, last.failed_by, last.status) = (new.outcome, new.failed_by, new.status);
        }
        let mut client = new.client;
        client.connection = connection.or(client.connection);
        *call = Call { timeline, attempts, bytes, client, ..*new };
        self.span.end = later.span.end.map(|_| call.timeline.end());
        if !later.key.is_unsent() {
            self.key = later.key;
            self.span.operation = later.span.operation;
            self.span.kind = later.span.kind;
            self.span.dependency = later.span.dependency;
        }
        self.explicit |= later.explicit;
        self.span.inferred |= later.span.inferred;
        self.late.extend(later.late);
        self.pair = later.pair;
        (self.tid, self.is_loop) = (later.tid, later.is_loop);
    }

    /// Whether a try may be another attempt of this hop.
    fn takes(&self, candidate: Candidate<'_>, slept: &dyn Fn(Nanos, Nanos) -> bool) -> bool {
        let pause = candidate.start.saturating_sub(self.end);
        if self.continued || self.gone || self.end > candidate.start.saturating_add(MILLI) || pause > JOIN_WITHIN {
            return false;
        }
        let same = self.key.same(candidate.key);
        if self.stale && same && candidate.is_new && pause <= STALE_WITHIN {
            return true;
        }
        match candidate.retry {
            Some(0) => false,
            Some(retry) => {
                let as_many = self.attempts() == retry as usize;
                let alike = self.key.method == candidate.key.method && self.key.path == candidate.key.path;
                as_many && (self.key.is_unsent() || same || (alike && (self.key.digest == 0 || candidate.key.digest == 0)))
            }
            None if self.key.is_unsent() => self.tid == candidate.tid && pause >= PAUSE_MIN && slept(self.end, candidate.start),
            None => same && (!candidate.is_ambiguous || (!candidate.is_loop && self.tid == candidate.tid)),
        }
    }

    fn into_span(mut self, processes: &[Process], internal: &FxHashSet<(Endpoint, Endpoint)>) -> Span {
        let stalls = processes.get(self.process).map_or(&[][..], |process| &process.stalls);
        if let Some(call) = self.span.call.as_deref_mut() {
            finish_call(call, stalls, self.tid, &self.late);
            if let (Some(own), Some(peer)) = self.pair {
                call.internal = !self.explicit && internal.contains(&(own, peer));
            }
        }
        self.span
    }
}

/// Lays what blocked the caller over the times of a call.
pub(super) fn finish_call(call: &mut Call, stalls: &[stall::Busy], tid: u32, late: &[(Nanos, Nanos)]) {
    call.timeline = stall::overlay(&call.timeline, stalls, tid, late);
    for attempt in &mut call.attempts {
        attempt.timeline = stall::overlay(&attempt.timeline, stalls, tid, late);
    }
}

/// Judgement of a failure that is the peer's.
pub(super) const fn peer_failed(outcome: Outcome, errno: Option<i32>) -> Judged {
    Judged { outcome, failed_by: Some(FailedBy::Peer), errno, gave_up_after: None }
}

/// Judgement of a caller that left after waiting for so long.
pub(super) const fn caller_left(waited: Nanos) -> Judged {
    Judged { outcome: Outcome::Timeout, failed_by: Some(FailedBy::Caller), errno: None, gave_up_after: Some(waited) }
}
