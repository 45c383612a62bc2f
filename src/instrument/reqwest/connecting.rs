//! One attempt to open a connection: its marks, and whose it is.
//!
//! hyper polls a connect inside the call that started it, so that a task-local set around the call is seen by connector, resolver
//! and TLS hook. It races connecting against waiting for a connection that another call gives back: when the latter wins, the
//! connect goes on in a task of its own, where the caller's task-local is gone. That is how an orphaned connect is known.

use super::exchange::{CALL, Exchange};
use crate::instrument::context::Context;
use crate::model::{ConnectionState, Phase};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

tokio::task_local! {
    /// The attempt that resolver and TLS hook work for.
    pub(super) static CONNECTING: Arc<Connecting>;
}

/// One attempt to open a connection.
#[derive(Debug)]
pub(super) struct Connecting {
    owner: Owner,
    marks: Mutex<Marks>,
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// The connector was called.
    pub(super) start: Instant,
    /// The name was asked for; not for addresses.
    pub(super) lookup: Option<Instant>,
    /// The name was answered, with addresses or an error.
    pub(super) resolved: Option<Instant>,
    /// The handshake began, where the TLS hook is there to see it.
    pub(super) handshake: Option<Instant>,
    /// It ended, and whether a connection came of it.
    pub(super) end: Option<(Instant, bool)>,
    /// The call that started it went on with another connection.
    pub(super) orphaned: Option<Instant>,
}

/// Who started it.
#[derive(Debug)]
enum Owner {
    /// A call that is watched from end to end.
    Call(Arc<Exchange>),
    /// Whatever hop is current, perhaps none.
    Context(Context),
}

impl Connecting {
    /// Begins for the current call, or else for the current hop.
    pub(super) fn begin() -> Arc<Self> {
        let owner = CALL.try_with(|call| Owner::Call(Arc::clone(call))).unwrap_or_else(|_| Owner::Context(Context::current()));
        let marks = Marks { start: Instant::now(), lookup: None, resolved: None, handshake: None, end: None, orphaned: None };
        let connecting = Arc::new(Self { owner, marks: Mutex::new(marks) });
        match &connecting.owner {
            Owner::Call(call) => call.connects(&connecting),
            Owner::Context(context) => context.phase(Phase::Connect),
        }
        connecting
    }

    pub(super) fn marks(&self) -> Marks {
        *self.lock()
    }

    /// The call that it is for; 0 where that is not known.
    pub(super) fn call(&self) -> u64 {
        match &self.owner {
            Owner::Call(call) => call.id(),
            Owner::Context(_) => 0,
        }
    }

    /// The name is being looked up.
    pub(super) fn lookup(&self) {
        self.mark(Some(Phase::Dns), |marks, now| marks.lookup = marks.lookup.or(Some(now)));
    }

    /// The look-up ended.
    pub(super) fn resolved(&self) {
        self.mark(Some(Phase::Connect), |marks, now| marks.resolved = marks.resolved.or(Some(now)));
    }

    /// The TLS handshake began.
    pub(super) fn handshake(&self) {
        self.mark(Some(Phase::Tls), |marks, now| marks.handshake = marks.handshake.or(Some(now)));
    }

    /// It is being polled: by the call that started it, or by a task of its own.
    pub(super) fn polled(&self) {
        let by_owner = match &self.owner {
            Owner::Call(call) => CALL.try_with(|current| current.id() == call.id()).unwrap_or(false),
            Owner::Context(context) => Context::with_current(|current| current.is_same(context)),
        };
        if !by_owner && self.lock().orphaned.is_none() {
            if let Owner::Context(context) = &self.owner {
                context.phase(Phase::Wait);
            }
            self.mark(None, |marks, now| marks.orphaned = Some(now));
        }
    }

    /// It ended, with a connection or without one. The first end counts.
    pub(super) fn ended(&self, open: bool, id: Option<NonZeroU64>) {
        let foreground = {
            let mut marks = self.lock();
            if marks.end.is_some() {
                return;
            }
            marks.end = Some((Instant::now(), open));
            marks.orphaned.is_none()
        };
        if let (Owner::Context(context), true, true) = (&self.owner, open, foreground) {
            context.phase(Phase::Wait);
            context.edit_call(|call| {
                call.client.connection = call.client.connection.or(Some(ConnectionState::New));
                call.client.connection_id = id;
                if let Some(last) = call.attempts.last_mut() {
                    last.connection = Some(ConnectionState::New);
                }
            });
        }
    }

    fn mark(&self, phase: Option<Phase>, set: impl FnOnce(&mut Marks, Instant)) {
        let orphaned = {
            let mut marks = self.lock();
            set(&mut marks, Instant::now());
            marks.orphaned.is_some()
        };
        if let (Owner::Context(context), Some(phase), false) = (&self.owner, phase, orphaned) {
            context.phase(phase);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
