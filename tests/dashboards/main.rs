//! Dashboards, rules and alerts: they keep the linter's rules, ask for what is really exported, and say what is so of a real agent under
//! real faults, to a real Prometheus and a real Alertmanager.
//!
//! Needs `curl`, Debian's `prometheus` (with `promtool`) and `prometheus-alertmanager`, and for Grafana's own types and the schema of compose
//! files what `tests/dashboards/setup` makes. Without one of them a test says that it is skipped, or fails where `HOPWATCH_REQUIRE_PARTS` is
//! set.

#![cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers too")]

#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;

#[path = "../it/support/ask.rs"]
mod ask;
#[path = "../agent/client.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod client;
#[path = "../it/support/collector/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod collector;
#[path = "../it/support/prometheus.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod prometheus;
#[path = "../agent/sidecar.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod sidecar;

mod alertmanager;
mod alerts;
mod boards;
mod colors;
mod compose;
mod files;
mod grafana;
mod hostile;
mod known;
mod linter;
mod native;
mod panels;
mod promql;
mod promtool;
mod scene;
