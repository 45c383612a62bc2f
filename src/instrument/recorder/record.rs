//! What is kept of one piece of work from its start until the drain takes it.

use crate::instrument::ending::Ending;
use crate::model::{Call, FailedBy, Kind, Name, Nanos, Origin, Outcome, Phase, Role, Span, SpanId, Timeline};
use std::sync::Arc;

/// What a hop is: shared by all of its calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    /// What it is to its service: a client for hops, internal for nested runs, start-up phases and the like.
    pub(crate) role: Role,
    /// What the dependency is.
    pub(crate) kind: Option<Kind>,
    /// Whom it calls.
    pub(crate) dependency: Option<Name>,
    /// What is done, low in cardinality.
    pub(crate) operation: Name,
}

/// Which [`Subject`]: an index into the recorder's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SubjectId(pub(crate) u32);

/// A door that knows more of its call than what it told so far.
pub(crate) trait Live: Send + Sync + std::fmt::Debug {
    /// The call as of `now`: its timeline ends there, in the phase it is in. Never called while a lock of the recorder is held.
    fn call(&self, now: Nanos) -> Call;
}

/// One piece of work, open or ended.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) subject: SubjectId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// The outermost span of the trace that this is of, outside a run.
    pub(crate) root: SpanId,
    /// It is a hop: counted, and measured.
    pub(crate) is_hop: bool,
    pub(crate) start: Nanos,
    /// `None` = open.
    pub(crate) end: Option<Nanos>,
    /// The phase it is in.
    pub(crate) phase: Phase,
    /// The phases that it was in before. Empty for the many that only have one.
    pub(crate) before: Timeline,
    pub(crate) ending: Option<Ending>,
    /// What a door told beside the times.
    pub(crate) call: Option<Box<Call>>,
    pub(crate) live: Option<Arc<dyn Live>>,
}

impl Record {
    /// From now on it is in `phase`.
    pub(crate) fn turn(&mut self, phase: Phase, now: Nanos) {
        if self.phase != phase {
            self.before.push(self.phase, now);
            self.phase = phase;
        }
    }

    /// What is known of the call beside its times; allocates on the first use.
    pub(crate) fn facts(&mut self) -> &mut Call {
        let start = self.start;
        self.call.get_or_insert_with(|| Box::new(Call::new(Origin::Library, Timeline::new(start))))
    }

    /// Whether nothing but duration and ending is known: one phase, no attempts, no facts.
    pub(crate) fn is_brief(&self) -> bool {
        self.call.is_none() && self.live.is_none() && self.before.duration() == 0
    }

    /// The phases up to its end, or up to `now`.
    fn timeline(&self, now: Nanos) -> Timeline {
        let mut timeline = self.before.clone();
        timeline.push(self.phase, self.end.unwrap_or(now));
        timeline
    }

    /// The span as of `now`.
    pub(crate) fn span(&self, subject: &Subject, service: &Name, now: Nanos) -> Span {
        Span {
            id: self.id,
            parent: self.parent,
            role: subject.role,
            follows_from: false,
            service: Arc::clone(service),
            operation: Arc::clone(&subject.operation),
            kind: subject.kind,
            dependency: subject.dependency.clone(),
            start: self.start,
            end: self.end,
            inferred: false,
            call: (subject.role == Role::Client).then(|| Box::new(self.whole_call(now))),
        }
    }

    fn whole_call(&self, now: Nanos) -> Call {
        let told = match (&self.live, &self.call) {
            (Some(live), _) if self.end.is_none() => Some(live.call(now)),
            (_, Some(call)) => Some(Call::clone(call)),
            _ => None,
        };
        let mut call = told.unwrap_or_else(|| Call::new(Origin::Library, Timeline::new(self.start)));
        if call.timeline.duration() == 0 {
            call.timeline = self.timeline(now);
        }
        // A door that told its phases read the clock a moment before the end.
        if let (Some(end), Some(phase)) = (self.end, call.timeline.last_phase()) {
            call.timeline.push(phase, end);
        }
        if let [only] = call.attempts.as_mut_slice()
            && only.timeline.duration() == 0
        {
            only.timeline = call.timeline.clone();
        }
        let Some(ending) = &self.ending else { return call };
        call.outcome = Some(ending.outcome);
        call.failed_by = ending.failed_by;
        call.status = ending.status.or(call.status);
        call.error_type = ending.error_type.clone().or(call.error_type);
        call.errno = ending.errno.or(call.errno);
        if let Some(last) = call.attempts.last_mut()
            && last.outcome.is_none()
        {
            (last.outcome, last.failed_by) = (call.outcome, call.failed_by);
            last.status = last.status.or(call.status);
        }
        if ending.outcome == Outcome::Timeout && ending.failed_by == Some(FailedBy::Caller) && call.gave_up_after.is_none() {
            call.gave_up_after = self.end.map(|end| end.saturating_sub(self.start));
        }
        call
    }
}
