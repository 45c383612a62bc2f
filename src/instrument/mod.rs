//! The library's doors: what wraps the clients that a service already has.
//!
//! | to time | take |
//! |---|---|
//! | any future or closure, or a stretch of code by hand | [`hop`], [`future`] |
//! | a stream, or a future that gives one | [`stream`] |
//! | a `reqwest` client, whole or by its requests | `reqwest` (feature) |
//! | a `tower` client or server; gRPC too | `tower` (feature) |
//! | the wait at a concurrency limit | [`gate`] |
//! | tries and the time between them | [`attempt`] |
//! | a connection from a pool, told from its query | [`pool`] |
//! | what happens before the service is ready | [`startup`] |
//!
//! Work belongs to what is around it ([`context`]); how it ended is an [`ending`], which [`failure`] reads out of errors; [`propagate`]
//! takes trace context in and out. Each door is used alone, and knows no other.

pub mod attempt;
pub mod context;
pub mod ending;
pub mod failure;
pub mod future;
pub mod gate;
pub mod hop;
pub mod pool;
pub mod propagate;
#[cfg(feature = "reqwest")]
pub mod reqwest;
pub mod startup;
pub mod stream;
#[cfg(feature = "tower")]
pub mod tower;

#[cfg(any(feature = "reqwest", feature = "tower"))]
pub(crate) mod answer;
#[cfg(any(feature = "reqwest", feature = "tower"))]
pub(crate) mod body;
pub(crate) mod clock;
pub(crate) mod ids;
pub(crate) mod recorder;
#[cfg(any(feature = "reqwest", feature = "tower"))]
pub(crate) mod retry_after;
pub(crate) mod run;
pub(crate) mod span;
pub(crate) mod stall;
