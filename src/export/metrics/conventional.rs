//! The conventional OpenTelemetry metrics beside ours: GenAI operations and HTTP client requests.

use super::{Metrics, seconds};
use crate::model::names;
use crate::model::{Attempt, Call, Kind, Name, Nanos, Outcome, Phase, Span, Timeline};

impl Metrics {
    pub(super) fn conventional(&mut self, span: &Span, kind: Kind, dependency: &Name, call: &Call) {
        let operation = match kind {
            Kind::Llm => "chat",
            Kind::Embedding => "embeddings",
            Kind::Retrieval => "retrieval",
            _ => "",
        };
        if !operation.is_empty() {
            self.gen_ai(operation, dependency, call);
        }
        if let (Some(address), Some(_)) = (&call.address, call.status) {
            let method = method(&span.operation);
            call.attempts.iter().for_each(|attempt| self.http(method, address, call, attempt));
        }
    }

    fn gen_ai(&mut self, operation: &str, provider: &Name, call: &Call) {
        let model = call.model.as_deref().unwrap_or("");
        let error = error_type(call.outcome, call.error_type.as_ref(), call.status);
        self.histogram(&names::GEN_AI_DURATION, &[operation, provider, model, &error], seconds(call.timeline.duration()));
        if let Some(tokens) = call.tokens.input {
            self.histogram(&names::GEN_AI_TOKEN_USAGE, &[operation, provider, model, "input"], tokens as f64);
        }
        if let Some(tokens) = call.tokens.output {
            self.histogram(&names::GEN_AI_TOKEN_USAGE, &[operation, provider, model, "output"], tokens as f64);
        }
        let Some(first) = call.stream.filter(|&stream| stream).and_then(|_| first_content(&call.timeline)) else { return };
        self.histogram(&names::GEN_AI_FIRST_CHUNK, &[operation, provider, model], seconds(first));
        if let Some(input) = call.tokens.input.filter(|&input| input > 0) {
            self.histogram(&names::FIRST_TOKEN_PER_1K_INPUT, &[provider], seconds(first) * 1_000.0 / input as f64);
        }
    }

    fn http(&mut self, method: &str, address: &str, call: &Call, attempt: &Attempt) {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let status = attempt.status.map(|status| status.to_string()).unwrap_or_default();
        let error = error_type(attempt.outcome, call.error_type.as_ref(), attempt.status);
        let labels = [method, host, port, &status, &error];
        self.histogram(&names::HTTP_CLIENT_DURATION, &labels, seconds(attempt.timeline.duration()));
    }
}

/// The method that an operation begins with (`GET /search`); the conventions ask for `_OTHER` where it is none that is known.
fn method(operation: &str) -> &str {
    const KNOWN: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    let first = operation.split(' ').next().unwrap_or_default();
    KNOWN.into_iter().find(|known| *known == first).unwrap_or("_OTHER")
}

/// `error.type` of the conventions: empty for what went well, the status where it is the failure, else the client's own class or our outcome.
fn error_type(outcome: Option<Outcome>, told: Option<&Name>, status: Option<u16>) -> String {
    match (outcome, status) {
        (Some(Outcome::Ok) | None, _) => String::new(),
        (Some(_), Some(status)) if status >= 400 => status.to_string(),
        (Some(outcome), _) => told.map_or(outcome.as_str(), |told| told).to_owned(),
    }
}

/// From the start to the first content.
fn first_content(timeline: &Timeline) -> Option<Nanos> {
    let stream = timeline.stretches().find(|part| part.phase == Phase::Stream)?;
    Some(stream.start - timeline.start())
}
