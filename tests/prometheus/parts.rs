//! The real Prometheus, and what is asked over HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

#[path = "../it/support/part.rs"]
mod part;
pub(crate) use part::part;

/// Far above what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until there is an answer.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = hopwatch::model::clock::monotonic();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) => assert!(start.elapsed() < PATIENCE, "in vain: {what}: {last}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The whole answer to a GET, head and body.
pub(crate) fn get(address: &str, path: &str) -> io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((head.to_owned(), body.to_owned()))
}

/// A Prometheus that scrapes one address each second.
pub(crate) struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    pub(crate) fn scraping(program: &Path, target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: hopwatch\n  static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening = lines.by_ref().find(|line| line.contains("msg=\"Listening on\""));
        let listening = listening.expect("Prometheus says where it listens");
        let address = listening.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        // Nobody reads on, and a full pipe must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let prometheus = Self { child, address, _folder: folder };
        wait_for("Prometheus is ready", || {
            let (head, _) = get(&prometheus.address, "/-/ready").map_err(|error| error.to_string())?;
            if head.contains(" 200 ") { Ok(()) } else { Err(head) }
        });
        prometheus
    }

    /// The series of an instant query, with their values.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (head, body) = get(&self.address, &format!("/api/v1/query?query={escaped}")).unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().unwrap();
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        series.iter().map(|series| (series["metric"].clone(), value(series))).collect()
    }

    /// The only value of an instant query; 0 where there is no series.
    pub(crate) fn value(&self, query: &str) -> f64 {
        let found = self.query(query);
        assert!(found.len() <= 1, "{query}: {found:?}");
        found.first().map_or(0.0, |(_, value)| *value)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
