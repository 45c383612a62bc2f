//! The `tracing` spans of hops and runs as `tracing-opentelemetry` exports them: nested in the caller's own, with true times.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use hopwatch::{Ending, Hopwatch, Kind, Outcome};
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use std::time::Duration;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

/// Runs work under a subscriber of its own, and gives the spans that left.
fn exported(work: impl Future<Output = ()>) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    exporter.get_finished_spans().unwrap()
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {spans:?}"))
}

fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    let values: Vec<_> = span.attributes.iter().filter(|found| found.key.as_str() == key).collect();
    assert!(values.len() <= 1, "{key} stands twice in {span:?}");
    values.first().map(|found| found.value.clone())
}

#[test]
fn hops_nest_in_the_callers_own_spans() {
    let watch = Hopwatch::builder().build().unwrap();
    let docs = watch.hop(Kind::Retrieval, "docs").operation("search");
    let spans = exported(async {
        let inner = async { tracing::info_span!("inner").in_scope(|| ()) };
        let work = async { watch.scope("support").run(docs.time(inner)).await.unwrap() };
        work.instrument(tracing::info_span!("outer")).await;
    });
    let (outer, run, hop, inner) =
        (named(&spans, "outer"), named(&spans, "support"), named(&spans, "search"), named(&spans, "inner"));
    assert_eq!(outer.parent_span_id, SpanId::INVALID);
    assert_eq!(run.parent_span_id, outer.span_context.span_id());
    assert_eq!(hop.parent_span_id, run.span_context.span_id());
    assert_eq!(inner.parent_span_id, hop.span_context.span_id());
    assert_eq!(hop.span_kind, SpanKind::Client);
    assert_eq!(attribute(hop, "hopwatch.hop.kind"), Some("retrieval".into()));
    assert_eq!(attribute(hop, "hopwatch.dependency"), Some("docs".into()));
    assert_eq!(hop.status, Status::Unset);
}

#[test]
fn a_failed_hop_says_how() {
    let watch = Hopwatch::builder().build().unwrap();
    let llm = watch.hop(Kind::Llm, "openai");
    let spans = exported(async {
        llm.start().end(Ending::of_status(429).error_type("rate_limit_exceeded"));
        drop(llm.operation("left").start());
    });
    let failed = named(&spans, "openai");
    assert_eq!(attribute(failed, "http.response.status_code"), Some(Value::I64(429)));
    assert_eq!(attribute(failed, "error.type"), Some("rate_limit_exceeded".into()));
    assert_eq!(attribute(failed, "hopwatch.outcome"), Some(Outcome::RateLimited.as_str().into()));
    assert!(matches!(failed.status, Status::Error { .. }));
    let left = named(&spans, "left");
    assert_eq!(attribute(left, "hopwatch.outcome"), Some("cancelled".into()));
    assert_eq!(left.status, Status::Unset);
}

#[test]
fn a_span_lasts_from_the_first_poll_to_the_drop() {
    let watch = Hopwatch::builder().build().unwrap();
    let hop = watch.hop(Kind::Tool, "lookup");
    let spans = exported(async {
        let mut call = Box::pin(hop.time(std::future::pending::<()>()));
        std::thread::sleep(Duration::from_millis(200));
        tokio::select! { biased; () = &mut call => {}, () = std::future::ready(()) => {} }
        std::thread::sleep(Duration::from_millis(200));
    });
    let span = named(&spans, "lookup");
    let took = span.end_time.duration_since(span.start_time).unwrap();
    assert!(took >= Duration::from_millis(195), "the drop is not seen: {took:?}");
    let report = watch.report();
    let waits = &report.dependencies[0].phases[&hopwatch::Phase::Wait];
    assert!((waits.sum_ms - took.as_secs_f64() * 1e3).abs() < 20.0, "{waits:?} {took:?}");
}

#[test]
fn the_phases_of_a_call_are_told() {
    let watch = Hopwatch::builder().build().unwrap();
    let hop = watch.hop(Kind::Http, "search");
    let spans = exported(async {
        let mut call = hop.start();
        std::thread::sleep(Duration::from_millis(20));
        call.phase(hopwatch::Phase::Stream);
        std::thread::sleep(Duration::from_millis(20));
        call.end(Ending::ok());
    });
    let span = named(&spans, "search");
    for phase in ["hopwatch.phase.wait_ms", "hopwatch.phase.stream_ms"] {
        assert!(matches!(attribute(span, phase), Some(Value::F64(time)) if time >= 20.0), "{phase}: {span:?}");
    }
    assert_eq!(attribute(span, "hopwatch.phase.tls_ms"), None);
}

#[test]
fn a_phase_that_a_plain_span_has_no_field_for_is_told_too() {
    let watch = Hopwatch::builder().build().unwrap();
    let (hop, gate) = (watch.hop(Kind::Http, "search"), watch.gate("model", 1));
    let spans = exported(async {
        let permit = gate.acquire().await;
        let gated = hop.gated(&gate);
        let call = gated.time(std::future::ready(()));
        let back = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            drop(permit);
        };
        tokio::join!(call, back);
    });
    let span = named(&spans, "search");
    let waited = attribute(span, "hopwatch.phase.gate_ms");
    assert!(matches!(waited, Some(Value::F64(time)) if time >= 29.0), "{span:?}");
}
