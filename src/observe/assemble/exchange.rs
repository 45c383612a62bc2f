//! One request and its answer on a connection, with the times of its steps.

use super::MILLI;
use super::connection::Setup;
use super::stall::Busy;
use crate::hops::{How, Judged, Movement, peer_failed};
use crate::model::{ConnectionState, Nanos, Outcome, Phase, SpanId, Timeline};
use crate::wire::headers::ContentType;
use crate::wire::http1::{Fact, RequestBody, RequestHead, ResponseBody, ResponseHead};
use crate::wire::postgres::SqlState;

/// Bytes that lay unread for less are not worth telling: the kernel's answer is this coarse.
pub(super) const LATE_MIN: Nanos = 10 * MILLI;
/// Time between two steps of a hop that is counted to the next one.
const SMALL: Nanos = MILLI;
/// Set-up belongs to the first request when it follows within this time.
const SETUP_IDLE: Nanos = 50 * MILLI;
/// The same, when a thread that runs no event loop does both.
const SETUP_IDLE_SAME_THREAD: Nanos = 1_000 * MILLI;
/// Most stretches of unread bytes that are kept of one exchange.
const LATE_STRETCHES: usize = 1_024;

/// One call that moved bytes, as an exchange sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    /// When the call began.
    pub(super) start: Nanos,
    /// When it ended.
    pub(super) end: Nanos,
    /// When the bytes had arrived, for a read.
    pub(super) arrived: Nanos,
    pub(super) tid: u32,
    pub(super) is_loop: bool,
}

/// A request and its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Its number in its layer.
    pub(super) number: u64,
    /// Thread that sent the request.
    pub(super) tid: u32,
    pub(super) is_loop: bool,
    /// First byte of the request.
    pub(super) started: Nanos,
    /// Last byte of the request that went so far.
    pub(super) sent_at: Nanos,
    pub(super) request_ended: bool,
    /// The answer's first byte: when it was read, and when it had arrived.
    first_byte: Option<(Nanos, Nanos)>,
    head_at: Option<Nanos>,
    first_content: Option<Nanos>,
    /// The last bytes of the answer so far, when they were read.
    pub(super) last_read: Option<Nanos>,
    /// Number of calls that brought bytes, and the time between the first and the last.
    reads: u64,
    /// From arrival to read, where bytes lay unread.
    late: Vec<(Nanos, Nanos)>,
    pub(super) head: Box<RequestHead>,
    pub(super) has_head: bool,
    pub(super) body: RequestBody,
    /// Digest of the request's first line.
    pub(super) target: u64,
    pub(super) response: Option<Box<ResponseHead>>,
    pub(super) answer: Option<ResponseBody>,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) setup: Option<Setup>,
    pub(super) state: ConnectionState,
    /// How long the connection was idle before.
    pub(super) idle: Option<Nanos>,
    /// A thread waited for the connection from then on.
    pub(super) pool_from: Option<Nanos>,
    /// The hop that this is another attempt of.
    pub(super) joined: Option<usize>,
    /// Whether that was decided.
    pub(super) decided: bool,
    pub(super) parent: Option<SpanId>,
    pub(super) id: u64,
    pub(super) protocol: Protocol,
    /// The caller asked that it be stopped: how it is judged if it was.
    pub(super) stopped: Option<Judged>,
    /// The longest time that the next piece of the answer was waited for.
    pub(super) gap: Option<Nanos>,
}

/// What an exchange is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// A query of PostgreSQL: what it does, and with what it failed.
    Query {
        operation: &'static str,
        error: Option<SqlState>,
    },
    /// A turn from writing to reading of a protocol that is not read.
    Turn,
}

impl Exchange {
    /// A request began with this call.
    pub(super) fn new(number: u64, moved: Moved, id: u64) -> Self {
        Self {
            number,
            tid: moved.tid,
            is_loop: moved.is_loop,
            started: moved.start,
            sent_at: moved.end,
            request_ended: false,
            first_byte: None,
            head_at: None,
            first_content: None,
            last_read: None,
            reads: 0,
            late: Vec::new(),
            head: Box::default(),
            has_head: false,
            body: RequestBody::default(),
            target: 0,
            response: None,
            answer: None,
            sent: 0,
            received: 0,
            setup: None,
            state: ConnectionState::New,
            idle: None,
            pool_from: None,
            joined: None,
            decided: false,
            parent: None,
            id,
            protocol: Protocol::Http,
            stopped: None,
            gap: None,
        }
    }

