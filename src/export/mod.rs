//! Sinks: what leaves hopwatch, rendered from the model alone.

pub mod report;
