//! The door for start-up: what a service does before it serves, by named phases, counted from the start of its process.
//!
//! | event | when |
//! |---|---|
//! | start | the process started, as Linux tells it (within 10 ms); elsewhere, and for a second start-up of one handle, when it was begun |
//! | a phase | the first poll of its future, or the start of its closure or guard, to its end; phases nest and run side by side |
//! | end | `ready` (`ok`), `failed` (as the error says), or the drop of the last clone: `cancelled`, `error` while its thread panics |
//!
//! The whole is a run named `startup`. A phase that is done inside another run (a client that is made anew in a request) is recorded
//! there; when that repeats, it is the finding `rebuilt_per_request`.

mod phase;
mod process;
#[cfg(test)]
mod tests;

pub use phase::{FirstCall, OpenPhase, StartupPhase};

use super::context::Context;
use super::ending::Ending;
use super::failure;
use super::recorder::Recorder;
use super::run::{OpenRun, RunStart};
use crate::model::clock::nanos;
use crate::model::{Kind, Name, Nanos, Role};
use rustc_hash::FxHashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Most names of phases told apart; more are `other`.
const NAMES_MAX: usize = 64;

/// What stands in for names beyond the cap.
const OTHER: &str = "other";

/// A start-up under way. Cheap to clone; when the last clone is dropped before [`ready`](Self::ready), the start-up was aborted.
#[derive(Clone, Debug)]
pub struct Startup {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    recorder: Arc<Recorder>,
    /// Where the work of the start-up belongs.
    context: Context,
    start: Nanos,
    run: Mutex<Option<OpenRun>>,
    first_call: Arc<AtomicBool>,
}

/// What a recorder knows of its start-ups.
#[derive(Debug, Default)]
pub(crate) struct Startups {
    /// The one under way.
    current: Weak<Inner>,
    /// One was begun.
    begun: bool,
    names: FxHashSet<Name>,
}

impl Startup {
    /// The start-up under way, or a new one: the first of a recorder counts from the start of the process.
    pub(crate) fn of(recorder: &Arc<Recorder>) -> Self {
        let mut startups = startups(recorder);
        if let Some(inner) = startups.current.upgrade().filter(|inner| inner.run().is_some()) {
            return Self { inner };
        }
        let age = if std::mem::replace(&mut startups.begun, true) { None } else { process::age() };
        let startup = Self::begin(recorder, age.unwrap_or_default());
        startups.current = Arc::downgrade(&startup.inner);
        startup
    }

    /// Begins one that is so old already.
    fn begin(recorder: &Arc<Recorder>, age: Duration) -> Self {
        let start = recorder.clock().now().saturating_sub(nanos(age));
        let name = Kind::Startup.as_str();
        let settings = RunStart { kind: Some(Kind::Startup), role: Role::Internal, at: Some(start), ..RunStart::new(name) };
        // A run of its own, wherever it is begun.
        let run = Context::default().within(|| OpenRun::begin(recorder, settings));
        let context = run.context();
        let inner =
            Inner { recorder: Arc::clone(recorder), context, start, run: Mutex::new(Some(run)), first_call: Arc::default() };
        Self { inner: Arc::new(inner) }
    }

    /// A named part of it: `config`, `index load`. Names should be few; of more than 64 the rest are `other`. Takes a lock.
    pub fn phase(&self, name: &str) -> StartupPhase {
        StartupPhase::new(&self.inner.recorder, name, self.inner.context.clone())
    }

    /// The first call after the start-up, as its last phase, `first call`: of all that is timed by the clones of this, the first alone.
    /// It is recorded where it happens, in the start-up itself or in the run that makes it.
    #[must_use]
    pub fn first_call(&self) -> FirstCall {
        FirstCall::new(self.phase("first call"), Arc::clone(&self.inner.first_call))
    }

    /// Where the work of the start-up belongs, for hops in it that are of no phase: `startup.context().carry(future)`.
    #[must_use]
    pub fn context(&self) -> Context {
        self.inner.context.clone()
    }

    /// The service is ready: the start-up ends. Says how long it took; only the first time ends it.
    pub fn ready(&self) -> Duration {
        self.end(Ending::ok())
    }

    /// The start-up failed: it ends with what the error means, found by its chain of sources, never by its text.
    pub fn failed<E: 'static>(&self, error: &E) {
        self.end(failure::classify_any(error).into());
    }

    fn end(&self, ending: Ending) -> Duration {
        let run = self.inner.run().take();
        if let Some(mut run) = run {
            run.finish(ending);
        }
        Duration::from_nanos(self.inner.recorder.clock().now().saturating_sub(self.inner.start))
    }
}

impl Inner {
    fn run(&self) -> MutexGuard<'_, Option<OpenRun>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A phase of whatever start-up is under way, for code that does not know of one.
pub(crate) fn phase_anywhere(recorder: &Arc<Recorder>, name: &str) -> StartupPhase {
    let current = startups(recorder).current.upgrade();
    let home = current.map_or_else(Context::default, |inner| inner.context.clone());
    StartupPhase::new(recorder, name, home)
}

fn startups(recorder: &Recorder) -> MutexGuard<'_, Startups> {
    recorder.startups.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a phase, or `other` where there are too many.
fn capped(recorder: &Recorder, name: &str) -> Name {
    let mut startups = startups(recorder);
    if let Some(known) = startups.names.get(name) {
        return Name::clone(known);
    }
    if startups.names.len() >= NAMES_MAX {
        drop(startups);
        recorder.shared.count_odd_name();
        return OTHER.into();
    }
    let name = Name::from(name);
    startups.names.insert(Name::clone(&name));
    name
}
