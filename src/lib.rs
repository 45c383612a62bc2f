//! hopwatch times every hop of a request (retrieval, tool, LLM, start-up phases) and names the one that ate the timeout.

pub mod model;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod observe;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod observer;
#[cfg(feature = "wire")]
pub mod wire;
