use super::*;
use crate::model::{Attempt, Call, ConnectionState, FailedBy, Origin, Role, SpanId, Timeline};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use std::collections::BTreeMap;
use std::sync::Arc;

const MILLI: Nanos = 1_000_000;

fn own() -> (Metrics, Snapshotter) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let mut metrics = Metrics::new(Target::Own(vec![Arc::new(recorder)]));
    metrics.refresh();
    (metrics, snapshotter)
}

/// Every series as `name{label=value,...}`.
fn snapshot(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let series = snapshotter.snapshot().into_vec().into_iter();
    series
        .map(|(key, _, _, value)| {
            let labels: Vec<String> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
        })
        .collect()
}

fn count(series: &BTreeMap<String, DebugValue>, name: &str) -> u64 {
    match series.get(name) {
        Some(DebugValue::Counter(count)) => *count,
        other => panic!("{name} is {other:?} in {:?}", series.keys()),
    }
}

fn values(series: &BTreeMap<String, DebugValue>, name: &str) -> Vec<f64> {
    match series.get(name) {
        Some(DebugValue::Histogram(values)) => values.iter().map(|value| value.into_inner()).collect(),
        other => panic!("{name} is {other:?} in {:?}", series.keys()),
    }
}

fn streamed() -> Span {
    let mut timeline = Timeline::new(0);
    timeline.push(Phase::Connect, 100 * MILLI);
    timeline.push(Phase::Wait, 400 * MILLI);
    timeline.push(Phase::FirstToken, 500 * MILLI);
    timeline.push(Phase::Stream, 2_000 * MILLI);
    let mut call = Call::new(Origin::Library, timeline).ended(Outcome::Ok, None, Some(200));
    call.attempts[0].connection = Some(ConnectionState::New);
    (call.client.connection, call.gap) = (Some(ConnectionState::Reused), Some(120 * MILLI));
    (call.stream, call.model, call.address) = (Some(true), Some("gpt-test".into()), Some("api.example:443".into()));
    (call.tokens.input, call.tokens.output, call.bytes.sent) = (Some(2_000), Some(50), 700);
    Span {
        role: Role::Client,
        kind: Some(Kind::Llm),
        dependency: Some("openai".into()),
        call: Some(Box::new(call)),
        ..Span::new(1, None, "test".into(), "POST /v1/chat/completions".into(), 0, Some(2_000 * MILLI))
    }
}

#[test]
fn a_call_is_counted_in_ours_and_in_the_conventional_metrics() {
    let (mut metrics, snapshotter) = own();
    metrics.hop(&streamed());
    let series = snapshot(&snapshotter);
    assert_eq!(values(&series, "hopwatch_hop_duration_seconds{kind=llm,dependency=openai}"), [2.0]);
    assert_eq!(values(&series, "hopwatch_hop_phase_seconds{kind=llm,dependency=openai,phase=wait}"), [0.3]);
    assert_eq!(values(&series, "hopwatch_hop_phase_seconds{kind=llm,dependency=openai,phase=stream}"), [1.5]);
    assert_eq!(count(&series, "hopwatch_hop_calls_total{kind=llm,dependency=openai,outcome=ok,status=2xx}"), 1);
    assert_eq!(count(&series, "hopwatch_attempts_total{dependency=openai,attempt=1,outcome=ok}"), 1);
    assert_eq!(count(&series, "hopwatch_connections_total{dependency=openai,state=new}"), 1);
    assert_eq!(count(&series, "hopwatch_hop_body_bytes_total{kind=llm,dependency=openai,direction=sent}"), 700);
    assert_eq!(values(&series, "hopwatch_attempt_duration_seconds{dependency=openai,state=new}"), [2.0]);
    assert_eq!(count(&series, "hopwatch_client_connections_total{dependency=openai,state=reused}"), 1);
    assert_eq!(values(&series, "hopwatch_first_token_per_1k_input_seconds{dependency=openai}"), [0.2]);
    assert_eq!(values(&series, "hopwatch_first_token_seconds{dependency=openai,input=4k}"), [0.4]);
    let each = "hopwatch_time_per_output_token_seconds{dependency=openai,gen_ai_request_model=gpt-test}";
    assert_eq!(values(&series, each), [1.5 / 49.0]);
    assert_eq!(values(&series, "hopwatch_stream_gap_seconds{kind=llm,dependency=openai}"), [0.12]);
    let gen_ai = "gen_ai_operation_name=chat,gen_ai_provider_name=openai,gen_ai_request_model=gpt-test";
    assert_eq!(values(&series, &format!("gen_ai_client_operation_duration_seconds{{{gen_ai}}}")), [2.0]);
    assert_eq!(values(&series, &format!("gen_ai_client_operation_time_to_first_chunk_seconds{{{gen_ai}}}")), [0.5]);
    assert_eq!(values(&series, &format!("gen_ai_client_token_usage{{{gen_ai},gen_ai_token_type=input}}")), [2_000.0]);
    let http = "http_request_method=POST,server_address=api.example,server_port=443,http_response_status_code=200";
    assert_eq!(values(&series, &format!("http_client_request_duration_seconds{{{http}}}")), [2.0]);
}

