//! The one place that reads clocks.

use super::Nanos;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Ties a monotonic clock to the Unix epoch once, so that differences of anchored instants are exact whatever the wall clock does later.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    monotonic: Nanos,
    epoch: Nanos,
    taken: Instant,
}

impl Anchor {
    /// Anchors now; `monotonic` is this very moment on the other clock (`CLOCK_MONOTONIC` for the observer), in nanoseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new(monotonic: Nanos) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos);
        Self { monotonic, epoch, taken: Instant::now() }
    }

    /// An anchor with given values, for tests and replays.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn at(monotonic: Nanos, epoch: Nanos) -> Self {
        Self { monotonic, epoch, taken: Instant::now() }
    }

    /// The instant of a reading of the monotonic clock; readings before the epoch are the epoch.
    #[must_use]
    pub const fn instant(&self, monotonic: Nanos) -> Nanos {
        if monotonic >= self.monotonic {
            self.epoch.saturating_add(monotonic - self.monotonic)
        } else {
            self.epoch.saturating_sub(self.monotonic - monotonic)
        }
    }

    /// Now, on the anchored clock.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.epoch.saturating_add(self.taken.elapsed().as_nanos() as Nanos)
    }
}

/// Now on a monotonic clock, for durations within this process.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A duration in nanoseconds; more than 584 years are as good as never.
#[must_use]
pub const fn nanos(duration: Duration) -> Nanos {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

/// An instant as RFC 3339 UTC with milliseconds, as the report writes it.
#[must_use]
pub fn rfc3339(instant: Nanos) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(instant)).unwrap_or_default();
    format!("{time:.3}")
}

/// The instant of a date as HTTP writes it (RFC 9110, 5.6.7): `Wed, 21 Oct 2015 07:28:00 GMT`.
#[must_use]
pub fn of_http_date(text: &str) -> Option<Nanos> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Nanos::try_from(date.timestamp().as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_anchored_instants_are_exact() {
        let anchor = Anchor::at(1_000, 1_700_000_000_000_000_000);
        assert_eq!(anchor.instant(1_500) - anchor.instant(700), 800);
    }

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(of_http_date("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480_000_000_000));
        assert_eq!(of_http_date("yesterday"), None);
    }

    #[test]
    fn instants_are_written_with_milliseconds() {
        assert_eq!(rfc3339(1_700_000_000_123_456_789), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }
}
