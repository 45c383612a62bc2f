//! The attempts of a hop that tells them apart: each with its own times and ending, and `backoff` between them.
//!
//! An attempt has up to two parts: the work that the caller calls one attempt, and the call of a door inside of it. It is over when both
//! are, since an answer's body may outlive the work that asked for it. The hop is over when its scope was left and no attempt is open.

use super::record::{Live, Record};
use crate::instrument::ending::Ending;
use crate::model::{Attempt, Call, Nanos, Origin, Outcome, Phase, Timeline};
use std::sync::Arc;

/// Most attempts kept of one hop: the first ones and the last.
const TRIES_MAX: usize = 64;

/// What lies between an attempt and its door, or its hop, and is shorter than this is their bookkeeping: part of the phase beside it.
const BOOKKEEPING: Nanos = 1_000_000;

/// The attempts of a hop.
#[derive(Clone, Debug)]
pub(crate) struct Tries {
    tries: Vec<Try>,
    made: u32,
    left: Option<Leaving>,
    span: tracing::Span,
}

/// How the scope of a hop's attempts was left.
#[derive(Clone, Debug)]
pub(crate) enum Leaving {
    /// With this ending.
    End(Ending),
    /// Done: the last attempt's ending is the hop's. Without one there was nothing to go wrong.
    Done,
    /// Dropped: a last attempt that went well is the hop's ending; else, between attempts, this.
    Dropped(Ending),
}

/// A hop whose last attempt is over.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) ending: Ending,
    pub(crate) end: Nanos,
    pub(crate) span: tracing::Span,
}

#[derive(Clone, Debug)]
struct Try {
    number: u32,
    start: Nanos,
    /// When its last part ended.
    end: Nanos,
    /// Parts that are open.
    open: u8,
    /// A door's call is part of it.
    joined: bool,
    ending: Option<Ending>,
    call: Option<Box<Call>>,
    live: Option<Arc<dyn Live>>,
    retry_after: Option<Nanos>,
}

impl Record {
    /// From now on attempts are told apart.
    pub(crate) fn tell_tries(&mut self, span: tracing::Span) {
        self.more().tries = Some(Box::new(Tries { tries: Vec::new(), made: 0, left: None, span }));
    }

    /// An attempt begins, of the caller or of a door. Says its number, and whether an earlier one had to go for it.
    pub(crate) fn begin_try(&mut self, start: Nanos, joined: bool) -> Option<(u32, bool)> {
        let tries = self.tries()?;
        let gone =
            (tries.tries.len() >= TRIES_MAX).then(|| tries.tries.iter().rposition(|attempt| attempt.open == 0).unwrap_or(0));
        if let Some(gone) = gone {
            tries.tries.remove(gone);
        }
        tries.made = tries.made.saturating_add(1);
        let number = tries.made;
        let (ending, call, live, retry_after) = (None, None, None, None);
        tries.tries.push(Try { number, start, end: start, open: 1, joined, ending, call, live, retry_after });
        self.turn(Phase::Wait, start);
        Some((number, gone.is_some()))
    }

    /// A door's call becomes part of an open attempt; the first one does.
    pub(crate) fn join_try(&mut self, number: u32) -> bool {
        let Some(attempt) = self.attempt(number).filter(|attempt| attempt.open > 0 && !attempt.joined) else { return false };
        attempt.open += 1;
        attempt.joined = true;
        true
    }

    /// The call that a door tells facts of.
    pub(crate) fn call_of_try(&mut self, number: u32) -> Option<&mut Call> {
        let attempt = self.attempt(number)?;
        let start = attempt.start;
        Some(attempt.call.get_or_insert_with(|| Box::new(Call::new(Origin::Library, Timeline::new(start)))))
    }

    /// The door of an attempt knows more of it.
    pub(crate) fn live_of_try(&mut self, number: u32) -> Option<&mut Option<Arc<dyn Live>>> {
        self.attempt(number).map(|attempt| &mut attempt.live)
    }

    /// How long the peer asked to wait after the last attempt.
    pub(crate) fn retry_after(&mut self, wait: Nanos) {
        if let Some(last) = self.tries().and_then(|tries| tries.tries.last_mut()) {
            last.retry_after = Some(wait);
        }
    }

    /// A part of an attempt ended. Says so when the hop is over with it.
    pub(crate) fn end_try(&mut self, number: u32, now: Nanos, ending: Ending, call: Option<Box<Call>>) -> Option<Over> {
        let attempt = self.attempt(number).filter(|attempt| attempt.open > 0)?;
        attempt.open -= 1;
        attempt.end = now.max(attempt.start);
        // What failed first says why; that the caller left says least.
        let says_more = |known: &Ending| known.is_ok() || (known.outcome == Outcome::Cancelled && !ending.is_ok());
        if attempt.ending.as_ref().is_none_or(says_more) {
            attempt.ending = Some(ending);
        }
        if call.is_some() {
            attempt.call = call;
            attempt.live = None;
        }
        let none_open = self.tries()?.tries.iter().all(|attempt| attempt.open == 0);
        if none_open {
            self.turn(Phase::Backoff, now);
        }
        self.over(now)
    }

    /// The scope is left, once. Says so when the hop is over with it.
    pub(crate) fn leave_tries(&mut self, leaving: Leaving, now: Nanos) -> Option<Over> {
        self.tries()?.left.get_or_insert(leaving);
        self.over(now)
    }

