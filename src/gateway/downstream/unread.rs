//! When a client did not read.

use crate::model::Nanos;

/// Stretches of time in which something was there for a client and it did not read it, in order and bounded.
#[derive(Debug, Default)]
pub(crate) struct Unread(Vec<(Nanos, Nanos)>);

impl Unread {
    /// Bytes that the client did not take for less are not worth telling (as with the observer, which knows no better).
    pub(super) const MIN: Nanos = 10_000_000;
    /// Most stretches that are kept; beyond, the last one grows.
    const MAX: usize = 256;

    /// Adds one from one moment to another.
    pub(crate) fn add(&mut self, from: Nanos, to: Nanos) {
        if to.saturating_sub(from) < Self::MIN {
            return;
        }
        let is_full = self.0.len() == Self::MAX;
        match self.0.last_mut() {
            Some(last) if last.1 >= from || is_full => last.1 = to.max(last.1),
            _ => self.0.push((from, to)),
        }
    }

    /// All of them.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (Nanos, Nanos)> + '_ {
        self.0.iter().copied()
    }
}
