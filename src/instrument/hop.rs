//! The door for anything: a future, a closure, or a stretch of code that is told by hand.

use super::context::{Attempting, Context, Place};
use super::ending::Ending;
use super::recorder::{Beginning, Key, Live, Log, Over, Record, Recorder, Room, Shared, Subject, SubjectId};
use super::span::{self, Fields};
use super::stall::poll::{Long, Poll};
use super::stall::{self, Blocked};
use crate::model::{Call, Kind, Name, Nanos, Phase, Role};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One dependency as a service calls it: times each call.
///
/// Cheap to clone (a reference count); make one per dependency and operation and keep it.
#[derive(Clone, Debug)]
pub struct Hop {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) subject: SubjectId,
    kind: Kind,
    dependency: Name,
}

impl Hop {
    /// A dependency by its name; `operation` is what is done there, low in cardinality.
    pub(crate) fn new(recorder: Arc<Recorder>, kind: Kind, dependency: &str, operation: &str) -> Self {
        let subject = recorder.shared.subject(Subject {
            role: Role::Client,
            kind: Some(kind),
            dependency: Some(dependency.into()),
            operation: operation.into(),
        });
        let dependency = recorder.shared.named(subject).dependency.clone().unwrap_or_default();
        Self { recorder, subject, kind, dependency }
    }

    /// The same dependency, doing something else: `docs.operation("search")`. Names come from you, never from a path or a query, and
    /// should be few. Takes a lock: make it once.
    #[must_use]
    pub fn operation(&self, operation: &str) -> Self {
        Self::new(Arc::clone(&self.recorder), self.kind, &self.dependency, operation)
    }

    /// What the dependency is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name, as it is shown: control characters replaced, cut at 120 bytes.
    #[must_use]
    pub fn dependency(&self) -> &str {
        &self.dependency
    }

    /// Begins a call that is told by hand. Two clock reads and two short locks per call in all, about 190 ns; no allocation.
    #[must_use = "a hop that is dropped at once is cancelled at once"]
    pub fn start(&self) -> OpenHop {
        self.start_in(Phase::Wait)
    }

    /// Begins a call in a given phase.
    pub(crate) fn start_in(&self, phase: Phase) -> OpenHop {
        let mut open = OpenHop::begin(Arc::clone(self.recorder.shard()), self.subject, phase, Fields::All);
        open.read = None;
        open
    }

    /// Begins a call that began a moment ago.
    #[cfg(any(feature = "reqwest", feature = "tower"))]
    pub(crate) fn start_at(&self, phase: Phase, start: Nanos) -> OpenHop {
        OpenHop::begin_at(Arc::clone(self.recorder.shard()), self.subject, phase, start, Fields::All)
    }

    /// What a future needs to begin a call when it is first polled.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { shard: Arc::clone(self.recorder.shard()), subject: self.subject }
    }
}

/// A call that has not begun.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    shard: Arc<Log>,
    subject: SubjectId,
}

impl Ticket {
    /// Begins a call of which only its time will be known.
    pub(crate) fn begin(self) -> OpenHop {
        OpenHop::begin(self.shard, self.subject, Phase::Wait, Fields::Few)
    }

    pub(crate) fn begin_in(self, phase: Phase) -> OpenHop {
        OpenHop::begin(self.shard, self.subject, phase, Fields::All)
    }
}

/// A call that is open: recorded exactly once, when it is ended or when this is dropped.
///
/// Dropped, it is `cancelled` by its caller; `timeout` when the deadline of its run passed; `error` when its thread panics.
#[derive(Debug)]
pub struct OpenHop {
    /// Where its own work belongs; while it is recorded, its own place.
    context: Context,
    /// Whether it is recorded and has not ended.
    recorded: bool,
    /// It is an attempt of the hop at its place.
    attempt: Option<u32>,
    /// It began, or the clock was read for it, at this very moment.
    read: Option<Nanos>,
    span: tracing::Span,
}

impl OpenHop {
    fn begin(shard: Arc<Log>, subject: SubjectId, phase: Phase, fields: Fields) -> Self {
        let start = shard.shared.clock.now();
        Self::begin_at(shard, subject, phase, start, fields)
    }

