//! Metrics over OTLP: from the `metrics` facade through OpenTelemetry's meter to our sending thread.
//!
//! `metrics-opentelemetry` bridges the facade to a meter, the SDK adds up and reads at intervals; we translate names on the way in, and
//! send on the way out. Sums are cumulative: a request that is lost costs resolution and no counts.

use super::config::OtlpConfig;
use super::resource::{SCOPE, resource};
use super::worker::MetricsRequest;
use crate::model::names::{self, Metric};
use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};
use metrics_opentelemetry::{OpenTelemetryMetrics, OpenTelemetryRecorder};
use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use prost::Message;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The meter and its way out.
#[derive(Debug)]
pub(super) struct MetricsOut {
    provider: SdkMeterProvider,
    bridge: Arc<Bridge>,
}

impl MetricsOut {
    pub(super) fn new(config: &OtlpConfig, requests: mpsc::Sender<MetricsRequest>) -> Self {
        let reader = PeriodicReader::builder(Out(requests)).with_interval(config.metric_interval).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource(&config.resource)).build();
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let bridge = Bridge::new(OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(provider.meter_with_scope(scope))));
        Self { provider, bridge: Arc::new(bridge) }
    }

    pub(super) fn recorder(&self) -> Translating {
        Translating(Arc::clone(&self.bridge))
    }

    /// Sends the metrics of now; `false` = not within `timeout`, or they were not taken.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        self.within(timeout, SdkMeterProvider::force_flush)
    }

    /// Sends the last metrics, at most for so long. A second call does nothing.
    pub(super) fn shutdown(&self, timeout: Duration) {
        self.within(timeout, SdkMeterProvider::shutdown);
    }

    /// The SDK waits for as long as an export may take, whatever timeout it is given (`PeriodicReader`, 0.33.1): so it waits aside.
    fn within(&self, timeout: Duration, act: fn(&SdkMeterProvider) -> OTelSdkResult) -> bool {
        let provider = self.provider.clone();
        let (done, heard) = std::sync::mpsc::channel();
        let aside = std::thread::Builder::new().name("hopwatch-otlp-end".to_owned()).spawn(move || {
            let _unheard = done.send(act(&provider).is_ok());
        });
        aside.is_ok() && heard.recv_timeout(timeout).unwrap_or(false)
    }
}

/// From the SDK's reader to our sending thread.
#[derive(Debug)]
struct Out(mpsc::Sender<MetricsRequest>);

impl PushMetricExporter for Out {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let body = ExportMetricsServiceRequest::from(metrics).encode_to_vec().into();
        let (done, heard) = oneshot::channel();
        self.0.send(MetricsRequest { body, done }).await.map_err(|_| OTelSdkError::AlreadyShutdown)?;
        heard.await.map_err(|_| OTelSdkError::AlreadyShutdown)?.map_err(OTelSdkError::InternalFailure)
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

struct Bridge {
    recorder: OpenTelemetryRecorder,
    metrics: HashMap<&'static str, &'static str>,
    labels: HashMap<&'static str, &'static str>,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").field("metrics", &self.metrics).field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl Bridge {
    /// Translates by the table of names. What is not in it keeps its name, and the bounds of the SDK.
    fn new(mut recorder: OpenTelemetryRecorder) -> Self {
        let name = |metric: &Metric| metric.otel.unwrap_or(metric.name);
        for metric in names::ALL.iter().filter(|metric| !metric.buckets.is_empty()) {
            recorder.set_histogram_bounds_mut(std::iter::once(name(metric)), metric.buckets);
        }
        let renamed = names::ALL.iter().filter_map(|metric| Some((metric.name, metric.otel?)));
        Self { recorder, metrics: renamed.collect(), labels: names::label::OTEL.iter().copied().collect() }
    }

    fn name(&self, name: KeyName) -> KeyName {
        self.metrics.get(name.as_str()).map_or(name, |&to| KeyName::from_const_str(to))
    }

    fn key<'a>(&self, key: &'a Key) -> Cow<'a, Key> {
        let renamed = self.metrics.get(key.name());
        if renamed.is_none() && !key.labels().any(|label| self.labels.contains_key(label.key())) {
            return Cow::Borrowed(key);
        }
        let label = |label: &Label| match self.labels.get(label.key()) {
            Some(&to) => Label::new(to, label.clone().into_parts().1),
            None => label.clone(),
        };
        let name = renamed.map_or_else(|| key.clone().into_parts().0, |&to| KeyName::from_const_str(to));
        Cow::Owned(Key::from_parts(name, key.labels().map(label).collect::<Vec<_>>()))
    }
}

/// The recorder: translates, and hands on. Registering takes a lock and a look-up, recording what the SDK takes.
#[derive(Clone, Debug)]
pub(super) struct Translating(Arc<Bridge>);

impl Recorder for Translating {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.recorder.describe_counter(self.0.name(key), unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.recorder.describe_gauge(self.0.name(key), unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.recorder.describe_histogram(self.0.name(key), unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.recorder.register_counter(&self.0.key(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.recorder.register_gauge(&self.0.key(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.recorder.register_histogram(&self.0.key(key), metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventional_metrics_leave_by_their_conventional_names_and_others_as_they_are() {
        let meter = SdkMeterProvider::default().meter("test");
        let bridge = Bridge::new(OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(meter)));
        let labels = vec![Label::new(names::label::GEN_AI_MODEL, "gpt-test"), Label::new(names::label::ERROR_TYPE, "timeout")];
        let key = Key::from_parts(names::GEN_AI_DURATION.name, labels);
        let translated = Key::from_parts(
            "gen_ai.client.operation.duration",
            vec![Label::new("gen_ai.request.model", "gpt-test"), Label::new("error.type", "timeout")],
        );
        assert_eq!(*bridge.key(&key), translated);
        let own = Key::from_parts(names::HOP_DURATION.name, vec![Label::new(names::label::KIND, "llm")]);
        assert_eq!(*bridge.key(&own), own);
    }
}
