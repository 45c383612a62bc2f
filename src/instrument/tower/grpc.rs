//! gRPC over HTTP/2: what its statuses mean, and how long a caller waits.

use crate::instrument::ending::Ending;
use crate::model::{FailedBy, Outcome};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use std::time::Duration;

const STATUS: &str = "grpc-status";
const TIMEOUT: &str = "grpc-timeout";

/// Whether a message is one of gRPC (gRPC-Web has its trailers in the body, and is told by its HTTP status alone).
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    media.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The status in headers or trailers. One that is no number is `UNKNOWN`, as the protocol has it.
pub(super) fn code(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(STATUS)?;
    Some(value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(2))
}

/// What a status says (`google.rpc.Code`, whose HTTP mapping sorts the errors of the request from those of the server).
pub(super) fn ending(code: u32) -> Ending {
    let (outcome, name) = match code {
        0 => return Ending::ok(),
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
        14 => (Outcome::ServerError, "UNAVAILABLE"),
        15 => (Outcome::ServerError, "DATA_LOSS"),
        16 => (Outcome::ClientError, "UNAUTHENTICATED"),
        _ => (Outcome::ServerError, "UNKNOWN"),
    };
    Ending::of(outcome).by(FailedBy::Peer).error_type(name)
}

/// How a call ended whose trailers never came.
pub(super) fn without_status() -> Ending {
    Ending::of(Outcome::Body).error_type("grpc_status_missing")
}

/// How long the caller of a gRPC request waits: its `grpc-timeout`, such as `250m` for 250 ms. `None` without one, or when it breaks
/// the rules: up to eight digits and a unit.
#[must_use]
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn timeouts_are_read_in_every_unit_and_refused_when_odd() {
        let of = |value| grpc_timeout(&headers(TIMEOUT, value));
        assert_eq!(of("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(of("3M"), Some(Duration::from_secs(180)));
        assert_eq!(of("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("7u"), Some(Duration::from_micros(7)));
        assert_eq!(of("0n"), Some(Duration::ZERO));
        for odd in ["", "S", "1", "100000000S", "-1S", "1.5S", "1s", "1 S", "1é"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }

    #[test]
    fn every_code_but_zero_is_a_failure_with_a_name() {
        assert!(ending(0).is_ok());
        let names: std::collections::BTreeSet<_> = (1..=16).map(|code| ending(code).error_type.unwrap()).collect();
        assert_eq!(names.len(), 16);
        assert_eq!(ending(8).outcome, Outcome::RateLimited);
        assert_eq!(ending(4).outcome, Outcome::Timeout);
        assert_eq!(ending(99), ending(2));
        assert_eq!(code(&headers(STATUS, "what")), Some(2));
    }

    #[test]
    fn only_grpc_is_grpc() {
        for (media, is) in [("application/grpc", true), ("application/grpc+proto", true), ("application/grpc-web", false)] {
            assert_eq!(is_grpc(&headers("content-type", media)), is, "{media}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
