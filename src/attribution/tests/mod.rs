//! Scenarios: runs built by hand, judged by the report reference, section 5.

mod any_input;
mod culprit;
mod ending;
mod exceeded;
mod findings;
mod healthy;
mod history;
mod path;
mod rules;
mod startup;
mod time;

use crate::model::{
    Bytes, Call, Client, Exit, FailedBy, Kind, Losses, Nanos, Origin, Outcome, Phase, Role, Run, Span, StallCause, Timeline,
};

/// One millisecond.
pub(super) const MS: Nanos = 1_000_000;

/// When every run starts.
pub(super) const T0: Nanos = 1_700_000_000_000_000_000;

/// A run from 0 to `end` milliseconds that exited with 0.
pub(super) fn run(end: u64) -> Run {
    let mut root = Span::new(1, None, "agent".into(), "agent".into(), T0, Some(T0 + end * MS));
    root.role = Role::Server;
    Run {
        name: "agent".into(),
        start: T0,
        end: Some(T0 + end * MS),
        seen_until: T0 + end * MS,
        spans: vec![root],
        exit: Some(Exit::default()),
        ..Run::default()
    }
}

/// A run of the library's, from 0 to `end` milliseconds, whose own code ended so.
pub(super) fn scope(end: u64, ending: Outcome) -> Run {
    Run { exit: None, ending: Some(ending), ..run(end) }
}

/// Builds runs call by call; times in milliseconds from the run's start.
pub(super) trait Build: Sized {
    /// A call that ended well, with phases as `(phase, end)`.
    fn call(self, kind: Kind, name: &str, start: u64, phases: &[(Phase, u64)]) -> Self;
    /// Changes the call added last.
    fn with(self, change: impl FnOnce(&mut Span, &mut Call)) -> Self;
    /// The call added last failed.
    fn failed(self, outcome: Outcome, by: FailedBy) -> Self {
        self.with(|_, call| {
            call.outcome = Some(outcome);
            call.failed_by = Some(by);
            if let Some(attempt) = call.attempts.last_mut() {
                attempt.outcome = Some(outcome);
                attempt.failed_by = Some(by);
            }
        })
    }
    /// The client of the call added last gave up on it.
    fn gave_up(self) -> Self {
        self.failed(Outcome::Timeout, FailedBy::Caller).with(|_, call| call.gave_up_after = Some(call.timeline.duration()))
    }
    /// The call added last never ended.
    fn open(self) -> Self {
        self.with(|span, call| {
            span.end = None;
            call.outcome = None;
        })
    }
    /// So many calls like each other, one after the other, each `took` long, from `start`.
    fn calls(self, count: u64, kind: Kind, name: &str, start: u64, took: u64) -> Self {
        (0..count).fold(self, |run, nth| {
            let start = start + nth * took;
            run.call(kind, name, start, &[(Phase::Wait, start + took)])
        })
    }
    fn deadline(self, ms: u64) -> Self;
    fn exit(self, code: i32) -> Self;
    /// The same run, so many seconds later.
    fn later(self, seconds: u64) -> Self;
    fn stalled(self, start: u64, end: u64, cause: StallCause) -> Self;
}

impl Build for Run {
    fn call(mut self, kind: Kind, name: &str, start: u64, phases: &[(Phase, u64)]) -> Self {
        let mut timeline = Timeline::new(T0 + start * MS);
        phases.iter().for_each(|&(phase, end)| timeline.push(phase, T0 + end * MS));
        let call = Call {
            bytes: Bytes { sent: 500, received: 800 },
            client: Client { pid: Some(7), ..Client::default() },
            address: Some("127.0.0.1:8000".into()),
            ..Call::new(Origin::Observer, timeline).ended(Outcome::Ok, None, Some(200))
        };
        let id = self.spans.len() as u64 + 1;
        let end = call.timeline.end();
        let mut span = Span::new(id, Some(1), "agent".into(), "POST /".into(), T0 + start * MS, Some(end));
        span.role = Role::Client;
        span.kind = Some(kind);
        span.dependency = Some(name.into());
        span.call = Some(Box::new(call));
        self.spans.push(span);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Span, &mut Call)) -> Self {
        let span = self.spans.last_mut().unwrap();
        let mut call = span.call.take().unwrap();
        change(span, &mut call);
        span.call = Some(call);
        self
    }

    fn deadline(mut self, ms: u64) -> Self {
        self.deadline = Some(ms * MS);
        self
    }

    fn exit(mut self, code: i32) -> Self {
        self.exit = Some(Exit { code, ..Exit::default() });
        self
    }

    fn later(mut self, seconds: u64) -> Self {
        let by = seconds * 1_000 * MS;
        self.start += by;
        self.end = self.end.map(|end| end + by);
        self.seen_until += by;
        for span in &mut self.spans {
            span.start += by;
            span.end = span.end.map(|end| end + by);
            if let Some(call) = &mut span.call {
                let mut timeline = Timeline::new(call.timeline.start() + by);
                call.timeline.stretches().for_each(|part| timeline.push(part.phase, part.end + by));
                call.timeline = timeline;
            }
        }
        self
    }

    fn stalled(mut self, start: u64, end: u64, cause: StallCause) -> Self {
        self.stalls.push(crate::model::Stall {
            pid: 7,
            start: T0 + start * MS,
            end: T0 + end * MS,
            cause,
            dependency: None,
            event_loop: true,
        });
        self
    }
}

/// The judgement of a run of which nothing was lost; checks on the way what holds for every run.
pub(super) fn judge(run: &Run) -> super::Judgement {
    let judgement = super::judge(run, &Losses::default());
    let sum: Nanos = judgement.blame.iter().map(|row| row.time).sum();
    assert_eq!(sum, run.horizon() - run.start, "blame sums to the run");
    assert!(judgement.blame.is_sorted_by(|a, b| a.time >= b.time));
    assert_eq!(judgement.blame, super::blame(run));
    if judgement.healthy {
        assert_eq!(judgement.verdict, None, "a verdict on a healthy run is a defect");
    }
    judgement
}

/// Blame as `kind/dependency phase ms`, as people read it.
pub(super) fn told(judgement: &super::Judgement) -> Vec<String> {
    let rows = judgement.blame.iter().map(|row| {
        let kind = row.component.kind.map_or("-", Kind::as_str);
        let name = row.component.dependency.as_deref().unwrap_or("-");
        format!("{kind}/{name} {} {}", row.component.phase, row.time / MS)
    });
    rows.collect()
}

/// The culprit as `kind/dependency phase`, or `none`.
pub(super) fn culprit(judgement: &super::Judgement) -> String {
    judgement.verdict.as_ref().map_or("none".to_owned(), |verdict| {
        let Some(name) = &verdict.component.dependency else {
            return format!("{} {}", verdict.component.kind.map_or("own", Kind::as_str), verdict.component.phase);
        };
        format!("{}/{name} {}", verdict.component.kind.map_or("-", Kind::as_str), verdict.component.phase)
    })
}
