//! Where hops are recorded from their start to the moment that the drain takes them.
//!
//! Work outside runs goes to the log of its thread, work of a run to the run's own. Each log is consistent under its lock:
//! `started = recorded + open + dropped`.

mod log;
mod record;
mod run;
mod shared;
#[cfg(test)]
mod tests;
mod tries;

pub(crate) use log::{Beginning, Belongs, Counts, Key, Log, Room, RunFacts};
pub(crate) use record::{Live, Record, Subject, SubjectId};
pub(crate) use run::{run_of, subtree};
pub(crate) use shared::{Drain, DrainRef, Shared};
pub(crate) use tries::{Leaving, Over};

use crate::attribution::{History, Judgement, judge_with};
use crate::instrument::clock::Clock;
use crate::instrument::ending::Ending;
use crate::instrument::stall::Blocked;
use crate::instrument::stall::runtime::RuntimeStall;
use crate::model::{Losses, Nanos, Run, Span};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most runs that are live at once and judged; beyond, hops are recorded outside a run.
const RUNS_MAX: usize = 100_000;
/// Ended runs at which the drain is woken.
const ENDED_SOON: usize = 1_000;
/// Most ended runs that wait for the drain.
const ENDED_MAX: usize = 10_000;

/// Records hops for one handle.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) shared: Arc<Shared>,
    shards: Box<[Arc<Log>]>,
    runs: Mutex<Runs>,
    pub(crate) startups: Mutex<crate::instrument::startup::Startups>,
    /// Gates that are told of.
    pub(crate) gates: Mutex<Vec<Arc<crate::instrument::gate::Inner>>>,
}

#[derive(Debug, Default)]
struct Runs {
    /// Logs of runs that are live or still have open hops.
    logs: Vec<Arc<Log>>,
    /// Runs that ended since the drain came by.
    ended: Vec<EndedRun>,
    /// Counts of logs that are gone.
    retired: Counts,
    /// Runs that were not judged for lack of room.
    missed: u64,
}

/// A run that ended.
#[derive(Debug)]
pub(crate) enum EndedRun {
    /// With its log, from which it is read.
    Whole(Arc<Log>),
    /// One inside another, already read.
    Nested(Box<Run>),
}

