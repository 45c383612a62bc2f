//! Where everything that was seen comes together: the sources' hops, the runs that ended, and what is made of them for operators.
//!
//! A [`Hub`] asks its own source for news whenever somebody looks, and every 100 ms; runs of other processes are handed to it
//! ([`super::handoff`]). It counts for Prometheus, exports to a collector, remembers what is normal, and keeps the last runs with their
//! verdicts. One lock, held for the time that this takes; the data path never waits for it.

mod batches;
mod calls;
mod going;
mod sources;
mod store;
mod tell;
#[cfg(test)]
pub(in crate::agent) mod tests;
mod trend;
mod weight;

pub use batches::Batches;
pub use sources::Unheard;
pub use tell::{Extent, Told};

use super::assemble::RunFacts;
use crate::attribution::judge_with;
use crate::export::metrics::{Metrics, OpenCalls, Target};
use crate::export::otlp::Exporter;
use crate::export::prometheus::Prometheus;
use crate::export::report;
use crate::model::clock::{Anchor, nanos};
use crate::model::{ConnectionFact, Live, Losses, Name, Nanos, Run, Span, redact};
use calls::Calls;
use sources::{News, Sources};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Judged, Store};

/// How long a run that tells nothing any more is taken to be there: it tells every second.
pub const SILENCE: Duration = Duration::from_secs(30);
/// Most runs that are gone of which the report says so.
const GONE_TOLD: usize = 10;

/// Asks the hub's own source what goes on.
pub type Ask = Box<dyn Fn() -> Live + Send + Sync>;
/// Takes from the hub's own source what ended and is over for good.
pub type Take = Box<dyn Fn() -> Vec<Span> + Send + Sync>;
/// Asks the hub's own source for the connections of clients that it remembers.
pub type AskConnections = Box<dyn Fn() -> Vec<ConnectionFact> + Send + Sync>;

/// What a hub is told once.
pub struct HubOptions {
    /// The clock that its own source tells by.
    pub anchor: Anchor,
    /// `source` of its report: `agent`, `run`.
    pub source: &'static str,
    /// Its own source.
    pub ask: Ask,
    /// Takes from it what ended, between two looks: see [`Batches`].
    pub take: Option<Take>,
    /// What that tells is of no run that will be told.
    pub loose: bool,
    /// Connections of clients, as far as its own source sees them.
    pub connections: Option<AskConnections>,
    /// Where spans go.
    pub exporter: Option<Exporter>,
    /// Runs that are kept at most.
    pub keep_runs: usize,
    /// How long a run is kept.
    pub keep_for: Duration,
    /// How long a run of another process may say nothing until it is taken to be gone.
    pub silence: Duration,
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What a run of another process hands over.
#[derive(Debug)]
pub struct Handed {
    /// What the run is called.
    pub name: Name,
    /// When it began; 0 = not told.
    pub started: Nanos,
    /// How long it may take.
    pub deadline: Option<Nanos>,
    /// How many hops that ended it has told before these.
    pub before: u64,
    /// These, which ended since.
    pub ended: Vec<Span>,
    /// Hops that are open.
    pub open: Vec<Span>,
    /// What it counted so far.
    pub losses: Losses,
    /// The run as a whole, once it ended.
    pub whole: Option<Run>,
    /// Its spans went to a collector already.
    pub exported: bool,
}

/// Why there is no hub.
#[derive(Debug, thiserror::Error)]
#[error("cannot make metrics")]
pub struct HubError(#[from] metrics_exporter_prometheus::BuildError);

/// Where everything comes together.
pub struct Hub {
    anchor: Anchor,
    source: &'static str,
    ask: Ask,
    take: Option<Take>,
    loose: bool,
    /// Held while its own source is asked, so that an older answer never comes after a newer one, and until what was made of that is told:
    /// its counts are those of the hops that were counted.
    asking: Mutex<()>,
    connections: Option<AskConnections>,
    exporter: Option<Exporter>,
    prometheus: Prometheus,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    metrics: Metrics,
    store: Store,
    calls: Calls,
    sources: Sources,
    /// Hops that ended since they were last taken, where somebody takes them.
    fresh: Option<Vec<Span>>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub that has seen nothing.
    ///
    /// # Errors
    /// Metrics cannot be made, which a test of their names excludes.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        let HubOptions { anchor, source, ask, take, loose, connections, exporter, keep_runs, keep_for, silence } = options;
        let prometheus = Prometheus::new()?;
        let mut recorders = vec![prometheus.recorder()];
        recorders.extend(exporter.as_ref().and_then(Exporter::recorder).map(|recorder| Arc::new(recorder) as _));
        let mut metrics = Metrics::new(Target::Own(recorders));
        metrics.refresh();
        let state = State {
            metrics,
            store: Store::new(keep_runs, nanos(keep_for)),
            calls: Calls::default(),
            sources: Sources::new(nanos(silence)),
            fresh: None,
        };
        let (asking, state) = (Mutex::default(), Mutex::new(state));
        Ok(Self { anchor, source, ask, take, loose, asking, connections, exporter, prometheus, state })
    }

    /// Now, by the clock of its own source.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.anchor.now()
    }

