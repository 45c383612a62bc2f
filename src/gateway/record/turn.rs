//! An exchange inside of a connection that is led through, as far as its bytes tell.

mod attempt;

use super::exchange::MILLI;
use super::line::Line;
use crate::hops::{How, Judged, Movement, peer_failed};
use crate::model::{Bytes, Name, Nanos, Outcome, Phase};
use crate::wire::headers::ContentType;
use crate::wire::http1::{RequestBody, RequestHead, ResponseBody, ResponseHead};
use crate::wire::postgres::SqlState;
use crate::wire::tls::DOUBT;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An answer that is not framed is taken for over after this long.
const SILENT: Nanos = 1_000 * MILLI;

/// One exchange: written by the task that carries its connection, read by whoever looks.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) id: u64,
    pub(crate) line: Arc<Line>,
    state: Mutex<Passed>,
}

/// What is known of an exchange so far.
#[derive(Debug)]
pub(crate) struct Passed {
    /// What was done for it on the connection beyond connecting; `None` = others used the connection before.
    pub(crate) setup: Option<Vec<Step>>,
    /// How long the connection was idle before.
    pub(crate) idle: Option<Nanos>,
    pub(crate) protocol: Protocol,
    /// When the first and the last byte of the request went; `None` = nothing was asked yet.
    pub(crate) asked: Option<(Nanos, Nanos)>,
    pub(crate) request_ended: bool,
    /// When the first and the last byte of the answer came.
    pub(crate) answered: Option<(Nanos, Nanos)>,
    /// That may be session tickets alone.
    pub(crate) doubtful: bool,
    pub(crate) reads: u64,
    /// The longest time between two pieces of the answer.
    pub(crate) gap: Option<Nanos>,
    pub(crate) bytes: Bytes,
    /// What a proxy answered that does not lead there.
    pub(crate) refused: Option<u16>,
    pub(crate) error: Option<Name>,
    pub(crate) judged: Option<Judged>,
    /// When it was over; `None` = it is under way.
    pub(crate) ended: Option<Nanos>,
}

/// A step of a connection's set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) phase: Phase,
    pub(crate) start: Nanos,
    /// `None` = it goes on.
    pub(crate) end: Option<Nanos>,
}

/// What an exchange speaks.
#[derive(Debug)]
pub(crate) enum Protocol {
    /// It came to no request so far.
    Unknown,
    Http(Box<Http>),
    /// PostgreSQL.
    Query {
        operation: &'static str,
        error: Option<SqlState>,
    },
    /// One that is not read, or TLS.
    Other,
}

/// An exchange of HTTP/1.1.
#[derive(Debug, Default)]
pub(crate) struct Http {
    pub(crate) head: Option<Box<RequestHead>>,
    /// Digest of the request's first line.
    pub(crate) target: u64,
    pub(crate) body: RequestBody,
    pub(crate) response: Option<Box<ResponseHead>>,
    pub(crate) head_at: Option<Nanos>,
    pub(crate) first_content: Option<Nanos>,
    pub(crate) answer: Option<ResponseBody>,
    /// The connection speaks another protocol by now.
    pub(crate) upgraded: bool,
}

impl Turn {
    /// The first one of a connection, which is being set up.
    pub(crate) fn first(id: u64, line: Arc<Line>) -> Self {
        Self::new(id, line, Some(Vec::new()), None)
    }

    /// One that follows others, the last of which ended `idle` before.
    pub(crate) fn later(id: u64, line: Arc<Line>, idle: Option<Nanos>) -> Self {
        Self::new(id, line, None, idle)
    }

    fn new(id: u64, line: Arc<Line>, setup: Option<Vec<Step>>, idle: Option<Nanos>) -> Self {
        let state = Passed {
            setup,
            idle,
            protocol: Protocol::Unknown,
            asked: None,
            request_ended: false,
            answered: None,
            doubtful: false,
            reads: 0,
            gap: None,
            bytes: Bytes::default(),
            refused: None,
            error: None,
            judged: None,
            ended: None,
        };
        Self { id, line, state: Mutex::new(state) }
    }

    /// What is known so far. Held for a few instructions at a time.
    pub(crate) fn state(&self) -> MutexGuard<'_, Passed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passed {
    /// Bytes of the request went.
    pub(crate) const fn wrote(&mut self, at: Nanos, bytes: u64) {
        self.bytes.sent = self.bytes.sent.saturating_add(bytes);
        if let Some((_, last)) = &mut self.asked
            && !self.request_ended
        {
            *last = at;
        }
    }

