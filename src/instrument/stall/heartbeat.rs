//! A heartbeat on a runtime: late when the runtime was blocked, whoever blocked it.

use super::runtime::current;
use super::watchdog::{self, Slot};
use super::{Blocked, TICK};
use crate::instrument::recorder::{Recorder, Shared};
use crate::model::{Name, Nanos, StallCause, redact};
use std::sync::{Arc, Weak};
use tokio::runtime::{Handle, Id, RuntimeFlavor};

/// Ticks between beats that are as usual: beats and ticks are not in step.
const PATIENCE: u32 = 2;

/// There is no tokio runtime here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a heartbeat needs a tokio runtime with time enabled: call this inside one")]
pub struct NoRuntime;

/// Starts a heartbeat on the current runtime, unless it has one. It ends with the recorder or the runtime.
pub(crate) fn start(recorder: &Arc<Recorder>, name: &str) -> Result<(), NoRuntime> {
    let handle = Handle::try_current().map_err(|_| NoRuntime)?;
    let cleaned = redact::name(name.trim());
    let name: Name = if cleaned.is_empty() { "unknown".into() } else { cleaned.into() };
    if recorder.shared.runtimes.name(handle.id(), &name) {
        let named = Named { shared: Arc::clone(&recorder.shared), id: handle.id() };
        // Of several workers nobody knows which one should have polled it.
        let alone = handle.runtime_flavor() == RuntimeFlavor::CurrentThread;
        handle.spawn(beat(Arc::downgrade(recorder), named, alone));
    }
    Ok(())
}

/// The name of a runtime, kept while its heart beats.
struct Named {
    shared: Arc<Shared>,
    id: Id,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.shared.runtimes.forget(self.id);
    }
}

async fn beat(recorder: Weak<Recorder>, named: Named, alone: bool) {
    let clock = named.shared.clock;
    let slot = alone.then(|| Slot::register(PATIENCE));
    loop {
        let due = clock.now().saturating_add(crate::model::clock::nanos(TICK));
        if let Some(slot) = &slot {
            slot.step(true);
            watchdog::stay_awake();
        }
        tokio::time::sleep_until(clock.instant(due)).await;
        let Some(recorder) = recorder.upgrade() else { return };
        let now = clock.now();
        if is_late(due, now, named.shared.stall_threshold()) {
            let cause = slot.as_ref().map_or(StallCause::Unknown, |slot| slot.cause(clock.instant(due), clock.instant(now)));
            recorder.runtime_blocked(named.id, Blocked { start: due, end: now, cause });
        }
        debug_assert_eq!(current(), Some(named.id));
    }
}

/// Whether a beat that was due then and came now shows that the runtime was blocked.
const fn is_late(due: Nanos, now: Nanos, threshold: Nanos) -> bool {
    now.saturating_sub(due) >= threshold
}
