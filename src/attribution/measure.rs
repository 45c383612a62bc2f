//! What of a call is compared with its like, and which calls are alike.

use crate::model::{Kind, Nanos, Outcome, Phase, Span};

/// What is measured of a call: each of its phases, and all that is not the caller's.
pub(super) const MEASURES: usize = WHOLE + 1;

/// The measure that is all of a call that is not the caller's.
pub(super) const WHOLE: usize = Phase::ALL.len();

/// Which calls are alike: kind, dependency, operation, size class (0 = size not known).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    pub(super) kind: Kind,
    pub(super) dependency: &'a str,
    pub(super) operation: &'a str,
    pub(super) class: u8,
}

impl<'a> Key<'a> {
    /// What a span is alike to; `None` = it is no call, nor work of a known kind, or the record below tells of it.
    pub(super) fn of(span: &'a Span) -> Option<Self> {
        if span.call.as_ref().is_some_and(|call| call.relayed) {
            return None;
        }
        let size = span.call.as_ref().map_or(0, |call| match call.bytes.sent {
            // An unanswered call has no token count, so that bytes compare more calls than tokens do.
            0 => call.tokens.input.unwrap_or(0),
            sent => sent,
        });
        Self::new(span.kind?, span.dependency.as_deref()?, &span.operation, size)
    }

    /// What a call of this size is alike to; start-up is alike to nothing.
    pub(super) fn new(kind: Kind, dependency: &'a str, operation: &'a str, size: u64) -> Option<Self> {
        let class = if size == 0 { 0 } else { 1 + size.ilog2() / 2 };
        (kind != Kind::Startup).then_some(Self { kind, dependency, operation, class: class as u8 })
    }

    /// The size classes near enough to compare with where the very class has too few: itself and those next to it. Never further,
    /// since a large prompt is no slow call.
    pub(super) fn near(self) -> impl Iterator<Item = Self> + Clone {
        (self.class.saturating_sub(1).max(1)..=self.class.saturating_add(1)).map(move |class| Self { class, ..self })
    }
}

/// Whether a call can tell what is usual.
pub(super) fn ended_well(span: &Span) -> bool {
    !span.is_open() && span.call.as_ref().is_none_or(|call| call.outcome == Some(Outcome::Ok))
}

/// One measure of a call. A call that was not in a phase spent nothing in it.
pub(super) fn value(span: &Span, measure: usize) -> Nanos {
    match (&span.call, Phase::ALL.get(measure)) {
        (Some(call), Some(&phase)) => call.timeline.total(phase).unwrap_or(0),
        (Some(call), None) => {
            let parts = call.timeline.stretches().filter(|part| !part.phase.is_callers());
            parts.map(|part| part.end - part.start).sum()
        }
        (None, None | Some(Phase::Wait | Phase::Own)) => length(span),
        (None, Some(_)) => 0,
    }
}

/// Every measure of a call at once: what [`value`] says of each.
pub(super) fn values(span: &Span) -> [Nanos; MEASURES] {
    let Some(call) = &span.call else {
        let mut values = [0; MEASURES];
        for measure in [Phase::Wait as usize, Phase::Own as usize, WHOLE] {
            values[measure] = length(span);
        }
        return values;
    };
    summed(call.timeline.stretches().map(|part| (part.phase, part.end - part.start)))
}

/// Every measure of a call with these phases.
pub(super) fn summed(phases: impl Iterator<Item = (Phase, Nanos)>) -> [Nanos; MEASURES] {
    let mut values: [Nanos; MEASURES] = [0; MEASURES];
    let mut add = |measure: usize, time| values[measure] = values[measure].saturating_add(time);
    for (phase, time) in phases {
        add(phase as usize, time);
        if !phase.is_callers() {
            add(WHOLE, time);
        }
    }
    values
}

/// What a call received: tokens where it says so, else bytes.
pub(super) fn received(span: &Span) -> Option<u64> {
    let call = span.call.as_ref()?;
    call.tokens.output.or((call.bytes.received > 0).then_some(call.bytes.received))
}

fn length(span: &Span) -> Nanos {
    span.end.unwrap_or(span.start).saturating_sub(span.start)
}
