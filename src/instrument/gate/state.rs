//! What the clones of a gate share.

use super::adapt::{Adapt, Sample};
use crate::instrument::recorder::{Recorder, Shared, Subject, SubjectId};
use crate::model::{GateSample, Name, Nanos, Role};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Waits and holds at which the thread that makes one drains by itself.
const SAMPLES_SOON: usize = 1_024;
/// Most waits, and most holds, that wait for the drain.
const SAMPLES_MAX: usize = 16_384;
/// Most gates that are told of.
const GATES_MAX: usize = 1_000;

/// How a gate's limit is set.
#[derive(Clone, Debug)]
pub(crate) enum Limit {
    Fixed(usize),
    Adaptive(RangeInclusive<usize>),
}

/// What the clones of a gate share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) name: Name,
    pub(super) shared: Arc<Shared>,
    /// What a wait is recorded as.
    pub(super) subject: SubjectId,
    pub(super) semaphore: Arc<Semaphore>,
    state: Mutex<State>,
}

/// The counts, which hold under one lock.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) limit: usize,
    /// Permits to take out of circulation as they come back.
    debt: usize,
    pub(super) in_use: usize,
    pub(super) queue: usize,
    pub(super) abandoned: u64,
    pub(super) shed: u64,
    waits: Vec<Nanos>,
    holds: Vec<Nanos>,
    missed: u64,
    adapt: Option<Adapt>,
}

impl Recorder {
    /// Makes a gate.
    pub(crate) fn gate(&self, name: &str, limit: Limit) -> Arc<Inner> {
        let subject = Subject { role: Role::Internal, kind: None, dependency: Some(name.into()), operation: Name::from(name) };
        let subject = self.shared.subject(subject);
        let (limit, adapt) = match limit {
            Limit::Fixed(limit) => (limit, None),
            Limit::Adaptive(limits) => {
                let adapt = Adapt::new(most(*limits.start()), most(*limits.end()));
                (adapt.limit(), Some(adapt))
            }
        };
        let limit = most(limit);
        let inner = Arc::new(Inner {
            name: self.shared.named(subject).dependency.clone().unwrap_or_default(),
            shared: Arc::clone(&self.shared),
            subject,
            semaphore: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(State { limit, adapt, ..State::default() }),
        });
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() < GATES_MAX {
            gates.push(Arc::clone(&inner));
        } else {
            self.shared.count_odd_name();
        }
        inner
    }

    /// What every gate tells, of one drain at a time; gates of one name are one. A gate that nobody keeps is told a last time.
    pub(crate) fn gates(&self) -> Vec<GateSample> {
        let kept = self.gates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples: Vec<GateSample> = Vec::new();
        for gate in &kept {
            let sample = gate.sample();
            match samples.iter_mut().find(|known| known.name == sample.name) {
                Some(known) => known.add(sample),
                None => samples.push(sample),
            }
        }
        drop(kept);
        // One that went since it was told is told once more.
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).retain(|gate| Arc::strong_count(gate) > 1 || gate.has_news());
        samples
    }
}

/// What a semaphore can count.
fn most(limit: usize) -> usize {
    limit.min(Semaphore::MAX_PERMITS)
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sample(&self) -> GateSample {
        let mut state = self.state();
        GateSample {
            name: Name::clone(&self.name),
            limit: state.limit as u64,
            in_use: state.in_use as u64,
            queue: state.queue as u64,
            waits: std::mem::take(&mut state.waits),
            holds: std::mem::take(&mut state.holds),
            abandoned: std::mem::take(&mut state.abandoned),
            shed: std::mem::take(&mut state.shed),
            missed: std::mem::take(&mut state.missed),
        }
    }

    fn has_news(&self) -> bool {
        let state = self.state();
        state.abandoned + state.shed + state.missed > 0 || !state.waits.is_empty() || !state.holds.is_empty()
    }

    /// A permit was given. Says how many are out, this one included.
    pub(super) fn given(&self, wait: Nanos) -> usize {
        let mut state = self.state();
        state.in_use += 1;
        let in_use = state.in_use;
        let soon = state.keep(|state| &mut state.waits, wait);
        drop(state);
        self.drain_if(soon);
        in_use
    }

    /// A permit came back. `sample` is what an adaptive gate learns of it.
    pub(super) fn returned(&self, token: OwnedSemaphorePermit, hold: Nanos, sample: Option<Sample>) {
        let mut state = self.state();
        state.in_use -= 1;
        let soon = state.keep(|state| &mut state.holds, hold);
        let next = match (&mut state.adapt, sample) {
            (Some(adapt), Some(sample)) => Some(adapt.sample(sample)),
            _ => None,
        };
        let more = next.map_or(0, |next| state.change(most(next), &self.semaphore));
        let forget = state.debt > 0;
        state.debt -= usize::from(forget);
        drop(state);
        // Wakers run what they like: never under our lock.
        if forget {
            token.forget();
        } else {
            drop(token);
        }
        self.semaphore.add_permits(more);
        self.drain_if(soon);
    }

    pub(super) fn set_limit(&self, limit: usize) {
        let mut state = self.state();
        if let Some(adapt) = &mut state.adapt {
            adapt.set(limit);
        }
        let next = state.adapt.as_ref().map_or(limit, Adapt::limit);
        let more = state.change(most(next), &self.semaphore);
        drop(state);
        self.semaphore.add_permits(more);
    }

    fn drain_if(&self, soon: bool) {
        if soon && let Some(drain) = self.shared.drain() {
            drain.wake();
        }
    }
}

impl State {
    /// Keeps a sample if there is room, and says whether the drain should come by.
    fn keep(&mut self, buffer: impl Fn(&mut Self) -> &mut Vec<Nanos>, time: Nanos) -> bool {
        let samples = buffer(self);
        let count = samples.len();
        if count < SAMPLES_MAX {
            samples.push(time);
        } else {
            self.missed += 1;
        }
        count % SAMPLES_SOON == SAMPLES_SOON - 1
    }

    /// Changes the limit, and says how many permits to add.
    fn change(&mut self, limit: usize, semaphore: &Semaphore) -> usize {
        let before = std::mem::replace(&mut self.limit, limit);
        if limit < before {
            let less = before - limit;
            self.debt += less - semaphore.forget_permits(less);
            return 0;
        }
        let paid = self.debt.min(limit - before);
        self.debt -= paid;
        limit - before - paid
    }
}
