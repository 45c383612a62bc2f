//! From what was seen along the sources of an error to what it means.

use super::{Failure, system};
use crate::model::{FailedBy, Outcome, Phase, error_type};
use std::io::ErrorKind;

/// What was seen on the walk. The first of a kind counts: what lies nearer to the caller knows more of the call.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Where the call was.
    pub(super) place: Place,
    /// A status that was made an error.
    pub(super) status: Option<u16>,
    /// A name that was not resolved.
    pub(super) lookup: Option<Code>,
    /// What went wrong in a handshake.
    pub(super) tls: Option<Code>,
    /// What a forward proxy answered.
    pub(super) tunnel: Option<Code>,
    /// What an HTTP/2 peer said, or what we said of it.
    pub(super) stream: Option<Judged>,
    /// A timer of the client ran out.
    pub(super) timer: bool,
    /// The system's error, or what a library dressed as one.
    pub(super) io: Option<(ErrorKind, Option<i32>)>,
    /// What hyper says of the exchange.
    pub(super) http: Option<Judged>,
    /// The client's own fault: a bad URL, too many redirects, a body that is not what it should be.
    pub(super) client: Option<Judged>,
}

/// A short code of a small set.
pub(super) type Code = &'static str;

/// One finding that judges alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) failed_by: FailedBy,
    pub(super) code: Code,
}

/// Where in a call an error arose, as far as its types tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "reqwest"), expect(dead_code, reason = "the bare library knows fewer errors"))]
pub(super) enum Place {
    /// Not known.
    #[default]
    Unknown,
    /// Before or in the connection; which part is not known.
    Connecting,
    /// Resolving the name.
    Dns,
    /// Opening the connection.
    Tcp,
    /// Asking a forward proxy.
    Tunnel,
    /// In the handshake.
    Tls,
    /// Sending the request's body.
    Upload,
    /// On a connection, before the answer's head.
    Exchange,
    /// In the answer's body.
    Body,
}

impl Judged {
    pub(super) const fn peer(outcome: Outcome, code: Code) -> Self {
        Self { outcome, failed_by: FailedBy::Peer, code }
    }

    pub(super) const fn caller(outcome: Outcome, code: Code) -> Self {
        Self { outcome, failed_by: FailedBy::Caller, code }
    }
}

impl Evidence {
    /// Status before the types that know their cause, these before timers, timers before the system's number, and that before
    /// what hyper can say.
    pub(super) fn judge(self) -> Failure {
        let phase = self.place.phase();
        let errno = self.io.and_then(|(_, errno)| errno);
        if let Some(status) = self.status {
            let (outcome, failed_by) = Outcome::of_status(status);
            let error_type = status.to_string().into();
            return Failure { outcome, failed_by, phase: None, status: Some(status), error_type, errno: None };
        }
        let judged = self.judged();
        let error_type = judged.code.into();
        Failure { outcome: judged.outcome, failed_by: Some(judged.failed_by), phase, status: None, error_type, errno }
    }

    fn judged(&self) -> Judged {
        // The kernel's own timeout carries its number; a timer has none.
        let kernel = matches!(self.io, Some((ErrorKind::TimedOut, Some(_))));
        let setup = match (self.lookup, self.tls, self.tunnel) {
            (Some(code), _, _) => Some(Judged::peer(Outcome::Dns, code)),
            (_, Some(code), _) => Some(Judged::peer(Outcome::Tls, code)),
            (_, _, Some(code)) => Some(Judged::peer(Outcome::Connect, code)),
            _ => None,
        };
        if let Some(judged) = setup.or(self.stream) {
            return judged;
        }
        if self.timer && !kernel {
            return Judged::caller(Outcome::Timeout, error_type::TIMEOUT);
        }
        if let Some(judged) = self.http.filter(|judged| judged.failed_by == FailedBy::Caller) {
            return judged;
        }
        if let Some((kind, errno)) = self.io {
            return system::judge(self.place, kind, errno);
        }
        match (self.http.or(self.client), self.place) {
            (Some(judged), _) => judged,
            (None, Place::Dns) => Judged::peer(Outcome::Dns, error_type::NAME_RESOLUTION),
            (None, Place::Tcp | Place::Connecting | Place::Tunnel) => Judged::peer(Outcome::Connect, error_type::CONNECT),
            (None, Place::Tls) => Judged::peer(Outcome::Tls, error_type::TLS),
            (None, Place::Body) => Judged::peer(Outcome::Body, "body"),
            (None, Place::Upload | Place::Exchange | Place::Unknown) => Judged::peer(Outcome::Error, error_type::OTHER),
        }
    }
}

impl Place {
    const fn phase(self) -> Option<Phase> {
        match self {
            Self::Dns => Some(Phase::Dns),
            Self::Connecting | Self::Tcp => Some(Phase::Connect),
            Self::Tunnel => Some(Phase::Proxy),
            Self::Tls => Some(Phase::Tls),
            Self::Upload => Some(Phase::Send),
            Self::Unknown | Self::Exchange | Self::Body => None,
        }
    }
}
