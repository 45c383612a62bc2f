//! The OTLP export against collectors that fail in every way, and against real ones: the OpenTelemetry Collector
//! (`tests/collector/setup`) and one in Python (`tests/apps/setup`).
//!
//! Without a real one its tests say that they are skipped, or fail where `CI`, `HOPWATCH_REQUIRE_PARTS` (the Collector) or
//! `HOPWATCH_REQUIRE_APPS` (Python) is set.

#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;

#[cfg(test)]
#[path = "../it/support/ask.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod ask;
#[cfg(test)]
#[path = "../it/support/collector/mod.rs"]
mod collector;
#[cfg(test)]
mod library;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod run;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod unlucky;
#[cfg(test)]
mod wire;
