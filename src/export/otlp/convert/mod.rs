//! From the model to OpenTelemetry's spans: names, kinds, attributes and status by its conventions, the rest under `hopwatch.*`.
//!
//! One call with one try is one span. Several tries are child spans (`http.request.resend_count` counts them), since the
//! conventions let the span of the logical call cover its retries, and events of it. How a try's connection was set up are events of the
//! try's span. Times are the record's own, to the nanosecond.

mod attributes;
mod call;
mod events;
#[cfg(test)]
mod tests;

use super::ids::{attempt_id, random_trace_id};
use crate::attribution::Judgement;
use crate::model::{
    Attempt, Call, Cause, Confidence, Kind, Nanos, Outcome, Run, Span, SpanId, TraceId, Verdict, attributes as names, millis,
    redact,
};
use attributes::Attributes;
use opentelemetry_proto::tonic::trace::v1 as proto;
use std::collections::HashSet;

/// Sampled, and it is known whether the parent is of another process.
const FLAGS: u32 = 0x01 | proto::SpanFlags::ContextHasIsRemoteMask as u32;

/// The spans of a run, the root first. A run that carries no trace gets one of its own.
pub(super) fn run(run: &Run, judgement: Option<&Judgement>) -> Vec<proto::Span> {
    let trace = run.trace_id.unwrap_or_else(random_trace_id);
    let ids: HashSet<SpanId> = run.spans.iter().map(|span| span.id).collect();
    let horizon = run.end.unwrap_or(run.seen_until);
    let mut spans = Vec::with_capacity(run.spans.len());
    for (at, span) in run.spans.iter().enumerate() {
        let first = spans.len();
        push(span, trace, horizon, &mut spans);
        if span.parent.is_some_and(|parent| !ids.contains(&parent)) {
            spans[first].flags |= proto::SpanFlags::ContextIsRemoteMask as u32;
        }
        if at == 0 && span.call.is_none() {
            root(run, judgement, &mut spans[first]);
        }
    }
    spans
}

/// The spans of a hop outside any run; `trace` is the trace around it, where there is one. Without one it is a root of its own.
pub(super) fn hop(span: &Span, trace: Option<TraceId>) -> Vec<proto::Span> {
    let mut spans = Vec::with_capacity(1);
    push(span, trace.unwrap_or_else(random_trace_id), span.end_or(span.start), &mut spans);
    let sent = span.call.as_ref().and_then(|call| call.trace_id);
    match trace {
        None => spans[0].parent_span_id.clear(),
        // Its caller sent it along.
        Some(trace) if sent == Some(trace) => spans[0].flags |= proto::SpanFlags::ContextIsRemoteMask as u32,
        Some(_) => {}
    }
    spans
}

/// Adds a span and those of its tries.
fn push(span: &Span, trace: TraceId, horizon: Nanos, out: &mut Vec<proto::Span>) {
    let call = span.call.as_deref();
    let mut attributes = Attributes::default();
    attributes.word(names::HOP_KIND, span.kind.map(Kind::as_str));
    attributes.name(names::DEPENDENCY, span.dependency.as_deref());
    attributes.flag(names::OPEN, span.is_open());
    attributes.flag(names::INFERRED, span.inferred || call.is_some_and(|call| call.opaque));
    if let Some(call) = call {
        call::describe(span, call, &mut attributes);
    }
    out.push(proto::Span {
        trace_id: trace.0.to_vec(),
        span_id: span.id.0.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.0.to_be_bytes().to_vec()),
        flags: FLAGS,
        name: call::name(span),
        kind: call::kind(span) as i32,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end_or(horizon),
        attributes: attributes.into(),
        events: call.map(events_of).unwrap_or_default(),
        status: Some(status(call.and_then(|call| call.outcome))),
        ..proto::Span::default()
    });
    if let Some(call) = call.filter(|call| call.attempts.len() > 1) {
        out.extend(call.attempts.iter().map(|attempt| try_of(span, call, attempt, trace)));
    }
}

