//! One request through the gateway and its answer.

use super::marks::{Marks, Moved};
use crate::gateway::connect::Steps;
use crate::gateway::downstream::{Downstream, Unread};
use crate::gateway::route::Destination;
use crate::hops::{How, Judged, Movement, caller_left};
use crate::model::{ConnectionState, Name, Nanos, Outcome, grpc};
use crate::wire::Direction;
use crate::wire::headers::{RequestFields, ResponseFields};
use crate::wire::http1::{RequestBody, ResponseBody};
use http::Method;
use http::uri::PathAndQuery;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Milliseconds in [`Nanos`].
pub(super) const MILLI: Nanos = 1_000_000;
/// That a client does not read its answer is known by then.
const UNREAD_WITHIN: Nanos = 500 * MILLI;

/// A request and its answer: written by the tasks that carry them, read by whoever looks at open hops.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) id: u64,
    pub(crate) downstream: Arc<Downstream>,
    pub(crate) destination: Arc<Destination>,
    /// Whether the client opened its connection for it.
    pub(crate) client: ConnectionState,
    /// The first byte of the request's head came, or what was done for it before began.
    pub(crate) start: Nanos,
    pub(crate) method: Method,
    /// The path as it goes upstream: a copy, since what came from the socket is held by whoever holds a part of it.
    pub(crate) path: Box<str>,
    /// Digest of the target, query included: nothing else of that is kept.
    pub(super) target: u64,
    pub(crate) fields: RequestFields,
    state: Mutex<State>,
}

/// What is known of an exchange so far.
#[derive(Debug)]
pub(crate) struct State {
    /// Tries before the one under way: their connections turned out to be stale.
    pub(crate) earlier: Vec<Tried>,
    pub(crate) current: Tried,
    pub(crate) request: RequestBody,
    /// The last byte of the request was handed on.
    pub(crate) request_ended: bool,
    /// Its body broke off at the client's side.
    pub(crate) request_broke: bool,
    pub(crate) response: Option<Answered>,
    /// The first piece of content.
    pub(crate) first_content: Option<Nanos>,
    pub(crate) last_content: Option<Nanos>,
    /// The longest time between two pieces.
    pub(crate) gap: Option<Nanos>,
    /// When its client, which has others on the same connection, did not take what there was.
    pub(super) unread: Unread,
    pub(crate) answer: ResponseBody,
    /// Status of gRPC, in the answer's trailers or head.
    pub(crate) grpc: Option<grpc::Status>,
    /// Its connection speaks another protocol by now.
    pub(super) upgraded: bool,
    /// When it was over; `None` = it is under way.
    pub(crate) ended: Option<Nanos>,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) at: Nanos,
    pub(crate) status: u16,
    pub(crate) fields: ResponseFields,
}

/// One try on a connection.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) start: Nanos,
    /// The first byte of the request's head came.
    pub(crate) came: Nanos,
    /// The request's head was there.
    pub(crate) asked: Nanos,
    /// No connection or stream was free for it.
    pub(crate) waited: bool,
    /// The connect that it made or waits for.
    pub(crate) steps: Option<Arc<Steps>>,
    pub(crate) connection: Option<Used>,
    pub(crate) judged: Option<Judged>,
    /// A short code of the failure.
    pub(crate) error: Option<Name>,
    /// When it was over.
    pub(crate) end: Option<Nanos>,
    /// What moved, once it is over.
    pub(super) moved: Option<Moved>,
}

/// The connection of a try.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    /// When it was had.
    pub(crate) at: Nanos,
    pub(crate) number: Option<NonZeroU64>,
    pub(crate) state: ConnectionState,
    pub(crate) idle: Option<Nanos>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The peer's address, as it is told.
    pub(crate) address: Name,
    pub(crate) marks: Arc<Marks>,
}

/// What a new exchange is known by.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) downstream: Arc<Downstream>,
    pub(crate) client: ConnectionState,
    pub(crate) destination: Arc<Destination>,
    pub(crate) start: Nanos,
    /// Its first byte came, and the last of its head.
    pub(crate) came: Nanos,
    pub(crate) heard: Nanos,
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    pub(crate) fields: RequestFields,
}

impl Exchange {
    pub(crate) fn new(asked: Asked) -> Self {
        let Asked { id, downstream, client, destination, start, came, heard, method, target, fields } = asked;
        let state = State {
            earlier: Vec::new(),
            current: Tried { came, asked: heard, ..Tried::new(start) },
            request: RequestBody::default(),
            request_ended: false,
            request_broke: false,
            response: None,
            first_content: None,
            last_content: None,
            gap: None,
            unread: Unread::default(),
            answer: ResponseBody::default(),
            grpc: None,
            upgraded: false,
            ended: None,
        };
        let (path, target) = (target.path().into(), digest(target.as_str()));
        Self { id, downstream, client, destination, start, method, path, target, fields, state: Mutex::new(state) }
    }

