//! The library's clock: tokio's, anchored to the epoch once, so that it stands still where a test pauses time and differences are
//! exact whatever the wall clock does.

use crate::model::Nanos;
use crate::model::clock::{Anchor, nanos};
use tokio::time::Instant;

/// A monotonic clock in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base: Instant,
    epoch: Nanos,
}

impl Clock {
    /// Anchors now.
    pub(crate) fn new() -> Self {
        Self { base: Instant::now(), epoch: Anchor::new(0).instant(0) }
    }

    /// Now. One read of the monotonic clock, about 30 ns.
    pub(crate) fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// An instant of tokio's clock on this one; those before the anchor count back from it.
    pub(crate) fn at(&self, instant: Instant) -> Nanos {
        match instant.checked_duration_since(self.base) {
            Some(since) => self.epoch.saturating_add(nanos(since)),
            None => self.epoch.saturating_sub(nanos(self.base.duration_since(instant))),
        }
    }

    /// Whether tokio's clock was paused or moved by hand: then what it says has nothing to do with what blocks a thread.
    pub(crate) fn is_virtual(&self) -> bool {
        let before = Instant::from_std(crate::model::clock::monotonic());
        let told = Instant::now();
        told < before || told > Instant::from_std(crate::model::clock::monotonic())
    }

    /// This clock's reading as an instant of tokio's clock, for timers.
    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        let since = std::time::Duration::from_nanos(at.saturating_sub(self.epoch));
        // Beyond what an instant can hold is as good as never: a century.
        self.base.checked_add(since).unwrap_or(self.base + std::time::Duration::from_secs(3_155_760_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_stands_still_with_tokios_clock() {
        let clock = Clock::new();
        let before = clock.now();
        assert_eq!(clock.now(), before);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now() - before, 5_000_000_000);
        assert_eq!(clock.at(clock.instant(before)), before);
        assert!(clock.is_virtual());
    }
}
