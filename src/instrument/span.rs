//! The `tracing` span of a hop: live, nested in the caller's own spans, exported by whatever subscriber listens.
//!
//! Costs a few nanoseconds when none listens (an atomic load). It is entered for each poll; `tracing-opentelemetry` takes the last exit for
//! the end of a span, so that it is entered once more when the hop ends (`stack.md` of the references, measured).

use super::ending::Ending;
use super::recorder::Subject;
use crate::model::{Kind, Outcome};
use tracing::field::Empty;

/// The span of a hop; disabled when nobody listens.
pub(crate) fn of_hop(subject: impl FnOnce() -> std::sync::Arc<Subject>) -> tracing::Span {
    if !tracing::enabled!(target: "hopwatch", tracing::Level::INFO) {
        return tracing::Span::none();
    }
    let subject = subject();
    let kind = subject.kind.unwrap_or(Kind::Http);
    let dependency = subject.dependency.as_deref().unwrap_or_default();
    tracing::info_span!(
        target: "hopwatch",
        "hop",
        otel.name = &*subject.operation,
        otel.kind = "client",
        otel.status_code = Empty,
        hopwatch.hop.kind = kind.as_str(),
        hopwatch.dependency = dependency,
        hopwatch.outcome = Empty,
        error.r#type = Empty,
        http.response.status_code = Empty,
    )
}

/// The span of a run.
pub(crate) fn of_run(name: &str) -> tracing::Span {
    tracing::info_span!(
        target: "hopwatch",
        "run",
        otel.name = name,
        otel.status_code = Empty,
        hopwatch.outcome = Empty,
        error.r#type = Empty,
    )
}

/// Tells the span how its hop or run ended, and lets it end now.
pub(crate) fn end(span: &tracing::Span, ending: &Ending) {
    if span.is_none() {
        return;
    }
    let _now = span.enter();
    if let Some(status) = ending.status {
        span.record("http.response.status_code", i64::from(status));
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
