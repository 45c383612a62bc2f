use super::*;
use crate::model::{Component, ConnectionState, Evidence, Exit, FailedBy, Origin, Phase, Timeline};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use proto::span::SpanKind;

const MS: Nanos = 1_000_000;

fn attribute<'a>(span: &'a proto::Span, key: &str) -> Option<&'a Value> {
    value(&span.attributes, key)
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next()?.value.as_ref()?.value.as_ref();
    assert!(found.next().is_none(), "{key} twice: {attributes:?}");
    value
}

/// The events of a span: name, milliseconds from its start, and these attributes.
fn events<'a>(span: &'a proto::Span, keys: &[&str]) -> Vec<(&'a str, Nanos, Vec<Option<Value>>)> {
    let of = |event: &'a proto::span::Event| {
        let values = keys.iter().map(|key| value(&event.attributes, key).cloned()).collect();
        (&*event.name, (event.time_unix_nano - span.start_time_unix_nano) / MS, values)
    };
    span.events.iter().map(of).collect()
}

#[track_caller]
fn is(span: &proto::Span, key: &str, expected: impl Into<Expected>) {
    assert_eq!(attribute(span, key), Some(&expected.into().0), "{key} of {span:?}");
}

struct Expected(Value);

impl From<&str> for Expected {
    fn from(text: &str) -> Self {
        Self(Value::StringValue(text.to_owned()))
    }
}

impl From<i64> for Expected {
    fn from(number: i64) -> Self {
        Self(Value::IntValue(number))
    }
}

impl From<f64> for Expected {
    fn from(number: f64) -> Self {
        Self(Value::DoubleValue(number))
    }
}

impl From<bool> for Expected {
    fn from(holds: bool) -> Self {
        Self(Value::BoolValue(holds))
    }
}

fn kind_of(span: &proto::Span) -> SpanKind {
    SpanKind::try_from(span.kind).unwrap()
}

fn failed(span: &proto::Span) -> bool {
    span.status.as_ref().unwrap().code == proto::status::StatusCode::Error as i32
}

/// A client hop of 10 ms from 1 s on: 2 ms connect, 8 ms wait.
fn client(kind: Kind, dependency: &str, operation: &str) -> Span {
    let start = 1_000 * MS;
    let mut timeline = Timeline::new(start);
    timeline.push(Phase::Connect, start + 2 * MS);
    timeline.push(Phase::Wait, start + 10 * MS);
    let call = Call::new(Origin::Library, timeline).ended(Outcome::Ok, None, Some(200));
    Span {
        role: crate::model::Role::Client,
        kind: Some(kind),
        dependency: Some(dependency.into()),
        call: Some(Box::new(call)),
        ..Span::new(7, Some(1), "shop".into(), operation.into(), start, Some(start + 10 * MS))
    }
}

fn call(span: &mut Span) -> &mut Call {
    span.call.as_mut().unwrap()
}