#[test]
fn tries_are_counted_by_number_and_outcome() {
    let (mut metrics, snapshotter) = own();
    let mut span = streamed();
    let call = span.call.as_mut().unwrap();
    let failed = Attempt {
        outcome: Some(Outcome::RateLimited),
        failed_by: Some(FailedBy::Peer),
        retry_after: Some(3_000 * MILLI),
        ..call.attempts[0].clone()
    };
    call.attempts = (1..=6).map(|number| Attempt { number, ..failed.clone() }).collect();
    metrics.hop(&span);
    let series = snapshot(&snapshotter);
    assert_eq!(count(&series, "hopwatch_attempts_total{dependency=openai,attempt=3,outcome=rate_limited}"), 1);
    assert_eq!(count(&series, "hopwatch_attempts_total{dependency=openai,attempt=4+,outcome=rate_limited}"), 3);
    assert_eq!(values(&series, "hopwatch_retry_after_seconds{dependency=openai}"), [3.0; 6]);
}

#[test]
fn dependencies_beyond_the_cap_are_other_and_counted() {
    let (mut metrics, snapshotter) = own();
    for nth in 0..SERIES_MAX + 50 {
        let id = metrics.dependency(Kind::Tool, &format!("tenant-{nth}").into());
        metrics.brief(id, Outcome::Ok, Phase::Wait, MILLI);
    }
    let series = snapshot(&snapshotter);
    assert_eq!(values(&series, "hopwatch_hop_duration_seconds{kind=tool,dependency=other}").len(), 50);
    assert!(count(&series, "hopwatch_series_overflow_total{metric=hopwatch_hop_duration_seconds}") >= 1);
    let told = series.keys().filter(|name| name.starts_with("hopwatch_hop_duration_seconds{")).count();
    assert_eq!(told, SERIES_MAX + 1);
}

#[test]
fn a_hostile_name_is_one_dependency_however_often_it_calls() {
    let (mut metrics, snapshotter) = own();
    let mut span = streamed();
    span.dependency = Some("do\ncs".into());
    (0..50).for_each(|_| metrics.hop(&span));
    assert_eq!(metrics.hops.len(), 1);
    let series = snapshot(&snapshotter);
    assert_eq!(values(&series, "hopwatch_hop_duration_seconds{kind=llm,dependency=do\u{fffd}cs}").len(), 50);
}

#[test]
fn what_is_open_beyond_the_cap_is_added_up() {
    let (mut metrics, snapshotter) = own();
    for nth in 0..SERIES_MAX {
        metrics.dependency(Kind::Tool, &format!("tenant-{nth}").into());
    }
    let open = |nth: usize, age: Nanos| OpenCalls {
        kind: Kind::Tool,
        dependency: format!("late-{nth}").into(),
        phase: Phase::Wait,
        calls: 2,
        age,
    };
    metrics.open(&[open(1, MILLI), open(2, 3_000 * MILLI), open(3, MILLI)]);
    let series = snapshot(&snapshotter);
    let gauge = |name: &str| match &series[name] {
        DebugValue::Gauge(value) => value.into_inner(),
        other => panic!("{other:?}"),
    };
    assert_eq!(gauge("hopwatch_hop_in_flight{kind=tool,dependency=other}"), 6.0);
    assert_eq!(gauge("hopwatch_hop_open_age_seconds{kind=tool,dependency=other,phase=wait}"), 3.0);
}

#[test]
fn runs_beyond_the_cap_keep_what_is_of_a_closed_set() {
    let (mut metrics, snapshotter) = own();
    let judgement = |outcome| Judgement { outcome, healthy: true, blame: Vec::new(), verdict: None };
    let run = |nth: usize| Run { name: format!("run-{nth}").into(), end: Some(MILLI), seen_until: MILLI, ..Run::default() };
    (0..SERIES_MAX).for_each(|nth| metrics.run(&run(nth), &judgement(Outcome::Ok)));
    (0..3).for_each(|nth| metrics.run(&run(SERIES_MAX + nth), &judgement(Outcome::Timeout)));
    let series = snapshot(&snapshotter);
    assert_eq!(count(&series, "hopwatch_runs_total{run=other,outcome=timeout}"), 3);
    assert_eq!(count(&series, "hopwatch_series_overflow_total{metric=hopwatch_runs_total}"), 3);
}

