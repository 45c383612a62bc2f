//! The observer's other end: follows the observed processes, reads their rings, and makes hops of what they did.
//!
//! [`place`] chooses where things lie, [`spawn`] says whether a program can be seen and with which environment it starts,
//! [`Observer`] follows the rings that appear ([`ring`]) and assembles what is in them.

mod assemble;
mod elf;
mod follow;
mod kin;
mod life;
pub mod place;
pub mod ring;
pub mod spawn;

use crate::model::{ConnectionFact, ContextFact, ImportFact, Losses, Name, Nanos, Span, Stall};

pub use follow::{Glimpse, ObserveError, Observer, Options};
pub use place::{Place, PlaceError};
pub use spawn::{ResolveError, Sight, environment, examine, resolve};

/// Everything that was seen of a run.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Hops (role client) and exchanges served to the outside (role server), by their start. Parents are given where they are
    /// sure; the rest belongs to the run's root.
    pub spans: Vec<Span>,
    /// When event loops were blocked.
    pub stalls: Vec<Stall>,
    /// TLS contexts built.
    pub contexts: Vec<ContextFact>,
    /// Connections opened.
    pub connections: Vec<ConnectionFact>,
    /// Class of the last exception that was written in traceback form, and when.
    pub raised: Option<(Name, Nanos)>,
    /// What was counted.
    pub losses: Losses,
    /// Processes that were seen.
    pub processes: Vec<Process>,
    /// What start-up was spent on, longest first.
    pub imports: Vec<ImportFact>,
    /// When the first call was made or served.
    pub first_activity: Option<Nanos>,
}

/// A process of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub ppid: u32,
    /// Base name of its program.
    pub program: String,
    /// When it began (became this program, or was forked); without a ring, when it was found.
    pub start: Nanos,
    /// When it ended; `None` = it lives, or was not seen to end.
    pub end: Option<Nanos>,
    /// The observer was in it.
    pub rings: bool,
    /// Why it was not seen, where that is known.
    pub note: Option<String>,
}
