//! The library's handle with an export: what real receivers got is what its report says.

use std::error::Error;
use std::time::Duration;

use hopwatch::export::otlp::OtlpConfig;
use hopwatch::{Hopwatch, Kind};

use crate::collector::real::Receiver;
use crate::collector::seen::{agree, spans};
use crate::samples::BOTH;

type Failure = Box<dyn Error + Send + Sync>;

/// A retriever within an agent, a model that fails, and a tool that the deadline cuts.
async fn work(watch: &Hopwatch) -> Result<(), Failure> {
    let (docs, planner) = (watch.hop(Kind::Retrieval, "docs"), watch.hop(Kind::Agent, "planner"));
    let (model, tool) = (watch.hop(Kind::Llm, "openai"), watch.hop(Kind::Tool, "lookup"));
    watch
        .run("support", Duration::from_millis(400), async {
            planner.time(docs.time(tokio::time::sleep(Duration::from_millis(20)))).await;
            let refused = model.try_time(async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)) });
            assert!(refused.await.is_err());
            tool.time(std::future::pending::<()>()).await;
            Ok(())
        })
        .await
}

#[test]
fn real_receivers_get_what_the_librarys_report_says_over_both_transports() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for receiver in Receiver::all() {
        for protocol in BOTH {
            let mut config = OtlpConfig::new(&receiver.endpoint(protocol), protocol);
            config.metrics = None;
            let watch = Hopwatch::builder().service("shop").otlp(config).build().unwrap();
            let failure = runtime.block_on(work(&watch)).unwrap_err();
            assert!(failure.to_string().contains("lookup"), "{failure}");
            let alone = watch.hop(Kind::Http, "alone");
            runtime.block_on(alone.time(async { tokio::time::sleep(Duration::from_millis(1)).await }));
            let report = serde_json::to_value(watch.report()).unwrap();
            // The last handle sends what is left.
            drop(watch);

            let trace = &report["runs"][0]["trace_id"];
            let requests = receiver.requests("traces", |requests| {
                let spans = spans(requests);
                spans.iter().any(|span| span.value["traceId"] == *trace) && spans.iter().any(|span| span.name() == "alone")
            });
            let (run, rest): (Vec<_>, Vec<_>) = spans(&requests).into_iter().partition(|span| span.value["traceId"] == *trace);
            let root = agree(&report, &run);
            assert_eq!((root.name(), root.failed()), ("support", true));
            root.is("error.type", "timeout").is("hopwatch.verdict.dependency", "lookup").is("hopwatch.verdict.phase", "wait");
            assert_eq!(root.resource["service.name"], "shop");
            let span = |name: &str| run.iter().find(|span| span.name() == name).unwrap_or_else(|| panic!("no {name}: {run:#?}"));
            assert_eq!(span("retrieval docs").parent(), span("invoke_agent planner").id());
            span("invoke_agent planner").kind(1);
            span("chat").kind(3).is("error.type", "connection_refused").is("hopwatch.failed_by", "peer");
            assert!(span("execute_tool lookup").failed());
            let alone =
                rest.iter().filter(|span| span.attributes().get("hopwatch.dependency").is_some_and(|name| name == "alone"));
            assert!(alone.clone().count() > 0 && alone.into_iter().all(|span| span.parent().is_empty()), "{rest:#?}");
        }
    }
}
