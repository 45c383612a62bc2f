//! Recording rules: what alerts ask over several windows, computed once.
//!
//! Named as Prometheus advises: `level:metric:operations`.

use super::parameters::Parameters;
use super::query::{all, sum};
use crate::model::Outcome;
use crate::model::names::{self, label};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A rule that records a series.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) record: String,
    pub(super) expr: String,
}

/// A pair of windows in which the budget of timeouts is burnt too fast, as Google's SRE workbook has them (chapter 5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Burn {
    pub(super) long: u64,
    pub(super) short: u64,
    /// How many times faster than the budget lasts.
    pub(super) factor: f64,
    pub(super) hold: u64,
    pub(super) severity: &'static str,
}

/// Fast burns wake somebody, slow ones are for the working day.
pub(super) const BURNS: [Burn; 4] = [
    Burn { long: HOUR, short: 300, factor: 14.4, hold: 120, severity: "critical" },
    Burn { long: 6 * HOUR, short: 1_800, factor: 6.0, hold: 900, severity: "critical" },
    Burn { long: DAY, short: 2 * HOUR, factor: 3.0, hold: HOUR, severity: "warning" },
    Burn { long: 3 * DAY, short: 6 * HOUR, factor: 1.0, hold: 3 * HOUR, severity: "warning" },
];

/// What is usual of a dependency is what it was over this.
pub(super) const USUAL: u64 = DAY;
/// What it is like at present.
pub(super) const PRESENT: u64 = 300;

/// A dependency, to alerts.
pub(super) const DEPENDENCY: [&str; 3] = ["job", label::KIND, label::DEPENDENCY];
/// Runs of one name, to alerts.
pub(super) const RUN: [&str; 2] = ["job", label::RUN];

/// The share of runs that timed out over a window.
pub(super) fn timeouts(parameters: &Parameters, seconds: u64) -> String {
    format!("run:{}:timeout_ratio_rate{}", names::RUNS.name.trim_end_matches("_total"), parameters.window(seconds))
}

/// A dependency's mean duration over a window.
pub(super) fn mean(parameters: &Parameters, seconds: u64) -> String {
    format!("dependency:{}:mean{}", names::HOP_DURATION.name, parameters.window(seconds))
}

/// All of them, each once.
pub(super) fn recordings(parameters: &Parameters) -> Vec<Recording> {
    let mut windows: Vec<u64> = BURNS.iter().flat_map(|burn| [burn.short, burn.long]).collect();
    windows.sort_unstable();
    let mut recordings: Vec<Recording> = Vec::new();
    for seconds in windows {
        let runs = all(&names::RUNS, &parameters.window(seconds));
        let late = runs.clone().is(label::OUTCOME, Outcome::Timeout.as_str());
        let expr = format!("{} / {}", sum(&RUN, &late.rate()), sum(&RUN, &runs.rate()));
        recordings.push(Recording { record: timeouts(parameters, seconds), expr });
    }
    for seconds in [PRESENT, USUAL] {
        let expr = all(&names::HOP_DURATION, &parameters.window(seconds)).mean(&DEPENDENCY);
        recordings.push(Recording { record: mean(parameters, seconds), expr });
    }
    // Shrunk windows may be the same.
    recordings.dedup_by(|one, other| one.record == other.record);
    recordings
}
