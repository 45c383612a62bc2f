//! Real receivers: the OpenTelemetry Collector and one in Python. Both write what they got as OTLP/JSON, a request a line.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hopwatch::export::otlp::OtlpProtocol;
use hopwatch::model::clock::monotonic;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use super::peer::nobody;
use crate::ask::PATIENCE;
use crate::support::app;

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) name: &'static str,
    child: Child,
    folder: TempDir,
    grpc: u16,
    http: u16,
    /// Certificates, where it speaks TLS and asks for one.
    pub(crate) tls: Option<Certificates>,
}

/// PEM files of an authority, and of a client with a certificate from it.
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) client: PathBuf,
    pub(crate) client_key: PathBuf,
    server: PathBuf,
    server_key: PathBuf,
}

impl Receiver {
    /// The real receivers that are there; what is not was told.
    pub(crate) fn all() -> Vec<Self> {
        [Self::collector(), Self::python()].into_iter().flatten().collect()
    }

    /// The OpenTelemetry Collector.
    pub(crate) fn collector() -> Option<Self> {
        Self::start_collector(false)
    }

    /// The same, with TLS for which clients need a certificate.
    pub(crate) fn collector_with_tls() -> Option<Self> {
        Self::start_collector(true)
    }

    fn start_collector(tls: bool) -> Option<Self> {
        let program = collector_program()?;
        let folder = tempfile::tempdir().unwrap();
        let tls = tls.then(|| Certificates::new(folder.path()));
        // Ports can only be named beforehand: another process may take one in between.
        for _ in 0..5 {
            let (grpc, http) = (nobody().port(), nobody().port());
            let config = folder.path().join("config.yaml");
            fs::write(&config, collector_config(folder.path(), grpc, http, tls.as_ref())).unwrap();
            let log = fs::File::create(folder.path().join("log")).unwrap();
            let mut command = Command::new(&program);
            command.arg("--config").arg(&config).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut child = command.spawn().unwrap();
            if listens(&mut child, &[grpc, http]) {
                return Some(Self { name: "collector", child, folder, grpc, http, tls });
            }
            drop(child.kill());
            drop(child.wait());
        }
        panic!("the collector does not start: {}", fs::read_to_string(folder.path().join("log")).unwrap());
    }

    /// The receiver in Python.
    pub(crate) fn python() -> Option<Self> {
        let python = app::python()?;
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/collector/receiver.py");
        let mut command = Command::new(python);
        command.arg(script).arg(folder.path().join("traces")).arg(folder.path().join("metrics"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ports = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ports).unwrap();
        let ports: Vec<u16> = ports.split_whitespace().map(|port| port.parse().unwrap()).collect();
        let [grpc, http] = *ports else { panic!("the receiver in Python did not start") };
        Some(Self { name: "python", child, folder, grpc, http, tls: None })
    }

    /// Its base address.
    pub(crate) fn endpoint(&self, protocol: OtlpProtocol) -> String {
        let port = if protocol == OtlpProtocol::Grpc { self.grpc } else { self.http };
        if self.tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") }
    }

    /// The requests it got for a signal, once `enough` of them are there.
    #[track_caller]
    pub(crate) fn requests(&self, signal: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = monotonic();
        loop {
            let text = fs::read_to_string(self.folder.path().join(signal)).unwrap_or_default();
            // The last line may be half written.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let requests: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if enough(&requests) {
                return requests;
            }
            assert!(start.elapsed() < PATIENCE, "{} got only {text} {}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The collector that `tests/collector/setup` built, or `None` after saying why its tests are skipped.
fn collector_program() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let program = target.join("collector/collector");
    if program.exists() {
        return Some(program);
    }
    let why = format!("no OpenTelemetry Collector at {} (run tests/collector/setup)", program.display());
    let on = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(!on("CI") && !on("HOPWATCH_REQUIRE_PARTS"), "{why}");
    // Past the harness, which would keep back what a passing test prints.
    drop(writeln!(std::io::stderr(), "skipped: {why}"));
    None
}

fn collector_config(folder: &Path, grpc: u16, http: u16, tls: Option<&Certificates>) -> String {
    let mut config = "receivers:\n  otlp:\n    protocols:\n".to_owned();
    for (protocol, port) in [("grpc", grpc), ("http", http)] {
        let _infallible = writeln!(config, "      {protocol}:\n        endpoint: localhost:{port}");
        if let Some(tls) = tls {
            let (cert, key, ca) = (tls.server.display(), tls.server_key.display(), tls.authority.display());
            let _infallible = writeln!(
                config,
                "        tls:\n          cert_file: {cert}\n          key_file: {key}\n          client_ca_file: {ca}"
            );
        }
    }
    config.push_str("exporters:\n");
    for signal in ["traces", "metrics"] {
        let file = folder.join(signal);
        let _infallible = writeln!(config, "  file/{signal}:\n    path: {}\n    flush_interval: 50ms", file.display());
    }
    // It would tell of itself at a port of its own.
    config.push_str("service:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n");
    for signal in ["traces", "metrics"] {
        let _infallible = writeln!(config, "    {signal}:\n      receivers: [otlp]\n      exporters: [file/{signal}]");
    }
    config
}

/// Waits until a process listens on all of these ports; `false` = it ended.
fn listens(child: &mut Child, ports: &[u16]) -> bool {
    let start = monotonic();
    while !ports.iter().all(|port| TcpStream::connect(("localhost", *port)).is_ok()) {
        if child.try_wait().unwrap().is_some() || start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

impl Certificates {
    fn new(folder: &Path) -> Self {
        let mut issuer = CertificateParams::new(Vec::new()).unwrap();
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();
        let write = |name: &str, pem: String| {
            let path = folder.join(name);
            fs::write(&path, pem).unwrap();
            path
        };
        let issue = |name: &str, host: &str| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            params.use_authority_key_identifier_extension = true;
            let certificate = params.signed_by(&key, &issuer).unwrap();
            (write(&format!("{name}.pem"), certificate.pem()), write(&format!("{name}-key.pem"), key.serialize_pem()))
        };
        let (server, server_key) = issue("server", "localhost");
        let (client, client_key) = issue("client", "hopwatch");
        Self { authority: write("ca.pem", issuer.pem()), client, client_key, server, server_key }
    }
}
