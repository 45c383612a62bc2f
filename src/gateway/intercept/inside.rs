//! What is asked inside of TLS that is ended here.

use super::{Intercept, Why};
use crate::gateway::connect::{Connected, Steps};
use crate::gateway::downstream::Downstream;
use crate::gateway::route::Destination;
use crate::gateway::through::{SETUP_IDLE, TURNED_DOWN};
use crate::gateway::{Shared, Stage};
use crate::model::Nanos;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

/// A client's connection inside of its TLS: where all that it asks goes.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) destination: Arc<Destination>,
    /// The connection that was opened for it, until a request takes it.
    brought: Mutex<Option<Box<Brought>>>,
    number: NonZeroU64,
    /// When its handshake ended.
    ready: Nanos,
}

/// A connection to an upstream that was opened before the first request.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) connected: Connected,
    pub(crate) number: NonZeroU64,
    /// When its client asked for it.
    pub(crate) start: Nanos,
    pub(crate) steps: Arc<Steps>,
    /// Since when it could be used.
    pub(crate) ready: Nanos,
}

impl Brought {
    /// How long it has been at rest at `at`; `None` = not long enough to tell it from what it was opened for.
    pub(crate) fn rested(&self, at: Nanos) -> Option<Nanos> {
        Some(at.saturating_sub(self.ready)).filter(|&rest| rest >= SETUP_IDLE)
    }

    /// When a request that came then begins: with what was done for it before, unless that was long ago.
    pub(crate) fn start_of(&self, came: Nanos) -> Nanos {
        if self.rested(came).is_some() { came } else { self.start.min(came) }
    }
}

impl Inside {
    pub(super) fn new(destination: Destination, brought: Brought) -> Self {
        let Brought { number, ready, .. } = brought;
        Self { destination: Arc::new(destination), brought: Mutex::new(Some(Box::new(brought))), number, ready }
    }

    /// The connection for its first request.
    pub(crate) fn take(&self) -> Option<Box<Brought>> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Its client's connection is over. A client that pins may look at the certificate only after the handshake, and leaves then.
    pub(crate) fn over(&self, shared: &Shared, intercept: &Intercept, downstream: &Downstream) {
        let unused = self.take().is_some();
        let soon = downstream.anchor.now().saturating_sub(self.ready) < TURNED_DOWN;
        if unused && soon && *shared.stage.borrow() == Stage::Open {
            intercept.leave_alone(&self.destination.origin, Why::Pins);
        }
        shared.pool.close(&self.destination.origin, self.number);
    }
}
