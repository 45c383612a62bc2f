//! The real Prometheus, and whether what it scraped is what a report says.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::ask::{get, wait_for};

/// Metrics are in nanoseconds, the report in microseconds: what rounding may make of one value.
const ROUNDING_S: f64 = 0.000_001;

/// A Prometheus of its own.
pub(crate) struct Prometheus {
    server: Listening,
    _folder: TempDir,
}

/// A server of Prometheus' family, which logs where it listens. Ended with this.
pub(crate) struct Listening {
    child: Child,
    pub(crate) address: String,
}

impl Listening {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening = lines.by_ref().find(|line| line.contains("msg=\"Listening on\""));
        let listening = listening.unwrap_or_else(|| panic!("it does not say where it listens: {command:?}"));
        let address = listening.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        // Nobody reads on, and a full pipe must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `scrape_configs` of these jobs, each with its address.
pub(crate) fn targets(jobs: &[(&str, &str)]) -> String {
    let job = |(name, target): &(&str, &str)| format!("- job_name: {name}\n  static_configs:\n  - targets: ['{target}']\n");
    format!("scrape_configs:\n{}", jobs.iter().map(job).collect::<String>())
}

impl Prometheus {
    /// One that scrapes this address each second.
    pub(crate) fn scraping(program: &Path, target: &str) -> Self {
        Self::with(program, &format!("global: {{scrape_interval: 1s}}\n{}", targets(&[("hopwatch", target)])), &[])
    }

    /// One with this configuration and further options.
    pub(crate) fn with(program: &Path, text: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.args(options).arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        let server = Listening::start(command.arg("--web.listen-address=127.0.0.1:0"));
        let prometheus = Self { server, _folder: folder };
        wait_for("Prometheus is ready", || {
            let (head, _) = get(&prometheus.server.address, "/-/ready").map_err(|error| error.to_string())?;
            if head.contains(" 200 ") { Ok(()) } else { Err(head) }
        });
        prometheus
    }

    /// The series of an instant query, with their values; of a native histogram its count.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let series = self.ask(&format!("query?query={}", escaped(query)));
        series.iter().map(|series| (series["metric"].clone(), value(&series["value"], &series["histogram"]))).collect()
    }

    /// The series of a query over the last minute, each with its last value that is a number.
    pub(crate) fn range(&self, query: &str) -> Vec<(Value, f64)> {
        let now = self.query("vector(time())")[0].1;
        let series = self.ask(&format!("query_range?query={}&start={}&end={now}&step=1", escaped(query), now - 60.0));
        let last = |series: &Value| {
            let of = |key: &str| series[key].as_array().cloned().unwrap_or_default().into_iter();
            let mut values =
                of("values").map(|at| value(&at, &Value::Null)).chain(of("histograms").map(|at| value(&Value::Null, &at)));
            values.rfind(|value| value.is_finite()).unwrap_or(f64::NAN)
        };
        series.iter().map(|series| (series["metric"].clone(), last(series))).collect()
    }

    fn ask(&self, question: &str) -> Vec<Value> {
        let (head, body) = get(&self.server.address, &format!("/api/v1/{question}")).unwrap();
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"));
        assert_eq!(answer["status"], "success", "{question}: {answer}");
        match answer["data"]["result"].take() {
            Value::Array(series) => series,
            scalar => panic!("{question}: {scalar}"),
        }
    }

    /// What it cannot scrape, and why.
    pub(crate) fn unscraped(&self) -> Vec<String> {
        let (_, body) = get(&self.server.address, "/api/v1/targets").unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        let targets = answer["data"]["activeTargets"].as_array().unwrap();
        let down = targets.iter().filter(|target| target["health"] != "up");
        down.map(|target| format!("{} {}", target["labels"], target["lastError"])).collect()
    }

    /// The only value of an instant query; 0 where there is no series.
    pub(crate) fn value(&self, query: &str) -> f64 {
        let found = self.query(query);
        assert!(found.len() <= 1, "{query}: {found:?}");
        found.first().map_or(0.0, |(_, value)| *value)
    }
}

