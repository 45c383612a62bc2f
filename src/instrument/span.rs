//! The `tracing` span of a hop: live, nested in the caller's own spans, exported by whatever subscriber listens.
//!
//! Costs a few nanoseconds when none listens (an atomic load). It is entered for each poll; `tracing-opentelemetry` takes the last exit for
//! the end of a span, so that it is entered once more when the hop ends (`stack.md` of the references, measured).

use super::ending::Ending;
use super::propagate::Remote;
use super::recorder::Subject;
use crate::model::{Call, Kind, Outcome, Phase, TraceId, attributes, millis};
use tracing::field::Empty;

/// Which fields the span of a hop has. With many of them `tracing-opentelemetry` asks for more than a kilobyte at once, which the
/// system's allocator serves some 500 ns slower (measured with glibc 2.36).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    /// Those of the phases that a future can be in that knows nothing of its call.
    Few,
    /// All.
    All,
}

macro_rules! hop_span {
    ($subject:ident, $($field:tt)*) => {
        tracing::info_span!(
            target: "hopwatch",
            "hop",
            otel.name = &*$subject.operation,
            otel.kind = "client",
            otel.status_code = Empty,
            hopwatch.hop.kind = $subject.kind.unwrap_or(Kind::Http).as_str(),
            hopwatch.dependency = $subject.dependency.as_deref().unwrap_or_default(),
            hopwatch.outcome = Empty,
            error.r#type = Empty,
            hopwatch.phase.wait_ms = Empty,
            hopwatch.phase.stall_ms = Empty,
            $($field)*
        )
    };
}

/// The span of a hop; disabled when nobody listens.
pub(crate) fn of_hop(fields: Fields, subject: impl FnOnce() -> std::sync::Arc<Subject>) -> tracing::Span {
    if !tracing::enabled!(target: "hopwatch", tracing::Level::INFO) {
        return tracing::Span::none();
    }
    let subject = subject();
    match fields {
        Fields::Few => hop_span!(subject,),
        Fields::All => hop_span!(
            subject,
            http.response.status_code = Empty,
            hopwatch.phase.gate_ms = Empty,
            hopwatch.phase.dns_ms = Empty,
            hopwatch.phase.connect_ms = Empty,
            hopwatch.phase.tls_ms = Empty,
            gen_ai.request.model = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            hopwatch.phase.pool_ms = Empty,
            hopwatch.phase.proxy_ms = Empty,
            hopwatch.phase.send_ms = Empty,
            hopwatch.phase.first_token_ms = Empty,
            hopwatch.phase.stream_ms = Empty,
            hopwatch.phase.backoff_ms = Empty,
            hopwatch.phase.self_ms = Empty,
        ),
    }
}

/// The span of a run; of one that answers a request where `is_served`.
pub(crate) fn of_run(name: &str, is_served: bool) -> tracing::Span {
    tracing::info_span!(
        target: "hopwatch",
        "run",
        otel.name = name,
        otel.kind = if is_served { "server" } else { "internal" },
        otel.status_code = Empty,
        hopwatch.outcome = Empty,
        error.r#type = Empty,
    )
}

/// Makes a run's span a child of its remote caller, where something keeps OpenTelemetry spans.
pub(crate) fn adopt(span: &tracing::Span, caller: &Remote) {
    #[cfg(feature = "tracing-opentelemetry")]
    super::propagate::adopt(span, caller);
    #[cfg(not(feature = "tracing-opentelemetry"))]
    let _ = (span, caller);
}

/// The trace that something else keeps a span in.
pub(crate) fn trace_of(span: &tracing::Span) -> Option<TraceId> {
    #[cfg(feature = "tracing-opentelemetry")]
    return super::propagate::trace_of(span);
    #[cfg(not(feature = "tracing-opentelemetry"))]
    {
        let _ = span;
        None
    }
}

/// Tells the span one value, declared or not: what the span has no field for reaches OpenTelemetry as an attribute, where its layer is.
fn record<V>(span: &tracing::Span, field: &'static str, value: V)
where
    V: tracing::Value + Into<AnyValue>,
{
    if span.has_field(field) {
        span.record(field, value);
    } else {
        undeclared(span, field, value.into());
    }
}

/// A value on its way to an attribute.
#[derive(Clone, Copy, Debug)]
enum AnyValue {
    Int(i64),
    Float(f64),
}

impl From<i64> for AnyValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for AnyValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

#[cfg(feature = "tracing-opentelemetry")]
fn undeclared(span: &tracing::Span, field: &'static str, value: AnyValue) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    match value {
        AnyValue::Int(value) => span.set_attribute(field, value),
        AnyValue::Float(value) => span.set_attribute(field, value),
    }
}

#[cfg(not(feature = "tracing-opentelemetry"))]
fn undeclared(_: &tracing::Span, _: &'static str, _: AnyValue) {}

/// Tells the span of a hop its phases and what is known of the call.
pub(crate) fn tell(span: &tracing::Span, call: &Call) {
    for &phase in Phase::ALL {
        if let Some(time) = call.timeline.total(phase) {
            record(span, attributes::phase_ms(phase), millis(time));
        }
    }
    if let Some(model) = &call.model {
        span.record("gen_ai.request.model", &**model);
    }
    // Unsigned numbers would leave as text (`tracing-opentelemetry` 0.34 has no visitor for them).
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    if let Some(input) = call.tokens.input {
        span.record("gen_ai.usage.input_tokens", signed(input));
    }
    if let Some(output) = call.tokens.output {
        span.record("gen_ai.usage.output_tokens", signed(output));
    }
}

/// Tells the span how its hop or run ended, and lets it end now.
pub(crate) fn end(span: &tracing::Span, ending: &Ending) {
    if span.is_none() {
        return;
    }
    let _now = span.enter();
    if let Some(status) = ending.status {
        record(span, "http.response.status_code", i64::from(status));
    }
    if ending.outcome == Outcome::Ok {
        return;
    }
    span.record("hopwatch.outcome", ending.outcome.as_str());
    span.record("error.type", ending.error_type.as_deref().unwrap_or(ending.outcome.as_str()));
    if ending.outcome != Outcome::Cancelled {
        span.record("otel.status_code", "ERROR");
    }
}
