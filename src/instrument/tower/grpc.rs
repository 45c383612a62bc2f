//! gRPC over HTTP/2: how a call ended, and how long its caller waits.

use crate::instrument::ending::Ending;
use crate::model::{FailedBy, Outcome, grpc};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use std::time::Duration;

const TIMEOUT: &str = "grpc-timeout";

/// Whether a message is one of gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    grpc::is_grpc(headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default())
}

/// The status in headers or trailers.
pub(super) fn code(headers: &HeaderMap) -> Option<u32> {
    Some(grpc::code(headers.get(grpc::STATUS)?.as_bytes()))
}

/// What a status says.
pub(super) fn ending(code: u32) -> Ending {
    let status = grpc::status(code);
    status.name.map_or_else(Ending::ok, |name| Ending::of(status.outcome).by(FailedBy::Peer).error_type(name))
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
}