fn events_of(call: &Call) -> Vec<proto::span::Event> {
    match &*call.attempts {
        [_, _, ..] => events::further_tries(call),
        _ => events::set_up(&call.timeline),
    }
}

/// One of several tries.
fn try_of(span: &Span, call: &Call, attempt: &Attempt, trace: TraceId) -> proto::Span {
    let mut attributes = Attributes::default();
    attributes.word(names::HOP_KIND, span.kind.map(Kind::as_str));
    attributes.name(names::DEPENDENCY, span.dependency.as_deref());
    call::describe_attempt(span, call, attempt, &mut attributes);
    proto::Span {
        trace_id: trace.0.to_vec(),
        span_id: attempt_id(span.id, attempt.number).0.to_be_bytes().to_vec(),
        parent_span_id: span.id.0.to_be_bytes().to_vec(),
        flags: FLAGS,
        name: redact::name(&span.operation),
        kind: proto::span::SpanKind::Client as i32,
        start_time_unix_nano: attempt.timeline.start(),
        end_time_unix_nano: attempt.timeline.end(),
        attributes: attributes.into(),
        events: events::set_up(&attempt.timeline),
        status: Some(status(attempt.outcome)),
        ..proto::Span::default()
    }
}

/// `Error` for every failure; a call that somebody stopped did not fail. Never `Ok`, which is for applications to say, and never a
/// description: `error.type` tells.
fn status(outcome: Option<Outcome>) -> proto::Status {
    let code = match outcome {
        None | Some(Outcome::Ok | Outcome::Cancelled) => proto::status::StatusCode::Unset,
        Some(_) => proto::status::StatusCode::Error,
    };
    proto::Status { code: code as i32, ..proto::Status::default() }
}

/// What is known of the run as a whole.
fn root(run: &Run, judgement: Option<&Judgement>, span: &mut proto::Span) {
    let mut attributes = Attributes::from(std::mem::take(&mut span.attributes));
    attributes.float(names::DEADLINE_MS, run.deadline.map(millis));
    if let Some(exit) = run.exit {
        // A program is no server: its span is its own work.
        span.kind = proto::span::SpanKind::Internal as i32;
        attributes.int(names::PROCESS_EXIT_CODE, Some(exit.code));
    }
    if let Some(Judgement { outcome, healthy, verdict, .. }) = judgement {
        attributes.word(names::OUTCOME, Some(outcome.as_str()));
        attributes.bool(names::HEALTHY, Some(*healthy));
        span.status = Some(status(Some(*outcome)));
        if !matches!(outcome, Outcome::Ok | Outcome::Cancelled) {
            attributes.word(names::ERROR_TYPE, Some(outcome.as_str()));
        }
        if let Some(verdict) = verdict {
            culprit(verdict, &mut attributes);
        }
    }
    span.attributes = attributes.into();
}

fn culprit(verdict: &Verdict, attributes: &mut Attributes) {
    attributes.word(names::VERDICT_KIND, verdict.component.kind.map(Kind::as_str));
    attributes.name(names::VERDICT_DEPENDENCY, verdict.component.dependency.as_deref());
    attributes.word(names::VERDICT_PHASE, Some(verdict.component.phase.as_str()));
    attributes.word(names::VERDICT_CAUSE, verdict.cause.map(Cause::as_str));
    attributes.float(names::VERDICT_MS, Some(millis(verdict.time)));
    attributes.float(names::VERDICT_SHARE, Some(verdict.share));
    attributes.float(names::VERDICT_USUAL_MS, verdict.usual.map(millis));
    attributes.word(
        names::VERDICT_CONFIDENCE,
        Some(match verdict.confidence {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }),
    );
    attributes.text(names::VERDICT_SENTENCE, Some(redact::text(&verdict.sentence)));
    attributes.text(names::VERDICT_REMEDY, verdict.remedy.as_deref().map(redact::text));
}
