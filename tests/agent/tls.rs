//! Clients that speak TLS with the agent.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::client::{Client, curl, curled};
use crate::sidecar::{Sidecar, route};
use crate::support::authority::Authority;
use crate::support::part::part;
use crate::support::replies::{CHAT, documents, stream};
use crate::support::server::{Router, Server};

fn peer() -> Server {
    Router::new().route("/search", |_| documents()).route(CHAT, |_| stream(3, 100, 40, 3)).start()
}

fn settings(authority: &Authority, peer: &Server) -> String {
    let (certificate, key) = authority.server();
    let identity = format!("tls_certificate = \"{}\"\ntls_key = \"{}\"\n", certificate.display(), key.display());
    identity + &route("/docs", &peer.url(""), "retrieval", "docs") + &route("/llm", &peer.url(""), "llm", "openai")
}

fn url(sidecar: &Sidecar, path: &str) -> String {
    let (_, port) = sidecar.gateway[0].rsplit_once(':').unwrap();
    format!("https://localhost:{port}{path}")
}

/// A curl that trusts this authority and writes which protocol was spoken.
fn trusting(authority: &Path, arguments: &[&str]) -> Command {
    let mut command = curl(&["--cacert", authority.to_str().unwrap(), "--write-out", "\n%{http_version} %{http_code}"]);
    command.args(arguments);
    command
}

#[test]
fn curl_is_served_over_tls_by_both_protocols_streams_included() {
    if part("curl").is_none() {
        return;
    }
    let (authority, peer) = (Authority::new(), peer());
    let sidecar = Sidecar::start(&settings(&authority, &peer));
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let asked = |arguments: &[&str]| {
            let output = trusting(&authority.file(), arguments).arg(option).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let found = asked(&[&url(&sidecar, "/docs/search")]);
        assert!(found.starts_with('{') && found.ends_with(&format!("\n{version} 200")), "{found}");
        let told = asked(&["--no-buffer", "--data", "{}", &url(&sidecar, &format!("/llm{CHAT}"))]);
        assert!(told.contains("data: [DONE]") && told.ends_with(&format!("\n{version} 200")), "{told}");
        assert_eq!(told.matches("data: ").count(), 6, "three words, their end, usage, and done");
        // Several at once on one connection.
        let at_once = asked(&["--parallel", &url(&sidecar, "/docs/search"), &url(&sidecar, "/docs/search")]);
        assert_eq!(at_once.matches(&format!("{version} 200")).count(), 2, "{at_once}");
    }
    sidecar.counted(8);
    let report = sidecar.report();
    let calls = |dependency: &str| {
        let dependencies = report["dependencies"].as_array().unwrap();
        dependencies.iter().find(|one| one["dependency"] == dependency).unwrap()["outcomes"]["ok"].clone()
    };
    assert_eq!((calls("docs"), calls("openai")), (json!(6), json!(2)));
    assert_eq!(report["losses"]["dropped"], json!({}));
}

#[test]
fn who_does_not_speak_tls_or_does_not_trust_is_turned_away_and_is_no_call() {
    if part("curl").is_none() {
        return;
    }
    let (authority, other, peer) = (Authority::new(), Authority::new(), peer());
    let sidecar = Sidecar::start(&settings(&authority, &peer));
    let mut plain = Client::to(&sidecar.gateway[0]);
    plain.write(b"GET /docs/search HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(!plain.rest().contains("HTTP/"), "no answer in plain text");
    let suspicious = trusting(&other.file(), &[&url(&sidecar, "/docs/search")]).output().unwrap();
    assert_eq!(suspicious.status.code(), Some(60), "{suspicious:?}");
    assert_eq!(trusting(&authority.file(), &[&url(&sidecar, "/docs/search")]).output().unwrap().status.code(), Some(0));
    sidecar.counted(1);
    assert_eq!((sidecar.report()["losses"]["started"].clone(), peer.requests().len()), (json!(1), 1));
}

#[test]
fn another_certificate_is_served_after_a_reload_and_connections_stay() {
    if part("curl").is_none() {
        return;
    }
    let (before, after, peer) = (Authority::new(), Authority::new(), peer());
    let sidecar = Sidecar::start(&settings(&before, &peer));
    // One client asks twice, with a pause in which the certificate changes.
    let slow = {
        let mut command = trusting(&before.file(), &["--http1.1", "--limit-rate", "20", &url(&sidecar, "/docs/search")]);
        command.arg(url(&sidecar, "/docs/search")).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    crate::ask::wait_for("its first answer is on its way", || {
        if peer.requests().is_empty() { Err("nothing came".to_owned()) } else { Ok(()) }
    });
    sidecar.rewrite(&settings(&after, &peer));
    sidecar.says("hopwatch: reloaded");
    let trusts =
        |authority: &Authority| trusting(&authority.file(), &[&url(&sidecar, "/docs/search")]).output().unwrap().status.code();
    assert_eq!((trusts(&before), trusts(&after)), (Some(60), Some(0)));
    let output = slow.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("1.1 200").count(), 2, "both on the old connection");
    // What cannot be served keeps what was.
    let (certificate, _) = before.server();
    let (_, key) = after.server();
    let unmatched = format!("tls_certificate = \"{}\"\ntls_key = \"{}\"\n", certificate.display(), key.display());
    sidecar.rewrite(&unmatched);
    assert!(sidecar.says("error: ").contains("cannot be served"), "{}", sidecar.said());
    sidecar.says("hopwatch: not reloaded");
    assert_eq!(trusts(&after), Some(0));
    assert!(curled(&["--insecure", "--cacert", after.file().to_str().unwrap(), &url(&sidecar, "/docs/search")]).starts_with('{'));
}
