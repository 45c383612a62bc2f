//! hopwatch times every hop of a request (retrieval, tool, LLM, start-up phases) and names the one that ate the timeout.

#[cfg(feature = "cli")]
pub mod agent;
pub mod model;