impl Recorder {
    pub(crate) fn new(service: &str) -> Self {
        let shared = Arc::new(Shared::new(service));
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let shards = (threads * 2).next_power_of_two().clamp(4, 64);
        Self {
            shards: (0..shards).map(|_| Arc::new(Log::new(Arc::clone(&shared), None))).collect(),
            shared,
            runs: Mutex::default(),
            startups: Mutex::default(),
            gates: Mutex::default(),
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The log of this thread. Costs a thread-local read.
    pub(crate) fn shard(&self) -> &Arc<Log> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        // A thread that is being torn down shares the first.
        let thread = THREAD.try_with(Cell::get).unwrap_or(0);
        &self.shards[thread & (self.shards.len() - 1)]
    }

    /// Opens the log of a run; `None` when too many are live (counted).
    pub(crate) fn begin_run(&self, facts: RunFacts) -> Option<Arc<Log>> {
        let log = Arc::new(Log::new(Arc::clone(&self.shared), Some(facts)));
        let mut runs = self.runs();
        if runs.logs.len() >= RUNS_MAX {
            runs.missed += 1;
            return None;
        }
        runs.logs.push(Arc::clone(&log));
        Some(log)
    }

    /// Ends a run: it waits for the drain.
    pub(crate) fn end_run(&self, log: &Arc<Log>, end: Nanos, ending: Ending) {
        log.end_run(end, ending);
        self.ended(EndedRun::Whole(Arc::clone(log)));
    }

    /// A run inside another ended.
    pub(crate) fn end_nested(&self, run: Run) {
        self.ended(EndedRun::Nested(Box::new(run)));
    }

    fn ended(&self, run: EndedRun) {
        let mut runs = self.runs();
        let full = runs.ended.len() >= ENDED_MAX;
        if full {
            runs.missed += 1;
        } else {
            runs.ended.push(run);
        }
        let soon = runs.ended.len() >= ENDED_SOON;
        drop(runs);
        if soon && let Some(drain) = self.shared.drain() {
            drain.wake();
        }
    }

    /// Takes what ended in the logs of threads since the last time. Of one drain at a time.
    pub(crate) fn drain_threads(&self, spare: &mut Vec<Record>, each: &mut dyn FnMut(&Record, Belongs)) {
        for shard in &self.shards {
            let mut taken = shard.take(std::mem::take(spare));
            taken.iter().for_each(|record| each(record, Belongs::Loose));
            taken.clear();
            *spare = taken;
        }
    }

    /// Takes what ended since the last time: each record, and each run. Of one drain at a time.
    pub(crate) fn drain(&self, spare: &mut Vec<Record>, each: &mut dyn FnMut(&Record, Belongs)) -> Vec<EndedRun> {
        self.drain_threads(spare, each);
        let (logs, ended) = {
            let mut runs = self.runs();
            (runs.logs.clone(), std::mem::take(&mut runs.ended))
        };
        logs.iter().for_each(|log| log.hand(each));
        let mut runs = self.runs();
        let Runs { logs, retired, .. } = &mut *runs;
        logs.retain(|log| {
            let spent = log.is_spent();
            if spent {
                retired.add(&log.counts());
            }
            !spent
        });
        ended
    }

    /// A runtime was blocked: so were the runs on it.
    pub(crate) fn runtime_blocked(&self, runtime: tokio::runtime::Id, blocked: Blocked) {
        self.shared.runtimes.blocked(Some(runtime), blocked);
        let logs: Vec<_> = self.runs().logs.iter().filter(|log| log.runtime == Some(runtime)).cloned().collect();
        for log in logs {
            log.stall(blocked.stall(None, true), false);
        }
    }

    /// When runtimes were blocked, since the last time.
    pub(crate) fn stalls(&self) -> Vec<RuntimeStall> {
        self.shared.runtimes.take()
    }

    /// What was counted so far: `started = recorded + open + dropped`.
    pub(crate) fn losses(&self) -> Losses {
        let runs = self.runs();
        let mut counts = runs.retired;
        self.shards.iter().chain(&runs.logs).for_each(|log| counts.add(&log.counts()));
        let mut losses = counts.losses();
        if runs.missed > 0 {
            losses.missed.insert("runs".into(), runs.missed);
        }
        let stalls = self.shared.runtimes.missed();
        if stalls > 0 {
            losses.missed.insert("stalls".into(), stalls);
        }
        let odd = self.shared.odd_names.load(Ordering::Relaxed);
        if odd > 0 {
            losses.missed.insert("odd_names".into(), odd);
        }
        let attempts = self.shared.missed_attempts.load(Ordering::Relaxed);
        if attempts > 0 {
            losses.missed.insert("attempts".into(), attempts);
        }
        losses
    }

    /// The hops that are open as of `now`, with the name of their run.
    pub(crate) fn open(&self, now: Nanos) -> Vec<(Option<crate::model::Name>, Span)> {
        let logs: Vec<Arc<Log>> = self.shards.iter().chain(&self.runs().logs).cloned().collect();
        let of = |log: &Arc<Log>| {
            let name = log.run.as_ref().map(|run| run.name.clone());
            let records = log.open_records().into_iter().filter(|record| record.is_hop);
            records.map(|record| (name.clone(), self.span(&record, now))).collect::<Vec<_>>()
        };
        logs.iter().flat_map(of).collect()
    }

    /// The runs that are live, as of `now`.
    pub(crate) fn live_runs(&self, now: Nanos) -> Vec<Run> {
        let logs = self.runs().logs.clone();
        logs.iter().filter_map(|log| run_of(log, now)).filter(|run| run.end.is_none()).collect()
    }

    /// Judges a run by what is known of calls before it.
    pub(crate) fn judge(&self, run: &Run, losses: &Losses) -> Judgement {
        judge_with(run, losses, &self.history())
    }

    /// What calls took before.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.shared.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record as a span.
    pub(crate) fn span(&self, record: &Record, now: Nanos) -> Span {
        record.span(&self.shared.named(record.subject), &self.shared.service, now)
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
