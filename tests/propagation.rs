//! Trace context in and out where `tracing-opentelemetry` keeps the spans: one trace from the caller through us to the called.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use hopwatch::instrument::propagate::{self, Remote};
use hopwatch::{Hopwatch, Kind};
use http::HeaderMap;
use opentelemetry::trace::{SpanId, SpanKind, TraceId, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn exported(sampler: Sampler, work: impl Future<Output = ()>) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_sampler(sampler).with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    exporter.get_finished_spans().unwrap()
}

fn span<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {spans:?}"))
}

fn called_with() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", PARENT.parse().unwrap());
    headers.insert("tracestate", "vendor=1".parse().unwrap());
    headers
}

fn outgoing() -> HeaderMap {
    let mut headers = HeaderMap::new();
    propagate::inject(&mut headers);
    headers
}

#[test]
fn a_remote_caller_is_the_parent_of_the_run_and_the_hop_of_what_is_called() {
    let watch = Hopwatch::builder().build().unwrap();
    let docs = watch.hop(Kind::Retrieval, "docs");
    let mut sent = HeaderMap::new();
    let spans = exported(Sampler::AlwaysOn, async {
        let work = docs.time(async { sent = outgoing() });
        watch.scope("support").caller(&called_with()).run(work).await.unwrap();
    });
    let (run, hop) = (span(&spans, "support"), span(&spans, "docs"));
    assert_eq!(run.parent_span_id, SpanId::from_hex("b7ad6b7169203331").unwrap());
    assert!(run.parent_span_is_remote);
    assert_eq!(run.span_context.trace_id(), TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap());
    assert_eq!(run.span_context.trace_state().header(), "vendor=1");
    assert_eq!(hop.parent_span_id, run.span_context.span_id());
    let out = Remote::extract(&sent);
    assert_eq!(out.trace_id().unwrap().to_string(), hop.span_context.trace_id().to_string());
    assert_eq!(out.span_id().unwrap().to_string(), hop.span_context.span_id().to_string());
    assert_eq!(out.tracestate(), Some("vendor=1"));
    assert_eq!(watch.report().runs[0].trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
}

#[test]
fn within_the_users_own_span_that_one_is_the_parent_and_its_trace_the_reports() {
    let watch = Hopwatch::builder().build().unwrap();
    let spans = exported(Sampler::AlwaysOn, async {
        let run = watch.scope("support").run(async {});
        run.instrument(tracing::info_span!("handler")).await.unwrap();
    });
    let (handler, run) = (span(&spans, "handler"), span(&spans, "support"));
    assert_eq!(run.parent_span_id, handler.span_context.span_id());
    assert_eq!(run.span_kind, SpanKind::Internal);
    assert_eq!(watch.report().runs[0].trace_id, Some(handler.span_context.trace_id().to_string()));
}

#[test]
fn an_unsampled_trace_stays_unsampled_and_sends_no_empty_state() {
    let watch = Hopwatch::builder().build().unwrap();
    let mut sent = HeaderMap::new();
    let spans = exported(Sampler::AlwaysOff, async {
        watch.scope("support").run(async { sent = outgoing() }).await.unwrap();
    });
    assert!(spans.is_empty());
    assert!(sent["traceparent"].to_str().unwrap().ends_with("-00"), "{sent:?}");
    assert!(!sent.contains_key("tracestate"));
}

#[test]
fn without_a_layer_our_own_ids_are_sent() {
    let watch = Hopwatch::builder().build().unwrap();
    let docs = watch.hop(Kind::Retrieval, "docs");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (run, hop) = runtime.block_on(async {
        let work = async { (outgoing(), docs.time(async { outgoing() }).await) };
        watch.scope("support").caller(&called_with()).run(work).await.unwrap()
    });
    let (run, hop) = (Remote::extract(&run), Remote::extract(&hop));
    assert_eq!(run.trace_id().unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hop.trace_id(), run.trace_id());
    let report = watch.report();
    assert_eq!(report.runs[0].hops[0].id, hop.span_id().unwrap().to_string());
    assert_ne!(hop.span_id(), run.span_id());
}
