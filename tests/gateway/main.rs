//! The gateway between raw sockets: what each side gets byte for byte, and what is told of it.

#![cfg(all(feature = "cli", target_os = "linux"))]

#[cfg(test)]
#[expect(dead_code, reason = "tests of HTTP use the rest")]
mod hop;
#[cfg(test)]
#[expect(dead_code, reason = "tests of HTTP use the rest")]
mod peer;
#[cfg(test)]
#[expect(dead_code, reason = "tests of HTTP use the rest")]
mod through;
#[cfg(test)]
mod wire;

#[cfg(test)]
mod tcp;
#[cfg(test)]
mod tunnel;
#[cfg(test)]
mod upgrade;

#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;
