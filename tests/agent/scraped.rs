//! What a real Prometheus scraped of real clients' calls is what the report says.

use std::process::Command;

use serde_json::json;

use crate::client::curled;
use crate::prometheus::{Prometheus, Scraped, check_metrics};
use crate::sidecar::{Sidecar, route};
use crate::support::app::App;
use crate::support::part::part;
use crate::support::replies::{CHAT, documents, rate_limited, stream};
use crate::support::script::Script;
use crate::support::server::Router;

#[test]
fn what_prometheus_scraped_of_real_clients_is_what_the_report_says() {
    let (Some(prometheus), Some(promtool), Some(_)) = (part("prometheus"), part("promtool"), part("curl")) else { return };
    let (Some(httpx), Some(openai)) = (App::new("httpx_calls.py"), App::new("openai_stream.py")) else { return };
    let docs = Router::new().route("/search", |_| documents().after(10)).start();
    let model = Router::new().route(CHAT, |_| stream(4, 10, 2_000, 60).after(20)).start();
    let tool = Router::new()
        .route("/lookup", |_| Script::answer(404, &[], &json!({"error": "no such order"})))
        .route("/busy", |_| rate_limited("0"))
        .start();
    let dependency = format!("[[dependency]]\nname = \"lookup\"\nkind = \"tool\"\nmatch = [\"127.0.0.1:{}\"]\n", tool.port());
    let sidecar = Sidecar::start(
        &[route("/docs", &docs.url(""), "retrieval", "docs"), route("/llm", &model.url(""), "llm", "openai"), dependency]
            .concat(),
    );
    let prometheus = Prometheus::scraping(&prometheus, &sidecar.admin);

    let answers = httpx.arg(sidecar.url("/docs/search?q=1")).option("--calls", 5).alone();
    assert_eq!((answers.code, answers.stdout.lines().count()), (0, 5), "{}", answers.stderr);
    let answers = openai.arg(sidecar.url("/llm/v1")).option("--calls", 3).alone();
    assert_eq!((answers.code, answers.stdout.matches("[2000 in, 60 out]").count()), (0, 3), "{}", answers.stderr);
    let proxy = sidecar.url("");
    for _ in 0..2 {
        let answer = curled(&["--proxy", &proxy, "--write-out", "%{http_code}", &tool.url("/lookup?n=1")]);
        assert!(answer.ends_with("404"), "{answer}");
    }
    // Nobody tries it again: it is told 10 s after it.
    curled(&["--proxy", &proxy, &tool.url("/busy")]);

    sidecar.counted(11);
    let calls = 11.0;
    crate::ask::wait_for("Prometheus has them too", || {
        let scraped = prometheus.value("sum(hopwatch_hop_calls_total)");
        if scraped == calls { Ok(()) } else { Err(format!("{scraped} calls")) }
    });
    let (_, text) = sidecar.asked("/metrics");
    check_metrics(&promtool, &text);
    let report = sidecar.report();
    assert_eq!(report["dependencies"].as_array().unwrap().len(), 3, "{report:#}");
    Scraped::of(&prometheus).equals(&report, None);
    assert_eq!(prometheus.value("gen_ai_client_token_usage_sum{gen_ai_token_type='input'}"), 6_000.0);
    assert_eq!(prometheus.value("gen_ai_client_operation_time_to_first_chunk_seconds_count"), 3.0);
    assert_eq!(prometheus.value("sum(http_client_request_duration_seconds_count)"), calls);
    assert_eq!(prometheus.value("hopwatch_attempts_total{dependency='lookup',attempt='1',outcome='rate_limited'}"), 1.0);
    assert_eq!(prometheus.value("sum(hopwatch_verdicts_total{dependency='lookup'})"), 1.0);
    for (name, count) in [("started", "started"), ("recorded", "recorded")] {
        assert_eq!(prometheus.value(&format!("hopwatch_hops_{name}_total")), report["losses"][count].as_f64().unwrap());
    }
    assert_eq!(report["losses"]["dropped"], json!({}));
    assert_eq!(report["runs"].as_array().unwrap().len(), 1, "the refusal has a verdict: {report:#}");
    report_is_valid(&report);
}

/// The report fits the schema that the binary prints.
fn report_is_valid(report: &serde_json::Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_hopwatch")).args(["report", "--schema"]).output().unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&output.stdout).unwrap()).unwrap();
    if let Err(error) = schema.validate(report) {
        panic!("{error} at {}: {report:#}", error.instance_path());
    }
}
