//! The command line from outside: what it prints, what it keeps, and its exit codes.

#![cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]
#![expect(clippy::disallowed_methods, reason = "tests are timed from outside the program and its clock")]

mod bytes;
mod config;
mod demo;
mod harm;
mod intercept;
mod observed;
mod signals;
mod support;
mod terminal;
mod usage;