    /// Bytes of the answer came.
    pub(crate) fn read(&mut self, at: Nanos, bytes: u64) {
        self.bytes.received = self.bytes.received.saturating_add(bytes);
        self.reads += 1;
        match &mut self.answered {
            Some((_, last)) => {
                let gap = at.saturating_sub(std::mem::replace(last, at));
                self.gap = Some(self.gap.map_or(gap, |longest| longest.max(gap)));
            }
            None => self.answered = Some((at, at)),
        }
    }

    /// What came so far was no answer after all.
    pub(crate) const fn is_unanswered(&mut self) {
        (self.answered, self.gap) = (None, None);
    }

    /// It is over, in this way.
    pub(crate) fn finish(&mut self, judged: Judged, at: Nanos) {
        self.judged = Some(judged);
        self.ended = Some(at);
    }

    /// Whether nothing in it says where an answer ends.
    pub(crate) const fn is_unframed(&self) -> bool {
        matches!(self.protocol, Protocol::Other)
    }

    /// Whether it was answered and nothing has come for so long that it may be over: only what follows would say so.
    pub(crate) fn is_silent(&self, now: Nanos) -> bool {
        let last = self.answered_at(now).filter(|_| self.is_unframed());
        last.is_some_and(|(_, last)| now.saturating_sub(last) >= SILENT)
    }

    /// The last move of either side; `None` = nothing was asked yet.
    pub(crate) fn last_move(&self) -> Option<Nanos> {
        self.asked.map(|(_, sent)| self.answered.map_or(sent, |(_, last)| last.max(sent)))
    }

    /// As [`Passed::answered`], as it is taken at `at`.
    pub(crate) fn answered_at(&self, at: Nanos) -> Option<(Nanos, Nanos)> {
        self.answered.filter(|&(_, last)| !self.doubtful || at.saturating_sub(last) < DOUBT)
    }

    /// Judges an end at `at`. `stopped`: when the client asked that it be stopped.
    pub(crate) fn judge(&self, how: How, at: Nanos, stopped: Option<Nanos>) -> Judged {
        let how = match (&self.protocol, how) {
            // After an upgrade, whoever closed in order ended it well.
            (Protocol::Http(http), How::PeerClosed(0) | How::CallerLeft) if http.upgraded => How::Complete,
            (_, how) => how,
        };
        match (&self.protocol, how, stopped) {
            (Protocol::Http(_), ..) | (_, How::PeerClosed(_) | How::CallerLeft, _) => self.movement(at).judge(how, at),
            (Protocol::Query { error: Some(SqlState::QUERY_CANCELED), .. }, How::Complete, Some(stopped)) => {
                let answered = self.answered.filter(|&(first, _)| first <= stopped);
                Movement { answered, ..self.movement(at) }.judge(How::CallerLeft, stopped)
            }
            (Protocol::Query { error: Some(_), .. }, How::Complete, _) => peer_failed(Outcome::Error, None),
            (Protocol::Query { error: None, .. } | Protocol::Unknown | Protocol::Other, How::Complete, _) => {
                Judged::plain(Outcome::Ok, None)
            }
        }
    }

    /// What moved, as far as an end at `at` is judged by it.
    pub(crate) fn movement(&self, at: Nanos) -> Movement {
        let http = self.http();
        Movement {
            sent: self.asked.map_or(0, |(_, last)| last),
            answered: self.answered_at(at),
            reads: self.reads,
            complete: http.and_then(|http| http.answer.as_ref()).is_some_and(|answer| answer.complete),
            status: http.and_then(Http::status),
            read_timeout: http.and_then(Http::read_timeout),
        }
    }

    pub(crate) fn http(&self) -> Option<&Http> {
        match &self.protocol {
            Protocol::Http(http) => Some(http),
            Protocol::Unknown | Protocol::Query { .. } | Protocol::Other => None,
        }
    }

    pub(crate) fn http_mut(&mut self) -> Option<&mut Http> {
        match &mut self.protocol {
            Protocol::Http(http) => Some(http),
            Protocol::Unknown | Protocol::Query { .. } | Protocol::Other => None,
        }
    }
}

impl Http {
    /// Status of the answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|head| head.status).filter(|&status| status != 0)
    }

    /// Whether the answer is a stream of events; `None` = there is none yet.
    pub(super) fn streams(&self) -> Option<bool> {
        let kind = self.response.as_ref()?.fields.message.content_type;
        Some(matches!(kind, ContentType::EventStream | ContentType::JsonLines))
    }

    /// The client's own read timeout, where it says so.
    pub(super) fn read_timeout(&self) -> Option<Nanos> {
        self.head.as_ref()?.fields.read_timeout_ms.map(|ms| ms.saturating_mul(MILLI))
    }
}
