//! Real clients under `hopwatch run` against scripted servers with real faults, judged by the JSON report.
//!
//! Each scene is played as the observer sees it, as the gateway does, and as both do, with one verdict and the same records of each call.
//! What a gateway cannot know by its nature, and what is therefore not asked of it alone (`Via::is_inside`):
//!
//! - what is inside of TLS that it leads through: status, model, tokens, whether the answer is a stream, a read timeout that the client
//!   tells, the operation; and how many exchanges there are is an estimate;
//! - what is inside of the program: the class of its exception, the TLS contexts that it builds;
//! - that a process was killed: the kernel closes its connections as the client itself would, so that its calls end as left by it;
//! - a connection that the client would have failed to make is made, to the gateway: the client's exception is another one.
//!
//! The programs are in `tests/apps`; `tests/apps/setup` makes the Python environment that they need. Without it each test says that
//! it is skipped, or fails where `CI` or `HOPWATCH_REQUIRE_APPS` is set.

#[cfg(test)]
#[path = "../it/support/mod.rs"]
mod support;

#[cfg(test)]
mod agreement;
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
