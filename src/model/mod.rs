//! The words of hopwatch as types, and the one record that every source produces.
//!
//! Floor 0: no I/O, no runtime. A source (observer, gateway, receiver, library door) makes [`Span`]s and [`Stall`]s; the
//! assembler makes a [`Run`] of them; `attribution` turns a run into [`BlameRow`]s and a [`Verdict`]; sinks render them.
//!
//! Times are [`Nanos`]: nanoseconds since the Unix epoch for instants, nanoseconds for durations. A source anchors its
//! monotonic clock to the epoch once ([`clock::Anchor`]), so that differences stay exact.

pub mod attributes;
pub mod clock;
pub mod conventions;
pub(crate) mod error_type;
pub mod finding;
pub mod gate;
pub mod grpc;
pub mod human;
pub(crate) mod mix;
pub mod names;
pub mod naming;
pub mod palette;
pub mod redact;
pub mod run;
pub mod span;
pub mod timeline;
pub mod verdict;
pub mod words;

use std::sync::Arc;

pub use finding::{Finding, Source};
pub use gate::GateSample;
pub use naming::{Naming, Peer};
pub use run::{ConnectionFact, ContextFact, Exit, ImportFact, Live, Losses, Reason, Run, Stall};
pub use span::{Attempt, Bytes, Call, Client, Role, Span, SpanId, Tokens, TraceId};
pub use timeline::{Tile, Timeline};
pub use verdict::{BlameRow, Component, Confidence, Evidence, RaisedAt, Value, Verdict};
pub use words::{Cause, ConnectionState, FailedBy, Kind, Origin, Outcome, Phase, StallCause};

/// Nanoseconds: since the Unix epoch for an instant, else a duration.
pub type Nanos = u64;

/// A name that many records share: a service, a dependency, an operation, a model.
pub type Name = Arc<str>;

/// Nanoseconds as milliseconds with three decimals, as the report writes them.
#[must_use]
pub fn millis(nanos: Nanos) -> f64 {
    // Rounded to whole microseconds first, so that the decimal text is short and equal values stay equal.
    (nanos as f64 / 1_000.0).round() / 1_000.0
}
