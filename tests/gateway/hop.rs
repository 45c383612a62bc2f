//! What was told, with messages that show the whole of it.

use hopwatch::gateway::Carried;
use hopwatch::model::{Call, ConnectionState, FailedBy, Outcome, Phase, Span, Timeline, millis};
use std::fmt;

/// All that a gateway told at its end.
pub(crate) struct Told(pub(crate) Carried);

/// One hop.
#[derive(Clone, Copy)]
pub(crate) struct Hop<'a> {
    span: &'a Span,
    call: &'a Call,
}

impl Told {
    /// What holds for whatever went through: counts and sums.
    #[track_caller]
    pub(crate) fn of(carried: Carried) -> Self {
        let told = Self(carried);
        let losses = &told.0.losses;
        let open = told.0.spans.iter().filter(|span| span.is_open()).count() as u64;
        assert_eq!(losses.started, losses.recorded + losses.open + losses.dropped.values().sum::<u64>(), "{losses:?}");
        assert_eq!((losses.open, losses.recorded), (open, told.0.spans.len() as u64 - open), "{losses:?}");
        assert!(losses.dropped.is_empty() && losses.missed.is_empty(), "{losses:?}");
        told.hops().into_iter().for_each(Hop::check);
        told
    }

    pub(crate) fn hops(&self) -> Vec<Hop<'_>> {
        let hop = |span| Hop { span, call: Span::call(span) };
        self.0.spans.iter().map(hop).collect()
    }

    /// The only hop.
    #[track_caller]
    pub(crate) fn hop(&self) -> Hop<'_> {
        let hops = self.hops();
        assert_eq!(hops.len(), 1, "{hops:?}");
        hops[0]
    }

    /// The only client's connection carried so many calls, was closed by it, and cost something to set up. There is no fact of it where the
    /// client's process was not found in time.
    #[track_caller]
    pub(crate) fn connected_for(&self, calls: u64) {
        let facts = &self.0.connections;
        assert!(facts.len() <= 1, "{facts:?}");
        for fact in facts {
            assert_eq!((fact.calls, fact.closed_by_caller, fact.failed), (calls, true, None));
            assert!(fact.setup > 0, "{fact:?}");
        }
    }

    /// Nothing was told.
    #[track_caller]
    pub(crate) fn nothing(&self) {
        assert!(self.0.spans.is_empty(), "{:#?}", self.0.spans);
    }
}

impl fmt::Debug for Hop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { timeline, outcome, failed_by, status, error_type, errno, attempts, bytes, client, .. } = self.call;
        let name = self.span.dependency.as_deref().unwrap_or("nobody");
        write!(f, "{} to {name}: {outcome:?} by {failed_by:?}, {status:?} {error_type:?} {errno:?}", self.span.operation)?;
        write!(f, "; {bytes:?}; {client:?}; open: {};", self.span.is_open())?;
        show(timeline, f)?;
        for attempt in attempts.iter().filter(|_| attempts.len() > 1) {
            write!(f, "\n  {}: {:?} {:?}", attempt.number, attempt.connection, attempt.outcome)?;
            show(&attempt.timeline, f)?;
        }
        Ok(())
    }
}

fn show(timeline: &Timeline, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    timeline.stretches().try_for_each(|part| write!(f, " {} {} ms", part.phase, millis(part.end - part.start)))
}

trait OfCall {
    fn call(&self) -> &Call;
}

impl OfCall for Span {
    #[track_caller]
    fn call(&self) -> &Call {
        self.call.as_deref().unwrap_or_else(|| panic!("no call: {self:?}"))
    }
}

impl<'a> Hop<'a> {
    /// Its phases tile its time, and its attempts lie in it.
    #[track_caller]
    fn check(self) {
        let Call { timeline, attempts, .. } = self.call;
        assert_eq!(timeline.start(), self.span.start, "{self:?}");
        assert!(self.span.end.is_none_or(|end| end == timeline.end()), "{self:?}");
        let parts: u64 = Phase::ALL.iter().filter_map(|&phase| timeline.total(phase)).sum();
        assert_eq!(parts, timeline.duration(), "{self:?}");
        let numbers: Vec<usize> = attempts.iter().map(|attempt| attempt.number as usize).collect();
        assert_eq!(numbers, (1..=attempts.len()).collect::<Vec<_>>(), "{self:?}");
        for attempt in attempts {
            assert!(attempt.timeline.start() >= timeline.start() && attempt.timeline.end() <= timeline.end(), "{self:?}");
        }
    }

    pub(crate) fn call(self) -> &'a Call {
        self.call
    }

    pub(crate) fn span(self) -> &'a Span {
        self.span
    }

    /// How it ended.
    #[track_caller]
    pub(crate) fn ended(self, outcome: Outcome, failed_by: FailedBy) -> Self {
        assert_eq!((self.call.outcome, self.call.failed_by), (Some(outcome), Some(failed_by)), "{self:?}");
        assert!(!self.span.is_open(), "{self:?}");
        self
    }

    /// Nothing failed.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Self {
        assert_eq!((self.call.outcome, self.call.failed_by), (Some(Outcome::Ok), None), "{self:?}");
        assert!(!self.span.is_open() && self.call.error_type.is_none(), "{self:?}");
        self.status(Some(status))
    }

    /// Nothing failed, as far as can be seen from outside.
    #[track_caller]
    pub(crate) fn ok_unseen(self) -> Self {
        assert_eq!((self.call.outcome, self.call.failed_by), (Some(Outcome::Ok), None), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn status(self, status: Option<u16>) -> Self {
        assert_eq!(self.call.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn error(self, code: &str) -> Self {
        assert_eq!(self.call.error_type.as_deref(), Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn operation(self, operation: &str) -> Self {
        assert_eq!(&*self.span.operation, operation, "{self:?}");
        self
    }

    /// The connections of its attempts, in order.
    #[track_caller]
    pub(crate) fn connections(self, states: &[ConnectionState]) -> Self {
        let used: Vec<_> = self.call.attempts.iter().map(|attempt| attempt.connection).collect();
        assert_eq!(used, states.iter().copied().map(Some).collect::<Vec<_>>(), "{self:?}");
        self
    }

    /// The phase that it ended in, or is in.
    #[track_caller]
    pub(crate) fn last(self, phase: Phase) -> Self {
        assert_eq!(self.call.timeline.last_phase(), Some(phase), "{self:?}");
        self
    }

    /// Milliseconds in a phase.
    pub(crate) fn phase(self, phase: Phase) -> f64 {
        self.call.timeline.total(phase).map_or(0.0, millis)
    }

    /// A phase took at least so many milliseconds, and not ten times as many.
    #[track_caller]
    pub(crate) fn took(self, phase: Phase, least: f64) -> Self {
        let took = self.phase(phase);
        assert!((least..least * 10.0).contains(&took), "{phase} took {took} ms, not {least}: {self:?}");
        self
    }

    /// A phase took less than so many milliseconds.
    #[track_caller]
    pub(crate) fn under(self, phase: Phase, most: f64) -> Self {
        let took = self.phase(phase);
        assert!(took < most, "{phase} took {took} ms, over {most}: {self:?}");
        self
    }

    /// Bytes up and down.
    #[track_caller]
    pub(crate) fn bytes(self, sent: usize, received: usize) -> Self {
        let bytes = self.call.bytes;
        assert_eq!((bytes.sent, bytes.received), (sent as u64, received as u64), "{self:?}");
        self
    }
}
