//! Metrics through the `metrics` facade: what ended is counted with whatever recorder is installed.
//!
//! Fed from one place at a time (the drain, the assembler). Series are made once and kept. At most [`SERIES_MAX`] dependencies are told
//! apart, and of each metric without a dependency as many series; what is beyond is `other`. Labels of closed sets (kind, phase, outcome,
//! …) stay as they are.

mod conventional;
mod family;
mod hops;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use target::Target;

use crate::attribution::Judgement;
use crate::model::names::{self, Metric};
use crate::model::{GateSample, Kind, Losses, Name, Nanos, Outcome, Phase, Run, Span, redact};
use ::metrics::{Counter, Gauge, Histogram};
use family::Family;
use hops::HopSeries;
use rustc_hash::{FxHashMap, FxHashSet};

/// Most series of one metric that are told apart, and most dependencies.
const SERIES_MAX: usize = 1_000;

/// Stands in for names beyond the cap.
const OTHER: &str = "other";

/// What is open, of one dependency and phase.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenCalls {
    pub(crate) kind: Kind,
    pub(crate) dependency: Name,
    pub(crate) phase: Phase,
    /// How many calls.
    pub(crate) calls: u64,
    /// Age of the oldest.
    pub(crate) age: Nanos,
}

impl OpenCalls {
    /// What is open among these spans as of `now`.
    pub(crate) fn of<'a>(spans: impl IntoIterator<Item = &'a Span>, now: Nanos) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut places: FxHashMap<(Kind, &str, Phase), usize> = FxHashMap::default();
        for span in spans {
            let (Some(call), Some(dependency), true) = (&span.call, &span.dependency, span.is_open() && span.is_hop()) else {
                continue;
            };
            if call.relayed {
                continue;
            }
            let (kind, phase) = (span.kind.unwrap_or(Kind::Http), call.timeline.last_phase().unwrap_or(Phase::Wait));
            let place = *places.entry((kind, dependency, phase)).or_insert(found.len());
            if place == found.len() {
                found.push(Self { kind, dependency: dependency.clone(), phase, calls: 0, age: 0 });
            }
            let open = &mut found[place];
            open.calls += 1;
            open.age = open.age.max(now.saturating_sub(span.start));
        }
        found
    }
}

/// Counts what ended, for one handle or agent.
#[derive(Debug)]
pub(crate) struct Metrics {
    target: Target,
    /// The recorder that the series belong to.
    identity: Option<usize>,
    dependencies: FxHashMap<(Kind, Name), usize>,
    hops: Vec<HopSeries>,
    counters: Family<Counter>,
    gauges: Family<Gauge>,
    histograms: Family<Histogram>,
    /// Gauges of open calls that were not 0 the last time.
    open: FxHashSet<(Kind, Name, Option<Phase>)>,
    /// Fractions of seconds that a counter of whole ones cannot tell yet.
    carried: FxHashMap<Vec<String>, f64>,
}

/// Which dependency, to [`Metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DependencyId(usize);

