//! A real Prometheus scrapes, and reads back what the report says.
//!
//! Needs Debian's `prometheus` (with `promtool`) and `python3`. Without them each test says that it is skipped, or fails where
//! `HOPWATCH_REQUIRE_PARTS` is set.

#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with other tests, which use other parts of it")]
mod support;

#[cfg(test)]
#[path = "../it/support/ask.rs"]
mod ask;
#[cfg(test)]
mod library;
#[cfg(test)]
#[path = "../it/support/prometheus.rs"]
#[expect(dead_code, reason = "shared with other tests, which use other parts of it")]
mod prometheus;
#[cfg(test)]
mod run;