    fn begin_at(shard: Arc<Log>, subject: SubjectId, phase: Phase, start: Nanos, fields: Fields) -> Self {
        Context::with_current(|around| {
            let span = span::of_hop(fields, || shard.shared.named(subject));
            if let Some((place, attempt)) = join(around, &shard.shared, subject, start) {
                return Self {
                    context: Context::of(place, around),
                    recorded: true,
                    attempt: Some(attempt),
                    read: Some(start),
                    span,
                };
            }
            let outer = around.place_for(&shard.shared);
            let (parent, root, deadline) = match outer {
                Some(place) => (Some(place.id), Some(place.root), place.deadline),
                None => (None, None, None),
            };
            let run = outer.filter(|place| place.log.run.is_some() && place.log.has_room());
            let log = run.map_or(shard, |place| Arc::clone(&place.log));
            let Some(key) = log.open(Beginning { subject, is_hop: true, parent, root, start, phase }) else {
                return Self { context: around.clone(), recorded: false, attempt: None, read: None, span };
            };
            let place = Place { log, slot: Some(key.slot), id: key.id, root: root.unwrap_or(key.id), deadline };
            Self { context: Context::of(place, around), recorded: true, attempt: None, read: Some(start), span }
        })
    }

    /// Begins work of the service's own below `outer`: recorded as a call is, and no hop.
    pub(crate) fn begin_part(shard: Arc<Log>, outer: Option<&Place>, subject: SubjectId, around: &Context) -> Self {
        let span = span::of_run(&shard.shared.named(subject).operation, false);
        let start = shard.shared.clock.now();
        let run = outer.filter(|place| place.log.run.is_some() && place.log.has_room());
        let log = run.map_or(shard, |place| Arc::clone(&place.log));
        let (parent, root) = (outer.map(|place| place.id), outer.map(|place| place.root));
        let Some(key) = log.open(Beginning { subject, is_hop: false, parent, root, start, phase: Phase::Own }) else {
            return Self { context: around.clone(), recorded: false, attempt: None, read: None, span };
        };
        let deadline = outer.and_then(|place| place.deadline);
        let place = Place { log, slot: Some(key.slot), id: key.id, root: root.unwrap_or(key.id), deadline };
        Self { context: Context::of(place, around), recorded: true, attempt: None, read: Some(start), span }
    }

    /// From now on the call is in `phase`; what came before keeps its own. A clock read and a short lock.
    pub fn phase(&mut self, phase: Phase) {
        if let Some((log, key)) = self.key() {
            let now = log.shared.clock.now();
            log.edit(key, |record| record.turn(phase, now));
        }
    }

