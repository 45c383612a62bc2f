//! The system's errors, and tokio's timer.

use super::judge::{Code, Evidence, Judged, OTHER, Place};
use crate::instrument::run::DeadlinePassed;
use crate::model::Outcome;
use std::error::Error;
use std::io::{self, ErrorKind};

/// Too many open files, in the process and in the system (`errno.h`; the same numbers on Linux, macOS and the BSDs).
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

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
    let code = match (code(kind, errno), place) {
        (OTHER, Place::Dns) => "name_resolution",
        (OTHER, Place::Tls) => "tls",
        (OTHER, Place::Connecting | Place::Tcp | Place::Tunnel) => "connect",
        (OTHER, Place::Body) => "body",
        (code, _) => code,
    };
    // Its own limits: no file descriptor, no local port.
    if matches!(errno, Some(EMFILE | ENFILE)) || kind == ErrorKind::AddrNotAvailable {
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

fn code(kind: ErrorKind, errno: Option<i32>) -> Code {
    match (kind, errno) {
        (_, Some(EMFILE | ENFILE)) => "too_many_open_files",
        (ErrorKind::ConnectionRefused, _) => "connection_refused",
        (ErrorKind::ConnectionReset, _) => "connection_reset",
        (ErrorKind::ConnectionAborted, _) => "connection_aborted",
        (ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::NotConnected, _) => "connection_closed",
        (ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown, _) => "network_unreachable",
        (ErrorKind::HostUnreachable, _) => "host_unreachable",
        (ErrorKind::AddrNotAvailable, _) => "no_local_port",
        (ErrorKind::TimedOut, _) => "timeout",
        (ErrorKind::PermissionDenied, _) => "permission_denied",
        (ErrorKind::NotFound, _) => "not_found",
        (ErrorKind::AlreadyExists, _) => "already_exists",
        (ErrorKind::InvalidInput | ErrorKind::InvalidData, _) => "invalid_data",
        (ErrorKind::WouldBlock, _) => "would_block",
        (ErrorKind::OutOfMemory, _) => "out_of_memory",
        (ErrorKind::Unsupported, _) => "unsupported",
        _ => OTHER,
    }
}
