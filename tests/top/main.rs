//! `hopwatch top`, `report` and `run --watch` as people see them: a real terminal (tmux), a real agent with real traffic, pictures that real
//! readers of XML and SVG read.
//!
//! Needs `tmux`, `curl` and `python3`; pictures are rendered where `chromium` is. Without one of them a test says that it is skipped, or fails
//! where `HOPWATCH_REQUIRE_PARTS` is set.

#![cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers too")]

#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;

#[path = "../it/support/ask.rs"]
mod ask;
#[path = "../agent/sidecar.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod sidecar;
mod tmux;

mod hostile;
mod live;
mod picture;
mod shown;
mod watch;