    /// Tells facts of the call: status, model, tokens, bytes, attempts. Allocates on the first use.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Call)) {
        if let Some((log, key)) = self.key() {
            log.edit(key, |record| match self.attempt {
                Some(number) => record.call_of_try(number).map_or((), change),
                None => change(record.call()),
            });
        }
    }

    /// The same call, moved to where the code that runs now belongs, with the phases that it had.
    #[cfg(feature = "tower")]
    pub(crate) fn moved_here(mut self, hop: &Hop) -> Self {
        let Some(record) = self.key().and_then(|(log, key)| log.withdraw(key)) else { return hop.start() };
        self.recorded = false;
        let moved = hop.start_at(record.phase, record.start);
        if let (Some((log, key)), Some(more)) = (moved.key(), record.more) {
            log.edit(key, |record| record.more().before = more.before);
        }
        moved
    }

    /// Lets a door that knows more tell the call when somebody looks.
    pub(crate) fn live(&mut self, live: Arc<dyn Live>) {
        if let Some((log, key)) = self.key() {
            log.edit(key, |record| match self.attempt {
                Some(number) => record.live_of_try(number).map_or((), |known| *known = Some(live)),
                None => record.more().live = Some(live),
            });
        }
    }

    /// Ends the call.
    pub fn end(mut self, ending: Ending) {
        self.finish(ending, None);
    }

    /// Where work belongs that is done for this call.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Polls the call's future: what it does belongs to the call, when it panics the call ends there, and when it takes long it
    /// blocked its event loop. A clock read, except when the call began a moment ago.
    pub(crate) fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = self.read.take().or_else(|| self.now());
        let (output, long) = self.measured(start.map(Poll::begin), work);
        if let Some(long) = long {
            self.blocked(&long);
        }
        output
    }

    /// Does the call's work on this thread, as its caller means it to.
    pub(crate) fn work_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = self.read.take().or_else(|| self.now());
        let (output, long) = self.measured(start.and_then(Poll::inside), work);
        if let Some(long) = long {
            self.blocks(long.blocked);
        }
        output
    }

    fn measured<T>(&mut self, poll: Option<Poll>, work: impl FnOnce() -> T) -> (T, Option<Long>) {
        let output = self.current_in(work);
        let shared = self.key().map(|(log, _)| &log.shared);
        let long = poll.zip(shared).and_then(|(poll, shared)| poll.end(shared.clock, shared.stall_threshold()));
        (output, long)
    }

    /// Its own work blocked the event loop that polls it.
    #[cold]
    fn blocked(&mut self, long: &Long) {
        let Some(runtime) = stall::runtime::current() else { return };
        let Some((log, key)) = self.key() else { return };
        log.edit(key, |record| record.block(long.blocked));
        if long.outermost {
            log.shared.runtimes.blocked(Some(runtime), long.blocked);
        }
        self.blocks(long.blocked);
    }

    /// Lets the polls around know whose work took so long.
    fn blocks(&self, blocked: Blocked) {
        let Some((log, key)) = self.key() else { return };
        let Some(subject) = log.edit(key, |record| record.subject) else { return };
        let subject = log.shared.named(subject);
        if let (Some(kind), Some(name)) = (subject.kind, &subject.dependency) {
            stall::poll::blocked_by(blocked, kind, Arc::clone(name));
        }
    }

    /// The next poll begins at `now`.
    pub(crate) fn polled_at(&mut self, now: Nanos) {
        self.read = Some(now);
    }

    /// From `at` on the call is in `phase`.
    pub(crate) fn turn(&mut self, phase: Phase, at: Nanos) {
        if let Some((log, key)) = self.key() {
            log.edit(key, |record| record.turn(phase, at));
        }
    }

    /// It got a piece right after the caller was blocked, without changing its phase.
    pub(crate) fn moved(&mut self, at: Nanos) {
        if let Some((log, key)) = self.key() {
            log.edit(key, |record| record.moved(at));
        }
    }

    /// From `from` to `to` it was the caller that did not go on.
    pub(crate) fn own(&mut self, from: Nanos, to: Nanos) {
        if let Some((log, key)) = self.key() {
            log.edit(key, |record| record.own(from, to));
        }
    }

    fn current_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let mut unwinding = OnUnwind { open: self, armed: true };
        let output = {
            let OpenHop { context, span, .. } = &mut *unwinding.open;
            let _entered = context.enter();
            let _span = (!span.is_none()).then(|| span.enter());
            work()
        };
        unwinding.armed = false;
        output
    }

    /// Now, on the clock that it is timed by.
    pub(crate) fn now(&self) -> Option<Nanos> {
        self.key().map(|(log, _)| log.shared.clock.now())
    }

    fn key(&self) -> Option<(&Arc<Log>, Key)> {
        let place = self.context.place().filter(|_| self.recorded)?;
        Some((&place.log, Key { slot: place.slot?, id: place.id }))
    }

    pub(crate) fn finish(&mut self, ending: Ending, call: Option<Box<Call>>) {
        if !self.span.is_none() {
            match &call {
                Some(call) => span::tell(&self.span, call),
                None => self.tell_phases(),
            }
            span::end(&self.span, &ending);
            self.span = tracing::Span::none();
        }
        let Some((log, key)) = self.key() else { return };
        let now = log.shared.clock.now();
        match self.attempt {
            Some(number) => {
                if let Some(over) = log.edit(key, |record| record.end_try(number, now, ending, call)).flatten() {
                    end_tried(log, key, over);
                }
            }
            None => end_record(log, key, now, ending, call),
        }
        self.recorded = false;
    }

    /// Tells the span the phases of a call that had more than one.
    fn tell_phases(&self) {
        let Some((log, key)) = self.key() else { return };
        let now = log.shared.clock.now();
        let call = log.edit(key, |record| (!record.is_brief()).then(|| record.told(now)));
        if let Some(call) = call.flatten() {
            span::tell(&self.span, &call);
        }
    }

    /// Ends the call with what its door knows of it, where one said that it does.
    pub(crate) fn finish_live(&mut self, ending: Ending) {
        let live =
            self.key().and_then(|(log, key)| Some((log.edit(key, |record| self.live_of(record))??, log.shared.clock.now())));
        self.finish(ending, live.map(|(live, now)| Box::new(live.call(now))));
    }

    fn live_of(&self, record: &mut Record) -> Option<Arc<dyn Live>> {
        match self.attempt {
            Some(number) => record.live_of_try(number)?.clone(),
            None => record.more.as_ref()?.live.clone(),
        }
    }

    /// A hop whose attempts are told apart: where it is recorded, if it is, and the span to enter for its work.
    pub(crate) fn into_tries(mut self) -> (Context, bool, tracing::Span) {
        let span = std::mem::replace(&mut self.span, tracing::Span::none());
        let tells = self
            .key()
            .filter(|_| self.attempt.is_none())
            .and_then(|(log, key)| log.edit(key, |record| record.tell_tries(span.clone())));
        self.recorded &= tells.is_none();
        (self.context.clone(), tells.is_some(), span)
    }

    /// How a call ends that nobody ended.
    pub(crate) fn dropped(&self) -> Ending {
        dropped_in(&self.context)
    }
}

