//! The library's doors: what wraps the clients that a service already has.

pub mod context;
pub mod ending;
pub mod future;
pub mod gate;
pub mod hop;

pub(crate) mod clock;
pub(crate) mod failure;
pub(crate) mod ids;
pub(crate) mod recorder;
pub(crate) mod run;
pub(crate) mod span;
