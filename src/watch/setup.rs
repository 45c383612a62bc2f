//! One call for services that have nothing yet.

use super::{BuildError, Builder, Hopwatch};
use std::ops::Deref;

/// A handle with its exports; dropped, it flushes them and ends them, in five seconds at most.
///
/// Made by [`setup`]. Keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "dropped at once, it ends the exports at once"]
pub struct Telemetry {
    watch: Hopwatch,
}

/// Sets everything up from the environment, for a service that has no telemetry yet:
///
/// | variable | what it does |
/// |---|---|
/// | `OTEL_EXPORTER_OTLP_ENDPOINT` and its kin | spans and metrics go to this collector; feature `otlp`, all of them in the table of [the crate's page](crate#environment) |
/// | `HOPWATCH_METRICS` | metrics are served for Prometheus at this address, like `127.0.0.1:9464`, under `/metrics`; feature `prometheus` |
/// | `OTEL_SERVICE_NAME` | name of the service |
///
/// With `HOPWATCH_METRICS` the process-wide recorder of the `metrics` facade is set too, so that the service's own metrics are served
/// beside these. Without any variable it is a plain handle.
///
/// # Errors
/// A variable that cannot be used, an address that cannot be listened on, or another metrics recorder that is installed already.
pub fn setup() -> Result<Telemetry, BuildError> {
    let builder = Builder::default();
    #[cfg(feature = "otlp")]
    let builder = match crate::export::otlp::OtlpConfig::from_env_with_endpoint().map_err(BuildError::environment)? {
        Some(config) => builder.otlp(config),
        None => builder,
    };
    #[cfg(feature = "prometheus")]
    let (builder, installs) = match std::env::var("HOPWATCH_METRICS").ok().filter(|value| !value.is_empty()) {
        Some(value) => {
            let address: std::net::SocketAddr = value.parse().map_err(|_| BuildError::address(value))?;
            (builder.prometheus(address), true)
        }
        None => (builder, false),
    };
    let watch = builder.build()?;
    #[cfg(feature = "prometheus")]
    if let Some(prometheus) = watch.inner.prometheus.as_ref().filter(|_| installs) {
        prometheus.install().map_err(|_| BuildError::recorder_taken())?;
    }
    Ok(Telemetry { watch })
}

impl Telemetry {
    /// The handle.
    #[must_use]
    pub fn watch(&self) -> &Hopwatch {
        &self.watch
    }
}

impl Deref for Telemetry {
    type Target = Hopwatch;

    fn deref(&self) -> &Hopwatch {
        &self.watch
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.watch.inner.end();
    }
}
