//! A dependency's calls added up in bounded memory.

use super::{ConnectionCounts, DependencyReport, PhaseSummary};
use crate::model::{Call, ConnectionState, Kind, Nanos, Outcome, Phase, millis, redact};
use hdrhistogram::Histogram;

/// A dependency's calls added up: counts and sums are exact, percentiles within one per cent.
#[derive(Clone, Debug, Default)]
pub struct DependencyStats {
    calls: u64,
    /// By the number of the outcome.
    outcomes: [u64; Outcome::ALL.len()],
    new: u64,
    reused: u64,
    /// By the number of the phase.
    phases: [Option<Box<Times>>; Phase::ALL.len()],
}

/// Times of one phase.
#[derive(Clone, Debug)]
struct Times {
    sum: Nanos,
    /// In microseconds, since its memory grows with the range.
    spread: Option<Histogram<u32>>,
    count: u64,
}

impl DependencyStats {
    /// Adds an ended call.
    pub fn count(&mut self, call: &Call) {
        let states = call.attempts.iter().filter_map(|attempt| attempt.connection);
        for state in states {
            match state {
                ConnectionState::New => self.new += 1,
                ConnectionState::Reused => self.reused += 1,
            }
        }
        self.count_ended(call.outcome);
        for (&phase, total) in Phase::ALL.iter().zip(call.timeline.totals()) {
            if let Some(time) = total {
                self.time(phase, time);
            }
        }
    }

    /// Adds an ended call of which only one phase is known.
    pub fn count_brief(&mut self, outcome: Outcome, phase: Phase, time: Nanos) {
        self.count_ended(Some(outcome));
        if time > 0 {
            self.time(phase, time);
        }
    }

    fn count_ended(&mut self, outcome: Option<Outcome>) {
        self.calls += 1;
        if let Some(outcome) = outcome {
            self.outcomes[outcome as usize] += 1;
        }
    }

    fn time(&mut self, phase: Phase, time: Nanos) {
        // Two significant digits: within one per cent.
        let fresh = || Box::new(Times { sum: 0, spread: Histogram::new(2).ok(), count: 0 });
        let times = self.phases[phase as usize].get_or_insert_with(fresh);
        times.sum = times.sum.saturating_add(time);
        times.count += 1;
        if let Some(spread) = &mut times.spread {
            // `saturating_record` would not let it grow: everything would be as short as the first.
            let micros = (time / 1_000).max(1);
            if spread.record(micros).is_err() {
                spread.saturating_record(micros);
            }
        }
    }

    /// As the report tells it.
    #[must_use]
    pub fn report(&self, kind: Kind, dependency: &str) -> DependencyReport {
        let outcomes = Outcome::ALL.iter().map(|&outcome| (outcome, self.outcomes[outcome as usize]));
        let phase = |phase: &Phase| Some((*phase, self.phases[*phase as usize].as_ref()?.summary()));
        DependencyReport {
            kind,
            dependency: redact::name(dependency),
            calls: self.calls,
            outcomes: outcomes.filter(|&(_, count)| count > 0).collect(),
            connections: ConnectionCounts { new: self.new, reused: self.reused },
            phases: Phase::ALL.iter().filter_map(phase).collect(),
            trend: Vec::new(),
        }
    }
}

impl Times {
    fn summary(&self) -> PhaseSummary {
        let at = |quantile: f64| {
            let micros = self.spread.as_ref().map_or(0, |spread| spread.value_at_quantile(quantile));
            millis(micros.saturating_mul(1_000))
        };
        PhaseSummary { count: self.count, sum_ms: millis(self.sum), p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_one_per_cent() {
        let mut stats = DependencyStats::default();
        (1..=1_000).for_each(|ms| stats.count_brief(Outcome::Ok, Phase::Wait, ms * 1_000_000));
        stats.count_brief(Outcome::Timeout, Phase::Gate, 600_000_000_000);
        let report = stats.report(Kind::Llm, "openai");
        let wait = &report.phases[&Phase::Wait];
        for (told, exact) in
            [(wait.p50_ms, 500.0), (wait.p95_ms, 950.0), (wait.p99_ms, 990.0), (report.phases[&Phase::Gate].p50_ms, 600_000.0)]
        {
            assert!((told - exact).abs() <= exact / 100.0, "{told} for {exact}");
        }
    }
}
