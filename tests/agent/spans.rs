//! What real collectors got from the agent is what its report says, and a caller's trace is continued.

use std::collections::BTreeMap;

use hopwatch::export::otlp::OtlpProtocol;
use serde_json::Value;

use crate::client::curled;
use crate::collector::BOTH;
use crate::collector::real::Receiver;
use crate::collector::seen::{Seen, attributes, list, spans};
use crate::sidecar::{Sidecar, route};
use crate::support::app::App;
use crate::support::part::part;
use crate::support::replies::{CHAT, documents, found, stream, unavailable};
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};

/// Report and spans round to microseconds: what that may make of one value, in milliseconds.
const ROUNDING_MS: f64 = 0.001;

/// The trace of the program, and the span of it that calls.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

struct Peers {
    docs: Server,
    model: Server,
    tool: Server,
}

impl Peers {
    fn start() -> Self {
        Self {
            docs: Router::new()
                .route("/search", |_| documents().after(10))
                .route("/broken", |_| Script::event_stream().event("first").delay(20).then(Step::Reset))
                .start(),
            model: Router::new().route(CHAT, |_| stream(3, 10, 400, 30).after(20)).start(),
            tool: Router::new().route("/order", |request| if request.number == 0 { unavailable() } else { found() }).start(),
        }
    }

    fn routes(&self) -> String {
        [
            route("/docs", &self.docs.url(""), "retrieval", "docs"),
            route("/llm", &self.model.url(""), "llm", "openai"),
            route("/tool", &self.tool.url(""), "http", "orders"),
        ]
        .concat()
    }
}

fn named(protocol: OtlpProtocol) -> &'static str {
    if protocol == OtlpProtocol::Grpc { "grpc" } else { "http/protobuf" }
}

/// Sums of milliseconds by dependency and phase.
type Sums = BTreeMap<(String, String), (u64, f64)>;

/// What the report has of each dependency.
fn reported(report: &Value) -> Sums {
    let mut sums = Sums::new();
    for dependency in list(&report["dependencies"]) {
        for (phase, times) in dependency["phases"].as_object().unwrap() {
            let key = (dependency["dependency"].as_str().unwrap().to_owned(), phase.clone());
            sums.insert(key, (times["count"].as_u64().unwrap(), times["sum_ms"].as_f64().unwrap()));
        }
    }
    sums
}

/// What the spans of whole calls add up to.
fn added_up(seen: &[&Seen]) -> Sums {
    let mut sums = Sums::new();
    for span in seen {
        let attributes = span.attributes();
        for (name, value) in &attributes {
            let Some(phase) = name.strip_prefix("hopwatch.phase.").and_then(|rest| rest.strip_suffix("_ms")) else { continue };
            let dependency = attributes["hopwatch.dependency"].as_str().unwrap().to_owned();
            let sum = sums.entry((dependency, phase.to_owned())).or_default();
            (sum.0, sum.1) = (sum.0 + 1, sum.1 + value.as_f64().unwrap());
        }
    }
    sums
}

#[test]
fn real_collectors_get_what_the_report_says_over_both_transports() {
    let (Some(openai), Some(_)) = (App::new("openai_stream.py"), part("curl")) else { return };
    for receiver in Receiver::all() {
        for protocol in BOTH {
            let peers = Peers::start();
            let sidecar = Sidecar::with(&peers.routes(), |command| {
                command.env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint(protocol));
                command.env("OTEL_EXPORTER_OTLP_PROTOCOL", named(protocol)).env("OTEL_SERVICE_NAME", named(protocol));
            });
            let traceparent = format!("traceparent: 00-{TRACE}-{PARENT}-01");
            for number in 0..3 {
                curled(&[&sidecar.url(&format!("/docs/search?q=secret-{number}"))]);
            }
            curled(&["--header", &traceparent, &sidecar.url("/docs/search?q=secret-words")]);
            curled(&["--header", &traceparent, "--retry", "2", &sidecar.url("/tool/order")]);
            assert_eq!(openai.clone().arg(sidecar.url("/llm/v1")).alone().code, 0);
            let broken = crate::client::curl(&["--header", &traceparent, &sidecar.url("/docs/broken")]).output().unwrap();
            assert_eq!(broken.status.code(), Some(56), "reset as without the gateway: {broken:?}");
            sidecar.counted(7);
            let report = sidecar.report();
            sidecar.send(libc::SIGTERM);
            assert_eq!(sidecar.ended(), Some(0));

            let of_sidecar = |requests: &[Value]| -> Vec<Seen> {
                spans(requests).into_iter().filter(|span| span.resource["service.name"] == named(protocol)).collect()
            };
            let all = of_sidecar(&receiver.requests("traces", |requests| of_sidecar(requests).len() >= 9));
            assert_eq!(all.len(), 9, "seven calls, two tries: {all:#?}");
            assert!(all.iter().all(|span| !span.value.to_string().contains("secret")), "no query leaves");
            let (tries, calls): (Vec<&Seen>, Vec<&Seen>) = all.iter().partition(|span| span.kind_is_try());

            let (told, sums) = (reported(&report), added_up(&calls));
            assert_eq!(told.keys().collect::<Vec<_>>(), sums.keys().collect::<Vec<_>>());
            for (key, (count, ms)) in &told {
                let (found, sum) = sums[key];
                assert!(found == *count && (sum - ms).abs() <= ROUNDING_MS * 8.0, "{key:?}: {found} {sum}, {count} {ms}");
            }
            continued(&calls, &tries);
            failed(&report, &calls);
            metered(&receiver, named(protocol), &report);
        }
    }
}

