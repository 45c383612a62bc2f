//! What alerts are told: objectives, limits, windows.

use std::time::Duration;

/// What alerts and links are made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Where the runbook can be read, without a heading.
    pub runbook: String,
    /// The share of runs that shall end in time, above 0 and below 1.
    pub objective: f64,
    /// How many times its usual a dependency's mean may be.
    pub slow_factor: f64,
    /// How long a call may be open.
    pub open_age: Duration,
    /// How long a start-up may take.
    pub startup_budget: Duration,
    /// Windows and waits are divided by this, to try alerts out; 1 = as they are meant.
    pub shrink: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            // Where the Grafana of `dashboards/compose.yaml` serves it.
            runbook: "http://localhost:3000/public/hopwatch/RUNBOOK.md".to_owned(),
            objective: 0.99,
            slow_factor: 3.0,
            open_age: Duration::from_secs(120),
            startup_budget: Duration::from_secs(30),
            shrink: 1,
        }
    }
}

impl Parameters {
    /// The shortest window: a rate needs samples.
    const WINDOW_MIN: u64 = 5;

    /// A window of so many seconds, as PromQL writes it.
    pub(super) fn window(&self, seconds: u64) -> String {
        promql((seconds / u64::from(self.shrink.max(1))).max(Self::WINDOW_MIN))
    }

    /// How long something must go on before it is told.
    pub(super) fn hold(&self, seconds: u64) -> String {
        promql(seconds / u64::from(self.shrink.max(1)))
    }
}

/// A whole number of seconds as PromQL writes durations.
fn promql(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    unit.map_or_else(|| format!("{seconds}s"), |(size, unit)| format!("{}{unit}", seconds / size))
}

/// A number in few digits, as expressions have it.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_written_in_their_largest_unit_and_shrink_to_what_a_rate_needs() {
        let meant = Parameters::default();
        assert_eq!([300, 3_600, 259_200, 90].map(|seconds| meant.window(seconds)), ["5m", "1h", "3d", "90s"]);
        let tried = Parameters { shrink: 60, ..meant };
        assert_eq!([300, 3_600, 60].map(|seconds| tried.window(seconds)), ["5s", "1m", "5s"]);
        assert_eq!([300, 30].map(|seconds| tried.hold(seconds)), ["5s", "0s"]);
    }

    #[test]
    fn numbers_have_no_tail() {
        assert_eq!([0.144, 14.4 * (1.0 - 0.99), 3.0, 0.5].map(number), ["0.144", "0.144", "3", "0.5"]);
    }
}
