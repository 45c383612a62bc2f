//! Short codes for `error.type`: a small set, spelled once for all sources.

use super::Outcome;
use std::io::ErrorKind;

/// Nothing is known, as OpenTelemetry spells it.
pub(crate) const OTHER: &str = "_OTHER";

/// There is no such name, or it has no address.
pub(crate) const NAME_NOT_FOUND: &str = "name_not_found";
/// The name servers did not answer, or not usefully.
pub(crate) const NAME_SERVER_FAILURE: &str = "name_server_failure";
/// A name was not resolved for another reason.
pub(crate) const NAME_RESOLUTION: &str = "name_resolution";

/// No connection, without a number that tells why.
pub(crate) const CONNECT: &str = "connect";
/// Time ran out.
pub(crate) const TIMEOUT: &str = "timeout";
/// The peer closed.
pub(crate) const CONNECTION_CLOSED: &str = "connection_closed";

/// The caller does not speak the protocol.
pub(crate) const INVALID_REQUEST: &str = "invalid_request";
/// The peer does not speak the protocol.
pub(crate) const INVALID_RESPONSE: &str = "invalid_response";

/// A handshake failed for a reason without a code of its own.
pub(crate) const TLS: &str = "tls";
/// The peer does not speak TLS there.
pub(crate) const NOT_TLS: &str = "not_tls";
/// The peer ended the handshake with an alert.
pub(crate) const TLS_ALERT: &str = "tls_alert";
/// The certificate is not valid any more.
pub(crate) const CERTIFICATE_EXPIRED: &str = "certificate_expired";
/// The certificate's issuer is not trusted.
pub(crate) const CERTIFICATE_UNKNOWN_ISSUER: &str = "certificate_unknown_issuer";
/// The certificate is for other names.
pub(crate) const CERTIFICATE_NAME: &str = "certificate_name";
/// The certificate cannot be used for another reason.
pub(crate) const CERTIFICATE: &str = "certificate";

/// A forward proxy wants credentials, or others.
pub(crate) const PROXY_AUTHENTICATION_REQUIRED: &str = "proxy_authentication_required";
/// A forward proxy closed instead of answering.
pub(crate) const PROXY_CLOSED: &str = "proxy_closed";
/// A forward proxy does not lead on.
pub(crate) const PROXY_REFUSED: &str = "proxy_refused";

/// Too many open files, in the process and in the system (`errno.h`; the same numbers on Linux, macOS and the BSDs).
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// The code of a system's error.
pub(crate) const fn of_system(kind: ErrorKind, errno: Option<i32>) -> &'static str {
    match (kind, errno) {
        (_, Some(EMFILE | ENFILE)) => "too_many_open_files",
        (ErrorKind::ConnectionRefused, _) => "connection_refused",
        (ErrorKind::ConnectionReset, _) => "connection_reset",
        (ErrorKind::ConnectionAborted, _) => "connection_aborted",
        (ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::NotConnected, _) => CONNECTION_CLOSED,
        (ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown, _) => "network_unreachable",
        (ErrorKind::HostUnreachable, _) => "host_unreachable",
        (ErrorKind::AddrNotAvailable, _) => "no_local_port",
        (ErrorKind::TimedOut, _) => TIMEOUT,
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

/// Whether a system's error is a limit of one's own machine: no file descriptor, no local port.
pub(crate) const fn is_own_limit(kind: ErrorKind, errno: Option<i32>) -> bool {
    matches!(errno, Some(EMFILE | ENFILE)) || matches!(kind, ErrorKind::AddrNotAvailable)
}

/// Error codes of HTTP/2 (RFC 9113, section 7).
mod h2 {
    pub(super) const NO_ERROR: u32 = 0x0;
    pub(super) const REFUSED_STREAM: u32 = 0x7;
    pub(super) const CANCEL: u32 = 0x8;
    pub(super) const ENHANCE_YOUR_CALM: u32 = 0xb;
}

/// What an error of HTTP/2 with this error code means, and its short code: one of a whole connection (`GOAWAY`) or of one stream, said by
/// the peer or by oneself.
pub(crate) const fn of_h2(reason: u32, is_goaway: bool, is_remote: bool) -> (Outcome, &'static str) {
    match reason {
        // We ended it, since the peer broke the protocol.
        reason if !is_remote && reason != h2::CANCEL && reason != h2::NO_ERROR => (Outcome::Error, INVALID_RESPONSE),
        h2::REFUSED_STREAM => (Outcome::Shed, "refused_stream"),
        h2::ENHANCE_YOUR_CALM => (Outcome::RateLimited, "enhance_your_calm"),
        _ if is_goaway => (Outcome::Reset, "goaway"),
        _ => (Outcome::Reset, "stream_reset"),
    }
}
