//! SIGHUP: other settings are in force, and nobody notices who is served.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};

use serde_json::json;

use crate::ask::{PATIENCE, wait_for};
use crate::client::{Answer, Client};
use crate::sidecar::{Sidecar, free, route};
use crate::support::script::Script;
use crate::support::server::{Router, Server};

/// A server that answers with its name.
fn named(name: &'static str) -> Server {
    Router::new().route("/who", move |_| Script::json(&json!({"name": name}))).start()
}

fn answer(name: &str) -> Answer {
    Answer { status: 200, body: json!({"name": name}).to_string() }
}

/// A server with a stream that takes half a second, and an answer that waits until the test says so.
pub(crate) fn held_stream() -> (Server, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let server = Router::new()
        .route("/stream", |_| Script::event_stream().event("first").delay(500).event("last").end())
        .route("/held", move |_| {
            let _gone = released.lock().unwrap().recv_timeout(PATIENCE);
            Script::json(&json!({"held": true}))
        })
        .start();
    (server, release)
}

#[test]
fn new_routes_and_listeners_are_in_force_and_no_connection_is_lost() {
    let (old, new) = (named("old"), named("new"));
    let (streams, release) = held_stream();
    let held = route("/held", &streams.url("/held"), "http", "held");
    let sidecar = Sidecar::start(&(route("/docs", &old.url(""), "retrieval", "docs") + &held));
    let address = sidecar.gateway[0].clone();
    let mut kept = Client::to(&address);
    assert_eq!(kept.get("/docs/who").unwrap(), answer("old"));
    // One that waits for its answer, and one that gets it bit by bit.
    let mut waiting = Client::to(&address);
    waiting.write(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut streaming = Client::to(&address);
    let target = streams.url("/stream");
    streaming.write(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
    while streaming.line().unwrap() != "data: first" {}

    let more = free();
    let listen = |places: &[&str]| format!("listen = {places:?}\n");
    sidecar.rewrite(&(listen(&["127.0.0.1:0", &more]) + &route("/docs", &new.url(""), "retrieval", "docs")));
    sidecar.says("hopwatch: reloaded");
    assert_eq!(kept.get("/docs/who").unwrap(), answer("new"), "on the very connection");
    let mut other = Client::to(&more);
    assert_eq!(other.get("/docs/who").unwrap(), answer("new"));
    assert_eq!(kept.get("/held").unwrap().status, 404, "that route is gone");
    release.send(()).unwrap();
    assert_eq!(waiting.head().unwrap().0, 200, "and who was on it was served");
    while streaming.line().unwrap() != "data: last" {}

    // The listener goes; who came in by it stays.
    sidecar.rewrite(&route("/docs", &old.url(""), "retrieval", "docs"));
    sidecar.says("hopwatch: reloaded");
    wait_for("nobody is let in there", || TcpStream::connect(&more).map_or(Ok(()), |_| Err("it listens".to_owned())));
    assert_eq!((other.get("/docs/who").unwrap(), kept.get("/docs/who").unwrap()), (answer("old"), answer("old")));
    let losses = &sidecar.report()["losses"];
    assert_eq!((&losses["open"], &losses["dropped"]), (&0.into(), &json!({})));
}

#[test]
fn a_mistake_keeps_what_was_in_force_and_is_told_with_its_place() {
    let old = named("old");
    let sidecar = Sidecar::start(&route("/docs", &old.url(""), "retrieval", "docs"));
    let mut kept = Client::to(&sidecar.gateway[0]);
    for (gateway, error) in [
        ("wokers = 2\n", "error: hopwatch.toml:5:1: unknown key `wokers`"),
        ("workers = \"many\"\n", "error: hopwatch.toml:5:11: "),
        ("workers = [\n", "error: hopwatch.toml:"),
        ("tls_certificate = \"gone.pem\"\ntls_key = \"gone.key\"\n", "error: hopwatch.toml:5:19: cannot read "),
    ] {
        sidecar.rewrite(gateway);
        let line = sidecar.says("error: ");
        assert!(line.starts_with(error), "{line}");
        sidecar.says("hopwatch: not reloaded");
        assert_eq!(kept.get("/docs/who").unwrap(), answer("old"));
        assert_eq!(Client::to(&sidecar.gateway[0]).get("/docs/who").unwrap(), answer("old"));
        assert_eq!(sidecar.asked("/readyz").0, 200);
    }
    assert!(sidecar.said().contains("hint: did you mean `workers`?"), "{}", sidecar.said());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    sidecar.rewrite(&format!("listen = [\"127.0.0.1:0\", \"{}\"]\n", taken.local_addr().unwrap()));
    assert!(sidecar.says("error: ").contains("cannot listen at"), "{}", sidecar.said());
    sidecar.says("hopwatch: not reloaded");
    assert_eq!(kept.get("/docs/who").unwrap(), answer("old"));
}

#[test]
fn what_takes_a_restart_is_said() {
    let sidecar = Sidecar::start("");
    sidecar.rewrite("workers = 2\n");
    assert_eq!(sidecar.says("hopwatch: `"), "hopwatch: `gateway.workers` takes a restart");
    sidecar.says("hopwatch: reloaded");
    // Said once, and not again where nothing more changed.
    sidecar.rewrite("workers = 2\n");
    sidecar.says("hopwatch: reloaded");
    assert_eq!(sidecar.said().matches("takes a restart").count(), 1);
}
