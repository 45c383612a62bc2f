//! The doors that a handle makes beside hops and runs.

use super::Hopwatch;
use crate::instrument::gate::Gate;
use std::ops::RangeInclusive;

impl Hopwatch {
    /// A gate: so many permits, whose wait, hold and queue are measured. Make it once and clone it; gates of one name are told as one.
    #[must_use]
    pub fn gate(&self, name: &str, limit: usize) -> Gate {
        Gate::fixed(&self.inner.recorder, name, limit)
    }

    /// A gate whose limit follows the latency knee of what is behind it, within `limits`: it rises while more calls at once take no
    /// longer each, falls when they queue, and falls faster on timeouts and refusals. See [`Gate`] for what it learns from.
    #[must_use]
    pub fn adaptive_gate(&self, name: &str, limits: RangeInclusive<usize>) -> Gate {
        Gate::adaptive(&self.inner.recorder, name, limits)
    }
}
