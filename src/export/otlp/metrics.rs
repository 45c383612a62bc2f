//! Metrics over OTLP: from the `metrics` facade through OpenTelemetry's meter to our sending thread.
//!
//! `metrics-opentelemetry` bridges the facade to a meter, the SDK adds up and reads at intervals; we translate names on the way in, and
//! send on the way out. Sums are cumulative: a request that is lost costs resolution and no counts.

use super::config::OtlpConfig;
use super::resource::{SCOPE, resource};
use super::worker::MetricsRequest;
use crate::model::names;
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
        let mut recorder = OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(provider.meter_with_scope(scope)));
        for metric in names::ALL.iter().filter(|metric| !metric.buckets.is_empty()) {
            recorder.set_histogram_bounds_mut(std::iter::once(metric.otel.unwrap_or(metric.name)), metric.buckets);
        }
        let bridge = Bridge { recorder, conventional: conventional() };
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
    conventional: HashMap<&'static str, &'static str>,
}

/// The metrics that OpenTelemetry spells with dots: from our spelling to theirs.
fn conventional() -> HashMap<&'static str, &'static str> {
    names::ALL.iter().filter_map(|metric| Some((metric.name, metric.otel?))).collect()
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").finish_non_exhaustive()
    }
}

impl Bridge {
    fn name(&self, name: KeyName) -> KeyName {
        self.conventional.get(name.as_str()).map_or(name, |&to| KeyName::from_const_str(to))
    }

    /// The key by its conventional name and labels. What has none, ours and the application's, stays as it is.
    fn key<'a>(&self, key: &'a Key) -> Cow<'a, Key> {
        let Some(&name) = self.conventional.get(key.name()) else { return Cow::Borrowed(key) };
        let label = |label: &Label| match names::label::OTEL.iter().find(|(ours, _)| *ours == label.key()) {
            Some(&(_, theirs)) => Label::new(theirs, label.clone().into_parts().1),
            None => label.clone(),
        };
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
    fn conventional_metrics_leave_by_their_dotted_names_and_others_as_they_are() {
        let meter = SdkMeterProvider::default().meter("test");
        let recorder = OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(meter));
        let bridge = Bridge { recorder, conventional: conventional() };
        let labels = |names: &[&'static str]| names.iter().map(|name| Label::new(*name, "x")).collect::<Vec<_>>();
        let key = Key::from_parts("gen_ai_client_operation_duration_seconds", labels(&["gen_ai_operation_name", "error_type"]));
        let expected = Key::from_parts("gen_ai.client.operation.duration", labels(&["gen_ai.operation.name", "error.type"]));
        assert_eq!(*bridge.key(&key), expected);
        let own = Key::from_parts("shop_orders_total", labels(&["error_type"]));
        assert_eq!(*bridge.key(&own), own);
        assert_eq!(bridge.name("http_client_request_duration_seconds".into()).as_str(), "http.client.request.duration");
    }
}
