//! How long a server asks to wait before the next try (RFC 9110, 10.2.3).

use crate::model::Nanos;
use crate::model::clock;
use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The wait that an answer asks for: `retry-after-ms` as OpenAI sends it, else `retry-after` in seconds or as a date, counted
/// from `now`.
pub(crate) fn retry_after(headers: &HeaderMap, now: Nanos) -> Option<Nanos> {
    let text = |value: Option<&http::HeaderValue>| value.and_then(|value| value.to_str().ok()).map(|text| text.trim().to_owned());
    let millis = text(headers.get("retry-after-ms")).and_then(|text| of_number(&text, 1e6));
    millis.or_else(|| {
        let value = text(headers.get(RETRY_AFTER))?;
        of_number(&value, 1e9).or_else(|| clock::of_http_date(&value).map(|until| until.saturating_sub(now)))
    })
}

fn of_number(text: &str, unit: f64) -> Option<Nanos> {
    let number: f64 = text.parse().ok()?;
    // A cast of a float saturates; a negative wait is none.
    (number >= 0.0 && number.is_finite()).then_some((number * unit) as Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str) -> Option<Nanos> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        // Wed, 21 Oct 2015 07:28:00 GMT.
        retry_after(&headers, 1_445_412_480_000_000_000)
    }

    #[test]
    fn seconds_milliseconds_and_dates_are_read() {
        assert_eq!(of("retry-after", "2"), Some(2_000_000_000));
        assert_eq!(of("retry-after", " 0.5 "), Some(500_000_000));
        assert_eq!(of("retry-after-ms", "250"), Some(250_000_000));
        assert_eq!(of("retry-after", "Wed, 21 Oct 2015 07:28:07 GMT"), Some(7_000_000_000));
    }

    #[test]
    fn what_is_past_asks_for_no_wait_and_what_is_none_for_nothing() {
        assert_eq!(of("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT"), Some(0));
        for odd in ["-1", "soon", "", "NaN", "inf"] {
            assert_eq!(of("retry-after", odd), None, "{odd}");
        }
    }
}
