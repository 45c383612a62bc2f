//! Where to export to, and how: built by hand, or read from the standard `OTEL_*` variables.

mod env;
#[cfg(test)]
mod tests;

use crate::model::redact;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use env::OtlpConfigError;

/// How spans and metrics leave for a collector. The defaults are those of the OpenTelemetry specification but for
/// [`OtlpConfig::queue`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OtlpConfig {
    /// Where spans go; `None` = nowhere.
    pub traces: Option<OtlpSignal>,
    /// Where metrics go; `None` = nowhere.
    pub metrics: Option<OtlpSignal>,
    /// What describes the service: `service.name` and its kin. Of several with one name the last counts.
    pub resource: Vec<(String, String)>,
    /// Spans that are kept at most, those on their way included: what comes while the collector is away. 16,384 by default, some 15 MB
    /// when full; `OTEL_BSP_MAX_QUEUE_SIZE`.
    pub queue: usize,
    /// Spans of one request at most: 512; `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`.
    pub batch: usize,
    /// How long a span waits for others to fill its batch: 5 s; `OTEL_BSP_SCHEDULE_DELAY`.
    pub delay: Duration,
    /// How often metrics are sent: 60 s; `OTEL_METRIC_EXPORT_INTERVAL`.
    pub metric_interval: Duration,
}

/// Where one signal goes.
#[derive(Clone)]
#[non_exhaustive]
pub struct OtlpSignal {
    /// The whole address: `http://localhost:4318/v1/traces`, or `http://localhost:4317` for gRPC. `https` is TLS.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// Sent with every request. Values are secrets: they are never shown.
    pub headers: Vec<(String, String)>,
    /// How long one request may take: 10 s.
    pub timeout: Duration,
    /// Compress with gzip.
    pub gzip: bool,
    /// PEM file of the authorities to trust, in place of the system's.
    pub certificate: Option<PathBuf>,
    /// PEM file of the client's certificate, for mutual TLS.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub client_key: Option<PathBuf>,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtlpProtocol {
    /// OTLP/gRPC, port 4317 by convention.
    Grpc,
    /// OTLP/HTTP with protobuf bodies, port 4318 by convention.
    #[default]
    HttpProtobuf,
}

impl OtlpConfig {
    /// Sends both signals to a collector's base address, like `http://localhost:4318`. For HTTP the signals' own paths are appended.
    #[must_use]
    pub fn new(endpoint: &str, protocol: OtlpProtocol) -> Self {
        let signal = |path| OtlpSignal::new(&under(endpoint, protocol, path), protocol);
        Self { traces: Some(signal(TRACES_PATH)), metrics: Some(signal(METRICS_PATH)), ..Self::nowhere() }
    }

    /// Sends nothing anywhere.
    fn nowhere() -> Self {
        Self {
            traces: None,
            metrics: None,
            resource: Vec::new(),
            queue: 16_384,
            batch: 512,
            delay: Duration::from_secs(5),
            metric_interval: Duration::from_secs(60),
        }
    }

    /// Reads the standard variables of this process. `None` = both signals are switched off (`OTEL_SDK_DISABLED`,
    /// `OTEL_TRACES_EXPORTER=none`, `OTEL_METRICS_EXPORTER=none`). Without an endpoint it is the local collector.
    ///
    /// # Errors
    /// A variable that cannot be read, with its name and what to write.
    pub fn from_env() -> Result<Option<Self>, OtlpConfigError> {
        env::read(&|name| std::env::var(name).ok())
    }

    /// The same, but `None` also when no variable names an endpoint: for programs that export only when told where to.
    ///
    /// # Errors
    /// As [`OtlpConfig::from_env`].
    pub fn from_env_with_endpoint() -> Result<Option<Self>, OtlpConfigError> {
        env::read_with_endpoint(&|name| std::env::var(name).ok())
    }

    /// Adds an attribute of the resource, in place of one of that name.
    #[must_use]
    pub fn with_resource(mut self, name: &str, value: &str) -> Self {
        self.resource.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Names the service unless it has a name already.
    #[must_use]
    pub fn or_service_name(mut self, name: &str) -> Self {
        if !self.resource.iter().any(|(known, _)| known == crate::model::attributes::SERVICE_NAME) {
            self.resource.push((crate::model::attributes::SERVICE_NAME.to_owned(), name.to_owned()));
        }
        self
    }
}

impl OtlpSignal {
    /// Sends to this whole address with the defaults.
    #[must_use]
    pub fn new(endpoint: &str, protocol: OtlpProtocol) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            protocol,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            gzip: false,
            certificate: None,
            client_certificate: None,
            client_key: None,
        }
    }
}

impl fmt::Debug for OtlpSignal {
    /// Header values and credentials in the address are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("OtlpSignal")
            .field("endpoint", &redact::url(&self.endpoint))
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .field("certificate", &self.certificate)
            .field("client_certificate", &self.client_certificate)
            .field("client_key", &self.client_key.is_some())
            .finish()
    }
}

const TRACES_PATH: &str = "v1/traces";
const METRICS_PATH: &str = "v1/metrics";

/// The address of a signal below a base address.
fn under(endpoint: &str, protocol: OtlpProtocol, path: &str) -> String {
    match protocol {
        OtlpProtocol::Grpc => endpoint.to_owned(),
        OtlpProtocol::HttpProtobuf => format!("{}/{path}", endpoint.trim_end_matches('/')),
    }
}
