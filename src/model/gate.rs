//! What a gate tells: how full it is, and how long was waited and held since it was last asked.

use super::{Name, Nanos};

/// A gate as of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateSample {
    /// What the user calls it.
    pub name: Name,
    /// Permits that may be out at once.
    pub limit: u64,
    /// Permits that are out.
    pub in_use: u64,
    /// Callers that wait.
    pub queue: u64,
    /// How long each was waited for, of the permits given since the last time; 0 for those that were free.
    pub waits: Vec<Nanos>,
    /// How long each was held, of the permits given back since the last time.
    pub holds: Vec<Nanos>,
    /// Callers that left before their permit came, since the last time.
    pub abandoned: u64,
    /// Callers that were turned away because they would not wait, since the last time.
    pub shed: u64,
    /// Waits and holds that there was no room for, since the last time.
    pub missed: u64,
}

impl GateSample {
    /// Adds a gate of the same name.
    pub fn add(&mut self, other: Self) {
        self.limit = self.limit.saturating_add(other.limit);
        self.in_use += other.in_use;
        self.queue += other.queue;
        self.waits.extend(other.waits);
        self.holds.extend(other.holds);
        self.abandoned += other.abandoned;
        self.shed += other.shed;
        self.missed += other.missed;
    }
}