impl Metrics {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            identity: None,
            dependencies: FxHashMap::default(),
            hops: Vec::new(),
            counters: Family::default(),
            gauges: Family::default(),
            histograms: Family::default(),
            open: FxHashSet::default(),
            carried: FxHashMap::default(),
        }
    }

    /// To be called before values are told: a recorder that was installed since the last time gets all series anew.
    pub(crate) fn refresh(&mut self) {
        let identity = self.target.identity();
        if self.identity == Some(identity) {
            return;
        }
        self.identity = Some(identity);
        self.target.describe();
        self.counters = Family::default();
        self.gauges = Family::default();
        self.histograms = Family::default();
        for series in &mut self.hops {
            *series = HopSeries::new(&self.target, series.kind, series.dependency.clone());
        }
        self.gauge(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    }

    /// A dependency, to be told of without looking it up again.
    pub(crate) fn dependency(&mut self, kind: Kind, dependency: &Name) -> DependencyId {
        let (id, overflows) = self.known(kind, dependency);
        if overflows {
            self.counter(&names::SERIES_OVERFLOW, &[names::HOP_DURATION.name], 1);
        }
        id
    }

    /// A dependency; `true` with it when it is one too many, and counted with the others.
    fn known(&mut self, kind: Kind, dependency: &Name) -> (DependencyId, bool) {
        if let Some(&known) = self.dependencies.get(&(kind, dependency.clone())) {
            return (DependencyId(known), false);
        }
        // Names that no label may have are looked up as they are shown.
        let shown: Name = redact::name(dependency).into();
        let room = self.dependencies.len() < SERIES_MAX || self.dependencies.contains_key(&(kind, shown.clone()));
        let name = if room { shown } else { OTHER.into() };
        let next = self.hops.len();
        let id = *self.dependencies.entry((kind, name.clone())).or_insert(next);
        if id == next {
            self.hops.push(HopSeries::new(&self.target, kind, name));
        }
        (DependencyId(id), !room)
    }

    /// A call that ended, of which only one phase and its outcome are known. About 70 ns with a Prometheus recorder.
    pub(crate) fn brief(&mut self, dependency: DependencyId, outcome: Outcome, phase: Phase, time: Nanos) {
        self.hops[dependency.0].brief(&self.target, outcome, phase, time);
    }

    /// A call that ended.
    pub(crate) fn hop(&mut self, span: &Span) {
        let (Some(call), Some(dependency)) = (span.call.as_deref(), &span.dependency) else { return };
        if span.is_open() || call.relayed {
            return;
        }
        let kind = span.kind.unwrap_or(Kind::Http);
        let id = self.dependency(kind, dependency);
        self.hops[id.0].ended(&self.target, call);
        let name = self.hops[id.0].dependency.clone();
        for attempt in &call.attempts {
            let number = match attempt.number {
                0 | 1 => "1",
                2 => "2",
                3 => "3",
                _ => "4+",
            };
            let outcome = attempt.outcome.map_or("", Outcome::as_str);
            self.counter(&names::ATTEMPTS, &[&name, number, outcome], 1);
            if let Some(state) = attempt.connection {
                self.counter(&names::CONNECTIONS, &[&name, state.as_str()], 1);
                let took = seconds(attempt.timeline.duration());
                self.histogram(&names::ATTEMPT_DURATION, &[&name, state.as_str()], took);
            }
            if let Some(wait) = attempt.retry_after {
                self.histogram(&names::RETRY_AFTER, &[&name], seconds(wait));
            }
        }
        if let Some(state) = call.client.connection {
            self.counter(&names::CLIENT_CONNECTIONS, &[&name, state.as_str()], 1);
        }
        if let Some(gap) = call.gap {
            self.histogram(&names::STREAM_GAP, &[kind.as_str(), &name], seconds(gap));
        }
        self.conventional(span, kind, &name, call);
    }

    /// A run that ended.
    pub(crate) fn run(&mut self, run: &Run, judgement: &Judgement) {
        let outcome = judgement.outcome.as_str();
        self.histogram(&names::RUN_DURATION, &[&run.name], seconds(run.duration()));
        if let Some(deadline) = run.deadline {
            let left = deadline.saturating_sub(run.duration());
            self.histogram(&names::BUDGET_LEFT, &[&run.name], seconds(left));
        }
        self.counter(&names::RUNS, &[&run.name, outcome], 1);
        for row in &judgement.blame {
            let (kind, dependency) = who(row.component.kind, row.component.dependency.as_ref());
            self.seconds_counter(&names::BLAME, &[&run.name, kind, dependency, row.component.phase.as_str()], seconds(row.time));
        }
        self.verdict(&run.name, judgement);
    }

    /// The verdict on a run, or on a call of no run, by this name.
    pub(crate) fn verdict(&mut self, run: &str, Judgement { outcome, verdict, .. }: &Judgement) {
        let Some(verdict) = verdict else { return };
        let (kind, dependency) = who(verdict.component.kind, verdict.component.dependency.as_ref());
        let cause = verdict.cause.map_or("", crate::model::Cause::as_str);
        let labels = [run, kind, dependency, verdict.component.phase.as_str(), cause, outcome.as_str()];
        self.counter(&names::VERDICTS, &labels, 1);
    }

    /// What is open right now; what was open the last time and is not any more goes to 0.
    pub(crate) fn open(&mut self, open: &[OpenCalls]) {
        let before = std::mem::take(&mut self.open);
        // By the names that are told apart: what goes by one name is added up.
        let mut in_flight: FxHashMap<(Kind, Name), u64> = FxHashMap::default();
        let mut oldest: FxHashMap<(Kind, Name, Phase), Nanos> = FxHashMap::default();
        for calls in open {
            let (DependencyId(id), _) = self.known(calls.kind, &calls.dependency);
            let name = &self.hops[id].dependency;
            *in_flight.entry((calls.kind, name.clone())).or_default() += calls.calls;
            let age = oldest.entry((calls.kind, name.clone(), calls.phase)).or_default();
            *age = calls.age.max(*age);
        }
        for ((kind, dependency, phase), age) in oldest {
            self.gauge(&names::HOP_OPEN_AGE, &[kind.as_str(), &dependency, phase.as_str()], seconds(age));
            self.open.insert((kind, dependency, Some(phase)));
        }
        for ((kind, dependency), calls) in in_flight {
            self.gauge(&names::HOP_IN_FLIGHT, &[kind.as_str(), &dependency], calls as f64);
            self.open.insert((kind, dependency, None));
        }
        for (kind, dependency, phase) in before.into_iter().filter(|gone| !self.open.contains(gone)).collect::<Vec<_>>() {
            match phase {
                Some(phase) => self.gauge(&names::HOP_OPEN_AGE, &[kind.as_str(), &dependency, phase.as_str()], 0.0),
                None => self.gauge(&names::HOP_IN_FLIGHT, &[kind.as_str(), &dependency], 0.0),
            }
        }
    }

    /// A gate, with what happened at it since the last time.
    pub(crate) fn gate(&mut self, gate: &GateSample) {
        let name = [&*gate.name];
        self.gauge(&names::GATE_LIMIT, &name, gate.limit as f64);
        self.gauge(&names::GATE_IN_USE, &name, gate.in_use as f64);
        self.gauge(&names::GATE_QUEUE, &name, gate.queue as f64);
        gate.waits.iter().for_each(|&wait| self.histogram(&names::GATE_WAIT, &name, seconds(wait)));
        gate.holds.iter().for_each(|&hold| self.histogram(&names::GATE_HOLD, &name, seconds(hold)));
        self.counter(&names::GATE_ABANDONED, &name, gate.abandoned);
        self.counter(&names::GATE_SHED, &name, gate.shed);
    }

    /// A start-up that came to its end, with its phases.
    pub(crate) fn startup<'a>(&mut self, outcome: Outcome, took: Nanos, phases: impl IntoIterator<Item = (&'a str, Nanos)>) {
        self.gauge(&names::STARTUP, &[outcome.as_str()], seconds(took));
        for (phase, took) in phases {
            self.gauge(&names::STARTUP_PHASE, &[phase], seconds(took));
        }
    }

    /// A runtime or a task was blocked.
    pub(crate) fn stall(&mut self, runtime: &str, took: Nanos) {
        self.histogram(&names::STALL, &[runtime], seconds(took));
    }

    /// What was counted on the way, in all.
    pub(crate) fn losses(&mut self, losses: &Losses) {
        self.total(&names::HOPS_STARTED, &[], losses.started);
        self.total(&names::HOPS_RECORDED, &[], losses.recorded);
        losses.dropped.iter().for_each(|(reason, &count)| self.total(&names::HOPS_DROPPED, &[reason], count));
        losses.missed.iter().for_each(|(reason, &count)| self.total(&names::MISSED, &[reason], count));
    }

    /// What became of spans that were given to an exporter, in all, and how many wait.
    pub(crate) fn exports<'a>(&mut self, outcomes: impl IntoIterator<Item = (&'a str, u64)>, queued: u64) {
        outcomes.into_iter().for_each(|(outcome, count)| self.total(&names::EXPORT_SPANS, &[outcome], count));
        self.gauge(&names::EXPORT_QUEUE, &[], queued as f64);
    }

    fn counter(&mut self, metric: &'static Metric, labels: &[&str], count: u64) {
        let target = &self.target;
        let (series, overflows) = self.counters.get(metric, labels, |labels| target.counter(metric, labels));
        series.add(count);
        self.overflowed(metric, overflows);
    }

    /// Raises a counter to a total.
    fn total(&mut self, metric: &'static Metric, labels: &[&str], count: u64) {
        let target = &self.target;
        self.counters.get(metric, labels, |labels| target.counter(metric, labels)).0.total(count);
    }

    /// A counter of seconds: the facade counts in whole numbers, so that fractions are carried over.
    fn seconds_counter(&mut self, metric: &'static Metric, labels: &[&str], seconds: f64) {
        let mut key: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        if self.carried.len() >= SERIES_MAX && !self.carried.contains_key(&key) {
            // Beyond the cap fractions are carried together.
            key.clear();
        }
        let carried = self.carried.entry(key).or_default();
        *carried += seconds;
        let whole = carried.floor();
        *carried -= whole;
        self.counter(metric, labels, whole as u64);
    }

    fn gauge(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        let target = &self.target;
        let (series, overflows) = self.gauges.get(metric, labels, |labels| target.gauge(metric, labels));
        series.set(value);
        self.overflowed(metric, overflows);
    }

    fn histogram(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        let target = &self.target;
        let (series, overflows) = self.histograms.get(metric, labels, |labels| target.histogram(metric, labels));
        series.record(value);
        self.overflowed(metric, overflows);
    }

    fn overflowed(&mut self, metric: &Metric, overflows: bool) {
        if overflows && metric.name != names::SERIES_OVERFLOW.name {
            self.counter(&names::SERIES_OVERFLOW, &[metric.name], 1);
        }
    }
}

/// Labels of a component: empty for the caller itself.
fn who(kind: Option<Kind>, dependency: Option<&Name>) -> (&'static str, &str) {
    (kind.map_or("", Kind::as_str), dependency.map_or("", |name| name))
}

/// Nanoseconds in the base unit of metrics.
fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}
