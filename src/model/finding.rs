//! A cause seen across runs or outside any failed run.

use super::{Cause, Confidence, Evidence, Kind, Name};

/// A cause worth telling although nothing may have failed yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which.
    pub cause: Cause,
    /// Whom it is about.
    pub source: Source,
    /// Runs it was seen in.
    pub runs: u64,
    /// How sure.
    pub confidence: Confidence,
    /// The numbers behind it.
    pub evidence: Vec<Evidence>,
    /// One sentence for people.
    pub sentence: String,
    /// What to change.
    pub remedy: String,
}

/// Whom a finding is about: a dependency, or the caller itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Kind of the dependency.
    pub kind: Option<Kind>,
    /// The dependency; `None` = the caller.
    pub dependency: Option<Name>,
}
