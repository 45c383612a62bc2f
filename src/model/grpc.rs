//! gRPC: which messages are its own, and what its statuses mean.
//!
//! Sources: [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), `google.rpc.Code`.

use super::{FailedBy, Outcome};

/// Name of the field, in trailers or in a head without a body, that holds a call's status.
pub const STATUS: &str = "grpc-status";

/// Name of the field that holds a text for people, beside it.
pub const MESSAGE: &str = "grpc-message";

/// The peer is not there, for now.
pub const UNAVAILABLE: u32 = 14;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What became of it.
    pub outcome: Outcome,
    /// Who failed.
    pub failed_by: Option<FailedBy>,
    /// The status's name; `None` = it is `OK`.
    pub name: Option<&'static str>,
}

/// Whether a message of this `content-type` is one of gRPC (gRPC-Web has its trailers in the body, and is told by its HTTP status alone).
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    content_type.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The status in a field's value. One that is no number is `UNKNOWN`, as the protocol has it.
#[must_use]
pub fn code(value: &[u8]) -> u32 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// What a status says: the HTTP mapping of `google.rpc.Code` sorts the errors of the request from those of the server.
#[must_use]
pub const fn status(code: u32) -> Status {
    let (outcome, name) = match code {
        0 => return Status { outcome: Outcome::Ok, failed_by: None, name: None },
        1 => (Outcome::Cancelled, "CANCELLED"),
        3 => (Outcome::ClientError, "INVALID_ARGUMENT"),
        4 => (Outcome::Timeout, "DEADLINE_EXCEEDED"),
        5 => (Outcome::ClientError, "NOT_FOUND"),
        6 => (Outcome::ClientError, "ALREADY_EXISTS"),
        7 => (Outcome::ClientError, "PERMISSION_DENIED"),
        8 => (Outcome::RateLimited, "RESOURCE_EXHAUSTED"),
        9 => (Outcome::ClientError, "FAILED_PRECONDITION"),
        10 => (Outcome::ClientError, "ABORTED"),
        11 => (Outcome::ClientError, "OUT_OF_RANGE"),
        12 => (Outcome::ServerError, "UNIMPLEMENTED"),
        13 => (Outcome::ServerError, "INTERNAL"),
        UNAVAILABLE => (Outcome::ServerError, "UNAVAILABLE"),
        15 => (Outcome::ServerError, "DATA_LOSS"),
        16 => (Outcome::ClientError, "UNAUTHENTICATED"),
        _ => (Outcome::ServerError, "UNKNOWN"),
    };
    Status { outcome, failed_by: Some(FailedBy::Peer), name: Some(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_but_zero_is_a_failure_with_a_name() {
        assert_eq!(status(0).outcome, Outcome::Ok);
        let names: std::collections::BTreeSet<_> = (1..=16).map(|code| status(code).name.unwrap()).collect();
        assert_eq!(names.len(), 16);
        assert_eq!(status(8).outcome, Outcome::RateLimited);
        assert_eq!(status(4).outcome, Outcome::Timeout);
        assert_eq!(status(99), status(2));
        assert_eq!((code(b"14"), code(b"what")), (14, 2));
    }

    #[test]
    fn only_grpc_is_grpc() {
        for (media, is) in
            [("application/grpc", true), ("application/grpc+proto", true), ("application/grpc-web", false), ("", false)]
        {
            assert_eq!(is_grpc(media.as_bytes()), is, "{media}");
        }
    }
}
