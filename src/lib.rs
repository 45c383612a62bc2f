//! hopwatch times every hop of a request (retrieval, tool, LLM, start-up phases) and names the one that ate the timeout.

pub mod model;
#[cfg(feature = "cli")]
pub mod observe;
#[cfg(feature = "cli")]
pub mod observer;
#[cfg(feature = "wire")]
pub mod wire;
