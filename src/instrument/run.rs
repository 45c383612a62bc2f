//! A run: a scope that work belongs to, with a deadline or without.

use super::context::{Context, Place};
use super::ending::Ending;
use super::hop::{cut, dropped_in};
use super::propagate::Remote;
use super::recorder::{Beginning, Key, Log, Recorder, RunFacts, Subject, run_of, subtree};
use super::{ids, span, stall};
use crate::attribution::Judgement;
use crate::model::clock::nanos;
use crate::model::{Kind, Name, Nanos, Outcome, Phase, Role, Run};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// What a run begins with.
#[derive(Clone, Debug)]
pub(crate) struct RunStart {
    pub(crate) name: Name,
    pub(crate) deadline: Option<Duration>,
    /// What the caller told, where it is another process. Means nothing to a run inside another.
    pub(crate) caller: Remote,
    /// It answers somebody else's request.
    pub(crate) is_served: bool,
    pub(crate) role: Role,
    pub(crate) kind: Option<Kind>,
    /// When it began; `None` = now.
    pub(crate) at: Option<Nanos>,
}

impl RunStart {
    pub(crate) fn new(name: &str) -> Self {
        let name = crate::model::redact::name(name);
        let name = if name.is_empty() { "unknown".into() } else { name.into() };
        Self { name, deadline: None, caller: Remote::default(), is_served: false, role: Role::Server, kind: None, at: None }
    }
}

/// A run that is open: recorded exactly once, when it is ended or when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenRun {
    recorder: Arc<Recorder>,
    name: Name,
    context: Context,
    place: Option<Place>,
    deadline: Option<Nanos>,
    start: Nanos,
    span: tracing::Span,
}

/// A run that passed its deadline, as of that moment.
#[derive(Clone, Debug)]
pub(crate) struct Expired {
    pub(crate) run: Run,
    pub(crate) judgement: Judgement,
}

/// What an error about a deadline has as its source, so that the run around knows it for a timeout.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the deadline passed")]
pub(crate) struct DeadlinePassed;

/// Why a run gave no output.
#[derive(Clone, Debug)]
pub(crate) enum Unfinished {
    /// The deadline passed.
    Expired(Box<Expired>),
    /// A deadline needs tokio's timers, and no runtime is there.
    NoRuntime,
}

impl OpenRun {
    pub(crate) fn begin(recorder: &Arc<Recorder>, start: RunStart) -> Self {
        Context::with_current(|around| Self::begin_in(recorder, start, around))
    }

    fn begin_in(recorder: &Arc<Recorder>, start: RunStart, around: &Context) -> Self {
        let RunStart { name, deadline, caller, is_served, role, kind, at } = start;
        let shared = &recorder.shared;
        let at = at.unwrap_or_else(|| shared.clock.now());
        let allowed = deadline.map(nanos);
        let inside = around.place_for(shared).filter(|place| place.log.run.is_some());
        let span = span::of_run(&name, is_served);
        if inside.is_none() {
            span::adopt(&span, &caller);
        }
        let until = [allowed.map(|allowed| at.saturating_add(allowed)), inside.and_then(|place| place.deadline)];
        let until = until.into_iter().flatten().min();
        let place = match inside {
            Some(outer) => {
                let subject = shared.subject(Subject { role: Role::Internal, kind, dependency: None, operation: name.clone() });
                let key = outer.log.has_room().then(|| {
                    let (parent, root) = (Some(outer.id), Some(outer.root));
                    outer.log.open(Beginning { subject, is_hop: false, parent, root, start: at, phase: Phase::Own })
                });
                key.flatten().map(|key| Place {
                    log: Arc::clone(&outer.log),
                    slot: Some(key.slot),
                    id: key.id,
                    root: outer.root,
                    deadline: until,
                })
            }
            None => {
                let id = ids::span_id();
                let trace = caller.trace_id().or_else(|| span::trace_of(&span)).unwrap_or_else(ids::trace_id);
                let facts = RunFacts { name: name.clone(), id, trace, caller, start: at, deadline: allowed, role, kind };
                recorder.begin_run(facts).map(|log| Place { log, slot: None, id, root: id, deadline: until })
            }
        };
        let context = place.clone().map_or_else(|| around.clone(), |place| Context::of(place, around));
        Self { recorder: Arc::clone(recorder), name, context, place, deadline: allowed, start: at, span }
    }

    /// When it must be done.
    fn until(&self) -> Option<Nanos> {
        self.deadline.map(|allowed| self.start.saturating_add(allowed))
    }

    /// Where its work belongs.
    pub(crate) fn context(&self) -> Context {
        self.context.clone()
    }

