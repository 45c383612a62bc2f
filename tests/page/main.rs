//! The agent's page and what it is told by: the real binary, real traffic, and a real browser.
//!
//! Needs Debian's `chromium` and `nodejs`, `curl`, and the packages of `tests/page/setup`. Without one of them a test says that it is skipped,
//! or fails where `CI` or `HOPWATCH_REQUIRE_PARTS` is set. Pictures of what was seen are left in `target/tmp/page`.

#![cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;

#[path = "../it/support/ask.rs"]
mod ask;
#[path = "../agent/client.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod client;
#[path = "../agent/sidecar.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod sidecar;

mod browser;
mod events;
mod hostile;
mod live;
mod looks;
mod many;
mod queries;
mod runs;
