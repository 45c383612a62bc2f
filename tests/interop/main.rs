//! Real clients under `hopwatch run` against scripted servers with real faults, judged by the JSON report.
//!
//! The programs are in `tests/apps`; `tests/apps/setup` makes the Python environment that they need. Without it each test says that
//! it is skipped, or fails where `CI` or `HOPWATCH_REQUIRE_APPS` is set.

#[cfg(test)]
#[path = "../it/support/mod.rs"]
mod support;

#[cfg(test)]
mod budget;
#[cfg(test)]
mod concurrent;
#[cfg(test)]
mod frameworks;
#[cfg(test)]
mod healthy;
#[cfg(test)]
mod intercept;
#[cfg(test)]
mod model;
#[cfg(test)]
mod network;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod tunnels;
#[cfg(test)]
mod untouched;
