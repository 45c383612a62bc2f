//! What a hub tells: the report as a whole, a part of it, or what changed since somebody was told.
//!
//! What it is made of is taken at one moment, under the lock; made it is after that, so that nobody waits for a report of many runs.

use super::store::Judged;
use super::trend::Steps;
use super::{Hub, State};
use crate::attribution::{Judgement, findings};
use crate::export::report::{self, DependencyReport, OpenReport, Report, RunReport};
use crate::model::{Losses, Name, Nanos, Phase, Run, Span, SpanId};
use std::borrow::Cow;
use std::sync::{Arc, MutexGuard};

/// How much of the report is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent<'a> {
    /// All of it.
    Whole,
    /// The runs without their calls and critical paths.
    Brief,
    /// Of the runs this one alone.
    Run(&'a str),
}

/// What somebody was told last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Runs that were ever kept.
    runs: u64,
    /// Runs of other processes that go on.
    going: usize,
    /// Calls that were ever counted.
    calls: u64,
    losses: Losses,
    open: Vec<(SpanId, Option<Phase>)>,
}

/// What a report is made of.
struct Moment {
    now: Nanos,
    runs: Vec<Arc<Judged>>,
    going: Vec<Judged>,
    /// Connections and calls of no run, looked at as those of one.
    rest: Run,
    dependencies: Vec<DependencyReport>,
    losses: Losses,
    notes: Vec<String>,
}

impl Hub {
    /// The report: the runs kept, those that go on, `making` among them, and every dependency.
    #[must_use]
    pub fn report(&self, making: Option<(&Run, &Judgement)>) -> Report {
        let moment = self.moment(Steps::All);
        let runs = moment.judged(making).map(|judged| judged.whole()).collect();
        self.made(moment, making, runs)
    }

    /// As much of the report as is asked for; `None` = the run is not kept.
    #[must_use]
    pub fn report_of(&self, making: Option<(&Run, &Judgement)>, extent: Extent<'_>) -> Option<Report> {
        let id = match extent {
            Extent::Whole => return Some(self.report(making)),
            Extent::Brief => None,
            Extent::Run(id) => Some(id),
        };
        let moment = self.moment(Steps::All);
        let runs = match id {
            None => moment.judged(making).map(|judged| judged.brief()).collect(),
            Some(id) => vec![moment.judged(making).filter(|judged| judged.id == id).last()?.whole()],
        };
        Some(self.made(moment, making, runs))
    }

    /// What changed since somebody was told, in brief: the runs that are new, and all that go on; `None` = nothing did.
    #[must_use]
    pub fn changes(&self, making: Option<(&Run, &Judgement)>, told: &mut Told) -> Option<Report> {
        let before = {
            let state = self.looked();
            let (runs, going) = (state.store.ever_kept(), state.sources.going().count());
            let (calls, losses) = (state.store.counted(), state.sources.losses());
            let quiet = making.is_none() && going == 0;
            if quiet && (runs, going, calls, &losses) == (told.runs, told.going, told.calls, &told.losses) {
                return None;
            }
            (told.going, told.calls, told.losses) = (going, calls, losses);
            std::mem::replace(&mut told.runs, runs)
        };
        let moment = self.moment(Steps::Fresh);
        let fresh = usize::try_from(told.runs.saturating_sub(before)).unwrap_or(usize::MAX);
        let known = moment.runs.len().saturating_sub(fresh);
        let runs = moment.judged(making).skip(known).map(|judged| judged.brief()).collect();
        Some(self.made(moment, making, runs))
    }

    /// The calls that are open.
    #[must_use]
    pub fn open(&self) -> OpenReport {
        self.looked().open(self.now())
    }

    /// The same, where other calls are open than those that somebody was told of, or in other phases.
    #[must_use]
    pub fn open_changes(&self, told: &mut Told) -> Option<OpenReport> {
        let state = self.looked();
        let phase = |span: &Span| span.call.as_ref().and_then(|call| call.timeline.last_phase());
        let open: Vec<_> = state.sources.open().map(|(_, span)| (span.id, phase(span))).collect();
        let changed = open != told.open;
        told.open = open;
        changed.then(|| state.open(self.now()))
    }

    /// How many runs are kept right now, and how many were forgotten so far.
    #[must_use]
    pub fn kept(&self) -> (usize, u64) {
        let state = self.state();
        let kept = state.store.runs().len();
        (kept, state.store.ever_kept().saturating_sub(kept as u64))
    }

    /// What is known, after a look.
    fn looked(&self) -> MutexGuard<'_, State> {
        self.look();
        self.state()
    }

    fn moment(&self, steps: Steps) -> Moment {
        let alone = self.alone();
        self.look_alone(&alone);
        let connections = self.connections.as_ref().map(|ask| ask()).unwrap_or_default();
        let now = self.now();
        let state = self.state();
        Moment {
            now,
            runs: state.store.runs().cloned().collect(),
            going: state.going(),
            rest: Run { start: now, seen_until: now, connections, spans: state.calls.recent(), ..Run::default() },
            dependencies: state.store.dependencies(steps, now),
            losses: state.sources.losses(),
            notes: state.notes(),
        }
    }

    /// The report of a moment, with these of its runs.
    fn made(&self, moment: Moment, making: Option<(&Run, &Judgement)>, runs: Vec<RunReport>) -> Report {
        let all: Vec<&Run> = moment.judged(making).map(|judged| judged.run).chain([&moment.rest]).collect();
        let found = findings(&all);
        let Moment { now, dependencies, losses, notes, .. } = moment;
        Report { runs, ..report::report_with(self.source, now, &[], &found, dependencies, &losses, notes) }
    }
}

impl Moment {
    /// The runs, the oldest first, those that go on last.
    fn judged<'a>(&'a self, making: Option<(&'a Run, &'a Judgement)>) -> impl Iterator<Item = One<'a>> {
        let kept = self.runs.iter().map(|kept| &**kept).chain(&self.going);
        let kept = kept.map(|Judged { id, run, judgement }| One { id: Cow::from(id), run, judgement });
        kept.chain(making.map(|(run, judgement)| One { id: Cow::from(report::run_id(run)), run, judgement }))
    }
}

/// One run of a moment.
struct One<'a> {
    id: Cow<'a, str>,
    run: &'a Run,
    judgement: &'a Judgement,
}

impl One<'_> {
    fn whole(self) -> RunReport {
        RunReport { id: self.id.into_owned(), ..report::run_report(self.run, self.judgement) }
    }

    fn brief(self) -> RunReport {
        RunReport { id: self.id.into_owned(), ..report::run_brief(self.run, self.judgement) }
    }
}

impl State {
    fn open(&self, now: Nanos) -> OpenReport {
        let spans: Vec<(Option<Name>, Span)> = self.sources.open().map(|(run, span)| (run.cloned(), span.clone())).collect();
        report::open(now, &spans, |span| self.store.history().usual(span))
    }
}
