//! The doors that a handle makes beside hops and runs.

use super::Hopwatch;
use crate::instrument::gate::Gate;
use crate::instrument::stall::heartbeat::{self, NoRuntime};
use crate::instrument::startup::{self, Startup, StartupPhase};
use std::ops::RangeInclusive;

impl Hopwatch {
    /// A gate: so many permits, whose wait, hold and queue are measured. Make it once and clone it; gates of one name are told as one.
    #[must_use]
    pub fn gate(&self, name: &str, limit: usize) -> Gate {
        Gate::fixed(&self.inner.recorder, name, limit)
    }

    /// Starts a heartbeat on the current tokio runtime: a task that wakes every 10 ms and is late when something blocked the runtime,
    /// in code of ours or not. `runtime` names it in the metric. The runs on that runtime then know when they were held up.
    ///
    /// A runtime has one heartbeat; asking again changes nothing. It ends with the runtime or the last clone of this handle. Without it,
    /// only what hops and runs themselves block is seen. A multi-threaded runtime misses no beat while one of its workers is free.
    ///
    /// # Errors
    /// [`NoRuntime`] outside of a runtime.
    pub fn heartbeat(&self, runtime: &str) -> Result<(), NoRuntime> {
        heartbeat::start(&self.inner.recorder, runtime)
    }

    /// A gate whose limit follows the latency knee of what is behind it, within `limits`: it rises while more calls at once take no
    /// longer each, falls when they queue, and falls faster on timeouts and refusals. See [`Gate`] for what it learns from.
    #[must_use]
    pub fn adaptive_gate(&self, name: &str, limits: RangeInclusive<usize>) -> Gate {
        Gate::adaptive(&self.inner.recorder, name, limits)
    }

    /// The start-up of the service, counted from the start of its process: the one under way, or a new one when none is. Keep it until
    /// [`ready`](Startup::ready); dropped before, it was aborted.
    #[must_use = "a start-up that is dropped at once is aborted at once"]
    pub fn startup(&self) -> Startup {
        Startup::of(&self.inner.recorder)
    }

    /// A named part of whatever start-up is under way, for code that does not know of one: what makes a client, wherever it is called.
    /// Inside a run it is recorded there. Takes a lock: make it once where it is timed often.
    pub fn startup_phase(&self, name: &str) -> StartupPhase {
        startup::phase_anywhere(&self.inner.recorder, name)
    }
}
