use super::*;
use crate::agent::hub::HubOptions;
use crate::attribution::judge;
use crate::model::clock::Anchor;
use crate::model::{Losses, Name};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A hub whose own source tells nothing.
pub(in crate::agent) fn quiet_hub() -> Arc<Hub> {
    let options = HubOptions {
        anchor: Anchor::new(0),
        source: "agent",
        take: None,
        ask: Box::new(Default::default),
        loose: true,
        connections: None,
        exporter: None,
        keep_runs: 10,
        keep_for: Duration::from_secs(3600),
        silence: crate::agent::hub::SILENCE,
    };
    Arc::new(Hub::new(options).unwrap())
}

/// An admin address that takes runs or does not.
pub(in crate::agent) fn serving(takes_runs: bool) -> (Arc<Admin>, AdminServer) {
    let admin = Admin::new(quiet_hub(), None);
    let server = admin.serve(TcpListener::bind("127.0.0.1:0").unwrap(), takes_runs).unwrap();
    (admin, server)
}

/// The answer to what is written; the connection stays open for it.
pub(in crate::agent) fn answer(server: &AdminServer, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(server: &AdminServer, path: &str) -> String {
    answer(server, format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn everything_that_operators_ask_is_there_before_anything_happened() {
    let (admin, server) = serving(true);
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 503"));
    admin.set_ready(true);
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(&server, "/metrics").contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let report: serde_json::Value = serde_json::from_str(body(&get(&server, "/api/report"))).unwrap();
    assert_eq!((&report["schema"], &report["source"]), (&"hopwatch.report/1".into(), &"agent".into()));
    let open: serde_json::Value = serde_json::from_str(body(&get(&server, "/api/open?x=1"))).unwrap();
    assert_eq!(open["schema"], "hopwatch.open/1");
    assert_eq!(body(&get(&server, "/")), NOTHING);
    for path in ["/metric", "//metrics", "/api", "/api/report/", "/api/runs/1", "/../healthz"] {
        assert!(get(&server, path).starts_with("HTTP/1.1 404"), "{path}");
    }
    assert!(get(&server, "/healthz").contains(&format!("\r\nserver: {}\r\n", crate::export::serve::SERVER_THAT_TAKES)));
}

#[test]
fn a_run_that_goes_on_is_told_by_whoever_makes_it() {
    let making = || {
        let run = Run { name: Name::from("agent.py"), seen_until: 1_000_000, ..Run::default() };
        let judgement = judge(&run, &Losses::default());
        Some((run, judgement))
    };
    let admin = Admin::new(quiet_hub(), Some(Box::new(making)));
    let server = admin.serve(TcpListener::bind("127.0.0.1:0").unwrap(), false).unwrap();
    assert!(body(&get(&server, "/")).contains("agent.py"));
    let report: serde_json::Value = serde_json::from_str(body(&get(&server, "/api/report"))).unwrap();
    assert_eq!(report["runs"][0]["name"], "agent.py");
}