#[test]
fn a_call_without_an_answer_is_a_request_too_and_a_status_of_no_class_is_none() {
    let (mut metrics, snapshotter) = own();
    let mut span = streamed();
    let call = span.call.as_mut().unwrap();
    **call = call.clone().ended(Outcome::Timeout, Some(FailedBy::Caller), None);
    metrics.hop(&span);
    let call = span.call.as_mut().unwrap();
    **call = call.clone().ended(Outcome::Ok, None, Some(999));
    metrics.hop(&span);
    let series = snapshot(&snapshotter);
    let http = "http_request_method=POST,server_address=api.example,server_port=443,error_type=timeout";
    assert_eq!(values(&series, &format!("http_client_request_duration_seconds{{{http}}}")), [2.0]);
    assert_eq!(count(&series, "hopwatch_hop_calls_total{kind=llm,dependency=openai,outcome=ok}"), 1);
}

#[test]
fn values_that_would_spoil_a_sum_are_left_out() {
    let (mut metrics, snapshotter) = own();
    for value in [f64::NAN, f64::INFINITY, -1.0, 0.5] {
        metrics.histogram(&names::STALL, &["main"], value);
    }
    assert_eq!(values(&snapshot(&snapshotter), "hopwatch_stall_seconds{runtime=main}"), [0.5]);
}

#[test]
fn series_of_any_metric_are_capped() {
    let (mut metrics, snapshotter) = own();
    (0..SERIES_MAX + 10).for_each(|nth| metrics.stall(&format!("runtime-{nth}"), MILLI));
    let series = snapshot(&snapshotter);
    assert_eq!(values(&series, "hopwatch_stall_seconds{runtime=other}").len(), 10);
    assert_eq!(count(&series, "hopwatch_series_overflow_total{metric=hopwatch_stall_seconds}"), 10);
}

#[test]
fn what_is_open_no_more_goes_to_zero() {
    let (mut metrics, snapshotter) = own();
    let mut span = streamed();
    (span.end, span.id) = (None, SpanId(7));
    metrics.open(&OpenCalls::of([&span], 3_000 * MILLI));
    let series = snapshot(&snapshotter);
    let gauge = |series: &BTreeMap<String, DebugValue>, name: &str| match &series[name] {
        DebugValue::Gauge(value) => value.into_inner(),
        other => panic!("{other:?}"),
    };
    let (flight, age) = (
        "hopwatch_hop_in_flight{kind=llm,dependency=openai}",
        "hopwatch_hop_open_age_seconds{kind=llm,dependency=openai,phase=stream}",
    );
    assert_eq!((gauge(&series, flight), gauge(&series, age)), (1.0, 3.0));
    metrics.open(&[]);
    let series = snapshot(&snapshotter);
    assert_eq!((gauge(&series, flight), gauge(&series, age)), (0.0, 0.0));
}

#[test]
fn fractions_of_blamed_seconds_are_carried_over() {
    let (mut metrics, snapshotter) = own();
    (0..10).for_each(|_| metrics.seconds_counter(&names::BLAME, &["support", "", "", "self"], 0.25));
    assert_eq!(count(&snapshot(&snapshotter), "hopwatch_blame_seconds_total{run=support,phase=self}"), 2);
}

#[test]
fn a_recorder_installed_late_gets_everything_from_then_on() {
    let mut metrics = Metrics::new(Target::Global);
    metrics.refresh();
    let id = metrics.dependency(Kind::Tool, &"lookup".into());
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    ::metrics::with_local_recorder(&recorder, || {
        metrics.refresh();
        metrics.brief(id, Outcome::Ok, Phase::Wait, 5 * MILLI);
    });
    let series = snapshot(&snapshotter);
    assert_eq!(values(&series, "hopwatch_hop_duration_seconds{kind=tool,dependency=lookup}"), [0.005]);
}

#[test]
fn what_a_run_left_of_its_deadline_is_told_and_never_less_than_nothing() {
    let (mut metrics, snapshotter) = own();
    let judgement = Judgement { outcome: Outcome::Ok, healthy: true, blame: Vec::new(), verdict: None };
    for took in [400, 1_500] {
        let end = took * MILLI;
        let run = Run { name: "job".into(), end: Some(end), seen_until: end, deadline: Some(1_000 * MILLI), ..Run::default() };
        metrics.run(&run, &judgement);
    }
    metrics.run(&Run { name: "free".into(), end: Some(1), seen_until: 1, ..Run::default() }, &judgement);
    let series = snapshot(&snapshotter);
    assert_eq!(values(&series, "hopwatch_run_budget_left_seconds{run=job}"), [0.6, 0.0]);
    assert!(!series.contains_key("hopwatch_run_budget_left_seconds{run=free}"));
}

#[test]
fn models_beyond_the_cap_are_other() {
    let (mut metrics, snapshotter) = own();
    for nth in 0..SERIES_MAX + 5 {
        let mut span = streamed();
        span.call.as_mut().unwrap().model = Some(format!("model-{nth}").into());
        metrics.hop(&span);
    }
    let series = snapshot(&snapshotter);
    let other = "hopwatch_time_per_output_token_seconds{dependency=other,gen_ai_request_model=other}";
    assert_eq!(values(&series, other).len(), 5);
}
