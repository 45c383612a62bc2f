#![doc = include_str!("guide/what.md")]
#![doc = include_str!("guide/measured.md")]
#![doc = include_str!("guide/slow.md")]
#![doc = include_str!("guide/features.md")]
#![doc = include_str!("guide/limits.md")]
// Each door and each export uses its part of what all share: with some of them left out, parts of it have no user.
#![cfg_attr(not(feature = "full"), allow(dead_code, reason = "the parts of features that are off"))]
// The floors (who may import whom) are told and kept by tests/architecture.rs.

pub use instrument::attempt::{Attempt, Attempts, OpenAttempt};
pub use instrument::context::Context;
pub use instrument::ending::Ending;
pub use instrument::gate::{Gate, GatedHop, Held, Permit, Shed};
pub use instrument::hop::{Hop, OpenHop};
pub use instrument::propagate::Remote;
pub use instrument::startup::{FirstCall, OpenPhase, Startup, StartupPhase};
pub use model::{Kind, Outcome, Phase};
pub use watch::{BuildError, Builder, Hopwatch, NoRuntime, RunError, Scope, Telemetry, setup};

pub mod attribution;
pub mod export;
pub mod instrument;
pub mod model;
pub mod watch;

#[cfg(feature = "cli")]
pub mod agent;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
#[expect(dead_code, reason = "tunnels and probe come on top")]
pub mod gateway;
#[cfg(feature = "cli")]
mod hops;
#[cfg(all(unix, feature = "reqwest"))]
mod lookup;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod observe;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod observer;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod scratch;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod sock_diag;
#[cfg(feature = "wire")]
pub mod wire;

/// The Rust blocks of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub mod readme {}
