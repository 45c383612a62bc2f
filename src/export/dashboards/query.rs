//! Queries in PromQL, made of the metrics' own names and labels.
//!
//! A histogram is asked for in both of its forms, classic buckets and native ones, joined by `or`: whichever was scraped answers.

use crate::model::names::{Instrument, Metric};
use std::fmt::Write;

/// The range that Grafana chooses so that a rate has enough samples.
const RATE_INTERVAL: &str = "$__rate_interval";

/// What a scrape says of where a series comes from, and a dashboard's variables choose by. Outside of Kubernetes nothing has a namespace.
pub(super) const TARGET: [&str; 3] = ["namespace", "job", "instance"];

/// Where series come from, as the variables of a dashboard choose it: matchers of a selector.
pub(super) fn chosen_targets() -> String {
    TARGET.map(|label| format!("{label}=~\"${label}\"")).join(",")
}

/// Series of one metric over a window.
#[derive(Clone, Debug)]
pub(super) struct Series {
    metric: &'static Metric,
    matchers: Vec<String>,
    window: String,
}

/// A metric's series as a dashboard's variables choose them.
pub(super) fn shown(metric: &'static Metric) -> Series {
    Series { metric, matchers: vec![chosen_targets()], window: RATE_INTERVAL.to_owned() }
}

/// All of a metric's series, over a window of a rule's own.
pub(super) fn all(metric: &'static Metric, window: &str) -> Series {
    Series { metric, matchers: Vec::new(), window: window.to_owned() }
}

/// `sum by (…) (of)`; without labels `sum(of)`.
pub(super) fn sum(by: &[&str], of: &str) -> String {
    aggregated("sum", by, of)
}

/// `max by (…) (of)`; without labels `max(of)`.
pub(super) fn max(by: &[&str], of: &str) -> String {
    aggregated("max", by, of)
}

fn aggregated(how: &str, by: &[&str], of: &str) -> String {
    if by.is_empty() { format!("{how}({of})") } else { format!("{how} by ({}) ({of})", by.join(", ")) }
}

impl Series {
    /// Those whose label is this value.
    pub(super) fn is(self, label: &str, value: &str) -> Self {
        self.matching(label, "=", value)
    }

    /// Those whose label is another value.
    pub(super) fn other_than(self, label: &str, value: &str) -> Self {
        self.matching(label, "!=", value)
    }

    /// Those whose label matches a pattern, or a variable.
    pub(super) fn among(self, label: &str, pattern: &str) -> Self {
        self.matching(label, "=~", pattern)
    }

    /// Those that the dashboard's variable of this label chooses.
    pub(super) fn chosen(self, label: &str, variable: &str) -> Self {
        self.among(label, &format!("${variable}"))
    }

    fn matching(mut self, label: &str, how: &str, value: &str) -> Self {
        debug_assert!(self.metric.labels.contains(&label), "{} has no label {label}", self.metric.name);
        self.matchers.push(format!("{label}{how}\"{value}\""));
        self
    }

    /// Over another window.
    pub(super) fn over(mut self, window: &str) -> Self {
        window.clone_into(&mut self.window);
        self
    }

    /// The samples of now.
    pub(super) fn now(&self) -> String {
        self.selector("")
    }

    /// The mean of the samples within the window.
    pub(super) fn average(&self) -> String {
        self.range("avg_over_time", "")
    }

    /// Counts a second.
    pub(super) fn rate(&self) -> String {
        debug_assert_eq!(self.metric.instrument, Instrument::Counter);
        self.range("rate", "")
    }

    /// Counts within the window.
    pub(super) fn increase(&self) -> String {
        debug_assert_eq!(self.metric.instrument, Instrument::Counter);
        self.range("increase", "")
    }

    /// Observations a second.
    pub(super) fn observations(&self, by: &[&str]) -> String {
        let (classic, native) = (self.range("rate", "_count"), self.range("rate", ""));
        format!("({} or {})", sum(by, &classic), sum(by, &format!("histogram_count({native})")))
    }

    /// What was observed, added up, a second.
    pub(super) fn observed(&self, by: &[&str]) -> String {
        let (classic, native) = (self.range("rate", "_sum"), self.range("rate", ""));
        format!("({} or {})", sum(by, &classic), sum(by, &format!("histogram_sum({native})")))
    }

    /// The mean of what was observed.
    pub(super) fn mean(&self, by: &[&str]) -> String {
        format!("{} / {}", self.observed(by), self.observations(by))
    }

    /// A quantile of what was observed.
    pub(super) fn quantile(&self, quantile: f64, by: &[&str]) -> String {
        let with_bound: Vec<&str> = std::iter::once("le").chain(by.iter().copied()).collect();
        let classic = sum(&with_bound, &self.range("rate", "_bucket"));
        let native = sum(by, &self.range("rate", ""));
        format!("(histogram_quantile({quantile}, {classic}) or histogram_quantile({quantile}, {native}))")
    }

    /// What was observed within the window, by bucket. Native ones only where there are no classic ones, since both would be
    /// shown.
    pub(super) fn buckets(&self) -> String {
        let (classic, native) = (self.range("increase", "_bucket"), self.range("increase", ""));
        format!("{} or on () {}", sum(&["le"], &classic), sum(&[], &native))
    }

    fn range(&self, function: &str, suffix: &str) -> String {
        format!("{function}({}[{}])", self.selector(suffix), self.window)
    }

    fn selector(&self, suffix: &str) -> String {
        let mut text = format!("{}{suffix}", self.metric.name);
        if !self.matchers.is_empty() {
            let _infallible = write!(text, "{{{}}}", self.matchers.join(","));
        }
        text
    }
}