/// The attempt that a call becomes: of the hop around, where that tells attempts apart and calls the same dependency.
fn join(around: &Context, shared: &Arc<Shared>, subject: SubjectId, start: Nanos) -> Option<(Place, u32)> {
    let (place, Attempting { subject: hop, number }) = around.attempt()?;
    if !Arc::ptr_eq(&place.log.shared, shared) {
        return None;
    }
    let same = || {
        let (hop, call) = (shared.named(hop), shared.named(subject));
        hop.kind == call.kind && hop.dependency == call.dependency
    };
    if hop != subject && !same() {
        return None;
    }
    let number = match number {
        Some(number) => place.log.edit(place.key()?, |record| record.join_try(number))?.then_some(number)?,
        None => begin_attempt(place, start, true)?,
    };
    Some((place.clone(), number))
}

/// Begins an attempt of a hop that tells them apart; of a door's call, or of work that may hold one.
pub(crate) fn begin_attempt(place: &Place, start: Nanos, joined: bool) -> Option<u32> {
    let (number, full) = place.log.edit(place.key()?, |record| record.begin_try(start, joined))??;
    if full {
        place.log.shared.missed_attempts.fetch_add(1, Ordering::Relaxed);
    }
    Some(number)
}

/// Ends a hop with its last attempt.
pub(crate) fn end_tried(log: &Log, key: Key, over: Over) {
    let Over { ending, end, span } = over;
    if !span.is_none() {
        if let Some(call) = log.edit(key, |record| record.told(end)) {
            span::tell(&span, &call);
        }
        span::end(&span, &ending);
    }
    end_record(log, key, end, ending, None);
}

fn end_record(log: &Log, key: Key, end: Nanos, ending: Ending, call: Option<Box<Call>>) {
    let room = log.end(key, end, ending, call);
    if room != Room::Enough
        && let Some(drain) = log.shared.drain()
    {
        match room {
            Room::None => drain.try_drain(),
            _ => drain.wake(),
        }
    }
}

/// How work ends that is dropped, where it belongs to `context`.
pub(crate) fn dropped_in(context: &Context) -> Ending {
    let is_late = || context.remaining().is_some_and(|left| left < SLACK);
    if std::thread::panicking() {
        Ending::panicked()
    } else if cutting() || is_late() {
        Ending::cut()
    } else {
        Ending::cancelled()
    }
}

/// Timers count in milliseconds: who is dropped so soon before its deadline is dropped by it.
const SLACK: Duration = Duration::from_millis(2);

/// Ends a call whose work unwinds, since whoever catches the panic drops the call when nothing tells of it any more.
struct OnUnwind<'a> {
    open: &'a mut OpenHop,
    armed: bool,
}

impl Drop for OnUnwind<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.open.finish_live(Ending::panicked());
        }
    }
}

thread_local! {
    static CUTTING: Cell<bool> = const { Cell::new(false) };
}

/// Drops what a run that passed its deadline left open: its hops are cut, not cancelled.
pub(crate) fn cut<T>(drop_it: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = CUTTING.try_with(|cutting| cutting.set(self.0));
        }
    }
    let _back = Back(CUTTING.try_with(|cutting| cutting.replace(true)).unwrap_or(false));
    drop_it()
}

fn cutting() -> bool {
    CUTTING.try_with(Cell::get).unwrap_or(false)
}

impl Drop for OpenHop {
    fn drop(&mut self) {
        if self.recorded {
            self.finish_live(self.dropped());
        }
    }
}
