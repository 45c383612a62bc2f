//! The limit that follows the latency knee: pure, without a clock.
//!
//! A dependency serves so many calls at once; more of them only queue there, and latency grows with what queues. The limit is steered
//! to where the queue begins, as TCP Vegas (Brakmo, O'Malley, Peterson, SIGCOMM 1994) and FAST TCP (Wei, Jin, Low, Hegde, IEEE/ACM
//! ToN 2006) steer a window, and as the gradient limits of Netflix's concurrency-limits do for calls:
//!
//! ```text
//! limit <- limit + (limit * min(1, tolerance * normal / recent) + headroom - limit) / 2
//! ```
//!
//! `recent` is the median latency of a window of calls at the present limit, `normal` the lowest such median, that is without a queue.
//! It rests where about `headroom` calls queue. A window in which the limit was not reached says nothing of the limit and changes
//! none. `headroom` is the binary logarithm of the limit. A call that ran into a timeout or was refused for the rate (429, shed) cuts the limit by a quarter, once for all calls
//! that were under way then. Since a dependency may get slower for good, `normal` is measured anew every so often: for one window at half
//! the limit (as BBR does), or for free while the load is low.

use crate::model::Nanos;

/// Fewest calls in a window.
const WINDOW_MIN: usize = 10;
/// Most calls in a window.
const WINDOW_MAX: usize = 256;
/// Noise of a median that is no queue.
const TOLERANCE: f64 = 1.1;
/// Largest cut by one window.
const GRADIENT_MIN: f64 = 0.5;
/// Growth by a window until the first queue is seen (slow start).
const START: f64 = 1.5;
/// Windows after which `normal` is measured anew.
const AGE_MAX: u32 = 30;
/// What is left of the limit after a timeout or a refusal.
const BACK_OFF: f64 = 0.75;

/// Follows the knee between two limits.
#[derive(Debug)]
pub(super) struct Adapt {
    min: f64,
    max: f64,
    limit: f64,
    /// No queue was seen yet.
    starting: bool,
    /// `normal` is being measured at half the limit.
    probing: bool,
    normal: Option<Normal>,
    /// Calls that began before this are of an earlier limit.
    since: Nanos,
    latencies: Vec<Nanos>,
    /// Most calls at once in the window.
    peak: usize,
}

#[derive(Clone, Copy, Debug)]
struct Normal {
    latency: Nanos,
    /// Windows ago.
    age: u32,
}

/// One call through the gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When it got its permit.
    pub(super) begun: Nanos,
    /// When it gave it back.
    pub(super) ended: Nanos,
    /// Calls under way when it began, itself included.
    pub(super) in_flight: usize,
    /// It ran into a timeout, or was refused for the rate.
    pub(super) overloaded: bool,
}

impl Adapt {
    /// Between `min` (at least 1) and `max`, from `min` upwards.
    pub(super) fn new(min: usize, max: usize) -> Self {
        let min = min.max(1);
        let limit = min as f64;
        Self {
            min: limit,
            max: max.max(min) as f64,
            limit,
            starting: true,
            probing: false,
            normal: None,
            since: 0,
            latencies: Vec::new(),
            peak: 0,
        }
    }

    /// The limit now.
    pub(super) fn limit(&self) -> usize {
        // Low enough that nothing queues, also where a few calls in the queue are most of them.
        let low = || (self.limit / 2.0).min(self.limit - 2.0 * self.headroom()).max(self.min);
        (if self.probing { low() } else { self.limit }) as usize
    }

    /// Calls that may queue.
    fn headroom(&self) -> f64 {
        self.limit.log2().max(1.0)
    }

    /// Goes on from another limit.
    pub(super) fn set(&mut self, limit: usize) {
        self.limit = (limit as f64).clamp(self.min, self.max);
        (self.starting, self.probing) = (false, false);
        self.latencies.clear();
        self.peak = 0;
    }

    /// Learns from a call that ended, and says the limit from now on.
    pub(super) fn sample(&mut self, sample: Sample) -> usize {
        if sample.begun >= self.since {
            if sample.overloaded {
                self.back_off(sample.ended);
            } else {
                self.latencies.push(sample.ended.saturating_sub(sample.begun));
                self.peak = self.peak.max(sample.in_flight);
                if self.latencies.len() >= self.limit().clamp(WINDOW_MIN, WINDOW_MAX) {
                    self.close(sample.ended);
                }
            }
        }
        self.limit()
    }

    fn back_off(&mut self, now: Nanos) {
        self.limit = (self.limit * BACK_OFF).max(self.min);
        (self.starting, self.probing) = (false, false);
        self.begin(now);
    }

    /// The next window; calls under way are of an earlier limit.
    fn begin(&mut self, now: Nanos) {
        self.since = now;
        self.latencies.clear();
        self.peak = 0;
    }

    /// Ends a window.
    fn close(&mut self, now: Nanos) {
        let middle = self.latencies.len() / 2;
        let recent = *self.latencies.select_nth_unstable(middle).1;
        let before = self.limit();
        let limited = self.peak >= before;
        let known = self.normal.filter(|_| !self.probing);
        let mut normal = match known {
            Some(known) if known.latency < recent => Normal { age: known.age + 1, ..known },
            _ => Normal { latency: recent, age: 0 },
        };
        let old = normal.age >= AGE_MAX;
        if self.probing {
            self.probing = false;
        } else if limited && old {
            self.probing = true;
        } else if limited {
            self.steer(normal.latency, recent);
        } else if old {
            normal = Normal { latency: recent, age: 0 };
        }
        self.normal = Some(normal);
        // A window at another limit begins with calls that began under it.
        self.begin(if before == self.limit() { self.since } else { now });
    }

    fn steer(&mut self, normal: Nanos, recent: Nanos) {
        let gradient = (TOLERANCE * normal as f64 / recent.max(1) as f64).clamp(GRADIENT_MIN, 1.0);
        self.starting &= gradient >= 1.0;
        let target = self.limit * gradient + self.headroom();
        let next = if self.starting { self.limit * START + 1.0 } else { (self.limit + target) / 2.0 };
        self.limit = next.clamp(self.min, self.max);
    }
}

#[cfg(test)]
mod tests;
