//! hopwatch times every hop of a request (retrieval, tool, LLM, start-up phases) and names the one that ate the timeout.
//!
//! The binary wraps an unchanged process (`hopwatch run -- COMMAND`). This library holds what it is made of, floor by floor; a
//! module uses only those above it in this table:
//!
//! | floor | module | what lives there |
//! |---|---|---|
//! | 0 | [`model`] | the words as types, and the one record that every source produces |
//! | 1 | [`attribution`] | from a run's spans to blame and verdict; pure |
//! | 1 | `wire` | protocol readers: bytes with their times in, facts out |
//! | 2 | [`instrument`] | the library's doors, and the recorder they write to |
//! | 2 | [`export`] | the report, as text and JSON |
//! | 3 | [`watch`] | the library's handle: doors, drain, report and exports tied together |
//! | 3 | `observe` | the observer's other end: follows processes, makes hops of what they did |
//! | 4 | `agent` | configuration, and the assembler of runs |
//! | 5 | `cli` | the verbs |
//! | aside | `observer` | what runs inside the observed process |
//!
//! # Features
//! - `cli` (default): the binary and everything it needs. Library users write `default-features = false`.
//! - `wire`: the protocol readers.
//! - `schema`: JSON schema of the report.

pub use instrument::attempt::{Attempt, Attempts, OpenAttempt};
pub use instrument::context::Context;
pub use instrument::ending::Ending;
pub use instrument::gate::{Gate, GatedHop, Held, Permit, Shed};
pub use instrument::hop::{Hop, OpenHop};
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
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod observe;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod observer;
#[cfg(feature = "wire")]
pub mod wire;
