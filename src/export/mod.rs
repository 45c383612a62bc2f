//! Sinks: what leaves hopwatch, rendered from the model alone.

#[cfg(feature = "cli")]
pub mod dashboards;
pub(crate) mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "prometheus")]
pub(crate) mod prometheus;
pub mod report;
#[cfg(feature = "prometheus")]
pub(crate) mod serve;
#[cfg(feature = "cli")]
pub(crate) mod svg;
