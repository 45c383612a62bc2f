//! How a hop ended, as a door tells it.

use crate::model::{FailedBy, Name, Outcome};

/// How a hop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// The outcome.
    pub outcome: Outcome,
    /// Who failed; `None` when nothing did.
    pub failed_by: Option<FailedBy>,
    /// HTTP status, where there was one.
    pub status: Option<u16>,
    /// `error.type` of OpenTelemetry: a short code from a small set, never a message.
    pub error_type: Option<Name>,
    /// The system's error number behind it.
    pub errno: Option<i32>,
}

impl Ending {
    /// As it should. Allocates nothing.
    #[must_use]
    pub const fn ok() -> Self {
        Self { outcome: Outcome::Ok, failed_by: None, status: None, error_type: None, errno: None }
    }

    /// By this outcome: failed by the peer, except that the caller cancels.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        let failed_by = match outcome {
            Outcome::Ok => None,
            Outcome::Cancelled => Some(FailedBy::Caller),
            _ => Some(FailedBy::Peer),
        };
        Self { outcome, failed_by, status: None, error_type: None, errno: None }
    }

    /// With this HTTP status.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        let (outcome, failed_by) = Outcome::of_status(status);
        Self { outcome, failed_by, status: Some(status), error_type: None, errno: None }
    }

    /// Left by its caller before it ended.
    #[must_use]
    pub const fn cancelled() -> Self {
        Self::of(Outcome::Cancelled)
    }

    /// Cut at the deadline of its run.
    #[must_use]
    pub const fn cut() -> Self {
        Self { outcome: Outcome::Timeout, failed_by: Some(FailedBy::Caller), status: None, error_type: None, errno: None }
    }

    /// The caller left at a time limit of its own: a client's timeout, a pool's.
    #[must_use]
    pub const fn timed_out() -> Self {
        Self { outcome: Outcome::Timeout, failed_by: Some(FailedBy::Caller), status: None, error_type: None, errno: None }
    }

    /// The caller's code panicked in it.
    #[must_use]
    pub fn panicked() -> Self {
        Self { failed_by: Some(FailedBy::Caller), error_type: Some("panic".into()), ..Self::of(Outcome::Error) }
    }

    /// The same, failed by somebody else.
    #[must_use]
    pub const fn by(mut self, who: FailedBy) -> Self {
        self.failed_by = Some(who);
        self
    }

    /// The same with an `error.type`: a short code from a small set, never a message.
    #[must_use]
    pub fn error_type(mut self, code: impl Into<Name>) -> Self {
        self.error_type = Some(code.into());
        self
    }

    /// Whether nothing failed.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok)
    }
}
