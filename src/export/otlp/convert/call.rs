//! A call by the conventions of its kind.
//!
//! Generative AI: `open-telemetry/semantic-conventions-genai` (development). HTTP: `semantic-conventions`, "HTTP client span" (stable).

use super::attributes::Attributes;
use crate::model::{
    Attempt, Call, ConnectionState, FailedBy, Kind, Outcome, Phase, Role, Span, Timeline, attributes as names, conventions,
    millis, redact,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// The span's name: `{operation} {what}` for the kinds of generative AI, else the operation.
pub(super) fn name(span: &Span) -> String {
    let dependency = span.dependency.as_deref();
    let model = span.call.as_deref().and_then(|call| call.model.as_deref());
    let (Some(operation), Some(kind)) = (conventions::gen_ai_operation(span), span.kind) else {
        return redact::name(&span.operation);
    };
    let what = match kind {
        Kind::Llm | Kind::Embedding => model,
        _ => dependency,
    };
    what.map_or_else(|| operation.to_owned(), |what| format!("{operation} {}", redact::name(what)))
}

/// OpenTelemetry's kind of span.
pub(super) fn kind(span: &Span) -> SpanKind {
    let call = span.call.as_deref();
    match span.role {
        Role::Internal => SpanKind::Internal,
        Role::Server => SpanKind::Server,
        Role::Producer => SpanKind::Producer,
        Role::Consumer => SpanKind::Consumer,
        // The tries are the client spans; around them is the caller's loop.
        Role::Client if span.kind == Some(Kind::Http) && call.is_some_and(|call| call.attempts.len() > 1) => SpanKind::Internal,
        // A tool or agent within the process is the process's own work, one behind the network is not.
        Role::Client
            if matches!(span.kind, Some(Kind::Tool | Kind::Agent))
                && call.is_none_or(|call| call.address.is_none() && call.status.is_none()) =>
        {
            SpanKind::Internal
        }
        Role::Client => SpanKind::Client,
    }
}

/// What is known of a call, as attributes of its span.
pub(super) fn describe(span: &Span, call: &Call, out: &mut Attributes) {
    generative(span, call, out);
    out.word(names::ORIGIN, Some(call.origin.as_str()));
    out.word(names::HTTP_REQUEST_METHOD, conventions::http_method(&span.operation));
    peer(call, out);
    out.int(names::PROCESS_PID, call.client.pid);
    out.int(names::BYTES_SENT, Some(call.bytes.sent).filter(|&bytes| bytes > 0));
    out.int(names::BYTES_RECEIVED, Some(call.bytes.received).filter(|&bytes| bytes > 0));
    out.int(names::ATTEMPTS, Some(call.attempts.len() as u64));
    if let [only] = &*call.attempts {
        out.int(names::ATTEMPT, Some(only.number));
        connection(only.connection, out);
    }
    phases(&call.timeline, out);
    ending(call.outcome, call.failed_by, call.status, call.error_type.as_deref(), out);
}

/// What is known of one of several tries.
pub(super) fn describe_attempt(span: &Span, call: &Call, attempt: &Attempt, out: &mut Attributes) {
    out.word(names::HTTP_REQUEST_METHOD, conventions::http_method(&span.operation));
    peer(call, out);
    out.int(names::ATTEMPT, Some(attempt.number));
    out.int(names::HTTP_REQUEST_RESEND_COUNT, attempt.number.checked_sub(1).filter(|&count| count > 0));
    connection(attempt.connection, out);
    phases(&attempt.timeline, out);
    // The exception class is that of the try which ended the call.
    let last = call.attempts.last().is_some_and(|last| last.number == attempt.number);
    ending(attempt.outcome, attempt.failed_by, attempt.status, call.error_type.as_deref().filter(|_| last), out);
}

fn generative(span: &Span, call: &Call, out: &mut Attributes) {
    let (Some(operation), Some(kind)) = (conventions::gen_ai_operation(span), span.kind) else { return };
    let dependency = span.dependency.as_deref();
    out.word(names::GEN_AI_OPERATION_NAME, Some(operation));
    match kind {
        Kind::Llm | Kind::Embedding => {
            out.name(names::GEN_AI_PROVIDER_NAME, dependency.map(conventions::gen_ai_provider));
        }
        Kind::Retrieval => out.name(names::GEN_AI_DATA_SOURCE_ID, dependency),
        Kind::Tool => out.name(names::GEN_AI_TOOL_NAME, dependency),
        Kind::Agent => out.name(names::GEN_AI_AGENT_NAME, dependency),
        Kind::Startup | Kind::Http => {}
    }
    out.name(names::GEN_AI_REQUEST_MODEL, call.model.as_deref());
    out.int(names::GEN_AI_USAGE_INPUT_TOKENS, call.tokens.input);
    out.int(names::GEN_AI_USAGE_OUTPUT_TOKENS, call.tokens.output);
    if kind == Kind::Llm {
        out.bool(names::GEN_AI_REQUEST_STREAM, call.stream);
        let first = call.timeline.stretches().find(|part| part.phase == Phase::Stream).filter(|_| call.stream == Some(true));
        let seconds = first.map(|part| part.start.saturating_sub(span.start) as f64 / 1e9);
        out.float(names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, seconds);
    }
}

fn peer(call: &Call, out: &mut Attributes) {
    let Some(address) = call.address.as_deref() else { return };
    let (host, port) = conventions::server(address);
    out.name(names::SERVER_ADDRESS, Some(host));
    out.int(names::SERVER_PORT, port);
}

fn connection(state: Option<ConnectionState>, out: &mut Attributes) {
    out.bool(names::CONNECTION_REUSED, state.map(|state| state == ConnectionState::Reused));
}

fn phases(timeline: &Timeline, out: &mut Attributes) {
    for phase in Phase::ALL {
        out.float(names::phase_ms(*phase), timeline.total(*phase).map(millis));
    }
}

fn ending(outcome: Option<Outcome>, by: Option<FailedBy>, status: Option<u16>, error: Option<&str>, out: &mut Attributes) {
    out.int(names::HTTP_RESPONSE_STATUS_CODE, status);
    out.word(names::OUTCOME, outcome.map(Outcome::as_str));
    out.word(names::FAILED_BY, by.map(FailedBy::as_str));
    out.name(names::ERROR_TYPE, conventions::error_type(outcome, status, error).as_deref());
}
