//! Sinks: what leaves hopwatch, rendered from the model alone.

#[cfg(feature = "otlp")]
pub mod otlp;
pub mod report;