    fn over(&mut self, now: Nanos) -> Option<Over> {
        let tries = self.tries()?;
        if tries.tries.iter().any(|attempt| attempt.open > 0) {
            return None;
        }
        let left = tries.left.clone()?;
        // Of attempts side by side, the one that ended last.
        let last = tries.tries.iter().max_by_key(|attempt| attempt.end);
        let ended = last.and_then(|last| last.ending.clone());
        let went_well = ended.as_ref().is_some_and(Ending::is_ok);
        let end = match (&left, last) {
            (_, Some(last)) if now.saturating_sub(last.end) < BOOKKEEPING => last.end,
            (Leaving::Done | Leaving::Dropped(_), Some(last)) if went_well => last.end,
            _ => now,
        };
        let ending = match (left, ended) {
            (Leaving::End(ending), _) => ending,
            (Leaving::Done, Some(ended)) => ended,
            (Leaving::Dropped(_), Some(ended)) if went_well => ended,
            (Leaving::Dropped(ending), _) => ending,
            (Leaving::Done, None) => Ending::ok(),
        };
        Some(Over { ending, end, span: std::mem::replace(&mut tries.span, tracing::Span::none()) })
    }

    fn tries(&mut self) -> Option<&mut Tries> {
        self.more.as_mut()?.tries.as_deref_mut()
    }

    fn attempt(&mut self, number: u32) -> Option<&mut Try> {
        self.tries()?.tries.iter_mut().rev().find(|attempt| attempt.number == number)
    }
}

impl Tries {
    /// The call as of `now`: `base` has the phases that were told of the hop, `told` its facts. Doors that know more are asked only where
    /// no lock is held (`ask`).
    pub(super) fn call(&self, base: &Timeline, told: Option<&Call>, now: Nanos, ask: bool) -> Call {
        let mut call = told.cloned().unwrap_or_else(|| Call::new(Origin::Library, Timeline::new(base.start())));
        call.attempts.clear();
        let mut timeline = Timeline::new(base.start());
        for attempt in &self.tries {
            let inner = attempt.inner(now, ask);
            let attempt = attempt.told(base, inner.as_ref(), now);
            if let Some(first) = attempt.timeline.stretches().next().filter(|_| call.attempts.is_empty())
                && first.start - base.start() < BOOKKEEPING
            {
                timeline.push(first.phase, first.start);
            }
            copy(&mut timeline, base, attempt.timeline.start());
            timeline.append(Phase::Backoff, &attempt.timeline);
            if let Some(inner) = inner {
                let first = call.attempts.is_empty();
                take(&mut call, inner, first);
            }
            call.attempts.push(attempt);
        }
        copy(&mut timeline, base, base.end());
        call.timeline = timeline;
        call
    }
}

impl Try {
    fn inner(&self, now: Nanos, ask: bool) -> Option<Call> {
        match (&self.live, &self.call) {
            (Some(live), _) if ask => Some(live.call(now)),
            (_, call) => call.as_deref().cloned(),
        }
    }

    fn told(&self, base: &Timeline, inner: Option<&Call>, now: Nanos) -> Attempt {
        let end = if self.open > 0 { now.max(self.start) } else { self.end };
        let mut timeline = Timeline::new(self.start);
        match inner.map(|inner| &inner.timeline).filter(|timeline| timeline.duration() > 0) {
            Some(door) => {
                // Outside of the door's call it is the caller's own time, unless it waited at a gate.
                let own =
                    |beside: Option<Phase>, time| if time < BOOKKEEPING { beside.unwrap_or(Phase::Own) } else { Phase::Own };
                let first = door.stretches().next().map(|part| part.phase);
                for part in base.within(self.start, door.start()) {
                    let phase = if part.phase == Phase::Gate { part.phase } else { own(first, part.end - part.start) };
                    timeline.push(phase, part.end);
                }
                timeline.append(Phase::Own, door);
                timeline.push(own(door.last_phase(), end.saturating_sub(door.end())), end);
            }
            None => base.within(self.start, end).for_each(|part| timeline.push(part.phase, part.end)),
        }
        let door = inner.and_then(|inner| inner.attempts.last());
        let ending = self.ending.as_ref().filter(|_| self.open == 0);
        Attempt {
            number: self.number,
            timeline,
            outcome: ending.map(|ending| ending.outcome),
            failed_by: ending.and_then(|ending| ending.failed_by),
            status: ending.and_then(|ending| ending.status).or(door.and_then(|door| door.status)),
            connection: door.and_then(|door| door.connection),
            idle: door.and_then(|door| door.idle),
            retry_after: self.retry_after.or(door.and_then(|door| door.retry_after)),
        }
    }
}

/// Appends what `base` has from the end of `timeline` to `until`.
fn copy(timeline: &mut Timeline, base: &Timeline, until: Nanos) {
    let from = timeline.end();
    base.within(from, until).for_each(|part| timeline.push(part.phase, part.end));
}

/// Takes over what a door told of one attempt: the last one's word counts, and bytes add up.
fn take(call: &mut Call, inner: Call, first: bool) {
    call.bytes.sent = call.bytes.sent.saturating_add(inner.bytes.sent);
    call.bytes.received = call.bytes.received.saturating_add(inner.bytes.received);
    call.status = inner.status.or(call.status);
    call.model = inner.model.or(call.model.take());
    call.stream = inner.stream.or(call.stream);
    call.tokens.input = inner.tokens.input.or(call.tokens.input);
    call.tokens.output = inner.tokens.output.or(call.tokens.output);
    call.address = inner.address.or(call.address.take());
    call.gave_up_after = inner.gave_up_after;
    call.client.connection_id = inner.client.connection_id.or(call.client.connection_id);
    if first {
        call.client.connection = inner.client.connection;
    }
}
