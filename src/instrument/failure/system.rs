//! The system's errors, and tokio's timer.

use super::judge::{Evidence, Judged, Place};
use crate::instrument::run::DeadlinePassed;
use crate::model::Outcome;
use crate::model::error_type::{self, OTHER};
use std::error::Error;
use std::io::{self, ErrorKind};

pub(super) fn see(error: &(dyn Error + 'static), evidence: &mut Evidence) {
    if error.is::<tokio::time::error::Elapsed>() || error.is::<DeadlinePassed>() {
        evidence.timer = true;
    }
    let Some(io) = error.downcast_ref::<io::Error>() else { return };
    let (kind, errno) = (io.kind(), io.raw_os_error());
    if kind == ErrorKind::TimedOut && errno.is_none() {
        evidence.timer = true;
    }
    // Layers wrap: the innermost one that says something is the cause.
    if errno.is_some() || evidence.io.is_none_or(|(_, known)| known.is_none()) && kind != ErrorKind::Other {
        evidence.io = Some((kind, errno));
    }
}

pub(super) fn judge(place: Place, kind: ErrorKind, errno: Option<i32>) -> Judged {
    let code = match (error_type::of_system(kind, errno), place) {
        (OTHER, Place::Dns) => error_type::NAME_RESOLUTION,
        (OTHER, Place::Tls) => error_type::TLS,
        (OTHER, Place::Connecting | Place::Tcp | Place::Tunnel) => error_type::CONNECT,
        (OTHER, Place::Body) => "body",
        (code, _) => code,
    };
    if error_type::is_own_limit(kind, errno) {
        return Judged::caller(Outcome::Connect, code);
    }
    let outcome = match (place, kind) {
        (Place::Dns, _) => Outcome::Dns,
        (Place::Tls, _) => Outcome::Tls,
        (Place::Tcp | Place::Connecting | Place::Tunnel, _) => Outcome::Connect,
        (Place::Body, ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData) => Outcome::Body,
        (
            _,
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::NotConnected,
        ) => Outcome::Reset,
        (
            _,
            ErrorKind::ConnectionRefused | ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown,
        ) => Outcome::Connect,
        (_, ErrorKind::TimedOut) => Outcome::Timeout,
        (Place::Body, _) => Outcome::Body,
        _ => Outcome::Error,
    };
    Judged::peer(outcome, code)
}
