//! `hopwatch agent` from outside: the real binary, with real clients before it, scripted upstreams behind it, and a real Prometheus and real
//! collectors beside it.
//!
//! Needs `curl`, Debian's `prometheus` (with `promtool`) and `systemd`, and the environment of `tests/apps/setup`; the Collector is that of
//! `tests/collector/setup`. Without one of them a test says that it is skipped, or fails where `CI`, `HOPWATCH_REQUIRE_PARTS` or
//! `HOPWATCH_REQUIRE_APPS` is set.

#![cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers too")]

#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;

#[path = "../it/support/ask.rs"]
mod ask;
#[path = "../it/support/collector/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod collector;
#[path = "../it/support/prometheus.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod prometheus;

mod bombs;
mod client;
mod crowd;
mod drained;
mod handed;
mod http2;
mod open;
mod process;
mod protected;
mod reloaded;
mod scraped;
mod secrets;
mod sidecar;
mod spans;
mod systemd;
mod tls;
mod unlucky;
