//! How a run ended, from what its source knows: the exit of a process, or the ending of the run's own code.

use crate::model::{Outcome, Run};

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// Its deadline passed.
    pub(super) late: bool,
    /// Somebody stopped it: the user's signal, or its future was dropped.
    pub(super) stopped: bool,
    /// It failed otherwise, with this outcome unless a call explains it better.
    pub(super) broke: Option<Outcome>,
    /// It was ended at its deadline.
    cut: bool,
}

impl Ending {
    pub(super) fn of(run: &Run) -> Self {
        let exit = run.exit.unwrap_or_default();
        // A scope that ends at its deadline may end in that very moment, or before the first one when there is no time at all.
        let expired = run.ending == Some(Outcome::Timeout) && run.deadline.is_some_and(|deadline| run.duration() >= deadline);
        let own = run.ending.filter(|ending| !matches!(ending, Outcome::Ok | Outcome::Cancelled));
        Self {
            late: run.is_late() || exit.by_deadline || expired,
            stopped: exit.by_user || run.ending == Some(Outcome::Cancelled),
            broke: own.or((exit.code != 0 || exit.signal.is_some()).then_some(Outcome::Error)),
            cut: exit.by_deadline || expired,
        }
    }

    /// Whether it was ended from outside of its own code, which then left the calls that were open.
    pub(super) const fn is_from_outside(self) -> bool {
        self.cut || self.stopped
    }
}
