//! Names that were not resolved.

use super::judge::{Code, Evidence, Place};
use std::error::Error;
use std::fmt;

/// Why `getaddrinfo` gave no address. The standard library drops this code; the resolver of the `reqwest` door keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError {
    code: i32,
    reason: Reason,
    text: Box<str>,
}

/// What a resolver's code means, whatever number the system gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is no such name, or it has no address.
    NotFound,
    /// The servers did not answer, or not usefully.
    Temporary,
    /// Anything else.
    Other,
}

impl LookupError {
    /// With the system's code and its text for it.
    pub(crate) fn new(code: i32, reason: Reason, text: impl Into<Box<str>>) -> Self {
        Self { code, reason, text: text.into() }
    }

    /// The `EAI_` code as the system numbers it.
    #[must_use]
    pub const fn code(&self) -> i32 {
        self.code
    }

    /// Whether there is no such name, or it has no address.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self.reason, Reason::NotFound)
    }

    /// Whether another try may help: the name servers did not answer, or failed.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self.reason, Reason::Temporary)
    }

    const fn as_code(&self) -> Code {
        match self.reason {
            Reason::NotFound => "name_not_found",
            Reason::Temporary => "name_server_failure",
            Reason::Other => "name_resolution",
        }
    }
}

impl fmt::Display for LookupError {
    /// As the standard library words it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to lookup address information: {}", self.text)
    }
}

impl Error for LookupError {}

pub(super) fn see(error: &(dyn Error + 'static), evidence: &mut Evidence) {
    if let Some(lookup) = error.downcast_ref::<LookupError>() {
        evidence.place = Place::Dns;
        evidence.lookup.get_or_insert(lookup.as_code());
    }
}
