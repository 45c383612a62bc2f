//! The recorder that metrics go to.

use crate::model::names::{ALL, Instrument, Metric, Unit};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use std::sync::Arc;

static METADATA: Metadata<'_> = Metadata::new("hopwatch", Level::INFO, Some(module_path!()));

/// Where metrics go: the process-wide recorder, whatever it is at the time, or given ones.
#[derive(Clone, Default)]
pub(crate) enum Target {
    /// The process-wide recorder.
    #[default]
    Global,
    /// These.
    Own(Vec<Arc<dyn Recorder + Send + Sync>>),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Global => f.write_str("Global"),
            Self::Own(recorders) => write!(f, "Own({})", recorders.len()),
        }
    }
}

/// The handles of one series, one for each recorder.
#[derive(Clone)]
pub(super) struct Series<H>(Vec<H>);

impl<H> std::fmt::Debug for Series<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Series({})", self.0.len())
    }
}

impl Series<Counter> {
    pub(super) fn add(&self, count: u64) {
        self.0.iter().for_each(|counter| counter.increment(count));
    }

    /// Raises it to a total that is counted elsewhere.
    pub(super) fn total(&self, count: u64) {
        self.0.iter().for_each(|counter| counter.absolute(count));
    }
}

impl Series<Gauge> {
    pub(super) fn set(&self, value: f64) {
        if value.is_finite() {
            self.0.iter().for_each(|gauge| gauge.set(value));
        }
    }
}

impl Series<Histogram> {
    /// Records a value; one that is not finite would spoil the sum for good and is left out.
    pub(super) fn record(&self, value: f64) {
        if value.is_finite() && value >= 0.0 {
            self.0.iter().for_each(|histogram| histogram.record(value));
        }
    }
}

impl Target {
    /// Which recorder is behind it: another once a process-wide one is installed.
    pub(super) fn identity(&self) -> usize {
        match self {
            Self::Global => metrics::with_recorder(|recorder| std::ptr::from_ref(recorder).cast::<()>() as usize),
            Self::Own(_) => 0,
        }
    }

    /// Tells the recorder of every metric.
    pub(super) fn describe(&self) {
        self.each(|recorder| {
            for metric in ALL {
                let name = KeyName::from_const_str(metric.name);
                let unit = Some(match metric.unit {
                    Unit::Seconds => metrics::Unit::Seconds,
                    Unit::Bytes => metrics::Unit::Bytes,
                    Unit::Count => metrics::Unit::Count,
                });
                match metric.instrument {
                    Instrument::Counter => recorder.describe_counter(name, unit, metric.help.into()),
                    Instrument::Gauge => recorder.describe_gauge(name, unit, metric.help.into()),
                    Instrument::Histogram => recorder.describe_histogram(name, unit, metric.help.into()),
                }
            }
        });
    }

    pub(super) fn counter(&self, metric: &Metric, labels: &[&str]) -> Series<Counter> {
        let key = key(metric, labels);
        Series(self.each(|recorder| recorder.register_counter(&key, &METADATA)))
    }

    pub(super) fn gauge(&self, metric: &Metric, labels: &[&str]) -> Series<Gauge> {
        let key = key(metric, labels);
        Series(self.each(|recorder| recorder.register_gauge(&key, &METADATA)))
    }

    pub(super) fn histogram(&self, metric: &Metric, labels: &[&str]) -> Series<Histogram> {
        let key = key(metric, labels);
        Series(self.each(|recorder| recorder.register_histogram(&key, &METADATA)))
    }

    fn each<T>(&self, mut of: impl FnMut(&dyn Recorder) -> T) -> Vec<T> {
        match self {
            Self::Global => vec![metrics::with_recorder(|recorder| of(recorder))],
            Self::Own(recorders) => recorders.iter().map(|recorder| of(&**recorder)).collect(),
        }
    }
}

fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    // A label without a value is none, to Prometheus; to OpenTelemetry only one that is absent is.
    let told = metric.labels.iter().zip(values).filter(|(_, value)| !value.is_empty());
    let labels: Vec<Label> = told.map(|(label, value)| Label::new(*label, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}
