//! Where everything that was seen comes together: the sources' hops, the runs that ended, and what is made of them for operators.
//!
//! A [`Hub`] asks its own sources for news whenever somebody looks, and every 100 ms; runs of other processes are handed to it
//! ([`super::handoff`]). It counts for Prometheus, exports to a collector, remembers what is normal, and keeps the last runs with their
//! verdicts. One lock, held for the time that this takes; the data path never waits for it.

mod calls;
mod store;
#[cfg(test)]
mod tests;

use crate::attribution::{Judgement, findings, judge_with};
use crate::export::metrics::{Metrics, OpenCalls, Target};
use crate::export::otlp::Exporter;
use crate::export::prometheus::Prometheus;
use crate::export::report::{self, OpenReport, Report};
use crate::model::clock::{Anchor, nanos};
use crate::model::{ConnectionFact, Live, Losses, Name, Nanos, Run, Span};
use calls::Calls;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Store;

/// How long a source that tells nothing any more is taken to be there.
const SILENT: Nanos = 30_000_000_000;
/// Most sources at once.
const SOURCES: usize = 10_000;

/// Which source tells: the hub's own, or a run of another process by its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceId {
    /// One of the hub's own.
    Own,
    /// A run that hands its records over.
    Run(String),
}

/// Asks one of the hub's own sources what goes on.
pub type Ask = Box<dyn Fn() -> Live + Send + Sync>;
/// Asks one of the hub's own sources for the connections of clients that it remembers.
pub type AskConnections = Box<dyn Fn() -> Vec<ConnectionFact> + Send + Sync>;

/// What a hub is told once.
pub struct HubOptions {
    /// The clock that its own sources tell by.
    pub anchor: Anchor,
    /// `source` of its report: `agent`, `run`.
    pub source: &'static str,
    /// Its own sources.
    pub sources: Vec<Ask>,
    /// Connections of clients, as far as its own sources see them.
    pub connections: Option<AskConnections>,
    /// Where spans go.
    pub exporter: Option<Exporter>,
    /// Runs that are kept at most.
    pub keep_runs: usize,
    /// How long a run is kept.
    pub keep_for: Duration,
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why there is no hub.
#[derive(Debug, thiserror::Error)]
#[error("cannot make metrics")]
pub struct HubError(#[from] metrics_exporter_prometheus::BuildError);

/// Where everything comes together.
pub struct Hub {
    anchor: Anchor,
    source: &'static str,
    sources: Vec<Ask>,
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
    told: BTreeMap<SourceId, Told>,
    /// What sources had counted that are gone.
    past: Losses,
    /// Hops that ended since they were last taken, where somebody takes them.
    fresh: Option<Vec<Span>>,
}

/// What a source told last.
#[derive(Debug, Default)]
struct Told {
    run: Option<Name>,
    open: Vec<Span>,
    losses: Losses,
    at: Nanos,
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
        let HubOptions { anchor, source, sources, connections, exporter, keep_runs, keep_for } = options;
        let prometheus = Prometheus::new()?;
        let mut recorders = vec![prometheus.recorder()];
        recorders.extend(exporter.as_ref().and_then(Exporter::recorder).map(|recorder| Arc::new(recorder) as _));
        let mut metrics = Metrics::new(Target::Own(recorders));
        metrics.refresh();
        let state = State {
            metrics,
            store: Store::new(keep_runs, nanos(keep_for)),
            calls: Calls::default(),
            told: BTreeMap::new(),
            past: Losses::default(),
            fresh: None,
        };
        Ok(Self { anchor, source, sources, connections, exporter, prometheus, state: Mutex::new(state) })
    }

    /// Now, by the clock of its own sources.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.anchor.now()
    }

    /// Asks its own sources what goes on. To be called every 100 ms or so, and by whoever looks.
    pub fn look(&self) {
        for ask in &self.sources {
            let live = ask();
            self.tell(&SourceId::Own, None, live, true);
        }
        let mut state = self.state();
        let now = self.now();
        state.forget_silent(now);
        state.set_gauges(self.exporter.as_ref(), now);
        self.prometheus.upkeep();
    }

