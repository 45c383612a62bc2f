//! TLS that is linked into the program: of a real client on rustls the observer tells what the heads of TLS records show.
//!
//! This binary is both: the test, and (with `HOPWATCH_OPAQUE_URL` set) the program that is watched.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "shared with the other test binaries, which use the rest of it")]
#[path = "it/support/mod.rs"]
mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::app::Finished;
use support::authority::Authority;
use support::report::Report;
use support::script::Script;
use support::server::{Router, Server};

/// What the program calls, whom it trusts, and the newest version of TLS that it speaks.
const URL: &str = "HOPWATCH_OPAQUE_URL";
const TRUSTED: &str = "HOPWATCH_OPAQUE_TRUSTED";
const VERSION: &str = "HOPWATCH_OPAQUE_VERSION";

#[test]
fn exchanges_inside_are_timed_by_their_records() {
    if std::env::var_os(URL).is_some() {
        return program();
    }
    let authority = Authority::new();
    let server = server(&authority);
    for version in ["1.3", "1.2"] {
        let report = watched(&server, &authority.file(), version);
        let hops = report.hops("tool", "lookup");
        assert_eq!(hops.len(), 4, "{}", report.dump());
        for (n, hop) in hops.iter().enumerate() {
            hop.ended_ok().is("/inferred", true).is("/operation", "tls").is("/status", Value::Null);
            hop.is("/client/connection", if n == 0 { "new" } else { "reused" });
            report.holds((hop.phase("tls") > 0.0) == (n == 0), "one handshake, before the first exchange");
        }
        // Whole answers, then streams of four pieces.
        for hop in &hops[..2] {
            hop.took("wait", 119.0, 5_000.0).took("stream", 0.0, 50.0);
        }
        for hop in &hops[2..] {
            hop.took("wait", 119.0, 5_000.0).took("stream", 299.0, 5_000.0);
            let gap = hop.at("/gap_ms").as_f64().unwrap();
            report.holds((99.0..3_000.0).contains(&gap), "the longest pause between two pieces");
        }
    }
}

#[test]
fn a_server_that_is_not_trusted_fails_the_handshake() {
    if std::env::var_os(URL).is_some() {
        return program();
    }
    let authority = Authority::new();
    let server = server(&authority);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    std::fs::write(&other, rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    let report = watched(&server, &other, "1.2");
    let hop = report.hop("tool", "lookup").ended("tls", "peer").is("/error_type", "certificate_unknown_issuer");
    report.holds(hop.phase("tls") > 0.0, "it failed in the handshake");
    // What TLS 1.3 says of it is encrypted.
    let report = watched(&server, &other, "1.3");
    report.hop("tool", "lookup").ended("tls", "peer").is("/error_type", "tls_alert");
}

/// Whole answers and streams, each begun after 120 ms.
fn server(authority: &Authority) -> Server {
    let stream = |_: &_| {
        let pieces = (0..4).fold(Script::event_stream(), |script, n| script.event(&n.to_string()).delay(100));
        pieces.end().after(120)
    };
    Router::new().route("/whole", |_| Script::json(&json!({"found": 3})).after(120)).route("/stream", stream).start_tls(authority)
}

/// The program: two calls of each kind on one connection.
fn program() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let [url, trusted, version] = [URL, TRUSTED, VERSION].map(|name| std::env::var(name).unwrap());
    let certificate = reqwest::Certificate::from_pem(&std::fs::read(trusted).unwrap()).unwrap();
    let newest = if version == "1.2" { reqwest::tls::Version::TLS_1_2 } else { reqwest::tls::Version::TLS_1_3 };
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).tls_version_max(newest).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async {
        for path in ["whole", "whole", "stream", "stream"] {
            client.get(format!("{url}/{path}")).send().await?.bytes().await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<(), reqwest::Error>(())
    };
    // What fails is the observer's to tell.
    drop(runtime.block_on(work));
}

#[track_caller]
fn watched(server: &Server, trusted: &Path, version: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let name = std::thread::current().name().unwrap().to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_hopwatch"))
        .args(["run", "--via", "observer", "--deadline", "120s", &server.dep("tool/lookup"), "--json"])
        .arg(&json)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--test-threads=1"])
        .env(URL, server.url(""))
        .env(TRUSTED, trusted)
        .env(VERSION, version)
        .output()
        .unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let finished = Finished { code: output.status.code().unwrap(), stdout, stderr };
    let report = Report::parse(&read(&json), &finished);
    assert_eq!(finished.code, 0, "{}", report.dump());
    report.check_sums();
    report
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
