//! One call from its first poll to its last byte: what was seen of it so far.

use super::connecting::{Connecting, Marks};
use super::phases::{self, Course};
use super::registry::{self, Key, Use};
use crate::instrument::answer::Said;
use crate::instrument::clock::Clock;
use crate::instrument::recorder::Live;
use crate::model::clock::nanos;
use crate::model::{Attempt, Bytes, Call, Client, ConnectionState, Name, Nanos, Origin, Phase};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Most connects told of one call.
const CONNECTS_MAX: usize = 32;

tokio::task_local! {
    /// The call that is being polled.
    pub(super) static CALL: Arc<Exchange>;
}

/// One call, as far as it was seen.
#[derive(Debug)]
pub(super) struct Exchange {
    id: u64,
    clock: Clock,
    start: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    connects: Vec<Arc<Connecting>>,
    /// Of a streamed request body.
    assigned: Option<Instant>,
    sent: Option<Instant>,
    head: Option<Instant>,
    content: Option<Instant>,
    /// When the last of the answer came.
    last: Option<Instant>,
    failed: Option<Phase>,
    status: Option<u16>,
    retry_after: Option<Nanos>,
    connection: Option<(Key, Use)>,
    address: Option<Name>,
    said: Said,
    bytes: Bytes,
    /// The caller's timer ended it.
    timed_out: bool,
}

impl Exchange {
    /// Begins now.
    pub(super) fn new(clock: Clock) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), clock, start: Instant::now(), seen: Mutex::default() }
    }

    /// Tells calls apart; never 0.
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// When it began.
    pub(super) fn start(&self) -> Nanos {
        self.clock.at(self.start)
    }

    /// It started a connect.
    pub(super) fn connects(&self, connecting: &Arc<Connecting>) {
        let mut seen = self.seen();
        if seen.connects.len() < CONNECTS_MAX {
            seen.connects.push(Arc::clone(connecting));
        }
    }

    /// Whom it asks, and what the request says.
    pub(super) fn asks(&self, address: Option<Name>, said: Said, sent: u64) {
        let mut seen = self.seen();
        (seen.address, seen.said, seen.bytes.sent) = (address, said, sent);
    }

    /// The connection takes a streamed body.
    pub(super) fn sending(&self) {
        self.seen().assigned.get_or_insert_with(Instant::now);
    }

    /// It took so much of it.
    pub(super) fn sends(&self, bytes: u64) {
        let mut seen = self.seen();
        seen.bytes.sent = seen.bytes.sent.saturating_add(bytes);
    }

    /// It took the last of it.
    pub(super) fn sent(&self) {
        let mut seen = self.seen();
        if seen.assigned.is_some() {
            seen.sent.get_or_insert_with(Instant::now);
        }
    }

    /// The connection that serves it.
    pub(super) fn served_by(&self, key: Key) {
        let used = registry::used(key, self.id, self.start);
        let mut seen = self.seen();
        seen.connection = used.map(|used| (key, used));
        seen.address = Some(key.1.to_string().into());
    }

    /// The answer's head came.
    pub(super) fn head(&self, status: u16, headers: &http::HeaderMap) {
        let now = Instant::now();
        let retry_after = crate::instrument::retry_after::retry_after(headers, self.clock.at(now));
        let mut seen = self.seen();
        (seen.head, seen.status, seen.retry_after) = (Some(now), Some(status), retry_after);
    }

    /// Bytes of the answer came.
    pub(super) fn receives(&self, bytes: u64, content: bool) {
        let now = Instant::now();
        let mut seen = self.seen();
        seen.bytes.received = seen.bytes.received.saturating_add(bytes);
        seen.last = Some(now);
        if content {
            seen.content.get_or_insert(now);
        }
    }

    /// What the answer said, over what the request said.
    pub(super) fn says(&self, said: Said) {
        let mut seen = self.seen();
        let asked = std::mem::take(&mut seen.said);
        let Said { model, stream, tokens } = said;
        seen.said = Said { model: model.or(asked.model), stream: stream.or(asked.stream), tokens };
    }

    /// An error tells the phase it failed in.
    pub(super) fn fails(&self, phase: Option<Phase>) {
        self.seen().failed = phase;
    }

    /// The caller's timer ran out.
    pub(super) fn times_out(&self) {
        self.seen().timed_out = true;
    }

    /// It ended: its connection is free for others.
    pub(super) fn released(&self) {
        let connection = self.seen().connection;
        if let Some((key, used)) = connection {
            registry::released(key, used.id);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live for Exchange {
    fn call(&self, now: Nanos) -> Call {
        let seen = self.seen();
        let connects: Vec<Marks> = seen.connects.iter().map(|connecting| connecting.marks()).collect();
        let Seen { assigned, sent, head, content, failed, .. } = *seen;
        let used = seen.connection.map(|(_, used)| used);
        let awaited = used.and_then(|used| used.awaited);
        let course = Course { connects: &connects, awaited, assigned, sent, head, content, failed };
        let start = self.start();
        let timeline = phases::timeline(&course, start, now, |instant| self.clock.at(instant));
        let moved = || phases::last_move(&course, seen.last, start, |instant| self.clock.at(instant));
        // Without an answer, a connect of its own that came to its end is all that is known of the connection.
        let opened = connects.iter().any(|marks| marks.orphaned.is_none() && marks.end.is_some_and(|(_, open)| open));
        let state = match used {
            Some(used) => Some(if used.reused { ConnectionState::Reused } else { ConnectionState::New }),
            None => opened.then_some(ConnectionState::New),
        };
        let attempt = Attempt {
            number: 1,
            timeline: timeline.clone(),
            outcome: None,
            failed_by: None,
            status: seen.status,
            connection: state,
            idle: used.and_then(|used| used.idle).map(nanos),
            retry_after: seen.retry_after,
        };
        Call {
            status: seen.status,
            attempts: vec![attempt],
            model: seen.said.model.clone(),
            stream: seen.said.stream,
            tokens: seen.said.tokens,
            bytes: seen.bytes,
            client: Client { connection: state, connection_id: used.map(|used| used.id), ..Client::default() },
            address: seen.address.clone(),
            gave_up_after: seen.timed_out.then(|| now.saturating_sub(moved())),
            ..Call::new(Origin::Library, timeline)
        }
    }
}
