//! What became of a try.

use super::MILLI;
use crate::model::{FailedBy, Nanos, Outcome};

/// How a try came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The answer is there.
    Complete,
    /// The peer closed or reset; the error number, where there was one.
    PeerClosed(i32),
    /// The caller closed, or its process ended.
    CallerLeft,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) outcome: Outcome,
    pub(crate) failed_by: Option<FailedBy>,
    pub(crate) errno: Option<i32>,
    pub(crate) gave_up_after: Option<Nanos>,
}

/// What moved on a try, as far as its end is judged by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Movement {
    /// When the last byte of the request went.
    pub(crate) sent: Nanos,
    /// When the first and the last bytes of the answer came.
    pub(crate) answered: Option<(Nanos, Nanos)>,
    /// How often bytes of the answer came.
    pub(crate) reads: u64,
    /// The answer ended as its framing said.
    pub(crate) complete: bool,
    pub(crate) status: Option<u16>,
    /// The caller's own read timeout, where it says so.
    pub(crate) read_timeout: Option<Nanos>,
}

impl Judged {
    /// The try ended by itself, in this way.
    pub(crate) const fn plain(outcome: Outcome, failed_by: Option<FailedBy>) -> Self {
        Self { outcome, failed_by, errno: None, gave_up_after: None }
    }
}

/// Judgement of a failure that is the peer's.
pub(crate) const fn peer_failed(outcome: Outcome, errno: Option<i32>) -> Judged {
    Judged { errno, ..Judged::plain(outcome, Some(FailedBy::Peer)) }
}

/// Judgement of a caller that left after waiting for so long.
pub(crate) const fn caller_left(waited: Nanos) -> Judged {
    Judged { gave_up_after: Some(waited), ..Judged::plain(Outcome::Timeout, Some(FailedBy::Caller)) }
}

impl Movement {
    /// The last move of either side.
    pub(crate) fn last(&self) -> Nanos {
        self.answered.map_or(self.sent, |(_, last)| last.max(self.sent))
    }

    /// Judges an end at `at`.
    pub(crate) fn judge(&self, how: How, at: Nanos) -> Judged {
        match how {
            How::Complete if self.complete => {
                let (outcome, failed_by) = self.status.map_or((Outcome::Ok, None), Outcome::of_status);
                Judged::plain(outcome, failed_by)
            }
            How::Complete => peer_failed(Outcome::Body, None),
            How::PeerClosed(errno) => {
                let outcome = if self.answered.is_some() && errno == 0 { Outcome::Body } else { Outcome::Reset };
                peer_failed(outcome, Some(errno).filter(|&errno| errno != 0))
            }
            How::CallerLeft => {
                let still = at.saturating_sub(self.last());
                let outcome = if self.is_moving(still) { Outcome::Cancelled } else { Outcome::Timeout };
                Judged { outcome, ..caller_left(still) }
            }
        }
    }

    /// Whether an answer that nothing frames was broken off: its peer reset the connection while it was coming.
    pub(crate) fn breaks_off(&self, how: How, at: Nanos) -> bool {
        matches!(how, How::PeerClosed(errno) if errno != 0) && self.is_moving(at.saturating_sub(self.last()))
    }

    /// Whether the answer was still coming when nothing had come for `still`.
    fn is_moving(&self, still: Nanos) -> bool {
        let Some((first, last)) = self.answered else { return false };
        if let Some(timeout) = self.read_timeout
            && still.abs_diff(timeout) <= timeout / 10 + 20 * MILLI
        {
            return false;
        }
        if self.reads < 4 {
            return still < 1_000 * MILLI;
        }
        let typical = last.saturating_sub(first) / (self.reads - 1);
        still < (4 * typical).max(250 * MILLI)
    }
}
