//! `hopwatch run --metrics` of a real Python client against scripted servers.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::ask::{PATIENCE, get, wait_for};
use crate::prometheus::{Prometheus, Scraped, check_metrics};
use crate::support::part::part;
use crate::support::replies::{CHAT, documents, rate_limited, stream};
use crate::support::script::Script;
use crate::support::server::{Router, Server};

const ROUNDS: usize = 4;

/// What the program calls; the tool answers `/held` when it is released.
struct Servers {
    docs: Server,
    model: Server,
    tool: Server,
    release: mpsc::Sender<()>,
}

impl Servers {
    fn start() -> Self {
        let (release, released) = mpsc::channel();
        let released = Arc::new(Mutex::new(released));
        let docs = Router::new().route("/search", |_| documents().after(20)).start();
        let model = Router::new()
            .route(CHAT, |request| if request.number == 1 { rate_limited("1") } else { stream(4, 15, 2_000, 60).after(30) })
            .start();
        let tool = Router::new()
            .route("/lookup", |_| Script::answer(404, &[], &json!({"error": "no such order"})))
            .route("/held", move |_| {
                let _gone = released.lock().unwrap().recv_timeout(PATIENCE);
                Script::json(&json!({}))
            })
            .start();
        Self { docs, model, tool, release }
    }

    fn program(&self) -> Vec<String> {
        let place = |server: &Server| format!("127.0.0.1:{}", server.port());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/service.py").display().to_string();
        let options = [
            ("--docs", place(&self.docs)),
            ("--model", place(&self.model)),
            ("--tool", place(&self.tool)),
            ("--rounds", ROUNDS.to_string()),
        ];
        let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        ["python3".to_owned(), file].into_iter().chain(options).collect()
    }
}

/// `hopwatch run --metrics` under way; dropped, it is ended.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
}

impl Running {
    fn start(servers: &Servers, via: &str, json: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
            command.env_remove(name);
        }
        let mut child = command
            .args(["run", "--metrics", "127.0.0.1:0", "--via", via, "--json"])
            .arg(json)
            .args([servers.docs.dep("retrieval/docs"), servers.model.dep("llm/openai"), servers.tool.dep("tool/lookup")])
            .arg("--")
            .args(servers.program())
            .env_remove("HOPWATCH_CONFIG")
            .env_remove("LD_PRELOAD")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("hopwatch: metrics at http://").and_then(|rest| rest.strip_suffix("/metrics"));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { child, stderr, address }
    }

    /// What is scraped now.
    fn text(&self) -> String {
        let (head, body) = get(&self.address, "/metrics").unwrap();
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
        let typed = head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8");
        assert!(typed, "{head}");
        body
    }

    fn ended(mut self) {
        let code = self.child.wait().unwrap().code();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert_eq!(code, Some(0), "{said}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_prometheus_scraped_from_a_run_is_what_its_report_says_however_it_was_seen() {
    let (Some(prometheus), Some(promtool), Some(_)) = (part("prometheus"), part("promtool"), part("python3")) else { return };
    ["observer", "gateway", "both"].into_iter().for_each(|via| scraped_is_reported(via, &prometheus, &promtool));
}

fn scraped_is_reported(via: &str, prometheus: &Path, promtool: &Path) {
    let servers = Servers::start();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let running = Running::start(&servers, via, &json);
    let prometheus = Prometheus::scraping(prometheus, &running.address);

    // Each round is a search, a question (one of them after a refusal) and a look-up.
    wait_for("Prometheus has every call that ended", || {
        let calls = prometheus.value("sum(hopwatch_hop_calls_total)");
        if calls >= 3.0 * ROUNDS as f64 { Ok(()) } else { Err(format!("{calls} calls")) }
    });
    assert_eq!(prometheus.value("hopwatch_hop_in_flight{dependency='lookup'}"), 1.0);
    assert!(prometheus.value("hopwatch_hop_open_age_seconds{dependency='lookup',phase='wait'}") > 0.0);
    check_metrics(promtool, &running.text());
    let scraped = Scraped::of(&prometheus);
    let tried = |labels: &str| prometheus.value(&format!("sum(hopwatch_attempts_total{{{labels}}})"));
    assert_eq!(tried("dependency='openai',attempt='1',outcome='rate_limited'"), 1.0);
    assert_eq!(tried("dependency='openai',attempt='2',outcome='ok'"), 1.0);
    assert_eq!(prometheus.value("gen_ai_client_token_usage_sum{gen_ai_token_type='input'}"), 2_000.0 * ROUNDS as f64);
    assert_eq!(prometheus.value("gen_ai_client_operation_time_to_first_chunk_seconds_count"), ROUNDS as f64);
    assert_eq!(prometheus.value("sum(http_client_request_duration_seconds_count)"), 3.0 * ROUNDS as f64 + 1.0);
    assert_eq!(prometheus.query("{__name__=~'.+',quantile!=''}"), []);

    servers.release.send(()).unwrap();
    running.ended();
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(report["dependencies"].as_array().unwrap().len(), 3, "{report:#}");
    scraped.equals(&report, Some("GET /held"));
}

#[test]
fn each_call_is_counted_once_however_often_it_is_scraped() {
    if part("python3").is_none() {
        return;
    }
    let servers = Servers::start();
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(&servers, "observer", &folder.path().join("report.json"));
    let calls = |text: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with("hopwatch_hop_calls_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    wait_for("all calls that ended are told", || {
        let told = calls(&running.text());
        if told >= 3.0 * ROUNDS as f64 { Ok(()) } else { Err(format!("{told}")) }
    });
    assert_eq!((0..5).map(|_| calls(&running.text())).collect::<Vec<_>>(), [3.0 * ROUNDS as f64; 5]);
    let (head, body) = get(&running.address, "/healthz").unwrap();
    assert!(head.contains(" 200 ") && body == "ok\n", "{head}\n{body}");
    assert!(get(&running.address, "/search?q=1").unwrap().0.contains(" 404 "));
    let text = running.text();
    assert!(!text.contains("search") && !text.contains("question"), "a path, a query or a prompt leaked: {text}");
    let address = running.address.clone();
    servers.release.send(()).unwrap();
    running.ended();
    assert!(get(&address, "/metrics").is_err(), "the address is served after the run");
}
