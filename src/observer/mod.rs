//! Stand-in until the observer is merged.

pub mod layout;

/// The shared object.
pub const OBJECT: &[u8] = b"";
