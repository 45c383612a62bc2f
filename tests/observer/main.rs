//! The observer in real processes: small programs run with it preloaded, and their rings are read as the agent would.
#![cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail with them")]

mod event_loop;
mod network;
mod object;
mod processes;
mod safety;
mod support;
mod tls;
