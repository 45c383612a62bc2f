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
    /// What a span is alike to; `None` = it is no call, nor work of a known kind.
    pub(super) fn of(span: &'a Span) -> Option<Self> {
        let kind = span.kind.filter(|&kind| kind != Kind::Startup)?;
        let dependency = span.dependency.as_deref()?;
        let size = span.call.as_ref().map_or(0, |call| match call.bytes.sent {
            // An unanswered call has no token count, so that bytes compare more calls than tokens do.
            0 => call.tokens.input.unwrap_or(0),
            sent => sent,
        });
        let class = if size == 0 { 0 } else { 1 + size.ilog2() / 2 };
        Some(Self { kind, dependency, operation: &span.operation, class: class as u8 })
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
    let mut values = [0; MEASURES];
    let Some(call) = &span.call else {
        for measure in [Phase::Wait as usize, Phase::Own as usize, WHOLE] {
            values[measure] = length(span);
        }
        return values;
    };
    for part in call.timeline.stretches() {
        values[part.phase as usize] += part.end - part.start;
        values[WHOLE] += if part.phase.is_callers() { 0 } else { part.end - part.start };
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