    /// What is known so far. Held for a few instructions at a time.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client's own read timeout, where it says so.
    pub(crate) fn read_timeout(&self) -> Option<Nanos> {
        self.fields.read_timeout_ms.map(|ms| ms.saturating_mul(MILLI))
    }
}

fn digest(target: &str) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    target.hash(&mut hasher);
    hasher.finish().max(1)
}

/// Whether a client has read what was there for it at `ended`, or will not tell.
pub(super) fn is_read(downstream: &Downstream, ended: Nanos, now: Nanos) -> bool {
    downstream.is_known_until(ended) || (now.saturating_sub(ended) >= UNREAD_WITHIN && !downstream.is_behind_now())
}

impl State {
    /// Pieces of content came at `at`.
    pub(crate) fn content(&mut self, at: Nanos) {
        self.first_content.get_or_insert(at);
        if let Some(last) = self.last_content.replace(at) {
            let gap = at.saturating_sub(last);
            self.gap = Some(self.gap.map_or(gap, |longest| longest.max(gap)));
        }
    }

    /// The client did not take from one moment to another what was there for it.
    pub(crate) fn not_read(&mut self, from: Nanos, to: Nanos) {
        self.unread.add(from, to);
    }

    /// Both sides speak another protocol on its connection from here on, which its answer lasts as long as. Of what was received, `early`
    /// bytes belong to that and have yet to pass.
    pub(crate) fn upgrade(&mut self, early: usize) {
        self.upgraded = true;
        self.answer.complete = true;
        let moved = self.current.moved();
        self.current.moved = Some(Moved { received: moved.received.saturating_sub(early as u64), ..moved });
    }

    /// Bytes passed on the upgraded connection.
    pub(crate) fn passed(&mut self, direction: Direction, at: Nanos, bytes: u64) {
        if direction == Direction::Response {
            self.content(at);
        }
        if let Some(moved) = &mut self.current.moved {
            moved.passed(direction, at, bytes);
        }
    }

    /// The try under way ended in this way, and another begins.
    pub(crate) fn try_again(&mut self, judged: Judged, at: Nanos) {
        self.current.finish(judged, at);
        let stale = std::mem::replace(&mut self.current, Tried::new(at));
        self.earlier.push(stale);
        self.request_ended = false;
    }

    /// The exchange is over, in this way.
    pub(crate) fn finish(&mut self, judged: Judged, at: Nanos) {
        self.current.finish(judged, at);
        self.ended = Some(at);
    }

    /// Judges an end at `at`.
    pub(crate) fn judge(&self, how: How, at: Nanos, read_timeout: Option<Nanos>) -> Judged {
        let moved = self.current.moved();
        let Some((_, written)) = moved.written else {
            return match how {
                // Nothing of the request went: the wait is since the step under way began.
                How::CallerLeft => caller_left(at.saturating_sub(self.current.step_began())),
                how => self.movement(&moved, self.current.start, read_timeout).judge(how, at),
            };
        };
        let judged = self.movement(&moved, written, read_timeout).judge(how, at);
        match self.grpc {
            Some(grpc) if judged.outcome == Outcome::Ok => Judged::plain(grpc.outcome, grpc.failed_by),
            _ => judged,
        }
    }

    fn movement(&self, moved: &Moved, sent: Nanos, read_timeout: Option<Nanos>) -> Movement {
        Movement {
            sent,
            answered: moved.read,
            reads: moved.reads,
            complete: self.answer.complete,
            status: self.response.as_ref().map(|answer| answer.status),
            read_timeout,
        }
    }
}

impl Tried {
    fn new(start: Nanos) -> Self {
        Self {
            start,
            came: start,
            asked: start,
            waited: false,
            steps: None,
            connection: None,
            judged: None,
            error: None,
            end: None,
            moved: None,
        }
    }

    /// What moved on its connection so far.
    pub(crate) fn moved(&self) -> Moved {
        self.moved.unwrap_or_else(|| self.connection.as_ref().map(|used| used.marks.moved()).unwrap_or_default())
    }

    /// When the step of its connect that it is in began.
    fn step_began(&self) -> Nanos {
        let steps = self.steps.as_ref();
        let began = steps.and_then(|steps| Some(steps.times(steps.phase()?)?.0));
        self.connection.as_ref().map(|used| used.at).or(began).unwrap_or(self.start)
    }

    fn finish(&mut self, judged: Judged, at: Nanos) {
        self.moved = Some(self.moved());
        self.judged = Some(judged);
        self.end = Some(at);
    }
}