    /// Asks its own source what goes on. To be called every 100 ms or so, and by whoever looks.
    pub fn look(&self) {
        self.look_alone(&self.alone());
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_alone(&self, _alone: &MutexGuard<'_, ()>) {
        let Live { ended, open, losses, .. } = (self.ask)();
        let now = self.now();
        let mut state = self.state();
        state.sources.tell(open, losses);
        self.ended(&mut state, ended, now);
        state.sources.forget_silent(now);
        state.store.forget_old(now);
        state.set_gauges(self.exporter.as_ref(), now);
        self.prometheus.upkeep();
    }

    /// Takes from its own source what ended, and leaves the rest for the next look.
    fn take(&self) {
        let Some(take) = &self.take else { return };
        let _alone = self.alone();
        let ended = take();
        let now = self.now();
        self.ended(&mut self.state(), ended, now);
    }

    /// Hops of its own source ended.
    fn ended(&self, state: &mut State, ended: Vec<Span>, now: Nanos) {
        for span in ended {
            state.count(&span, now);
            if self.loose {
                self.call_of_no_run(state, span, now);
            } else {
                state.store.learn(&span);
            }
        }
    }

    /// A call of no run ended.
    fn call_of_no_run(&self, state: &mut State, span: Span, now: Nanos) {
        if let Some(exporter) = &self.exporter {
            exporter.hop(&span, span.call.as_ref().and_then(|call| call.trace_id));
        }
        if let Some(run) = state.calls.told(&span, &state.store) {
            let judgement = judge_with(&run, state.sources.own(), state.store.history());
            state.metrics.verdict(&run.name, &judgement);
            state.store.keep(Judged { id: report::run_id(&run), run, judgement }, now);
        }
        state.store.learn(&span);
        state.calls.keep(span);
    }

    /// A run of another process tells what goes on, and at its end of itself as a whole. What it told before is not counted again.
    ///
    /// # Errors
    /// It told its end before, or there are too many runs.
    pub fn hand_over(&self, id: &str, handed: Handed) -> Result<(), Unheard> {
        let Handed { name, started, deadline, before, ended, open, losses, whole, exported } = handed;
        let now = self.now();
        let mut state = self.state();
        let state = &mut *state;
        let whole = whole.map(|run| (run, losses.clone()));
        let facts = RunFacts { name, start: started, end: None, seen_until: now, deadline, exit: None };
        let known = state.sources.hear(id, News { facts, before, ended: &ended, open, losses }, now)?;
        for span in &ended[known..] {
            state.count(span, now);
            state.store.learn(span);
        }
        if let Some((run, losses)) = whole {
            let judgement = judge_with(&run, &losses, state.store.history());
            state.metrics.run(&run, &judgement);
            if let Some(exporter) = self.exporter.as_ref().filter(|_| !exported) {
                exporter.run(&run, Some(&judgement));
            }
            state.sources.over(id);
            state.store.keep(Judged { id: going::id_of(id), run, judgement }, now);
        }
        Ok(())
    }

    /// Keeps so many runs from here on, for so long.
    pub fn keep(&self, runs: usize, keep_for: Duration) {
        self.state().store.limit(runs, nanos(keep_for));
    }

    /// Keeps what ends from here on to be taken by [`Hub::take_fresh`].
    pub fn keep_fresh(&self) {
        self.state().fresh.get_or_insert_default();
    }

    /// What ended since the last time, and what is open, for somebody else to be told.
    #[must_use]
    pub fn take_fresh(&self) -> (Vec<Span>, Vec<Span>) {
        let mut state = self.state();
        let ended = state.fresh.as_mut().map(std::mem::take).unwrap_or_default();
        (ended, state.sources.open().map(|(_, span)| span.clone()).collect())
    }

    /// The metrics as Prometheus scrapes them.
    #[must_use]
    pub fn metrics(&self) -> String {
        let alone = self.alone();
        self.look_alone(&alone);
        self.prometheus.render()
    }

    /// What was counted in all, at this moment.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.state().sources.losses()
    }

    /// Ends the export: sends what is left, at most for so long.
    pub fn shutdown(&self, timeout: Duration) {
        self.look();
        if let Some(exporter) = &self.exporter {
            exporter.shutdown(timeout);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a hop that ended.
    fn count(&mut self, span: &Span, now: Nanos) {
        self.metrics.hop(span);
        self.store.count(span, now);
        if let Some(fresh) = &mut self.fresh {
            fresh.push(span.clone());
        }
    }

    /// What the report says beside its numbers.
    fn notes(&self) -> Vec<String> {
        let gone = self.sources.gone().collect::<Vec<_>>();
        let told = gone.iter().rev().take(GONE_TOLD);
        told.map(|name| format!("{} told nothing any more before its end: it has no verdict", redact::name(name))).collect()
    }

    fn set_gauges(&mut self, exporter: Option<&Exporter>, now: Nanos) {
        let open = OpenCalls::of(self.sources.open().map(|(_, span)| span), now);
        self.metrics.open(&open);
        self.metrics.losses(&self.sources.losses());
        if let Some(exporter) = exporter {
            let counts = exporter.counts();
            let outcomes = [("exported", counts.exported)].into_iter().chain(counts.dropped.by_reason());
            self.metrics.exports(outcomes, counts.queued);
        }
    }
}
