//! `hopwatch run` with `OTEL_*` set: what real receivers got is what the report of the same run says.

use std::path::Path;
use std::process::{Command, Output};

use hopwatch::export::otlp::OtlpProtocol;
use serde_json::Value;

use crate::collector::peer::{Peer, Reply};
use crate::collector::real::Receiver;
use crate::collector::seen::{Seen, agree, spans};
use crate::samples::BOTH;
use crate::support::replies::{CHAT, completion, documents, found, unavailable};
use crate::support::server::{Router, Server};

/// A retriever, a model, and a tool that is unavailable at first.
struct Peers {
    docs: Server,
    model: Server,
    tool: Server,
}

impl Peers {
    fn start() -> Self {
        Self {
            docs: Router::new().route("/search", |_| documents().after(30)).start(),
            model: Router::new().route(CHAT, |_| completion("It is on its way.", 40, 6).after(60)).start(),
            tool: Router::new().route("/order", |request| if request.number == 0 { unavailable() } else { found() }).start(),
        }
    }

    /// `hopwatch run` of a program that calls all three, seen this way; curl tries again after the 503, a second later.
    fn command(&self, via: &str, json: &Path) -> Command {
        let script = format!(
            "curl -sS {docs} && curl -sS --retry 2 {tool} && curl -sS -H 'content-type: application/json' -d '{body}' {model}; exit 7",
            docs = self.docs.url("/search?q=secret-words"),
            tool = self.tool.url("/order"),
            model = self.model.url(CHAT),
            body = r#"{"model":"gpt-test","messages":[]}"#,
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.env_remove("HOPWATCH_CONFIG").env_remove("http_proxy").env_remove("HTTP_PROXY").env_remove("ALL_PROXY");
        command.args(["run", "--via", via, "--deadline", "120s", "--name", "support", "--json"]).arg(json);
        command.args([self.docs.dep("retrieval/docs"), self.model.dep("llm/openai"), self.tool.dep("http/orders")]);
        command.args(["--", "sh", "-c", &script]);
        command
    }
}

struct Ended {
    output: Output,
    report: Value,
}

/// Runs it with these variables.
fn ended(variables: &[(&str, &str)]) -> Ended {
    ended_via("observer", variables)
}

fn ended_via(via: &str, variables: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let output = Peers::start().command(via, &json).envs(variables.iter().copied()).output().unwrap();
    let report = std::fs::read_to_string(&json).unwrap_or_else(|error| panic!("no report ({error}): {output:?}"));
    Ended { output, report: serde_json::from_str(&report).unwrap() }
}

fn named(protocol: OtlpProtocol) -> &'static str {
    if protocol == OtlpProtocol::Grpc { "grpc" } else { "http/protobuf" }
}

#[test]
fn real_receivers_get_what_the_report_says_over_both_transports() {
    for receiver in Receiver::all() {
        for (number, protocol) in BOTH.into_iter().enumerate() {
            let Ended { output, report } = ended(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint(protocol)),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", named(protocol)),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", if number == 0 { "gzip" } else { "none" }),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ]);
            assert_eq!(output.status.code(), Some(7), "{output:?}");
            let trace = report["runs"][0]["trace_id"].clone();
            let of_run = |all: Vec<Seen>| all.into_iter().filter(|span| span.value["traceId"] == trace).collect::<Vec<_>>();
            let requests = receiver.requests("traces", |requests| !of_run(spans(requests)).is_empty());
            let seen = of_run(spans(&requests));
            let root = agree(&report, &seen);
            checked(root, &seen, &receiver, &output);
        }
    }
}

#[test]
fn what_the_gateway_saw_leaves_like_what_the_observer_saw_and_two_records_of_a_call_as_one_branch() {
    for receiver in Receiver::all() {
        for (protocol, via) in BOTH.into_iter().zip(["gateway", "both"]) {
            let endpoint = receiver.endpoint(protocol);
            let variables = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", named(protocol)),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ];
            let Ended { output, report } = ended_via(via, &variables);
            let trace = report["runs"][0]["trace_id"].clone();
            let of_run = |all: Vec<Seen>| all.into_iter().filter(|span| span.value["traceId"] == trace).collect::<Vec<_>>();
            let requests = receiver.requests("traces", |requests| !of_run(spans(requests)).is_empty());
            let seen = of_run(spans(&requests));
            let root = agree(&report, &seen);
            if via == "gateway" {
                checked(root, &seen, &receiver, &output);
                continue;
            }
            // Each call as the program saw it, and below it as the gateway did.
            for name in ["retrieval docs", "chat gpt-test", "GET /order"] {
                let of_origin = |origin: &str| {
                    let of = |span: &&Seen| {
                        span.name() == name && span.attributes().get("hopwatch.origin").is_some_and(|o| o == origin)
                    };
                    seen.iter().filter(of).collect::<Vec<_>>()
                };
                let (outer, inner) = (of_origin("observer"), of_origin("gateway"));
                assert_eq!((outer.len(), inner.len()), (1, 1), "{name}: {seen:#?}");
                assert_eq!((outer[0].parent(), inner[0].parent()), (root.id(), outer[0].id()));
                assert!(
                    outer[0].start() <= inner[0].start() && inner[0].end() <= outer[0].end() + 2_000_000,
                    "{name}: {seen:#?}"
                );
            }
        }
    }
}

