//! The gateway: sees calls by standing in their way.
//!
//! Floor 3. [`connect`] opens connections to origins, timed step by step.

pub(crate) mod connect;
