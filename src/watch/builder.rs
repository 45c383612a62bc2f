//! Settings of a handle, and how it is made.

use super::drain::Drainer;
use super::sinks::Sinks;
use super::{Hopwatch, Inner};
use crate::export::metrics::{Metrics, Target};
#[cfg(feature = "otlp")]
use crate::export::otlp::{Exporter, OtlpConfig, OtlpStartError};
#[cfg(feature = "prometheus")]
use crate::export::prometheus::Prometheus;
use crate::instrument::recorder::{DrainRef, Recorder};
#[cfg(feature = "prometheus")]
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long the export may take when the last handle goes, by default.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Settings of a [`Hopwatch`]; the defaults work.
///
/// By default metrics go to the process-wide recorder of the `metrics` facade, whichever is installed and whenever, and spans to the
/// `tracing` subscriber. Tests and libraries give the handle its own.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    service: Option<String>,
    stall_threshold: Option<Duration>,
    #[cfg(feature = "prometheus")]
    own_metrics: bool,
    #[cfg(feature = "prometheus")]
    serve: Option<SocketAddr>,
    #[cfg(feature = "otlp")]
    otlp: Option<OtlpConfig>,
    shutdown: Duration,
}

/// A handle could not be made.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BuildError(#[from] Cause);

impl BuildError {
    #[cfg(feature = "prometheus")]
    pub(super) fn recorder_taken() -> Self {
        Self(Cause::RecorderTaken)
    }

    #[cfg(feature = "otlp")]
    pub(super) fn environment(error: crate::export::otlp::OtlpConfigError) -> Self {
        Self(Cause::Environment(error))
    }

    #[cfg(feature = "prometheus")]
    pub(super) fn address(value: String) -> Self {
        Self(Cause::Address { value })
    }
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("cannot start hopwatch's background thread")]
    Thread(#[source] std::io::Error),
    #[cfg(feature = "prometheus")]
    #[error("cannot listen on {address} for Prometheus: choose another address, or port 0 to let the system choose")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[cfg(feature = "prometheus")]
    #[error("cannot make the Prometheus recorder")]
    Recorder(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[cfg(feature = "prometheus")]
    #[error("the process has a metrics recorder already: build the handle with `Hopwatch::builder()`, which uses that one")]
    RecorderTaken,
    #[cfg(feature = "prometheus")]
    #[error("`{value}` in HOPWATCH_METRICS is no address: give host and port, like 127.0.0.1:9464")]
    Address { value: String },
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Export(OtlpStartError),
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Environment(crate::export::otlp::OtlpConfigError),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            service: None,
            stall_threshold: None,
            #[cfg(feature = "prometheus")]
            own_metrics: false,
            #[cfg(feature = "prometheus")]
            serve: None,
            #[cfg(feature = "otlp")]
            otlp: None,
            shutdown: SHUTDOWN,
        }
    }
}

impl Builder {
    /// Name of the service in spans [default: `OTEL_SERVICE_NAME`, else the program's name].
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// How long a poll may take, or a [heartbeat](Hopwatch::heartbeat) be late, before the event loop counts as blocked [default: 20 ms;
    /// 10 ms at least].
    pub fn stall_threshold(mut self, threshold: Duration) -> Self {
        self.stall_threshold = Some(threshold);
        self
    }

    /// Keeps the handle's metrics to itself, for [`Hopwatch::metrics`], instead of giving them to the process-wide recorder.
    #[cfg(feature = "prometheus")]
    pub fn own_metrics(mut self) -> Self {
        self.own_metrics = true;
        self
    }

    /// Serves the handle's metrics for Prometheus at this address under `/metrics`, on a thread of its own; port 0 lets the system
    /// choose. Includes [`own_metrics`](Self::own_metrics).
    #[cfg(feature = "prometheus")]
    pub fn prometheus(mut self, address: impl Into<SocketAddr>) -> Self {
        self.serve = Some(address.into());
        self.own_metrics = true;
        self
    }

    /// Exports spans and metrics to an OTLP collector, behind a bounded queue that never slows the service.
    #[cfg(feature = "otlp")]
    pub fn otlp(mut self, config: OtlpConfig) -> Self {
        self.otlp = Some(config);
        self
    }

    /// How long the export may take when the last handle goes [default: 5 s]; that drop blocks its thread so long at most.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown = timeout;
        self
    }

    /// Makes the handle and starts its background thread.
    ///
    /// # Errors
    /// When the system gives no thread or not the address asked for, or the exporter's configuration cannot be used.
    pub fn build(self) -> Result<Hopwatch, BuildError> {
        let service = self.service.or_else(|| std::env::var("OTEL_SERVICE_NAME").ok()).filter(|name| !name.is_empty());
        let service = service.unwrap_or_else(program);
        #[cfg(feature = "otlp")]
        let exporter = match self.otlp {
            Some(config) => Some(Exporter::start(&config.or_service_name(&service)).map_err(Cause::Export)?),
            None => None,
        };
        #[cfg(feature = "prometheus")]
        let prometheus = match self.own_metrics {
            true => Some(Prometheus::new().map_err(|error| Cause::Recorder(error.into()))?),
            false => None,
        };
        #[cfg_attr(not(any(feature = "otlp", feature = "prometheus")), expect(unused_mut, reason = "exports are added"))]
        let mut own: Vec<Arc<dyn ::metrics::Recorder + Send + Sync>> = Vec::new();
        #[cfg(feature = "prometheus")]
        own.extend(prometheus.as_ref().map(Prometheus::recorder));
        #[cfg(feature = "otlp")]
        own.extend(exporter.as_ref().and_then(Exporter::recorder).map(|recorder| Arc::new(recorder) as _));
        let target = if own.is_empty() { Target::Global } else { Target::Own(own) };

        let recorder = Arc::new(Recorder::new(&service));
        if let Some(threshold) = self.stall_threshold {
            recorder.shared.set_stall_threshold(threshold);
        }
        #[cfg_attr(not(any(feature = "otlp", feature = "prometheus")), expect(unused_mut, reason = "exports are added"))]
        let mut sinks = Sinks::new(Metrics::new(target));
        #[cfg(feature = "prometheus")]
        sinks.prometheus.clone_from(&prometheus);
        #[cfg(feature = "otlp")]
        if let Some(exporter) = exporter {
            sinks.export_to(exporter);
        }
        let drainer = Drainer::start(Arc::clone(&recorder), sinks).map_err(Cause::Thread)?;
        let weak: Weak<Drainer> = Arc::downgrade(&drainer);
        let _ = recorder.shared.drain.set(DrainRef(weak));
        let inner = Arc::new(Inner {
            recorder,
            drainer,
            #[cfg(feature = "prometheus")]
            prometheus,
            #[cfg(feature = "prometheus")]
            server: std::sync::OnceLock::new(),
            shutdown: self.shutdown,
        });
        let watch = Hopwatch { inner };
        #[cfg(feature = "prometheus")]
        if let Some(address) = self.serve {
            let server = watch.serve(address).map_err(|source| Cause::Listen { address, source })?;
            let _ = watch.inner.server.set(server);
        }
        Ok(watch)
    }
}

/// The program's own name.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(std::path::Path::file_stem).and_then(std::ffi::OsStr::to_str);
    name.unwrap_or("unknown").to_owned()
}
