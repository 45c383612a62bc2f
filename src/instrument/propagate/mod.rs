//! W3C trace context and baggage, in and out: who called, and as whom the current hop or run calls.
//!
//! [`inject_with`] writes the headers of an outgoing request (`inject` into a `HeaderMap`, features `reqwest` and `tower`); [`Remote`] reads those of an incoming one, for
//! [`Scope::caller`](crate::Scope::caller). What breaks the rules is ignored, and nothing that comes in can take more than 512 bytes
//! (`tracestate`) and 8 KiB (`baggage`).
//!
//! Where a layer of `tracing-opentelemetry` is active (feature of that name), the ids of the current OpenTelemetry span are those that
//! are sent, so that the next service's spans hang below it; and a run that a remote caller began is its child there too.

mod baggage;
#[cfg(feature = "tracing-opentelemetry")]
mod otel;
#[cfg(test)]
mod tests;
mod traceparent;
mod tracestate;

use super::context::Context;
use crate::model::{Name, SpanId, TraceId};
#[cfg(feature = "tracing-opentelemetry")]
pub(crate) use otel::{adopt, trace_of};
pub(crate) use traceparent::TraceParent;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// What a caller in another process told: its span, and what it wants passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    parent: Option<TraceParent>,
    state: Option<Name>,
    baggage: Option<Name>,
}

impl Remote {
    /// Reads the three headers through a look-up by (lower-case) name. Where a header came in several lines, these are to be joined by
    /// commas.
    pub fn extract_with<V: AsRef<str>>(get: impl Fn(&'static str) -> Option<V>) -> Self {
        let parent = get(TRACEPARENT).and_then(|text| TraceParent::parse(text.as_ref()));
        // A state without its parent is nobody's.
        let state = parent.and_then(|_| tracestate::clean(get(TRACESTATE)?.as_ref()));
        let baggage = get(BAGGAGE).and_then(|text| baggage::clean(text.as_ref()));
        Self { parent, state: state.map(Name::from), baggage: baggage.map(Name::from) }
    }

    /// Reads the headers of a request. Costs three look-ups where they are not there.
    #[cfg(any(feature = "tower", feature = "reqwest"))]
    #[must_use]
    pub fn extract(headers: &http::HeaderMap) -> Self {
        Self::extract_with(|name| {
            let mut lines = headers.get_all(name).iter().map(|value| value.to_str().ok());
            let first = lines.next()??.to_owned();
            lines.try_fold(first, |joined, line| Some(joined + "," + line?))
        })
    }

    /// The caller's trace.
    #[must_use]
    pub fn trace_id(&self) -> Option<TraceId> {
        self.parent.map(|parent| parent.trace)
    }

    /// The caller's span.
    #[must_use]
    pub fn span_id(&self) -> Option<SpanId> {
        self.parent.map(|parent| parent.span)
    }

    /// What the caller's vendors want passed on.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The value of a key of the baggage, decoded.
    #[must_use]
    pub fn baggage(&self, key: &str) -> Option<String> {
        baggage::all(self.baggage.as_deref()?).find(|&(known, _)| known == key).map(|(_, value)| value)
    }

    /// Adds to the baggage, or replaces there. Whether it could: the key has to be a token (letters, digits, `-`, `_`, `.` and kin), and
    /// 8 KiB is all there is.
    pub fn set_baggage(&mut self, key: &str, value: &str) -> bool {
        let with = baggage::with(self.baggage.as_deref(), key, value);
        let fits = with.is_some();
        if let Some(with) = with {
            self.baggage = Some(with.into());
        }
        fits
    }

    #[cfg(feature = "tracing-opentelemetry")]
    pub(crate) fn parent(&self) -> Option<TraceParent> {
        self.parent
    }

    /// Another caller; what was set here stays.
    pub(crate) fn called_by(&mut self, caller: Self) {
        let own = std::mem::replace(self, caller);
        for (key, value) in own.baggage.as_deref().into_iter().flat_map(baggage::all) {
            self.set_baggage(key, &value);
        }
    }
}

#[cfg(any(feature = "tower", feature = "reqwest"))]
impl From<&http::HeaderMap> for Remote {
    fn from(headers: &http::HeaderMap) -> Self {
        Self::extract(headers)
    }
}

/// As whom the code that runs now calls, and what it passes on: `None` where there is no hop, no run and no span around.
fn current() -> Remote {
    let own = Context::with_current(Context::outgoing);
    #[cfg(feature = "tracing-opentelemetry")]
    if let Some((parent, state)) = otel::current() {
        return Remote { parent: Some(parent), state, ..own };
    }
    own
}

/// Writes the headers of the current hop or run: `set` gets each name with its value. Nothing is written where there is neither.
pub fn inject_with(mut set: impl FnMut(&'static str, &str)) {
    let Remote { parent, state, baggage } = current();
    if let Some(parent) = parent {
        set(TRACEPARENT, &parent.to_string());
        if let Some(state) = state {
            set(TRACESTATE, &state);
        }
    }
    if let Some(baggage) = baggage {
        set(BAGGAGE, &baggage);
    }
}

/// Writes the headers of the current hop or run into those of an outgoing request. A `traceparent` or `baggage` that is there already
/// stays: somebody else sees to it. Costs about a microsecond.
#[cfg(any(feature = "tower", feature = "reqwest"))]
pub fn inject(headers: &mut http::HeaderMap) {
    let (traced, carried) = (headers.contains_key(TRACEPARENT), headers.contains_key(BAGGAGE));
    inject_with(|name, value| {
        let taken = if name == BAGGAGE { carried } else { traced };
        if let (false, Ok(value)) = (taken, http::HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    });
}

impl Context {
    /// The value of a key of the baggage that the run was called with or was given, decoded.
    #[must_use]
    pub fn baggage(&self, key: &str) -> Option<String> {
        self.place()?.log.run.as_ref()?.caller.baggage(key)
    }

    /// As whom work here calls.
    fn outgoing(&self) -> Remote {
        let caller = self.place().and_then(|place| place.log.run.as_ref()).map(|run| &run.caller);
        let parent = self.trace().map(|(trace, span)| {
            let flags = caller.and_then(|caller| caller.parent).map(|parent| parent.flags);
            TraceParent { flags: flags.unwrap_or(traceparent::SAMPLED), ..TraceParent::sampled(trace, span) }
        });
        Remote { parent, ..caller.cloned().unwrap_or_default() }
    }
}
