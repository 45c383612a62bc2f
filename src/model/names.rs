//! The name of every metric and label, in one place: code, documentation, dashboards and tests take them from here.
//!
//! `hopwatch_` names are our own, in base units; the others are OpenTelemetry's (semantic conventions, HTTP 1.23 and GenAI in development)
//! as Prometheus spells them, with the dotted name beside. A name of ours is spelled nowhere else in `src`.

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Values spread over buckets.
    Histogram,
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A plain count.
    Count,
}

/// A metric: its name and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// As Prometheus spells it.
    pub name: &'static str,
    /// As OpenTelemetry spells it, for the conventional ones.
    pub otel: Option<&'static str>,
    /// What it counts.
    pub instrument: Instrument,
    /// Its unit.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Upper bounds of the buckets, for histograms.
    pub buckets: &'static [f64],
    /// One sentence on what it tells.
    pub help: &'static str,
}

/// Up to 600 s: model calls run for minutes, and 600 s is what clients wait by default.
pub const LONG: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The advice of the GenAI conventions for durations.
pub const GEN_AI_SECONDS: &[f64] = &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// The advice of the GenAI conventions for tokens.
pub const GEN_AI_TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// The advice of the HTTP conventions for durations.
pub const HTTP_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Names of labels.
pub mod label {
    /// What a dependency is to the run.
    pub const KIND: &str = "kind";
    /// Its name.
    pub const DEPENDENCY: &str = "dependency";
    /// A part of a hop's time.
    pub const PHASE: &str = "phase";
    /// How it ended.
    pub const OUTCOME: &str = "outcome";
    /// Class of the HTTP status: `2xx`; absent where there was none.
    pub const STATUS: &str = "status";
    /// Number of the try: `1`, `2`, `3`, `4+`.
    pub const ATTEMPT: &str = "attempt";
    /// `new` or `reused`.
    pub const STATE: &str = "state";
    /// `sent` or `received`.
    pub const DIRECTION: &str = "direction";
    /// Size of the input in tokens, as the class it is in: at most `256`, `1k`, `4k`, `16k`, `64k`, or `more`.
    pub const INPUT: &str = "input";
    /// Name of a run.
    pub const RUN: &str = "run";
    /// Why a hop was slow.
    pub const CAUSE: &str = "cause";
    /// Name of a gate.
    pub const GATE: &str = "gate";
    /// Name of a runtime.
    pub const RUNTIME: &str = "runtime";
    /// Why something was dropped.
    pub const REASON: &str = "reason";
    /// Name of a metric.
    pub const METRIC: &str = "metric";
    /// Version of hopwatch.
    pub const VERSION: &str = "version";
    /// `chat`, `embeddings`, `retrieval`.
    pub const GEN_AI_OPERATION: &str = "gen_ai_operation_name";
    /// Who provides the model.
    pub const GEN_AI_PROVIDER: &str = "gen_ai_provider_name";
    /// The model asked for.
    pub const GEN_AI_MODEL: &str = "gen_ai_request_model";
    /// `input` or `output`.
    pub const GEN_AI_TOKEN_TYPE: &str = "gen_ai_token_type";
    /// What kind of failure.
    pub const ERROR_TYPE: &str = "error_type";
    /// `GET` and kin; `_OTHER` where it is not known.
    pub const HTTP_METHOD: &str = "http_request_method";
    /// The status itself.
    pub const HTTP_STATUS: &str = "http_response_status_code";
    /// Host that was called.
    pub const SERVER_ADDRESS: &str = "server_address";
    /// Its port.
    pub const SERVER_PORT: &str = "server_port";

    /// Labels that OpenTelemetry spells with dots: ours beside theirs.
    pub const OTEL: &[(&str, &str)] = &[
        (GEN_AI_OPERATION, "gen_ai.operation.name"),
        (GEN_AI_PROVIDER, "gen_ai.provider.name"),
        (GEN_AI_MODEL, "gen_ai.request.model"),
        (GEN_AI_TOKEN_TYPE, "gen_ai.token.type"),
        (ERROR_TYPE, "error.type"),
        (HTTP_METHOD, "http.request.method"),
        (HTTP_STATUS, "http.response.status_code"),
        (SERVER_ADDRESS, "server.address"),
        (SERVER_PORT, "server.port"),
    ];
}

use label as l;

