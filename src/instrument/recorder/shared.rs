//! What all logs of one recorder share.

use super::record::{Subject, SubjectId};
use crate::attribution::History;
use crate::instrument::clock::Clock;
use crate::instrument::stall::{self, runtime::Runtimes};
use crate::model::clock::nanos;
use crate::model::{Name, Nanos, redact};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// Most subjects told apart; more of a kind are `other`.
const SUBJECTS_MAX: usize = 10_000;

/// What stands in for dependencies and operations beyond the cap.
const OTHER: &str = "other";

/// What takes ended records out of the logs.
pub(crate) trait Drain: Send + Sync {
    /// Come by soon. Never waits.
    fn wake(&self);
    /// Takes what ended in the logs of threads, on this thread, unless another is at it, and leaves to the drain's thread what takes long.
    /// Never waits.
    fn try_drain(&self);
}

/// What all logs of one recorder share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// The service whose time it is.
    pub(crate) service: Name,
    subjects: RwLock<Subjects>,
    /// Names beyond the cap, and names that were no names.
    pub(crate) odd_names: AtomicU64,
    /// Attempts that their hop had no room for.
    pub(crate) missed_attempts: AtomicU64,
    pub(crate) drain: OnceLock<DrainRef>,
    /// The runtimes that its work is on, and when they were blocked.
    pub(crate) runtimes: Runtimes,
    stall_threshold: AtomicU64,
    /// What calls took before.
    pub(crate) history: Mutex<History>,
}

#[derive(Debug, Default)]
struct Subjects {
    all: Vec<Arc<Subject>>,
    by_subject: FxHashMap<Arc<Subject>, SubjectId>,
}

/// The drain, as long as somebody keeps it.
pub(crate) struct DrainRef(pub(crate) std::sync::Weak<dyn Drain>);

impl std::fmt::Debug for DrainRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DrainRef")
    }
}

impl Shared {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            clock: Clock::new(),
            service: redact::name(service).into(),
            subjects: RwLock::default(),
            odd_names: AtomicU64::new(0),
            missed_attempts: AtomicU64::new(0),
            drain: OnceLock::new(),
            history: Mutex::default(),
            runtimes: Runtimes::default(),
            stall_threshold: AtomicU64::new(nanos(stall::THRESHOLD)),
        }
    }

    /// The id of a subject, made on first use. Names are cleaned: an empty one is `unknown`, an endless one is cut, and beyond 10,000
    /// subjects new ones are `other`. Takes a lock; for making handles, not for each call.
    pub(crate) fn subject(&self, mut subject: Subject) -> SubjectId {
        self.clean(&mut subject);
        if let Some(&id) = self.subjects.read().unwrap_or_else(PoisonError::into_inner).by_subject.get(&subject) {
            return id;
        }
        let mut subjects = self.subjects.write().unwrap_or_else(PoisonError::into_inner);
        if subjects.all.len() >= SUBJECTS_MAX {
            self.odd_names.fetch_add(1, Ordering::Relaxed);
            subject.dependency = subject.dependency.map(|_| OTHER.into());
            subject.operation = OTHER.into();
        }
        if let Some(&id) = subjects.by_subject.get(&subject) {
            return id;
        }
        let id = SubjectId(subjects.all.len() as u32);
        let subject = Arc::new(subject);
        subjects.all.push(Arc::clone(&subject));
        subjects.by_subject.insert(subject, id);
        id
    }

    fn clean(&self, subject: &mut Subject) {
        let clean = |name: &Name| -> Name {
            let cleaned = redact::name(name.trim());
            if cleaned.is_empty() { "unknown".into() } else { cleaned.into() }
        };
        let before = (subject.dependency.clone(), subject.operation.clone());
        subject.dependency = subject.dependency.as_ref().map(clean);
        subject.operation = clean(&subject.operation);
        if before != (subject.dependency.clone(), subject.operation.clone()) {
            self.odd_names.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A name that was left out.
    pub(crate) fn count_odd_name(&self) {
        self.odd_names.fetch_add(1, Ordering::Relaxed);
    }

    /// A subject by its id.
    pub(crate) fn named(&self, id: SubjectId) -> Arc<Subject> {
        let subjects = self.subjects.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&subjects.all[id.0 as usize])
    }

    /// A poll that takes this long blocked its event loop.
    pub(crate) fn stall_threshold(&self) -> Nanos {
        self.stall_threshold.load(Ordering::Relaxed)
    }

    /// Sets it; nothing shorter than a tick can be told apart.
    pub(crate) fn set_stall_threshold(&self, threshold: std::time::Duration) {
        self.stall_threshold.store(nanos(threshold.max(stall::TICK)), Ordering::Relaxed);
    }

    pub(crate) fn drain(&self) -> Option<Arc<dyn Drain>> {
        self.drain.get().and_then(|drain| drain.0.upgrade())
    }
}
