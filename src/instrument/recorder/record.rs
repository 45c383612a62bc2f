//! What is kept of one piece of work from its start until the drain takes it.

use super::tries::Tries;
use crate::instrument::ending::Ending;
use crate::instrument::stall::Blocked;
use crate::model::{Call, FailedBy, Kind, Name, Nanos, Origin, Outcome, Phase, Role, Span, SpanId, Stall, Timeline};
use std::sync::Arc;

/// Most stalls, and moves after stalls, that are kept of one call.
const BLOCKED_MAX: usize = 256;

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

/// One piece of work, open or ended. Small, since many are written: what only some have is boxed.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) subject: SubjectId,
    /// It is a hop: counted, and measured.
    pub(crate) is_hop: bool,
    /// The phase it is in.
    pub(crate) phase: Phase,
    /// How it ended; `None` = open.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) failed_by: Option<FailedBy>,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// The outermost span of the trace that this is of, outside a run.
    pub(crate) root: SpanId,
    pub(crate) start: Nanos,
    /// Means nothing while it is open.
    pub(crate) end: Nanos,
    pub(crate) more: Option<Box<More>>,
}

/// What is known of some records.
#[derive(Clone, Debug)]
pub(crate) struct More {
    /// The phases that it was in before the last.
    pub(crate) before: Timeline,
    pub(crate) status: Option<u16>,
    pub(crate) error_type: Option<Name>,
    pub(crate) errno: Option<i32>,
    /// What a door told beside the times.
    pub(crate) call: Option<Box<Call>>,
    pub(crate) live: Option<Arc<dyn Live>>,
    /// The attempts, where they are told apart.
    pub(crate) tries: Option<Box<Tries>>,
    /// When its own work blocked the thread.
    pub(crate) blocked: Vec<Blocked>,
    /// When the caller was blocked while it was open, and whether by a poll of its own run.
    pub(crate) held_up: Vec<(Blocked, bool)>,
    /// When it got a piece right after the caller was blocked, without changing its phase.
    pub(crate) moves: Vec<Nanos>,
}

impl Record {
    /// What only some records have; allocates on the first use.
    pub(crate) fn more(&mut self) -> &mut More {
        let start = self.start;
        self.more.get_or_insert_with(|| {
            let before = Timeline::new(start);
            Box::new(More {
                before,
                status: None,
                error_type: None,
                errno: None,
                call: None,
                live: None,
                tries: None,
                blocked: Vec::new(),
                held_up: Vec::new(),
                moves: Vec::new(),
            })
        })
    }

    /// From now on it is in `phase`.
    pub(crate) fn turn(&mut self, phase: Phase, now: Nanos) {
        if self.phase != phase {
            let until = self.phase;
            self.more().before.push(until, now);
            self.phase = phase;
        }
    }

    /// Up to `from` it is in its phase, up to `to` it was the caller's own time, then it is in its phase again.
    pub(crate) fn own(&mut self, from: Nanos, to: Nanos) {
        let phase = self.phase;
        let before = &mut self.more().before;
        before.push(phase, from);
        before.push(Phase::Own, to);
    }

    /// Its own work blocked the thread. Beyond some times, the last one grows.
    pub(crate) fn block(&mut self, blocked: Blocked) {
        let all = &mut self.more().blocked;
        if all.len() < BLOCKED_MAX {
            all.push(blocked);
        } else if let Some(last) = all.last_mut() {
            last.end = blocked.end;
        }
    }

    /// It got a piece right after the caller was blocked.
    pub(crate) fn moved(&mut self, at: Nanos) {
        let moves = &mut self.more().moves;
        if moves.len() < BLOCKED_MAX {
            moves.push(at);
        }
    }

    /// Notes the stalls of its run that it was open in.
    pub(crate) fn hold_up(&mut self, stalls: &[(Stall, bool)]) {
        let until = if self.is_open() { Nanos::MAX } else { self.end };
        let start = self.start;
        for (stall, by_poll) in stalls.iter().filter(|(stall, _)| stall.end > start && stall.start < until) {
            let blocked = Blocked { start: stall.start, end: stall.end, cause: stall.cause };
            self.more().held_up.push((blocked, *by_poll));
        }
    }

    /// The call that doors tell facts of.
    pub(crate) fn call(&mut self) -> &mut Call {
        let start = self.start;
        self.more().call.get_or_insert_with(|| Box::new(Call::new(Origin::Library, Timeline::new(start))))
    }