/// What this program's spans have to be, by the conventions.
#[track_caller]
fn checked(root: &Seen, seen: &[Seen], receiver: &Receiver, output: &Output) {
    let of = |dependency: &str| {
        let of = |span: &&Seen| span.attributes().get("hopwatch.dependency").is_some_and(|name| name == dependency);
        seen.iter().filter(of).collect::<Vec<_>>()
    };
    let (docs, model, tool) = (of("docs"), of("openai"), of("orders"));
    assert_eq!((docs.len(), model.len(), tool.len()), (1, 1, 3), "{}: {seen:#?} {output:?}", receiver.name);
    assert_eq!((root.name(), root.failed()), ("support", true));
    root.kind(1).is("process.exit.code", 7);
    assert_eq!((docs[0].name(), docs[0].failed()), ("retrieval docs", false));
    docs[0].kind(3).is("gen_ai.data_source.id", "docs").is("http.request.method", "GET").is("server.address", "127.0.0.1");
    assert_eq!(model[0].name(), "chat gpt-test");
    model[0].kind(3).is("gen_ai.operation.name", "chat").is("gen_ai.provider.name", "openai").is("gen_ai.usage.input_tokens", 40);
    let whole = tool.iter().find(|span| span.parent() == root.id()).unwrap();
    assert_eq!((whole.name(), whole.failed()), ("GET /order", false));
    whole.kind(1).is("hopwatch.attempts", 2);
    let mut tries: Vec<_> = tool.iter().filter(|span| span.parent() == whole.id()).collect();
    tries.sort_by_key(|span| span.start());
    assert!(tries[0].failed() && !tries[1].failed());
    tries[0].is("error.type", "503").is("http.request.resend_count", Value::Null);
    tries[1].is("http.request.resend_count", 1);
    assert_eq!(root.resource["service.name"], "support");
    assert_eq!(root.resource["deployment.environment.name"], "test");
    assert_eq!(root.resource["telemetry.sdk.language"], "rust");
    assert!(seen.iter().all(|span| !span.value.to_string().contains("secret-words")), "no query leaves");
}

#[test]
fn a_collector_that_is_away_changes_nothing_but_one_line() {
    let Ended { output, report } =
        ended(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", crate::collector::peer::nobody()))]);
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("were not exported")).unwrap_or_else(|| panic!("{said}"));
    let spans = report["runs"][0]["hops"].as_array().unwrap().len();
    assert!(line.starts_with("hopwatch: ") && line.contains("refused") && spans > 0, "{line}");
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let peer = Peer::start(OtlpProtocol::HttpProtobuf, [Reply::Refuse]);
    let Ended { output, .. } = ended(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/v1/traces", peer.endpoint()))]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("spans were not exported") && said.contains("400"), "{said}");
}

#[test]
fn a_variable_that_cannot_be_read_is_told_and_the_command_runs() {
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"), ("OTEL_EXPORTER_OTLP_HEADERS", "key=s3cret")];
    let Ended { output, report } = ended(&variables);
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT is `localhost:4318`") && !said.contains("s3cret"), "{said}");
    assert_eq!(report["runs"][0]["trace_id"], Value::Null);
}

#[test]
fn the_command_keeps_its_variables_and_nothing_is_exported_where_that_is_switched_off() {
    let peer = Peer::start(OtlpProtocol::HttpProtobuf, []);
    let run = |disabled: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
        command.args(["run", "--quiet", "--via", "none", "--", "sh", "-c", "echo $OTEL_EXPORTER_OTLP_ENDPOINT"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", peer.endpoint()).env("OTEL_SDK_DISABLED", disabled);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), peer.endpoint(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        peer.requests().len()
    };
    assert_eq!(run("true"), 0);
    assert_eq!(run("false"), 1);
}
