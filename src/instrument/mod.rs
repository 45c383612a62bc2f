//! The library's doors: what wraps the clients that a service already has.

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