/// Declares metrics: a constant each, and all of them together.
macro_rules! metrics {
    ($($(#[otel = $otel:literal])? $constant:ident = $name:literal, $instrument:ident, $unit:ident, [$($label:expr),*], $buckets:expr, $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                otel: metrics!(@otel $($otel)?),
                instrument: Instrument::$instrument,
                unit: Unit::$unit,
                labels: &[$($label),*],
                buckets: $buckets,
                help: $help,
            };
        )+

        /// Every metric.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
    (@otel) => { None };
    (@otel $otel:literal) => { Some($otel) };
}

metrics! {
    HOP_DURATION = "hopwatch_hop_duration_seconds", Histogram, Seconds, [l::KIND, l::DEPENDENCY], LONG,
        "How long calls to a dependency took, all tries together.";
    HOP_PHASE = "hopwatch_hop_phase_seconds", Histogram, Seconds, [l::KIND, l::DEPENDENCY, l::PHASE], LONG,
        "How long calls to a dependency spent in a phase; phases of one call add up to its duration.";
    HOP_CALLS = "hopwatch_hop_calls_total", Counter, Count, [l::KIND, l::DEPENDENCY, l::OUTCOME, l::STATUS], &[],
        "Calls to a dependency that ended, by outcome and class of status.";
    HOP_IN_FLIGHT = "hopwatch_hop_in_flight", Gauge, Count, [l::KIND, l::DEPENDENCY], &[],
        "Calls to a dependency that are open.";
    HOP_OPEN_AGE = "hopwatch_hop_open_age_seconds", Gauge, Seconds, [l::KIND, l::DEPENDENCY, l::PHASE], &[],
        "Age of the oldest open call to a dependency, by the phase it is in; 0 when none is open.";
    HOP_BODY_BYTES = "hopwatch_hop_body_bytes_total", Counter, Bytes, [l::KIND, l::DEPENDENCY, l::DIRECTION], &[],
        "Bytes moved by calls to a dependency that ended.";
    ATTEMPTS = "hopwatch_attempts_total", Counter, Count, [l::DEPENDENCY, l::ATTEMPT, l::OUTCOME], &[],
        "Tries of calls to a dependency, by their number and outcome.";
    CONNECTIONS = "hopwatch_connections_total", Counter, Count, [l::DEPENDENCY, l::STATE], &[],
        "Tries by whether they opened a connection or used one that was there.";
    CLIENT_CONNECTIONS = "hopwatch_client_connections_total", Counter, Count, [l::DEPENDENCY, l::STATE], &[],
        "Calls by whether their client opened a connection for them, behind a gateway one to the gateway.";
    ATTEMPT_DURATION = "hopwatch_attempt_duration_seconds", Histogram, Seconds, [l::DEPENDENCY, l::STATE], LONG,
        "How long tries took, by whether they opened a connection or used one that was there.";
    RETRY_AFTER = "hopwatch_retry_after_seconds", Histogram, Seconds, [l::DEPENDENCY], LONG,
        "How long a dependency asked to wait before the next try.";
    FIRST_TOKEN = "hopwatch_first_token_seconds", Histogram, Seconds, [l::DEPENDENCY, l::INPUT], LONG,
        "Time from the request being sent to the first token of its answer, by the size of the input.";
    FIRST_TOKEN_PER_1K_INPUT = "hopwatch_first_token_per_1k_input_seconds", Histogram, Seconds, [l::DEPENDENCY], LONG,
        "Time from the request to its first token, for each thousand tokens of input.";
    TIME_PER_OUTPUT_TOKEN = "hopwatch_time_per_output_token_seconds", Histogram, Seconds,
        [l::DEPENDENCY, l::GEN_AI_MODEL], LONG,
        "Time of a streamed answer from its first content to its last, for each token after the first.";
    STREAM_GAP = "hopwatch_stream_gap_seconds", Histogram, Seconds, [l::KIND, l::DEPENDENCY], LONG,
        "The longest time between two pieces of a streamed answer for which its consumer had to wait.";
    RUN_DURATION = "hopwatch_run_duration_seconds", Histogram, Seconds, [l::RUN], LONG,
        "How long runs took.";
    BUDGET_LEFT = "hopwatch_run_budget_left_seconds", Histogram, Seconds, [l::RUN], LONG,
        "What was left of the deadline when a run that has one ended; 0 when it had passed.";
    RUNS = "hopwatch_runs_total", Counter, Count, [l::RUN, l::OUTCOME], &[],
        "Runs that ended, by outcome.";
    BLAME = "hopwatch_blame_seconds_total", Counter, Seconds, [l::RUN, l::KIND, l::DEPENDENCY, l::PHASE], &[],
        "Time on the critical path of runs, by what it is charged to; kind and dependency are absent for the caller itself. In whole seconds, the rest is carried over.";
    VERDICTS = "hopwatch_verdicts_total", Counter, Count,
        [l::RUN, l::KIND, l::DEPENDENCY, l::PHASE, l::CAUSE, l::OUTCOME], &[],
        "Verdicts, by culprit, cause and the outcome of the run.";
    GATE_WAIT = "hopwatch_gate_wait_seconds", Histogram, Seconds, [l::GATE], LONG,
        "How long was waited at a gate for a permit that was then given.";
    GATE_HOLD = "hopwatch_gate_hold_seconds", Histogram, Seconds, [l::GATE], LONG,
        "How long permits of a gate were held.";
    GATE_IN_USE = "hopwatch_gate_in_use", Gauge, Count, [l::GATE], &[],
        "Permits of a gate that are out.";
    GATE_LIMIT = "hopwatch_gate_limit", Gauge, Count, [l::GATE], &[],
        "Permits of a gate that may be out at once.";
    GATE_QUEUE = "hopwatch_gate_queue", Gauge, Count, [l::GATE], &[],
        "Callers that wait at a gate.";
    GATE_ABANDONED = "hopwatch_gate_abandoned_total", Counter, Count, [l::GATE], &[],
        "Callers that left a gate before their permit came.";
    GATE_SHED = "hopwatch_gate_shed_total", Counter, Count, [l::GATE], &[],
        "Callers that a gate turned away because they would not wait.";
    STARTUP = "hopwatch_startup_seconds", Gauge, Seconds, [l::OUTCOME], &[],
        "How long the last start-up took, from the start of the process.";
    STARTUP_PHASE = "hopwatch_startup_phase_seconds", Gauge, Seconds, [l::PHASE], &[],
        "How long each phase of the last start-up took.";
    STALL = "hopwatch_stall_seconds", Histogram, Seconds, [l::RUNTIME], LONG,
        "How long a runtime or a task was blocked at a time.";
    HOPS_STARTED = "hopwatch_hops_started_total", Counter, Count, [], &[],
        "Hops that began: those recorded, open and dropped together.";
    HOPS_RECORDED = "hopwatch_hops_recorded_total", Counter, Count, [], &[],
        "Hops that ended and were recorded.";
    HOPS_DROPPED = "hopwatch_hops_dropped_total", Counter, Count, [l::REASON], &[],
        "Hops that were dropped, by reason.";
    MISSED = "hopwatch_missed_total", Counter, Count, [l::REASON], &[],
        "Observations that a full buffer did not take, by buffer.";
    SERIES_OVERFLOW = "hopwatch_series_overflow_total", Counter, Count, [l::METRIC], &[],
        "Values counted as `other` because a metric has too many series.";
    EXPORT_SPANS = "hopwatch_export_spans_total", Counter, Count, [l::OUTCOME], &[],
        "Spans given to the OTLP exporter, by whether they were exported or dropped, and why.";
    EXPORT_QUEUE = "hopwatch_export_queue_spans", Gauge, Count, [], &[],
        "Spans that wait for the collector.";
    BUILD_INFO = "hopwatch_build_info", Gauge, Count, [l::VERSION], &[],
        "Always 1, with the version of hopwatch.";
    #[otel = "gen_ai.client.operation.duration"]
    GEN_AI_DURATION = "gen_ai_client_operation_duration_seconds", Histogram, Seconds,
        [l::GEN_AI_OPERATION, l::GEN_AI_PROVIDER, l::GEN_AI_MODEL, l::ERROR_TYPE], GEN_AI_SECONDS,
        "Duration of GenAI operations as the client sees them.";
    #[otel = "gen_ai.client.operation.time_to_first_chunk"]
    GEN_AI_FIRST_CHUNK = "gen_ai_client_operation_time_to_first_chunk_seconds", Histogram, Seconds,
        [l::GEN_AI_OPERATION, l::GEN_AI_PROVIDER, l::GEN_AI_MODEL], GEN_AI_SECONDS,
        "Time from the request to the first chunk of a streamed GenAI answer.";
    #[otel = "gen_ai.client.token.usage"]
    GEN_AI_TOKEN_USAGE = "gen_ai_client_token_usage", Histogram, Count,
        [l::GEN_AI_OPERATION, l::GEN_AI_PROVIDER, l::GEN_AI_MODEL, l::GEN_AI_TOKEN_TYPE], GEN_AI_TOKENS,
        "Tokens of a GenAI operation, input and output apart.";
    #[otel = "http.client.request.duration"]
    HTTP_CLIENT_DURATION = "http_client_request_duration_seconds", Histogram, Seconds,
        [l::HTTP_METHOD, l::SERVER_ADDRESS, l::SERVER_PORT, l::HTTP_STATUS, l::ERROR_TYPE], HTTP_SECONDS,
        "Duration of HTTP client requests, each try by itself.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_helps_are_unique_and_follow_prometheus() {
        let names: HashSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        let helps: HashSet<&str> = ALL.iter().map(|metric| metric.help).collect();
        assert_eq!((names.len(), helps.len()), (ALL.len(), ALL.len()));
        for metric in ALL {
            let Metric { name, instrument, unit, buckets, help, otel, .. } = *metric;
            assert_eq!(name.ends_with("_total"), instrument == Instrument::Counter, "{name}");
            let base = name.trim_end_matches("_total");
            assert_eq!(base.ends_with("_seconds"), unit == Unit::Seconds, "{name}");
            assert_eq!(base.ends_with("_bytes"), unit == Unit::Bytes, "{name}");
            assert_eq!(!buckets.is_empty(), instrument == Instrument::Histogram, "{name}");
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
            assert!(help.ends_with('.'), "{name}");
            assert_eq!(name.starts_with("hopwatch_"), otel.is_none(), "{name}");
        }
    }

    #[test]
    fn our_own_histograms_reach_600_seconds() {
        let ours = ALL.iter().filter(|metric| metric.otel.is_none() && metric.instrument == Instrument::Histogram);
        ours.for_each(|metric| assert_eq!(metric.buckets.last(), Some(&600.0), "{}", metric.name));
    }
}
