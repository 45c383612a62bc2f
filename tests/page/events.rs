//! What those who listen are told, and when.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use hopwatch::model::{Kind, Outcome, Phase};

use crate::ask::PATIENCE;
use crate::client::Client;
use crate::runs::{Hop, goes_on, hand_over, run};
use crate::sidecar::{Sidecar, hopwatch, route};
use crate::support::script::{Script, Step};
use crate::support::server::Router;

/// One who listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn to(sidecar: &Sidecar) -> Self {
        let mut stream = TcpStream::connect(&sidecar.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /api/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event: its name and what it says.
    fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(told) = line.strip_prefix("event: ") {
                name = told.trim_end().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The next one of this name.
    fn next_of(&mut self, name: &str) -> Value {
        loop {
            let (told, value) = self.next();
            if told == name {
                return value;
            }
        }
    }
}

fn names(report: &Value) -> Vec<&str> {
    report["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect()
}

fn late(name: &str) -> hopwatch::model::Run {
    let hop = Hop { outcome: Some(Outcome::Timeout), ..Hop::new(Kind::Retrieval, "docs", 10, &[(Phase::Wait, 4_000)]) };
    run(name, &[hop], 4_100, Some(4_000))
}

#[test]
fn all_is_told_in_brief_and_then_what_changed() {
    let sidecar = Sidecar::start("");
    hand_over(&sidecar.admin, "before", late("before"));
    let mut listener = Listener::to(&sidecar);
    let (name, report) = listener.next();
    assert_eq!((&*name, names(&report)), ("report", vec!["before"]));
    assert_eq!((&report["runs"][0]["hops"], &report["runs"][0]["outcome"]), (&Value::Array(Vec::new()), &"timeout".into()));
    assert_eq!(listener.next().0, "open");
    hand_over(&sidecar.admin, "after", late("after"));
    let changes = listener.next_of("changes");
    assert_eq!(names(&changes), ["after"], "what was told is not told again");
    assert_eq!((&changes["schema"], &changes["dependencies"][0]["calls"]), (&"hopwatch.report/1".into(), &2.into()));
    // A run that goes on is told until it ends, by one id.
    let open = Hop { outcome: None, ..Hop::new(Kind::Llm, "openai", 0, &[(Phase::Wait, 10)]) };
    let going = goes_on(&sidecar.admin, "job", "job", &[open]);
    let (first, second) = (listener.next_of("changes"), listener.next_of("changes"));
    for told in [&first, &second] {
        assert_eq!((names(told), &told["runs"][0]["open"]), (vec!["job"], &true.into()), "{told:#}");
    }
    assert!(second["runs"][0]["duration_ms"].as_f64() > first["runs"][0]["duration_ms"].as_f64());
    drop(going);
    hand_over(&sidecar.admin, "job", late("job"));
    let ended = std::iter::from_fn(|| Some(listener.next_of("changes"))).find(|told| told["runs"][0]["open"] == false).unwrap();
    assert_eq!((names(&ended), &ended["runs"][0]["id"]), (vec!["job"], &first["runs"][0]["id"]));
}

#[test]
fn a_call_that_hangs_is_told_as_it_begins_and_as_it_ends() {
    let docs = Router::new().route("/search", |_| Script::new().then(Step::Stall)).start();
    let sidecar = Sidecar::start(&route("/docs", &docs.url(""), "retrieval", "docs"));
    let mut listener = Listener::to(&sidecar);
    assert_eq!(listener.next_of("open")["hops"], Value::Array(Vec::new()));
    let mut client = Client::to(&sidecar.gateway[0]);
    client.write(b"GET /docs/search HTTP/1.1\r\nhost: a\r\n\r\n");
    let waiting = std::iter::from_fn(|| Some(listener.next_of("open"))).find(|open| open["hops"][0]["phase"] == "wait").unwrap();
    assert_eq!((&waiting["schema"], &waiting["hops"][0]["dependency"]), (&"hopwatch.open/1".into(), &"docs".into()));
    client.leave();
    std::iter::from_fn(|| Some(listener.next_of("open"))).find(|open| open["hops"].as_array().unwrap().is_empty()).unwrap();
    let changes = std::iter::from_fn(|| Some(listener.next_of("changes"))).find(|told| !names(told).is_empty()).unwrap();
    assert_eq!(changes["runs"][0]["verdict"]["dependency"], "docs", "{changes:#}");
}

#[test]
fn old_runs_that_go_are_told_by_how_many_are_kept() {
    let mut command = hopwatch();
    command.arg("agent");
    let file = "[agent]\nadmin = \"127.0.0.1:0\"\nkeep_runs = 2\n[gateway]\nlisten = \"127.0.0.1:0\"\n";
    let mut sidecar = Sidecar::begun(file, command);
    sidecar.is_ready();
    let mut listener = Listener::to(&sidecar);
    assert_eq!(names(&listener.next().1), Vec::<&str>::new());
    let mut told = Vec::new();
    for name in ["a", "b", "c"] {
        hand_over(&sidecar.admin, name, late(name));
        let changes = std::iter::from_fn(|| Some(listener.next_of("changes"))).find(|told| !names(told).is_empty()).unwrap();
        told.extend(names(&changes).into_iter().map(str::to_owned));
    }
    assert_eq!(told, ["a", "b", "c"]);
    assert_eq!(listener.next_of("kept")["runs"], 2);
    assert_eq!(sidecar.json("/api/report?hops=0")["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn many_listen_while_others_are_served_and_none_keeps_it_from_ending() {
    let sidecar = Sidecar::start("");
    let mut listeners: Vec<Listener> = (0..30).map(|_| Listener::to(&sidecar)).collect();
    for listener in &mut listeners {
        assert_eq!(listener.next().0, "report");
    }
    // None of them reads what comes meanwhile.
    for number in 0..50 {
        hand_over(&sidecar.admin, &format!("run-{number}"), late("run"));
        assert_eq!(sidecar.asked("/healthz").0, 200);
    }
    for listener in &mut listeners {
        let mut seen = 0;
        while seen < 50 {
            let (name, told) = listener.next();
            seen = if name == "report" {
                told["runs"].as_array().unwrap().len()
            } else {
                seen + told["runs"].as_array().map_or(0, Vec::len)
            };
        }
        assert_eq!(seen, 50);
    }
    sidecar.send(libc::SIGTERM);
    assert_eq!(sidecar.ended(), Some(0));
    let mut rest = Vec::new();
    // Cut or reset, it is an end.
    let _end = listeners.remove(0).0.read_to_end(&mut rest);
}
