//! How calls of a dependency went lately, step by step, for a glance.

use crate::export::report::TrendReport;
use crate::model::clock::rfc3339;
use crate::model::{Call, Nanos, Outcome, Phase, millis};
use std::collections::VecDeque;

/// Length of a step.
const STEP: Nanos = 10_000_000_000;
/// Steps that are remembered: ten minutes.
const STEPS: u64 = 60;
/// How far back a change may reach: a call is counted where it is told, in the last step or the one before.
const FRESH: u64 = 2;

/// The last steps in which a call ended, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Trend(VecDeque<Step>);

#[derive(Debug)]
struct Step {
    /// Counts from the epoch.
    number: u64,
    calls: u64,
    failed: u64,
    /// By the number of the phase.
    phases: [Nanos; Phase::ALL.len()],
}

/// Which steps are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    All,
    /// Those that may have changed since the last second or so.
    Fresh,
}

impl Trend {
    /// Adds a call that ended about now.
    pub(super) fn count(&mut self, call: &Call, now: Nanos) {
        let number = now / STEP;
        if self.0.back().is_none_or(|last| last.number < number) {
            self.0.push_back(Step { number, calls: 0, failed: 0, phases: Default::default() });
        }
        let Some(step) = self.0.back_mut() else { return };
        step.calls += 1;
        step.failed += u64::from(call.outcome.is_some_and(|outcome| !matches!(outcome, Outcome::Ok | Outcome::Cancelled)));
        for (sum, time) in step.phases.iter_mut().zip(call.timeline.totals()) {
            *sum = sum.saturating_add(time.unwrap_or(0));
        }
        self.forget_old(now);
    }

    /// Forgets steps that are long over; whether any is left.
    pub(super) fn forget_old(&mut self, now: Nanos) -> bool {
        while self.0.front().is_some_and(|step| step.number + STEPS <= now / STEP) {
            self.0.pop_front();
        }
        !self.0.is_empty()
    }

    /// As the report tells it.
    pub(super) fn report(&self, steps: Steps, now: Nanos) -> Vec<TrendReport> {
        let span = if steps == Steps::All { STEPS } else { FRESH };
        let told = self.0.iter().filter(|step| step.number + span > now / STEP);
        told.map(Step::report).collect()
    }
}

impl Step {
    fn report(&self) -> TrendReport {
        let phases = Phase::ALL.iter().zip(&self.phases).filter(|&(_, &time)| time > 0);
        TrendReport {
            started_at: rfc3339(self.number.saturating_mul(STEP)),
            calls: self.calls,
            failed: self.failed,
            phases: phases.map(|(&phase, &time)| (phase, millis(time))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Origin, Timeline};

    fn call(outcome: Outcome) -> Call {
        let mut timeline = Timeline::new(0);
        timeline.push(Phase::Connect, 2_000_000);
        timeline.push(Phase::Wait, 10_000_000);
        Call::new(Origin::Gateway, timeline).ended(outcome, None, None)
    }

    #[test]
    fn calls_are_added_up_by_step_and_forgotten_after_ten_minutes() {
        let mut trend = Trend::default();
        let start = 1_700_000_000 * 1_000_000_000;
        for (after, outcome) in
            [(0, Outcome::Ok), (9_999, Outcome::Timeout), (10_000, Outcome::Cancelled), (599_000, Outcome::Reset)]
        {
            trend.count(&call(outcome), start + after * 1_000_000);
        }
        let now = start + 599_000_000_000;
        let told = trend.report(Steps::All, now);
        assert_eq!(told.iter().map(|step| (step.calls, step.failed)).collect::<Vec<_>>(), [(2, 1), (1, 0), (1, 1)]);
        assert_eq!(told[0].started_at, "2023-11-14T22:13:20.000Z");
        assert_eq!(
            told[0].phases.iter().map(|(&phase, &ms)| (phase, ms)).collect::<Vec<_>>(),
            [(Phase::Connect, 4.0), (Phase::Wait, 16.0)]
        );
        assert_eq!(trend.report(Steps::Fresh, now), told[2..]);
        assert!(trend.forget_old(now + 1_000_000_000));
        assert_eq!(trend.report(Steps::All, now + 1_000_000_000), told[1..]);
        assert!(!trend.forget_old(now + 600_000_000_000));
    }

    #[test]
    fn a_clock_that_goes_back_adds_to_the_last_step() {
        let mut trend = Trend::default();
        trend.count(&call(Outcome::Ok), 100 * STEP);
        trend.count(&call(Outcome::Ok), 99 * STEP);
        assert_eq!(trend.report(Steps::All, 100 * STEP).len(), 1);
    }
}
