//! A service that has its own OpenTelemetry pipeline: hops and runs nest in its spans and leave through its exporter.
//!
//! The exporter here keeps spans in memory; yours sends them over OTLP. Nothing of hopwatch is configured for it.

use hopwatch::instrument::propagate::inject_with;
use hopwatch::{Hopwatch, Kind};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use std::time::Duration;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A search that tells the store whose call it is.
async fn search() -> Result<String, Error> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut traceparent = String::new();
    inject_with(|name, value| {
        if name == "traceparent" {
            value.clone_into(&mut traceparent);
        }
    });
    Ok(traceparent)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("support"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;

    let watch = Hopwatch::builder().service("support").build()?;
    let docs = watch.hop(Kind::Retrieval, "qdrant").operation("search");
    let request = watch.run("support", Duration::from_secs(10), docs.try_time(search()));
    let sent = request.instrument(tracing::info_span!("POST /answer")).await?;

    let spans = exporter.get_finished_spans()?;
    for span in &spans {
        println!("{:<12} {:?} below {}", span.name, span.span_context.span_id(), span.parent_span_id);
    }
    let named = |name: &str| spans.iter().find(|span| span.name == name).ok_or("no such span");
    let (own, run, hop) = (named("POST /answer")?, named("support")?, named("search")?);
    assert_eq!(run.parent_span_id, own.span_context.span_id());
    assert_eq!(hop.parent_span_id, run.span_context.span_id());
    let as_whom = format!("00-{}-{}-01", own.span_context.trace_id(), hop.span_context.span_id());
    assert_eq!(sent, as_whom, "the store's spans hang below the hop, in the service's own trace");
    let dependency = hop.attributes.iter().find(|attribute| attribute.key.as_str() == "hopwatch.dependency");
    assert_eq!(dependency.map(|found| found.value.as_str().into_owned()).as_deref(), Some("qdrant"));
    Ok(())
}
