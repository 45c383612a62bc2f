//! The series of one dependency's calls, each made once.

use super::seconds;
use super::target::{Series, Target};
use crate::model::names;
use crate::model::{Call, Kind, Name, Nanos, Outcome, Phase};
use ::metrics::{Counter, Histogram};

/// Classes of statuses, and none.
const CLASSES: [&str; 6] = ["", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The series of one dependency's calls.
#[derive(Debug)]
pub(super) struct HopSeries {
    pub(super) kind: Kind,
    pub(super) dependency: Name,
    duration: Series<Histogram>,
    /// By the number of the phase.
    phases: [Option<Series<Histogram>>; Phase::ALL.len()],
    /// By the number of the outcome and the class of the status.
    calls: [[Option<Series<Counter>>; CLASSES.len()]; Outcome::ALL.len()],
    /// Sent and received.
    bytes: [Option<Series<Counter>>; 2],
}

impl HopSeries {
    pub(super) fn new(target: &Target, kind: Kind, dependency: Name) -> Self {
        let duration = target.histogram(&names::HOP_DURATION, &[kind.as_str(), &dependency]);
        Self {
            kind,
            dependency,
            duration,
            phases: [const { None }; Phase::ALL.len()],
            calls: [const { [const { None }; CLASSES.len()] }; Outcome::ALL.len()],
            bytes: [const { None }; 2],
        }
    }

    pub(super) fn brief(&mut self, target: &Target, outcome: Outcome, phase: Phase, time: Nanos) {
        self.duration.record(seconds(time));
        if time > 0 {
            self.phase(target, phase, time);
        }
        self.count(target, outcome, None);
    }

    pub(super) fn ended(&mut self, target: &Target, call: &Call) {
        self.duration.record(seconds(call.timeline.duration()));
        for (&phase, total) in Phase::ALL.iter().zip(call.timeline.totals()) {
            if let Some(time) = total {
                self.phase(target, phase, time);
            }
        }
        self.count(target, call.outcome.unwrap_or(Outcome::Error), call.status);
        self.moved(target, 0, "sent", call.bytes.sent);
        self.moved(target, 1, "received", call.bytes.received);
    }

    fn phase(&mut self, target: &Target, phase: Phase, time: Nanos) {
        let labels = [self.kind.as_str(), &*self.dependency, phase.as_str()];
        let series = self.phases[phase as usize].get_or_insert_with(|| target.histogram(&names::HOP_PHASE, &labels));
        series.record(seconds(time));
    }

    fn count(&mut self, target: &Target, outcome: Outcome, status: Option<u16>) {
        let class =
            status.map(|status| usize::from(status / 100)).filter(|class| (1..CLASSES.len()).contains(class)).unwrap_or(0);
        let labels = [self.kind.as_str(), &*self.dependency, outcome.as_str(), CLASSES[class]];
        let series = self.calls[outcome as usize][class].get_or_insert_with(|| target.counter(&names::HOP_CALLS, &labels));
        series.add(1);
    }

    fn moved(&mut self, target: &Target, which: usize, direction: &str, bytes: u64) {
        if bytes > 0 {
            let labels = [self.kind.as_str(), &*self.dependency, direction];
            self.bytes[which].get_or_insert_with(|| target.counter(&names::HOP_BODY_BYTES, &labels)).add(bytes);
        }
    }
}
