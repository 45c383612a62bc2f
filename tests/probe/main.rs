//! `hopwatch probe` against endpoints that are well, are slow, or fail in every step.

#![cfg(all(feature = "cli", target_os = "linux"))]

#[cfg(test)]
mod failing;
#[cfg(test)]
mod probing;
#[cfg(test)]
mod proxied;
#[cfg(test)]
mod secured;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod well;

#[cfg(test)]
#[path = "../it/support/peer.rs"]
mod peer;
#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;
