//! Names of span and resource attributes: OpenTelemetry's where it has one, else our own under `hopwatch.`.
//!
//! The `gen_ai.*` names are spelled here because their conventions moved to a repository of their own, and the constants of
//! `opentelemetry-semantic-conventions` are deprecated for it.

use super::Phase;

/// What is done: `chat`, `embeddings`, `retrieval`, `execute_tool`, `invoke_agent`.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// Who serves the model: `openai`.
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The model asked for.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// Whether a stream was asked for.
pub const GEN_AI_REQUEST_STREAM: &str = "gen_ai.request.stream";
/// From the call's start to its first content, in seconds; streams only.
pub const GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// Tokens of the input.
pub const GEN_AI_USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the output.
pub const GEN_AI_USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// The store or index that is searched.
pub const GEN_AI_DATA_SOURCE_ID: &str = "gen_ai.data_source.id";
/// The tool that is called.
pub const GEN_AI_TOOL_NAME: &str = "gen_ai.tool.name";
/// The agent that is called.
pub const GEN_AI_AGENT_NAME: &str = "gen_ai.agent.name";

/// Method of an HTTP request.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// How many tries came before this one; absent on the first.
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
/// Status of an HTTP response.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// Host name or address of the peer.
pub const SERVER_ADDRESS: &str = "server.address";
/// Port of the peer.
pub const SERVER_PORT: &str = "server.port";
/// What a failure was, low in cardinality: a status, an exception class, one of the outcomes.
pub const ERROR_TYPE: &str = "error.type";
/// Exit code of a process.
pub const PROCESS_EXIT_CODE: &str = "process.exit.code";
/// Id of a process.
pub const PROCESS_PID: &str = "process.pid";
/// What the user calls the service.
pub const SERVICE_NAME: &str = "service.name";
/// Who made the telemetry: `hopwatch`.
pub const TELEMETRY_SDK_NAME: &str = "telemetry.sdk.name";
/// Its language.
pub const TELEMETRY_SDK_LANGUAGE: &str = "telemetry.sdk.language";
/// Its version.
pub const TELEMETRY_SDK_VERSION: &str = "telemetry.sdk.version";

/// Kind of the dependency.
pub const HOP_KIND: &str = "hopwatch.hop.kind";
/// The dependency.
pub const DEPENDENCY: &str = "hopwatch.dependency";
/// Which source made the record.
pub const ORIGIN: &str = "hopwatch.origin";
/// How it ended, of the closed set of outcomes.
pub const OUTCOME: &str = "hopwatch.outcome";
/// Who failed.
pub const FAILED_BY: &str = "hopwatch.failed_by";
/// It had not ended when it was exported: its end is as far as it was seen.
pub const OPEN: &str = "hopwatch.open";
/// The times are estimates.
pub const INFERRED: &str = "hopwatch.inferred";
/// Number of the try, from 1.
pub const ATTEMPT: &str = "hopwatch.attempt";
/// Why there was another try: how the one before failed, as in [`ERROR_TYPE`].
pub const ATTEMPT_REASON: &str = "hopwatch.attempt.reason";
/// Number of tries of the hop.
pub const ATTEMPTS: &str = "hopwatch.attempts";
/// An earlier call opened the connection.
pub const CONNECTION_REUSED: &str = "hopwatch.connection.reused";
/// Bytes from the caller.
pub const BYTES_SENT: &str = "hopwatch.bytes.sent";
/// Bytes to the caller.
pub const BYTES_RECEIVED: &str = "hopwatch.bytes.received";
/// How long the run may take, in milliseconds.
pub const DEADLINE_MS: &str = "hopwatch.deadline_ms";
/// Nothing stood out in the run.
pub const HEALTHY: &str = "hopwatch.healthy";
/// The culprit's kind.
pub const VERDICT_KIND: &str = "hopwatch.verdict.kind";
/// The culprit.
pub const VERDICT_DEPENDENCY: &str = "hopwatch.verdict.dependency";
/// The phase of it.
pub const VERDICT_PHASE: &str = "hopwatch.verdict.phase";
/// Why.
pub const VERDICT_CAUSE: &str = "hopwatch.verdict.cause";
/// Time on the critical path, in milliseconds.
pub const VERDICT_MS: &str = "hopwatch.verdict.ms";
/// Part of the run, 0 to 1.
pub const VERDICT_SHARE: &str = "hopwatch.verdict.share";
/// What one call takes normally, in milliseconds.
pub const VERDICT_USUAL_MS: &str = "hopwatch.verdict.usual_ms";
/// How sure.
pub const VERDICT_CONFIDENCE: &str = "hopwatch.verdict.confidence";
/// One sentence for people.
pub const VERDICT_SENTENCE: &str = "hopwatch.verdict.sentence";
/// What to change.
pub const VERDICT_REMEDY: &str = "hopwatch.verdict.remedy";

/// The event of a try after the first one.
pub const EVENT_ATTEMPT: &str = "attempt";

/// Time in a phase, in milliseconds.
#[must_use]
pub const fn phase_ms(phase: Phase) -> &'static str {
    match phase {
        Phase::Gate => "hopwatch.phase.gate_ms",
        Phase::Pool => "hopwatch.phase.pool_ms",
        Phase::Dns => "hopwatch.phase.dns_ms",
        Phase::Connect => "hopwatch.phase.connect_ms",
        Phase::Proxy => "hopwatch.phase.proxy_ms",
        Phase::Tls => "hopwatch.phase.tls_ms",
        Phase::Send => "hopwatch.phase.send_ms",
        Phase::Wait => "hopwatch.phase.wait_ms",
        Phase::FirstToken => "hopwatch.phase.first_token_ms",
        Phase::Stream => "hopwatch.phase.stream_ms",
        Phase::Backoff => "hopwatch.phase.backoff_ms",
        Phase::Stall => "hopwatch.phase.stall_ms",
        Phase::Own => "hopwatch.phase.self_ms",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_an_attribute_of_its_own_name() {
        for phase in Phase::ALL {
            assert_eq!(phase_ms(*phase), format!("hopwatch.phase.{phase}_ms"));
        }
    }
}
