//! Prometheus: a recorder for the `metrics` facade whose histograms have our buckets, and its text.
//!
//! Histograms, never summaries: quantiles cannot be added up over instances. No series times out, since a handle that is kept would go
//! on counting where nobody looks (measured with metrics-exporter-prometheus 0.18).

#[cfg(test)]
mod tests;

use crate::model::names;
use metrics::{Recorder, SetRecorderError};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::Arc;

/// `Content-Type` of the text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A recorder and its text.
#[derive(Clone)]
pub(crate) struct Prometheus {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prometheus")
    }
}

impl Prometheus {
    /// A recorder of its own, not installed.
    ///
    /// # Errors
    /// Where a metric's buckets are none, which a test of the names excludes.
    pub(crate) fn new() -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new().set_buckets(names::LONG)?;
        for metric in names::ALL.iter().filter(|metric| !metric.buckets.is_empty()) {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)?;
        }
        let recorder = Arc::new(builder.build_recorder());
        let handle = recorder.handle();
        Ok(Self { recorder, handle })
    }

    /// The recorder.
    pub(crate) fn recorder(&self) -> Arc<dyn Recorder + Send + Sync> {
        Arc::clone(&self.recorder) as _
    }

    /// Makes it the process-wide recorder.
    ///
    /// # Errors
    /// When there is one already.
    pub(crate) fn install(&self) -> Result<(), SetRecorderError<Arc<PrometheusRecorder>>> {
        metrics::set_global_recorder(Arc::clone(&self.recorder))
    }

    /// Moves what histograms recorded into their buckets; without it, each value stays in memory until the next text.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The text that Prometheus scrapes.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }
}
