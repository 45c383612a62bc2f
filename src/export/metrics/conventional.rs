//! The conventional OpenTelemetry metrics beside ours: GenAI operations and HTTP client requests.

use super::{Metrics, seconds};
use crate::model::conventions::{error_type, gen_ai_operation, gen_ai_provider, http_method, server};
use crate::model::names;
use crate::model::{Attempt, Call, Kind, Name, Nanos, Phase, Span, Timeline};

impl Metrics {
    pub(super) fn conventional(&mut self, span: &Span, kind: Kind, dependency: &Name, call: &Call) {
        // Tools and agents have metrics of their own there, which are of the agent's side.
        let is_client = matches!(kind, Kind::Llm | Kind::Embedding | Kind::Retrieval);
        if let Some(operation) = gen_ai_operation(span).filter(|_| is_client) {
            self.gen_ai(operation, dependency, call);
        }
        let method = http_method(&span.operation);
        if method.is_some() || call.status.is_some() {
            // The conventions ask for this where the method is none that is known.
            let method = method.unwrap_or("_OTHER");
            call.attempts.iter().for_each(|attempt| self.http(method, call, attempt));
        }
    }

    fn gen_ai(&mut self, operation: &str, dependency: &Name, call: &Call) {
        let (provider, model) = (gen_ai_provider(dependency), call.model.as_deref().unwrap_or(""));
        let error = error_type(call.outcome, call.status, call.error_type.as_deref()).unwrap_or_default();
        self.histogram(&names::GEN_AI_DURATION, &[operation, provider, model, &error], seconds(call.timeline.duration()));
        for (tokens, side) in [(call.tokens.input, "input"), (call.tokens.output, "output")] {
            if let Some(tokens) = tokens {
                self.histogram(&names::GEN_AI_TOKEN_USAGE, &[operation, provider, model, side], tokens as f64);
            }
        }
        if call.stream != Some(true) {
            return;
        }
        if let Some(first) = first_content(&call.timeline) {
            self.histogram(&names::GEN_AI_FIRST_CHUNK, &[operation, provider, model], seconds(first));
        }
        let Some(answered) = call.attempts.last().map(|last| &last.timeline) else { return };
        if let (Some(prefill), Some(input @ 1..)) = (prefill(answered), call.tokens.input) {
            self.histogram(&names::FIRST_TOKEN, &[dependency, input_class(input)], seconds(prefill));
            self.histogram(&names::FIRST_TOKEN_PER_1K_INPUT, &[dependency], seconds(prefill) * 1_000.0 / input as f64);
        }
        if let (Some(stream), Some(output @ 2..)) = (answered.total(Phase::Stream), call.tokens.output) {
            let each = seconds(stream) / (output - 1) as f64;
            self.histogram(&names::TIME_PER_OUTPUT_TOKEN, &[dependency, model], each);
        }
    }

    fn http(&mut self, method: &str, call: &Call, attempt: &Attempt) {
        let (host, port) = call.address.as_deref().map_or(("", None), server);
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        let status = attempt.status.map(|status| status.to_string()).unwrap_or_default();
        // The client's own class is that of the try which ended the call.
        let told = call.error_type.as_deref().filter(|_| call.attempts.last().is_some_and(|last| last.number == attempt.number));
        let error = error_type(attempt.outcome, attempt.status, told).unwrap_or_default();
        let labels = [method, host, &port, &status, &error];
        self.histogram(&names::HTTP_CLIENT_DURATION, &labels, seconds(attempt.timeline.duration()));
    }
}

/// From the start to the first content.
fn first_content(timeline: &Timeline) -> Option<Nanos> {
    let stream = timeline.stretches().find(|part| part.phase == Phase::Stream)?;
    Some(stream.start - timeline.start())
}

/// From the request being sent to the first content of its answer: what the input's size makes longer.
fn prefill(timeline: &Timeline) -> Option<Nanos> {
    timeline.total(Phase::Stream)?;
    Some(timeline.total(Phase::Wait)?.saturating_add(timeline.total(Phase::FirstToken).unwrap_or(0)))
}

/// Value of `input`: the class of a size in tokens.
const fn input_class(tokens: u64) -> &'static str {
    match tokens {
        0..=256 => "256",
        257..=1_024 => "1k",
        1_025..=4_096 => "4k",
        4_097..=16_384 => "16k",
        16_385..=65_536 => "64k",
        _ => "more",
    }
}
