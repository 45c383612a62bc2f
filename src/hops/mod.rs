//! Hops: tries on the wire joined into logical calls, by the report reference, section 5 ("Attempts", "The client left").
//!
//! Floor 1: pure over [`crate::model`], no I/O and no clock. A source that sees traffic (observer, gateway) tells a [`Try`] when one ended, with
//! what became of it ([`Judged`]); [`Hops`] makes spans of them. Both sources judge ends and join tries by the same rules, so that for one
//! call both say the same.

mod attempt;
mod ending;
mod hop;
mod list;

pub(crate) use attempt::{Candidate, Key, Try};
pub(crate) use ending::{How, Judged, Movement, caller_left, peer_failed};
pub(crate) use hop::Hop;
pub(crate) use list::Hops;

use crate::model::Nanos;

/// One millisecond in [`Nanos`].
const MILLI: Nanos = 1_000_000;

/// Number of a caller, as the source counts them: a process, or whoever else calls.
pub(crate) type CallerId = usize;

/// A hop's number in [`Hops`].
pub(crate) type Place = usize;
