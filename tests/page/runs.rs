//! Runs as `hopwatch run` hands them over, made to measure.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hopwatch::agent::handoff::{Handoff, Receiver};
use hopwatch::model::clock::Anchor;
use hopwatch::model::{Call, FailedBy, Kind, Losses, Name, Nanos, Origin, Outcome, Phase, Role, Run, Span, Timeline};

pub(crate) const MS: Nanos = 1_000_000;

/// Ids of calls: none twice.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// When the tests' runs begin: a minute ago.
pub(crate) fn start() -> Nanos {
    Anchor::new(0).now() - 60_000 * MS
}

/// A call that goes through these phases, each so many milliseconds long, from so long after the run's start.
#[derive(Clone)]
pub(crate) struct Hop {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) dependency: Name,
    pub(crate) operation: Name,
    pub(crate) model: Option<Name>,
    pub(crate) from_ms: u64,
    pub(crate) phases: Vec<(Phase, u64)>,
    /// `None` = it is open.
    pub(crate) outcome: Option<Outcome>,
}

impl Hop {
    pub(crate) fn new(kind: Kind, dependency: &str, from_ms: u64, phases: &[(Phase, u64)]) -> Self {
        let (dependency, phases) = (dependency.into(), phases.to_vec());
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, kind, dependency, operation: "POST /call".into(), model: None, from_ms, phases, outcome: Some(Outcome::Ok) }
    }

    pub(crate) fn span(&self, start: Nanos) -> Span {
        let begun = start + self.from_ms * MS;
        let mut timeline = Timeline::new(begun);
        let mut end = begun;
        for &(phase, ms) in &self.phases {
            end += ms * MS;
            timeline.push(phase, end);
        }
        // What is open is in its last phase up to now.
        if let (None, Some(&(phase, _))) = (self.outcome, self.phases.last()) {
            timeline.push(phase, Anchor::new(0).now());
        }
        let call = Call { model: self.model.clone(), ..Call::new(Origin::Observer, timeline) };
        let call = match self.outcome {
            Some(outcome) => call.ended(outcome, (outcome != Outcome::Ok).then_some(FailedBy::Peer), None),
            None => call,
        };
        Span {
            role: Role::Client,
            kind: Some(self.kind),
            dependency: Some(self.dependency.clone()),
            call: Some(Box::new(call)),
            ..Span::new(self.id, None, "job".into(), self.operation.clone(), begun, self.outcome.map(|_| end))
        }
    }
}

/// A run of these calls that took so long, of a deadline where it has one.
pub(crate) fn run(name: &str, hops: &[Hop], took_ms: u64, deadline_ms: Option<u64>) -> Run {
    let start = start();
    let end = start + took_ms * MS;
    let root = Span { role: Role::Server, ..Span::new(u64::MAX, None, name.into(), name.into(), start, Some(end)) };
    let inside = |hop: &Hop| Span { parent: Some(root.id), ..hop.span(start) };
    let spans = std::iter::once(root.clone()).chain(hops.iter().map(inside)).collect();
    let deadline = deadline_ms.map(|ms| ms * MS);
    Run { name: name.into(), start, end: Some(end), seen_until: end, deadline, spans, ..Run::default() }
}

/// Hands a run over that ended.
pub(crate) fn hand_over(admin: &str, id: &str, run: Run) {
    let ended: Vec<Span> = run.spans.iter().filter(|span| span.is_hop()).cloned().collect();
    let losses = Losses { recorded: ended.len() as u64, ..Losses::default() }.balanced();
    let last = Handoff { started: run.start, ended, losses, whole: Some(run.clone()), ..Handoff::new(run.name.clone()) };
    Receiver::find(admin.parse().unwrap(), id).unwrap().tell(&last).unwrap();
}

/// A run that goes on, and says so all the time. Dropped, it says no more.
pub(crate) struct Going {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Going {
    fn drop(&mut self) {
        drop(self.over.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Tells of a run that goes on: of these calls those that ended, and those that are open.
pub(crate) fn goes_on(admin: &str, id: &str, name: &str, hops: &[Hop]) -> Going {
    let started = start();
    let (receiver, hops, name) = (Receiver::find(admin.parse().unwrap(), id).unwrap(), hops.to_vec(), Name::from(name));
    let tell = move || {
        let (open, ended): (Vec<Span>, Vec<Span>) = hops.iter().map(|hop| hop.span(started)).partition(Span::is_open);
        let losses = Losses { recorded: ended.len() as u64, open: open.len() as u64, ..Losses::default() }.balanced();
        receiver.tell(&Handoff { started, ended, open, losses, ..Handoff::new(name.clone()) }).unwrap();
    };
    tell();
    let (over, is_over) = channel();
    let thread = thread::spawn(move || {
        while is_over.recv_timeout(Duration::from_millis(250)) == Err(RecvTimeoutError::Timeout) {
            tell();
        }
    });
    Going { over: Some(over), thread: Some(thread) }
}