fn escaped(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The number of a sample.
fn value(sample: &Value, histogram: &Value) -> f64 {
    let text = sample[1].as_str().or_else(|| histogram[1]["count"].as_str());
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {sample} {histogram}"))
}

/// `promtool check metrics` has nothing to say on a text.
#[track_caller]
pub(crate) fn check_metrics(promtool: &Path, text: &str) {
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.is_empty(), "promtool: {said}\n{text}");
}

/// What Prometheus has of calls.
pub(crate) struct Scraped {
    calls: Vec<(Value, f64)>,
    counts: Vec<(Value, f64)>,
    sums: Vec<(Value, f64)>,
    connections: Vec<(Value, f64)>,
}

impl Scraped {
    pub(crate) fn of(prometheus: &Prometheus) -> Self {
        Self {
            calls: prometheus.query("sum by (kind, dependency, outcome) (hopwatch_hop_calls_total)"),
            counts: prometheus.query("hopwatch_hop_phase_seconds_count"),
            sums: prometheus.query("hopwatch_hop_phase_seconds_sum"),
            connections: prometheus.query("hopwatch_connections_total"),
        }
    }

    /// Against a report, which may also have calls of this operation: they ended after the last scrape.
    pub(crate) fn equals(&self, report: &Value, held: Option<&str>) {
        // Of two records of one call the one below is counted.
        let hops = report["runs"][0]["hops"].as_array().unwrap().iter().filter(|hop| hop["internal"] == false);
        let held: Vec<&Value> = hops.filter(|hop| held.is_some_and(|held| hop["operation"] == held)).collect();
        let dependencies = report["dependencies"].as_array().unwrap();
        assert!(dependencies.len() > 1, "{report:#}");
        for dependency in dependencies {
            let (kind, name) = (&dependency["kind"], &dependency["dependency"]);
            let held = held.iter().filter(|hop| hop["dependency"] == *name).copied().collect::<Vec<_>>();
            let same = |labels: &Value| labels["kind"] == *kind && labels["dependency"] == *name;
            let of = |series: &[(Value, f64)], label: &str, value: &str| -> f64 {
                series.iter().filter(|(labels, _)| same(labels) && labels[label] == *value).map(|(_, value)| value).sum()
            };
            for (outcome, calls) in dependency["outcomes"].as_object().unwrap() {
                let held = held.iter().filter(|hop| hop["outcome"] == **outcome).count() as f64;
                assert_eq!(of(&self.calls, "outcome", outcome), calls.as_f64().unwrap() - held, "{name} {outcome}: {report:#}");
            }
            for (phase, times) in dependency["phases"].as_object().unwrap() {
                let held: Vec<f64> = held.iter().filter_map(|hop| hop["phases"][phase].as_f64()).filter(|&ms| ms > 0.0).collect();
                let count = times["count"].as_f64().unwrap() - held.len() as f64;
                let sum = times["sum_ms"].as_f64().unwrap() - held.iter().sum::<f64>();
                assert_eq!(of(&self.counts, "phase", phase), count, "{name} {phase}: {report:#}");
                let scraped = of(&self.sums, "phase", phase);
                let off = (scraped - sum / 1_000.0).abs();
                assert!(off <= ROUNDING_S * (1.0 + held.len() as f64), "{name} {phase}: {scraped} s, {sum} ms: {report:#}");
            }
            let states = |state: &str| -> f64 {
                let of = |(labels, _): &&(Value, f64)| labels["dependency"] == *name && labels["state"] == *state;
                self.connections.iter().filter(of).map(|(_, value)| value).sum()
            };
            for state in ["new", "reused"] {
                let held = held.iter().filter(|hop| hop["attempts"][0]["connection"] == state).count() as f64;
                assert_eq!(states(state), dependency["connections"][state].as_f64().unwrap() - held, "{name}: {report:#}");
            }
        }
        let phases = |dependency: &Value| dependency["phases"].as_object().unwrap().len();
        let told: usize = dependencies.iter().map(phases).sum();
        assert_eq!(self.counts.len(), told, "the same phases on both sides: {:?}\n{report:#}", self.counts);
    }
}