fn one(span: &Span) -> proto::Span {
    let mut spans = hop(span, Some(TraceId([3; 16])));
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

#[test]
fn a_model_call_follows_the_conventions() {
    let mut span = client(Kind::Llm, "azure_openai", "POST /openai/deployments/x/chat/completions");
    let start = span.start;
    let known = call(&mut span);
    known.timeline.push(Phase::Stream, start + 30 * MS);
    (known.model, known.stream) = (Some("gpt-x".into()), Some(true));
    (known.tokens.input, known.tokens.output) = (Some(12), Some(340));
    known.address = Some("10.0.0.7:8000".into());
    known.attempts[0].connection = Some(ConnectionState::Reused);
    let span = one(&span);
    assert_eq!((&*span.name, kind_of(&span), failed(&span)), ("chat gpt-x", SpanKind::Client, false));
    is(&span, "gen_ai.operation.name", "chat");
    is(&span, "gen_ai.provider.name", "azure.ai.openai");
    is(&span, "hopwatch.dependency", "azure_openai");
    is(&span, "gen_ai.request.model", "gpt-x");
    is(&span, "gen_ai.usage.input_tokens", 12);
    is(&span, "gen_ai.usage.output_tokens", 340);
    is(&span, "gen_ai.response.time_to_first_chunk", 0.01);
    is(&span, "server.address", "10.0.0.7");
    is(&span, "server.port", 8000);
    is(&span, "http.request.method", "POST");
    is(&span, "http.response.status_code", 200);
    is(&span, "hopwatch.connection.reused", true);
    is(&span, "hopwatch.phase.connect_ms", 2.0);
    is(&span, "hopwatch.phase.wait_ms", 8.0);
    is(&span, "hopwatch.phase.stream_ms", 20.0);
    assert_eq!(attribute(&span, "hopwatch.phase.dns_ms"), None, "absent knowledge is absent");
    assert_eq!(attribute(&span, "error.type"), None);
    assert_eq!(span.parent_span_id, 1_u64.to_be_bytes());
}

#[test]
fn names_and_kinds_are_those_of_the_operation() {
    let name = |kind, operation: &str| one(&client(kind, "docs", operation)).name;
    assert_eq!(name(Kind::Retrieval, "POST /search"), "retrieval docs");
    assert_eq!(name(Kind::Embedding, "POST /v1/embeddings"), "embeddings");
    assert_eq!(name(Kind::Llm, "POST /v1/completions"), "text_completion");
    assert_eq!(name(Kind::Http, "GET /users"), "GET /users");
    assert_eq!(name(Kind::Agent, "invoke"), "invoke_agent docs");
    let far = client(Kind::Tool, "lookup", "GET /lookup");
    assert_eq!(kind_of(&one(&far)), SpanKind::Client);
    let mut near = far;
    call(&mut near).status = None;
    assert_eq!((&*one(&near).name, kind_of(&one(&near))), ("execute_tool lookup", SpanKind::Internal));
}

#[test]
fn a_failure_is_told_by_its_status_its_class_or_its_outcome() {
    let ended = |outcome, status, error: Option<&str>| {
        let mut span = client(Kind::Retrieval, "docs", "GET /search");
        let known = call(&mut span);
        (known.outcome, known.status, known.failed_by) = (Some(outcome), status, Some(FailedBy::Peer));
        known.error_type = error.map(Into::into);
        one(&span)
    };
    is(&ended(Outcome::ServerError, Some(503), Some("InternalServerError")), "error.type", "503");
    is(&ended(Outcome::Timeout, None, Some("ReadTimeout")), "error.type", "ReadTimeout");
    is(&ended(Outcome::Connect, None, None), "error.type", "connect");
    is(&ended(Outcome::Body, Some(200), None), "error.type", "body");
    for outcome in Outcome::ALL {
        let span = ended(*outcome, None, None);
        let fine = matches!(outcome, Outcome::Ok | Outcome::Cancelled);
        assert_eq!((failed(&span), attribute(&span, "error.type").is_some()), (!fine, !fine), "{outcome}");
        is(&span, "hopwatch.outcome", outcome.as_str());
    }
}

#[test]
fn several_tries_are_child_spans() {
    let mut span = client(Kind::Http, "api", "GET /users");
    let start = span.start;
    let known = call(&mut span);
    let (mut first, mut second) = (known.attempts[0].clone(), known.attempts[0].clone());
    (first.outcome, first.status) = (Some(Outcome::ServerError), Some(503));
    first.timeline = Timeline::new(start);
    first.timeline.push(Phase::Wait, start + 3 * MS);
    second.number = 2;
    second.timeline = Timeline::new(start + 5 * MS);
    second.timeline.push(Phase::Wait, start + 10 * MS);
    known.attempts = vec![first, second];
    let spans = hop(&span, Some(TraceId([3; 16])));
    let [whole, first, second] = &*spans else { panic!("{spans:?}") };
    assert_eq!((kind_of(whole), kind_of(first), kind_of(second)), (SpanKind::Internal, SpanKind::Client, SpanKind::Client));
    assert!(!failed(whole) && failed(first) && !failed(second));
    assert_eq!((&first.parent_span_id, &second.parent_span_id), (&whole.span_id, &whole.span_id));
    assert_ne!(first.span_id, second.span_id);
    assert_eq!((second.start_time_unix_nano, second.end_time_unix_nano), (start + 5 * MS, start + 10 * MS));
    assert_eq!(attribute(first, "http.request.resend_count"), None);
    is(second, "http.request.resend_count", 1);
    is(second, "hopwatch.attempt", 2);
    is(first, "error.type", "503");
    is(whole, "hopwatch.attempts", 2);
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    assert_eq!(
        events(whole, &["hopwatch.attempt", "hopwatch.outcome", "hopwatch.attempt.reason"]),
        [("attempt", 5, vec![Some(Value::IntValue(2)), text("ok"), text("503")])]
    );
    assert!(first.events.is_empty() && second.events.is_empty(), "nothing was set up");
}

#[test]
fn setting_up_a_connection_is_told_step_by_step_on_the_span_of_its_try() {
    let mut span = client(Kind::Http, "api", "GET /users");
    let start = span.start;
    let mut line = Timeline::new(start);
    for (phase, until) in [
        (Phase::Pool, 1),
        (Phase::Dns, 4),
        (Phase::Connect, 6),
        (Phase::Proxy, 10),
        // The handshake went on after something else.
        (Phase::Tls, 13),
        (Phase::Own, 14),
        (Phase::Tls, 18),
        (Phase::Send, 19),
        (Phase::Wait, 30),
    ] {
        line.push(phase, start + until * MS);
    }
    call(&mut span).timeline = line.clone();
    let keys = [Phase::Dns, Phase::Connect, Phase::Proxy, Phase::Tls].map(names::phase_ms);
    let told = |which: usize, ms: f64| (0..4).map(|at| (at == which).then_some(Value::DoubleValue(ms))).collect::<Vec<_>>();
    let expected =
        [("dns", 4, told(0, 3.0)), ("connect", 6, told(1, 2.0)), ("proxy", 10, told(2, 4.0)), ("tls", 18, told(3, 7.0))];
    assert_eq!(events(&one(&span), &keys), expected);
    let known = call(&mut span);
    let (mut first, mut second) = (known.attempts[0].clone(), known.attempts[0].clone());
    (first.timeline, first.outcome) = (line, Some(Outcome::Reset));
    second.number = 2;
    second.timeline = Timeline::new(start + 40 * MS);
    second.timeline.push(Phase::Wait, start + 50 * MS);
    known.attempts = vec![first, second];
    let spans = hop(&span, None);
    assert_eq!(spans[0].events.iter().map(|event| &*event.name).collect::<Vec<_>>(), ["attempt"]);
    assert_eq!(events(&spans[1], &keys), expected);
    assert!(spans[2].events.is_empty());
}

#[test]
fn a_trace_that_its_caller_sent_along_is_continued() {
    let mut span = client(Kind::Http, "api", "GET /users");
    let remote = proto::SpanFlags::ContextIsRemoteMask as u32;
    assert_eq!(one(&span).flags & remote, 0, "the trace around it is this process's own");
    call(&mut span).trace_id = Some(TraceId([3; 16]));
    let within = one(&span);
    assert_eq!((&*within.trace_id, &*within.parent_span_id), (&[3; 16][..], &1_u64.to_be_bytes()[..]));
    assert_ne!(within.flags & remote, 0);
}

#[test]
fn a_hop_outside_any_run_is_a_root_unless_a_trace_is_around_it() {
    let span = client(Kind::Http, "api", "GET /users");
    let alone = hop(&span, None).remove(0);
    assert!(alone.parent_span_id.is_empty() && alone.trace_id != [0; 16]);
    let within = one(&span);
    assert_eq!((&*within.trace_id, &*within.parent_span_id), (&[3; 16][..], &1_u64.to_be_bytes()[..]));
}

fn sample() -> Run {
    let start = 900 * MS;
    let root =
        Span { role: crate::model::Role::Server, ..Span::new(1, None, "shop".into(), "support".into(), start, Some(2_000 * MS)) };
    let mut open = client(Kind::Tool, "lookup", "GET /lookup");
    (open.id, open.end) = (SpanId(8), None);
    let known = call(&mut open);
    (known.outcome, known.status) = (None, None);
    Run {
        name: "support".into(),
        start,
        end: Some(2_000 * MS),
        seen_until: 2_000 * MS,
        deadline: Some(1_000 * MS),
        spans: vec![root, client(Kind::Retrieval, "docs", "GET /search"), open],
        ..Run::default()
    }
}

#[test]
fn the_root_carries_the_verdict() {
    let verdict = Verdict {
        component: Component { kind: Some(Kind::Retrieval), dependency: Some("docs".into()), phase: Phase::Wait },
        cause: Some(Cause::SlowDependency),
        time: 790 * MS,
        share: 0.79,
        usual: None,
        confidence: Confidence::High,
        raised_at: None,
        evidence: vec![Evidence::number("calls_seen", 1.0)],
        sentence: "docs took long.".to_owned(),
        remedy: None,
    };
    let judgement = Judgement { outcome: Outcome::Timeout, healthy: false, blame: Vec::new(), verdict: Some(verdict) };
    let mut subject = sample();
    let spans = run(&subject, Some(&judgement));
    let root = &spans[0];
    assert_eq!((&*root.name, kind_of(root), failed(root)), ("support", SpanKind::Server, true));
    is(root, "hopwatch.deadline_ms", 1000.0);
    is(root, "hopwatch.healthy", false);
    is(root, "error.type", "timeout");
    is(root, "hopwatch.verdict.kind", "retrieval");
    is(root, "hopwatch.verdict.dependency", "docs");
    is(root, "hopwatch.verdict.phase", "wait");
    is(root, "hopwatch.verdict.cause", "slow_dependency");
    is(root, "hopwatch.verdict.ms", 790.0);
    is(root, "hopwatch.verdict.confidence", "high");
    is(root, "hopwatch.verdict.sentence", "docs took long.");
    assert_eq!(attribute(root, "hopwatch.verdict.usual_ms"), None);
    subject.exit = Some(Exit { code: 1, ..Exit::default() });
    let spans = run(&subject, Some(&judgement));
    assert_eq!(kind_of(&spans[0]), SpanKind::Internal, "a program is no server");
    is(&spans[0], "process.exit.code", 1);
}

#[test]
fn the_spans_of_a_run_share_a_trace_and_keep_ids_parents_and_times() {
    let mut subject = sample();
    let spans = run(&subject, None);
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id && span.trace_id != [0; 16]));
    for (exported, own) in spans.iter().zip(&subject.spans) {
        assert_eq!(exported.span_id, own.id.0.to_be_bytes());
        assert_eq!(exported.parent_span_id, own.parent.map_or_else(Vec::new, |id| id.0.to_be_bytes().to_vec()));
        assert_eq!(exported.start_time_unix_nano, own.start);
        assert_eq!(exported.flags & proto::SpanFlags::ContextIsRemoteMask as u32, 0);
    }
    assert_ne!(run(&subject, None)[0].trace_id, spans[0].trace_id, "runs that carry no trace do not share one");
    subject.trace_id = Some(TraceId([9; 16]));
    subject.spans[0].parent = Some(SpanId(77));
    let root = run(&subject, None).remove(0);
    assert_eq!((&*root.trace_id, &*root.parent_span_id), (&[9; 16][..], &77_u64.to_be_bytes()[..]));
    assert_ne!(root.flags & proto::SpanFlags::ContextIsRemoteMask as u32, 0, "its parent is of another process");
}

#[test]
fn an_open_hop_ends_where_it_was_last_seen_and_says_so() {
    let spans = run(&sample(), None);
    let open = &spans[2];
    is(open, "hopwatch.open", true);
    assert_eq!(open.end_time_unix_nano, 1_010 * MS);
    assert!(!failed(open) && attribute(open, "hopwatch.outcome").is_none());
    assert_eq!(attribute(&spans[1], "hopwatch.open"), None);
}

#[test]
fn hostile_names_do_no_harm() {
    let mut span = client(Kind::Llm, "a\u{202e}b", "GET \u{1b}[31m/x");
    call(&mut span).model = Some("m\n".repeat(1000).into());
    let span = one(&span);
    assert!(span.name.len() < 200 && !span.name.contains('\n'), "{}", span.name);
    is(&span, "hopwatch.dependency", "a\u{fffd}b");
}