/// The calls that carried a trace are parts of it, under the span that made them; the others are roots.
fn continued(calls: &[&Seen], tries: &[&Seen]) {
    let in_trace: Vec<&&Seen> = calls.iter().filter(|span| span.value["traceId"] == TRACE).collect();
    assert_eq!(in_trace.len(), 3);
    assert!(in_trace.iter().all(|span| span.parent() == PARENT && span.value["flags"].as_i64() == Some(0x301)), "{in_trace:#?}");
    let rest: Vec<&&Seen> = calls.iter().filter(|span| span.value["traceId"] != TRACE).collect();
    assert!(rest.len() == 4 && rest.iter().all(|span| span.parent().is_empty()), "{rest:#?}");
    let docs = in_trace.iter().find(|span| span.name() == "retrieval docs").unwrap();
    docs.kind(3).is("gen_ai.data_source.id", "docs").is("hopwatch.origin", "gateway").is("server.address", "127.0.0.1");
    docs.is("http.request.method", "GET").is("http.response.status_code", 200).is("hopwatch.connection.reused", true);
    let model = rest.iter().find(|span| span.name() == "chat gpt-test").unwrap();
    model.kind(3).is("gen_ai.usage.input_tokens", 400).is("gen_ai.request.stream", true);
    let order = in_trace.iter().find(|span| span.name() == "GET /order").unwrap();
    order.kind(1).is("hopwatch.attempts", 2);
    assert!(tries.len() == 2 && tries.iter().all(|span| span.parent() == order.id() && span.value["traceId"] == TRACE));
    tries[0].kind(3).is("error.type", "503").is("hopwatch.attempt", 1);
    tries[1].kind(3).is("http.request.resend_count", 1).is("hopwatch.attempt", 2);
}

/// The call that broke is a run of the report, with the same id, times and events.
fn failed(report: &Value, calls: &[&Seen]) {
    let runs: Vec<&Value> = list(&report["runs"]).iter().filter(|run| run["trace_id"] == TRACE).collect();
    let [run] = &*runs else { panic!("one run: {report:#}") };
    assert_eq!((&run["verdict"]["dependency"], &run["verdict"]["cause"]), (&"docs".into(), &"connection_dropped".into()));
    let hop = list(&run["hops"]).iter().find(|hop| hop["outcome"] == "reset").unwrap();
    let span = calls.iter().find(|span| span.id() == hop["id"]).unwrap();
    assert!(span.failed());
    span.is("error.type", "reset").is("hopwatch.failed_by", "peer").phases(hop);
    span.set_up(hop);
    let began: jiff::Timestamp = run["started_at"].as_str().unwrap().parse().unwrap();
    let began = began.as_nanosecond() as f64 / 1e6 + hop["started_ms"].as_f64().unwrap();
    assert!((span.start() as f64 / 1e6 - began).abs() <= 1.0, "the report's instant is in whole milliseconds");
    let took = (span.end() - span.start()) as f64 / 1e6;
    assert!((took - hop["duration_ms"].as_f64().unwrap()).abs() <= ROUNDING_MS, "{took}: {hop:#}");
}

/// The last metrics say as many calls as the report.
fn metered(receiver: &Receiver, service: &str, report: &Value) {
    let sum = |requests: &[Value]| -> Option<i64> {
        let of = |request: &Value| {
            let resources = list(&request["resourceMetrics"]).iter();
            let resources =
                resources.filter(|resource| attributes(&resource["resource"]["attributes"])["service.name"] == service);
            let metrics =
                resources.flat_map(|resource| list(&resource["scopeMetrics"])).flat_map(|scope| list(&scope["metrics"]));
            let calls = metrics.filter(|metric| metric["name"] == "hopwatch_hop_calls_total");
            let points = calls.flat_map(|metric| list(&metric["sum"]["dataPoints"]));
            let count = |point: &Value| point["asInt"].as_str().map_or_else(|| point["asInt"].as_i64(), |text| text.parse().ok());
            points.map(|point| count(point).unwrap()).reduce(|a, b| a + b)
        };
        requests.iter().rev().find_map(of)
    };
    let calls: i64 = list(&report["dependencies"]).iter().map(|dependency| dependency["calls"].as_i64().unwrap()).sum();
    let requests = receiver.requests("metrics", |requests| sum(requests).is_some());
    assert_eq!(sum(&requests), Some(calls));
}
