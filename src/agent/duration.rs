//! Durations as people write them: `10s`, `1m30s`, `500ms`, `2.5s`, bare seconds.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration: {reason}")]
pub struct DurationError {
    text: String,
    reason: &'static str,
}

impl DurationError {
    /// What to write instead.
    pub const HINT: &str = "write it like `10s`, `1m30s`, `500ms` or `2h`; a bare number counts seconds";
}

const UNITS: [(&str, f64); 6] = [("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// Longest duration that is taken: ten years.
const MAX_SECONDS: f64 = 315_360_000.0;

/// Parses a duration above zero.
///
/// # Errors
/// When a part is no number with a known unit, or the sum is zero or absurdly long.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let fail = |reason| DurationError { text: text.to_owned(), reason };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(fail("it is empty"));
    }
    let mut seconds = 0.0;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| fail("a number is missing"))?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = rest[..letters].trim();
        rest = &rest[letters..];
        let scale = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, scale)) => *scale,
            None if unit.is_empty() && parts == 0 && rest.is_empty() => 1.0,
            None if unit.is_empty() => return Err(fail("a unit is missing")),
            None => return Err(fail("its unit is not known")),
        };
        seconds += number * scale;
        parts += 1;
    }
    if seconds > MAX_SECONDS {
        return Err(fail("it is longer than ten years"));
    }
    let duration = Duration::from_secs_f64(seconds);
    if duration.is_zero() {
        return Err(fail("it must be above zero"));
    }
    Ok(duration)
}

/// A duration as [`parse`] reads it back: `500ms`, `75s`, `2m`, `1h30m`. Exact down to the microsecond.
#[must_use]
pub fn text(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros < 1_000_000 {
        return if micros.is_multiple_of(1_000) { format!("{}ms", micros / 1_000) } else { format!("{micros}us") };
    }
    // Timeouts are spoken of in seconds up to two minutes.
    let seconds = if micros < 120_000_000 { 0 } else { micros / 1_000_000 };
    let parts = [
        (seconds / 3_600, "h"),
        (seconds % 3_600 / 60, "m"),
        (if seconds == 0 { micros / 1_000_000 } else { seconds % 60 }, "s"),
        (micros % 1_000_000 / 1_000, "ms"),
        (micros % 1_000, "us"),
    ];
    parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["1us", "500ms", "1500us", "5s", "75s", "90s500ms", "2m", "2m5s", "1h", "1h30m", "25h1s"] {
            assert_eq!(super::text(parse(text).unwrap()), text);
        }
        assert_eq!(super::text(Duration::from_secs(60)), "60s");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [("10s", 10_000), ("1m30s", 90_000), ("500ms", 500), ("7", 7_000), ("2.5s", 2_500), ("1h", 3_600_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_why() {
        for text in ["", "s", "10 parsecs", "10s5", "1..2s", "-3s", "0", "0ms", "1e9h", "99999999h", "∞"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("10x").unwrap_err().to_string(), "`10x` is no duration: its unit is not known");
    }
}
