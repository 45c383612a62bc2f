//! The span that `tracing-opentelemetry` keeps for the current `tracing` span.

use super::{Remote, TraceParent};
use crate::model::{Name, SpanId, TraceId};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use std::str::FromStr;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The current OpenTelemetry span as the parent of what is called, and its state.
pub(super) fn current() -> Option<(TraceParent, Option<Name>)> {
    let context = context_of(&Span::current())?;
    let state = context.trace_state().header();
    let parent = TraceParent { flags: context.trace_flags().to_u8() & 0x03, ..parent_of(&context) };
    Some((parent, super::tracestate::clean(&state).map(Name::from)))
}

/// The trace of a span, where OpenTelemetry keeps it.
pub(crate) fn trace_of(span: &Span) -> Option<TraceId> {
    Some(parent_of(&context_of(span)?).trace)
}

/// Makes a run's span a child of its remote caller, unless it lies within a span that OpenTelemetry knows. Before its first enter.
pub(crate) fn adopt(span: &Span, caller: &Remote) {
    let Some(parent) = caller.parent().filter(|_| !span.is_disabled() && context_of(&Span::current()).is_none()) else { return };
    let state = caller.tracestate().and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    let (trace, id) = (u128::from_be_bytes(parent.trace.0).into(), parent.span.0.into());
    let remote = SpanContext::new(trace, id, TraceFlags::new(parent.flags), true, state);
    // Refused only when the span was started already, which it was not.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
}

fn context_of(span: &Span) -> Option<SpanContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

fn parent_of(context: &SpanContext) -> TraceParent {
    let span = u64::from_be_bytes(context.span_id().to_bytes());
    TraceParent::sampled(TraceId(context.trace_id().to_bytes()), SpanId(span))
}
