//! What is recorded, whatever it came by.

use super::attempt::{Caller, tries};
use super::exchange::{Exchange, is_read};
use super::turn::{Protocol, Turn};
use crate::gateway::downstream::Downstream;
use crate::hops::Try;
use crate::model::{Naming, Nanos};
use std::sync::Arc;

/// Something of which a hop is made.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A request that was served.
    Exchange(Arc<Exchange>),
    /// An exchange inside of a connection that is led through.
    Turn(Arc<Turn>),
}

impl From<Arc<Exchange>> for Entry {
    fn from(exchange: Arc<Exchange>) -> Self {
        Self::Exchange(exchange)
    }
}

impl From<Arc<Turn>> for Entry {
    fn from(turn: Arc<Turn>) -> Self {
        Self::Turn(turn)
    }
}

impl Entry {
    /// Whose it is.
    pub(super) fn downstream(&self) -> &Arc<Downstream> {
        match self {
            Self::Exchange(exchange) => &exchange.downstream,
            Self::Turn(turn) => &turn.line.downstream,
        }
    }

    /// Whether nothing more is to be learned of it: it is over, and its client has read the answer, or will not tell.
    pub(super) fn is_known(&self, now: Nanos) -> bool {
        let ended = match self {
            Self::Exchange(exchange) => exchange.state().ended,
            Self::Turn(turn) => turn.state().ended,
        };
        ended.is_some_and(|ended| is_read(self.downstream(), ended, now))
    }

    /// Its tries up to `now`, the last one under way if it is not over.
    pub(super) fn tries(&self, naming: &Arc<Naming>, caller: &Caller, now: Nanos) -> Vec<Try> {
        match self {
            Self::Exchange(exchange) => tries(exchange, naming, caller, now),
            Self::Turn(turn) => vec![turn.attempt(naming, caller, now)],
        }
    }

    /// Whether anybody would call it open: of one that was answered and is not framed, nobody knows whether more comes.
    pub(super) fn is_shown(&self, now: Nanos) -> bool {
        match self {
            Self::Exchange(_) => true,
            Self::Turn(turn) => !turn.state().is_silent(now),
        }
    }

    /// Whether it may be another try of a hop that failed.
    pub(super) fn may_join(&self) -> bool {
        match self {
            Self::Exchange(_) => true,
            Self::Turn(turn) => !matches!(turn.state().protocol, Protocol::Other),
        }
    }
}