    /// Bytes of the request went.
    pub(super) fn wrote(&mut self, moved: Moved, bytes: u64) {
        self.sent += bytes;
        if !self.request_ended {
            self.sent_at = self.sent_at.max(moved.end);
        }
    }

    /// Bytes of the answer came.
    pub(super) fn read(&mut self, moved: Moved, bytes: u64) {
        self.received += bytes;
        self.reads += 1;
        let arrived = moved.arrived.clamp(self.last_read.unwrap_or(self.sent_at).min(moved.end), moved.end);
        match (self.first_byte, self.last_read) {
            (Some(_), Some(last)) => self.gap = self.gap.max(Some(arrived.saturating_sub(last))),
            _ => self.first_byte = Some((moved.end, arrived)),
        }
        if moved.end - arrived >= LATE_MIN && self.late.len() < LATE_STRETCHES {
            self.late.push((arrived, moved.end));
        }
        self.last_read = Some(moved.end);
    }

    /// What was read so far is no answer.
    pub(super) const fn is_unanswered(&mut self) {
        (self.first_byte, self.gap) = (None, None);
    }

    /// Takes what a reader learned of it.
    pub(super) fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::RequestHead { head, .. } => {
                self.head = head;
                self.has_head = true;
            }
            Fact::RequestEnded { body, .. } => {
                self.body = body;
                self.request_ended = true;
            }
            Fact::ResponseHead { at, head, .. } => {
                self.head_at = Some(at);
                self.response = Some(head);
            }
            Fact::FirstContent { at, .. } => self.first_content = Some(at),
            Fact::ResponseEnded { body, .. } => self.answer = Some(body),
            _ => {}
        }
    }

    /// Status of the answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|head| head.status).filter(|&status| status != 0)
    }

    /// Whether the answer is a stream of events; `None` = there is none yet.
    pub(super) fn streams(&self) -> Option<bool> {
        let kind = self.response.as_ref()?.fields.message.content_type;
        Some(matches!(kind, ContentType::EventStream | ContentType::JsonLines))
    }

    /// Whether it is known what was asked.
    pub(super) fn is_known(&self) -> bool {
        self.has_head || matches!(self.protocol, Protocol::Query { .. })
    }

    /// Whether any byte of the answer came.
    pub(super) const fn is_answered(&self) -> bool {
        self.first_byte.is_some()
    }

    /// The last move of either side.
    pub(super) fn last_move(&self) -> Nanos {
        self.movement().last()
    }

    /// Judges an end at `at`.
    pub(super) fn judge(&self, how: How, at: Nanos) -> Judged {
        match (self.protocol, how, self.stopped) {
            (Protocol::Http, ..) | (_, How::PeerClosed(_) | How::CallerLeft, _) => self.movement().judge(how, at),
            (Protocol::Query { error: Some(SqlState::QUERY_CANCELED), .. }, How::Complete, Some(judged)) => judged,
            (Protocol::Query { error: Some(_), .. }, How::Complete, _) => peer_failed(Outcome::Error, None),
            (Protocol::Query { error: None, .. } | Protocol::Turn, How::Complete, _) => Judged::plain(Outcome::Ok, None),
        }
    }

    /// What moved on it.
    pub(super) fn movement(&self) -> Movement {
        Movement {
            sent: self.sent_at,
            answered: self.first_byte.zip(self.last_read).map(|((first, _), last)| (first, last)),
            reads: self.reads,
            complete: self.answer.as_ref().is_some_and(|answer| answer.complete),
            status: self.status(),
            read_timeout: self.head.fields.read_timeout_ms.map(|ms| ms.saturating_mul(MILLI)),
        }
    }

    /// The set-up that belongs to it: the request followed at once, or its thread was blocked in between.
    fn own_setup(&self, stalls: &[Busy]) -> Option<&Setup> {
        let setup = self.setup.as_ref()?;
        let end = setup.end();
        let idle = self.started.saturating_sub(end);
        let near = idle < SETUP_IDLE
            || (!self.is_loop && setup.tid == self.tid && idle < SETUP_IDLE_SAME_THREAD)
            || idle.saturating_sub(super::stall::covered(stalls, self.tid, end, self.started)) < SETUP_IDLE;
        near.then_some(setup)
    }

    /// When the first thing was done for it.
    pub(super) fn start(&self, stalls: &[Busy]) -> Nanos {
        let start = self.own_setup(stalls).map_or(self.started, |setup| setup.start);
        self.pool_from.map_or(start, |from| from.min(start))
    }

    /// Its phases up to `until`.
    pub(super) fn timeline(&self, stalls: &[Busy], until: Nanos) -> Timeline {
        let mut line = Steps { line: Timeline::new(self.start(stalls).min(until)), until };
        if self.pool_from.is_some() {
            line.line.push(Phase::Pool, self.started.min(until));
        }
        if let Some(setup) = self.own_setup(stalls) {
            line.setup(setup);
        }
        line.step(Phase::Send, self.started, self.sent_at);
        let Some((read, arrived)) = self.first_byte else {
            let phase = if self.request_ended { Phase::Wait } else { Phase::Send };
            line.line.push(phase, until);
            return line.line;
        };
        // An answer may begin before the request has ended.
        line.line.push(Phase::Wait, arrived.min(until));
        line.line.push(Phase::Own, read.min(until));
        let mut late = self.late.iter().filter(|&&(_, end)| end > read).peekable();
        let mut to = |line: &mut Steps, phase: Phase, end: Nanos| {
            while let Some(&(from, late_end)) = late.next_if(|&&(from, _)| from < end) {
                line.line.push(phase, from.min(until));
                line.line.push(Phase::Own, late_end.min(until));
            }
            line.line.push(phase, end.min(until));
        };
        if self.protocol != Protocol::Http {
            to(&mut line, Phase::Stream, until);
            return line.line;
        }
        if self.streams() == Some(true) {
            // A read that brought the head and the first content together leaves no time between.
            match self.first_content {
                Some(first) => to(&mut line, Phase::FirstToken, first),
                None => {
                    to(&mut line, Phase::FirstToken, until);
                    return line.line;
                }
            }
        } else if self.response.is_none() || self.head_at.is_none() {
            to(&mut line, Phase::Wait, until);
            return line.line;
        } else if let Some(head) = self.head_at {
            to(&mut line, Phase::Wait, head);
        }
        to(&mut line, Phase::Stream, until);
        line.line
    }

    /// Stretches of its set-up in which the peer had done its part and nobody noticed.
    pub(super) fn noticed_late(&self) -> &[(Nanos, Nanos)] {
        self.setup.as_ref().map_or(&[], |setup| &setup.late)
    }
}

/// A timeline under construction, cut at `until`.
pub(super) struct Steps {
    pub(super) line: Timeline,
    pub(super) until: Nanos,
}

impl Steps {
    /// A step from `from` to `to`. Time before it that no step took is the caller's own, unless it is small.
    pub(super) fn step(&mut self, phase: Phase, from: Nanos, to: Nanos) {
        if from > self.line.end().saturating_add(SMALL) {
            self.line.push(Phase::Own, from.min(self.until));
        }
        self.line.push(phase, to.min(self.until));
    }

    /// The steps of a set-up.
    pub(super) fn setup(&mut self, setup: &Setup) {
        let steps = [
            (Phase::Dns, setup.dns),
            (Phase::Connect, setup.connect),
            (Phase::Proxy, setup.proxy),
            (Phase::Tls, setup.tls),
            (Phase::Connect, setup.login),
        ];
        for (phase, step) in steps {
            if let Some((from, to)) = step {
                self.step(phase, from, to);
            }
        }
    }
}
