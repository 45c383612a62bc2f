//! One logical call, made of its tries.

use super::attempt::{Candidate, Key, Try};
use super::{CallerId, MILLI};
use crate::model::{Attempt, Bytes, Call, Client, Nanos, Phase, Role, Span, SpanId};
use std::net::SocketAddr;

/// Most tries of one hop.
const ATTEMPTS: usize = 64;
/// Another try comes within this time, what the peer asks for included.
pub(super) const JOIN_WITHIN: Nanos = 180_000 * MILLI;
/// A stale connection's request is sent again within this time.
const STALE_WITHIN: Nanos = 100 * MILLI;
/// Tries of which nothing was sent are told from separate calls by a pause of at least this long.
const PAUSE_MIN: Nanos = 50 * MILLI;
/// What follows a hop at once is told apart from it by then.
const SOON: Nanos = 1_000 * MILLI;
/// Another try comes within this time, as clients back off (up to 8 s by themselves), and what the peer asks for.
const RETRY_WITHIN: Nanos = 10_000 * MILLI;

/// One logical call.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) span: Span,
    pub(crate) caller: CallerId,
    pub(crate) tid: u32,
    pub(crate) is_loop: bool,
    pub(crate) key: Key,
    pub(crate) end: Nanos,
    /// The user named its dependency.
    pub(crate) explicit: bool,
    /// Own address and the peer's, of the last try's connection.
    pub(crate) pair: (Option<SocketAddr>, Option<SocketAddr>),
    /// Stretches in which something was there and the caller did not notice.
    pub(crate) late: Vec<(Nanos, Nanos)>,
    /// A later try of it is under way.
    pub(super) continued: bool,
    /// Another try may follow.
    pub(super) joinable: bool,
    /// The connection was stale: closed by the peer before any byte of an answer.
    pub(super) stale: bool,
    /// It turned out to be a part of another one.
    pub(super) gone: bool,
    /// Whoever counts while the run goes on was told of it.
    pub(super) told: bool,
}

impl Hop {
    pub(super) fn new(attempt: Try) -> Self {
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
            origin: attempt.origin,
            timeline,
            outcome,
            failed_by: first.failed_by,
            status: attempt.status,
            error_type: attempt.error_type,
            errno: judged.and_then(|judged| judged.errno),
            attempts: vec![first],
            model: attempt.model,
            stream: attempt.stream,
            gap: attempt.gap,
            tokens: attempt.tokens,
            bytes: attempt.bytes,
            client: Client {
                pid: attempt.pid,
                connection: attempt.client.0,
                read_timeout: attempt.read_timeout,
                retry: attempt.retry,
                connection_id: attempt.number,
                address: attempt.client.1,
            },
            address: attempt.address,
            trace_id: attempt.trace_id,
            gave_up_after: judged.and_then(|judged| judged.gave_up_after),
            internal: false,
            opaque: attempt.opaque,
            relayed: false,
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
            caller: attempt.caller,
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

    pub(super) fn attempts(&self) -> usize {
        self.span.call.as_ref().map_or(0, |call| call.attempts.len())
    }

    /// Adds a later try.
    pub(super) fn add(&mut self, attempt: Try) {
        self.absorb(Self::new(attempt));
    }

    pub(super) fn absorb(&mut self, later: Self) {
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
    pub(super) fn takes(&self, candidate: Candidate<'_>, slept: &dyn Fn(Nanos, Nanos) -> bool) -> bool {
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

    /// Whether what is known of it may still change at `now`: another try may join it where one is `awaited`, and what belongs to it may
    /// be told late.
    pub(crate) fn may_change(&self, now: Nanos, awaited: bool) -> bool {
        let age = now.saturating_sub(self.end);
        if awaited {
            let asked = self.span.call.as_ref().and_then(|call| call.attempts.last()?.retry_after).unwrap_or(0);
            return age < asked.saturating_add(RETRY_WITHIN);
        }
        age < SOON
    }
}
