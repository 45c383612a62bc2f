//! The gateway between raw sockets: what each side gets byte for byte, and what is told of it.

#![cfg(all(feature = "cli", target_os = "linux"))]

#[cfg(test)]
mod hop;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod through;
#[cfg(test)]
mod wire;

#[cfg(test)]
mod broken;
#[cfg(test)]
mod connecting;
#[cfg(test)]
mod curl;
#[cfg(test)]
mod early;
#[cfg(test)]
mod expect;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod h2;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod intercept;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod many;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod nginx;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod trailers;
#[cfg(test)]
mod tunnel;
#[cfg(test)]
mod upgrade;

#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;