    /// Ends it. `call` is what a richer door knows in the end.
    pub(crate) fn close(&mut self, end: Nanos, ending: Ending, call: Option<Box<Call>>) {
        let Ending { outcome, failed_by, status, error_type, errno } = ending;
        self.end = end.max(self.start);
        (self.outcome, self.failed_by) = (Some(outcome), failed_by);
        if status.is_some() || error_type.is_some() || errno.is_some() {
            let more = self.more();
            (more.status, more.error_type, more.errno) = (status, error_type, errno);
        }
        if call.is_some() {
            self.more().call = call;
        }
        if let Some(more) = &mut self.more {
            more.live = None;
        }
    }

    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// The record as it stood at `moment`: open, if it ended later.
    pub(crate) fn seen_at(mut self, moment: Nanos) -> Self {
        if !self.is_open() && self.end > moment {
            (self.outcome, self.failed_by) = (None, None);
        }
        self
    }

    /// Whether nothing but duration and outcome is known: one phase, no attempts, no facts.
    pub(crate) fn is_brief(&self) -> bool {
        self.more.is_none()
    }

    /// Where its time is seen to end.
    fn until(&self, now: Nanos) -> Nanos {
        if self.is_open() { now.max(self.start) } else { self.end }
    }

    /// The phases up to its end, or up to `now`.
    fn timeline(&self, now: Nanos) -> Timeline {
        let mut timeline = self.more.as_ref().map_or_else(|| Timeline::new(self.start), |more| more.before.clone());
        timeline.push(self.phase, self.until(now));
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
            end: (!self.is_open()).then_some(self.end),
            inferred: false,
            // A wait at a gate is a call to nobody that has its phase.
            call: (subject.role == Role::Client || self.phase == Phase::Gate).then(|| Box::new(self.whole_call(now))),
        }
    }

    /// What was told of the call, without asking its door.
    pub(crate) fn told(&self, now: Nanos) -> Call {
        if let Some(call) = self.tried(now, false) {
            return self.completed(call, now);
        }
        let told = self.more.as_ref().and_then(|more| more.call.as_deref().cloned());
        self.completed(told.unwrap_or_else(|| Call::new(Origin::Library, Timeline::new(self.start))), now)
    }

    /// The call of a hop whose attempts are told apart.
    fn tried(&self, now: Nanos, ask: bool) -> Option<Call> {
        let more = self.more.as_deref()?;
        let tries = more.tries.as_deref()?;
        Some(tries.call(&self.timeline(now), more.call.as_deref(), self.until(now), ask))
    }

    fn whole_call(&self, now: Nanos) -> Call {
        if let Some(call) = self.tried(now, true) {
            return self.completed(call, now);
        }
        match self.more.as_ref().and_then(|more| more.live.as_ref()).filter(|_| self.is_open()) {
            Some(live) => self.completed(live.call(now), now),
            None => self.told(now),
        }
    }

    fn completed(&self, mut call: Call, now: Nanos) -> Call {
        if call.timeline.duration() == 0 {
            call.timeline = self.timeline(now);
        }
        // A door that told its phases read the clock a moment before the end.
        if let (false, Some(phase)) = (self.is_open(), call.timeline.last_phase()) {
            call.timeline.push(phase, self.end);
        }
        if let Some(more) = &self.more {
            let stalled = |timeline: &Timeline| more.stalled(timeline, self.is_open());
            call.timeline = stalled(&call.timeline);
            for attempt in &mut call.attempts {
                attempt.timeline = stalled(&attempt.timeline);
            }
        }
        if let [only] = call.attempts.as_mut_slice()
            && only.timeline.duration() == 0
        {
            only.timeline = call.timeline.clone();
        }
        if self.is_open() {
            return call;
        }
        (call.outcome, call.failed_by) = (self.outcome, self.failed_by);
        if let Some(more) = &self.more {
            call.status = more.status.or(call.status);
            call.error_type = more.error_type.clone().or(call.error_type);
            call.errno = more.errno.or(call.errno);
        }
        if let Some(last) = call.attempts.last_mut()
            && last.outcome.is_none()
        {
            (last.outcome, last.failed_by) = (call.outcome, call.failed_by);
            last.status = last.status.or(call.status);
        }
        let left = call.outcome == Some(Outcome::Timeout) && call.failed_by == Some(FailedBy::Caller);
        if left && call.gave_up_after.is_none() {
            call.gave_up_after = Some(self.end.saturating_sub(self.start));
        }
        call
    }
}

impl More {
    /// A timeline of the call with what blocked during it.
    fn stalled(&self, timeline: &Timeline, is_open: bool) -> Timeline {
        let own = self.blocked.iter().fold(timeline.clone(), |timeline, blocked| blocked.within(&timeline));
        self.held_up.iter().fold(own, |timeline, (blocked, by_poll)| {
            // What began and ended within one blocked poll never waited for the event loop.
            let within = *by_poll && !is_open && blocked.start <= timeline.start() && timeline.end() <= blocked.end;
            if within { timeline } else { blocked.held_up(&timeline, &self.moves) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Record>() <= 72, "{}", size_of::<Record>());
    }
}