    /// A source tells what goes on. `loose`: what ended belongs to no run that will be told.
    pub fn tell(&self, source: &SourceId, run: Option<&Name>, live: Live, loose: bool) {
        let mut state = self.state();
        let state = &mut *state;
        for span in live.ended {
            state.metrics.hop(&span);
            state.store.count(&span);
            if let Some(fresh) = &mut state.fresh {
                fresh.push(span.clone());
            }
            if loose {
                if let Some(exporter) = &self.exporter {
                    exporter.hop(&span, span.call.as_ref().and_then(|call| call.trace_id));
                }
                if let Some(run) = state.calls.told(&span, &state.store) {
                    let judgement = judge_with(&run, &live.losses, state.store.history());
                    state.metrics.verdict(&run.name, &judgement);
                    state.store.keep(run, judgement, live.now);
                }
            }
            state.store.learn(&span);
            if loose {
                state.calls.keep(span);
            }
        }
        if state.told.len() < SOURCES || state.told.contains_key(source) {
            let told = Told { run: run.cloned(), open: live.open, losses: live.losses, at: self.now() };
            state.told.insert(source.clone(), told);
        }
    }

    /// A run ended whose hops were told before, or are told with it. `exported`: its spans went to a collector already.
    pub fn ended(&self, source: &SourceId, run: Run, losses: &Losses, exported: bool) {
        let mut state = self.state();
        let state = &mut *state;
        let judgement = judge_with(&run, losses, state.store.history());
        state.metrics.run(&run, &judgement);
        if let Some(exporter) = self.exporter.as_ref().filter(|_| !exported) {
            exporter.run(&run, Some(&judgement));
        }
        state.told.remove(source);
        state.past.add(Losses { open: 0, ..losses.clone() });
        state.past.started -= losses.open;
        state.store.keep(run, judgement, self.now());
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
        (ended, state.told.values().flat_map(|told| told.open.iter().cloned()).collect())
    }

    /// The metrics as Prometheus scrapes them.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.look();
        self.prometheus.render()
    }

    /// The report: the runs kept, with `making`, a run that goes on, and every dependency.
    #[must_use]
    pub fn report(&self, making: Option<(&Run, &Judgement)>) -> Report {
        self.look();
        let connections = self.connections.as_ref().map(|ask| ask()).unwrap_or_default();
        let now = self.now();
        let mut state = self.state();
        state.store.forget_old(now);
        let losses = state.losses();
        let kept: Vec<(&Run, &Judgement)> = state.store.runs().chain(making).collect();
        // Connections of no run are looked at as those of one.
        let rest = Run { start: now, seen_until: now, connections, spans: state.calls.recent(), ..Run::default() };
        let runs: Vec<&Run> = kept.iter().map(|(run, _)| *run).chain([&rest]).collect();
        let found = findings(&runs);
        report::report_with(self.source, now, &kept, &found, state.store.dependencies(), &losses, Vec::new())
    }

    /// The calls that are open.
    #[must_use]
    pub fn open(&self) -> OpenReport {
        self.look();
        let state = self.state();
        let spans: Vec<(Option<Name>, Span)> =
            state.told.values().flat_map(|told| told.open.iter().map(|span| (told.run.clone(), span.clone()))).collect();
        report::open(self.now(), &spans, |span| state.store.history().usual(span))
    }

    /// What was counted in all, at this moment.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.state().losses()
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
    fn losses(&self) -> Losses {
        let mut losses = self.past.clone();
        self.told.values().for_each(|told| losses.add(told.losses.clone()));
        losses
    }

    /// Runs of other processes that are gone without a word: what they had open was lost with them.
    fn forget_silent(&mut self, now: Nanos) {
        let silent = |(source, told): (&SourceId, &Told)| {
            (*source != SourceId::Own && now.saturating_sub(told.at) >= SILENT).then(|| source.clone())
        };
        let gone: Vec<SourceId> = self.told.iter().filter_map(silent).collect();
        for source in gone {
            let Some(told) = self.told.remove(&source) else { continue };
            let open = told.losses.open;
            self.past.add(Losses { open: 0, ..told.losses });
            if open > 0 {
                *self.past.dropped.entry("run_gone".into()).or_default() += open;
            }
        }
    }

    fn set_gauges(&mut self, exporter: Option<&Exporter>, now: Nanos) {
        let open = OpenCalls::of(self.told.values().flat_map(|told| &told.open), now);
        self.metrics.open(&open);
        let losses = self.losses();
        self.metrics.losses(&losses);
        if let Some(exporter) = exporter {
            let counts = exporter.counts();
            let outcomes = [("exported", counts.exported)].into_iter().chain(counts.dropped.by_reason());
            self.metrics.exports(outcomes, counts.queued);
        }
    }
}