    /// Does a piece of the run's work; when that takes long it blocked its event loop.
    pub(crate) fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let poll = self.place.as_ref().map(|place| stall::poll::Poll::begin(place.log.shared.clock.now()));
        let output = self.current_in(work);
        if let (Some(poll), Some(place)) = (poll, &self.place) {
            place.log.polled(poll);
        }
        output
    }

    fn current_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let mut unwinding = OnUnwind { open: self, armed: true };
        let output = {
            let OpenRun { context, span, .. } = &mut *unwinding.open;
            let _entered = context.enter();
            let _span = (!span.is_none()).then(|| span.enter());
            work()
        };
        unwinding.armed = false;
        output
    }

    /// The run as it stands, judged.
    fn expire(&self) -> Expired {
        let now = self.recorder.clock().now();
        let seen = self.place.as_ref().and_then(|place| match place.slot {
            None => run_of(&place.log, now),
            Some(_) => subtree(&place.log, place.id, self.deadline, now, None),
        });
        // One that there was no room to record is known by its times alone.
        let bare =
            || Run { name: self.name.clone(), start: self.start, deadline: self.deadline, seen_until: now, ..Run::default() };
        let mut run = seen.unwrap_or_else(bare);
        // Judged as cut here: what is open stays open in it.
        (run.end, run.ending) = (Some(now), Some(Outcome::Timeout));
        if let Some(root) = run.spans.first_mut() {
            root.end = Some(now);
        }
        let judgement = self.recorder.judge(&run, &self.recorder.losses());
        Expired { run, judgement }
    }

    /// How a run ends that nobody ended.
    pub(crate) fn dropped(&self) -> Ending {
        dropped_in(&self.context)
    }

    /// Ends the run.
    pub(crate) fn finish(&mut self, ending: Ending) {
        span::end(&self.span, &ending);
        self.span = tracing::Span::none();
        let Some(Place { log, slot, id, .. }) = self.place.take() else { return };
        let now = log.shared.clock.now();
        match slot {
            None => self.recorder.end_run(&log, now, ending),
            Some(slot) => self.finish_nested(&log, Key { slot, id }, now, ending),
        }
    }

    fn finish_nested(&self, log: &Log, key: Key, now: Nanos, ending: Ending) {
        log.end(key, now, ending.clone(), None);
        if let Some(run) = subtree(log, key.id, self.deadline, now, Some((now, ending))) {
            self.recorder.end_nested(run);
        }
    }
}

/// Ends a run whose work unwinds.
struct OnUnwind<'a> {
    open: &'a mut OpenRun,
    armed: bool,
}

impl Drop for OnUnwind<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.open.finish(Ending::panicked());
        }
    }
}

impl Drop for OpenRun {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.finish(self.dropped());
        }
    }
}

#[derive(Debug)]
enum State {
    Idle(Arc<Recorder>, RunStart),
    Open(OpenRun),
    Done,
}

pin_project! {
    /// A future inside its run, cut at the deadline.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Scoped<F, C> {
        // Dropped before the state, so that its hops end first.
        #[pin]
        future: Option<F>,
        #[pin]
        sleep: Option<Sleep>,
        classify: Option<C>,
        state: State,
    }
}

impl<F, C> Scoped<F, C>
where
    F: Future,
    C: FnOnce(&F::Output) -> Ending,
{
    /// The run begins when this is first polled.
    pub(crate) fn new(recorder: &Arc<Recorder>, start: RunStart, future: F, classify: C) -> Self {
        let state = State::Idle(Arc::clone(recorder), start);
        Self { future: Some(future), sleep: None, classify: Some(classify), state }
    }
}

impl<F, C> Future for Scoped<F, C>
where
    F: Future,
    C: FnOnce(&F::Output) -> Ending,
{
    type Output = Result<F::Output, Unfinished>;

    #[expect(clippy::panic, reason = "the contract of `Future`: not to be polled after its output")]
    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let State::Idle(recorder, start) = &*this.state {
            if start.deadline.is_some() && tokio::runtime::Handle::try_current().is_err() {
                *this.state = State::Done;
                return Poll::Ready(Err(Unfinished::NoRuntime));
            }
            *this.state = State::Open(OpenRun::begin(recorder, start.clone()));
        }
        let (State::Open(open), Some(future)) = (&mut *this.state, this.future.as_mut().as_pin_mut()) else {
            panic!("polled after it was done");
        };
        // The work first: what is done at the deadline is done in time.
        if let Poll::Ready(output) = open.poll_in(|| future.poll(cx)) {
            let ending = this.classify.take().map_or_else(Ending::ok, |classify| classify(&output));
            open.finish(ending);
            *this.state = State::Done;
            return Poll::Ready(Ok(output));
        }
        let Some(until) = open.until() else { return Poll::Pending };
        if this.sleep.is_none() {
            this.sleep.set(Some(tokio::time::sleep_until(open.recorder.clock().instant(until))));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        let expired = open.expire();
        let future = &mut this.future;
        open.poll_in(|| cut(|| future.set(None)));
        open.finish(Ending::cut());
        *this.state = State::Done;
        Poll::Ready(Err(Unfinished::Expired(Box::new(expired))))
    }
}
