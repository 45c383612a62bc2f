use super::*;
use crate::agent::admin::tests::{answer, quiet_hub, serving};
use crate::agent::hub::tests::{MS, T0, ended, open, run};
use crate::export::report::{Style, text};
use crate::model::{ConnectionFact, ContextFact, Kind, Outcome, Stall, StallCause};
use proptest::prelude::*;
use std::net::TcpListener;

/// A word of a run that goes on: one hop that ended and one that is open.
fn word() -> Handoff {
    let losses = Losses { recorded: 1, open: 1, ..Losses::default() }.balanced();
    Handoff { ended: vec![ended(1, "docs", Outcome::Ok)], open: vec![open(2, "docs")], losses, ..Handoff::new("agent.py".into()) }
}

fn put(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body.as_bytes()].concat()
}

const HEADER: &str = "x-hopwatch-handover: 1\r\n";

#[test]
fn a_run_finds_an_agent_and_hands_itself_over() {
    let (_admin, server) = serving(true);
    let receiver = Receiver::find(server.address(), "0123abcd").unwrap();
    receiver.tell(&word()).unwrap();
    let two = ended(2, "docs", Outcome::Reset);
    let whole = run("agent.py", &[ended(1, "docs", Outcome::Ok), two.clone()]);
    let losses = Losses { recorded: 2, ..Losses::default() }.balanced();
    let last = Handoff { before: 1, ended: vec![two], losses, whole: Some(whole), ..Handoff::new("agent.py".into()) };
    receiver.tell(&last).unwrap();
    let told = answer(&server, b"GET /api/report HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let report: serde_json::Value = serde_json::from_str(told.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&report["runs"][0]["name"], &report["dependencies"][0]["calls"]), (&"agent.py".into(), &2.into()));
    let refused = receiver.tell(&last).unwrap_err();
    assert_eq!(refused.to_string(), "it told its end before");
}

#[test]
fn what_is_no_agent_is_not_taken_for_one() {
    let find = |address| Receiver::find(address, "1").unwrap_err().to_string();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(find(nobody).contains("refused"));
    // Metrics of a run are served by hopwatch too.
    let (_admin, server) = serving(false);
    assert!(find(server.address()).contains("no agent"));
    for said in ["HTTP/1.1 200 OK\r\nserver: nginx\r\ncontent-length: 2\r\n\r\nok", "SSH-2.0-OpenSSH_9.2p1\r\n", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // All that is asked, since closing before would reset.
            let mut asked = [0; 4096];
            let _read = stream.read(&mut asked);
            stream.write_all(said.as_bytes()).unwrap();
        });
        assert!(find(address).contains("no agent"), "{said}");
        other.join().unwrap();
    }
}

#[test]
fn only_who_says_that_it_hands_over_does_so_and_only_to_one_that_takes() {
    let body = serde_json::to_string(&word()).unwrap();
    let (_admin, server) = serving(true);
    assert!(answer(&server, &put("/api/runs/1", "", &body)).starts_with("HTTP/1.1 405"));
    assert!(answer(&server, &put("/api/runs/1", "origin: http://evil\r\n", &body)).starts_with("HTTP/1.1 405"));
    assert!(answer(&server, &put("/api/runs/1", HEADER, &body)).starts_with("HTTP/1.1 200"));
    let posted = String::from_utf8(put("/api/runs/1", HEADER, &body)).unwrap().replacen("PUT", "POST", 1);
    assert!(answer(&server, posted.as_bytes()).starts_with("HTTP/1.1 405"));
    assert!(answer(&server, &put("/metrics", HEADER, &body)).starts_with("HTTP/1.1 404"));
    let (_admin, server) = serving(false);
    assert!(answer(&server, &put("/api/runs/1", HEADER, &body)).starts_with("HTTP/1.1 405"));
}

#[test]
fn what_cannot_be_taken_is_refused_with_the_reason() {
    let (_admin, server) = serving(true);
    let refused = |request: &[u8], status: &str, why: &str| {
        let told = answer(&server, request);
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")) && told.contains(why), "{told}");
    };
    let body = serde_json::to_string(&word()).unwrap();
    let long = "a".repeat(65);
    for id in ["", &long, "a/b", "..", "a%2fb", "a_b"] {
        refused(&put(&format!("/api/runs/{id}"), HEADER, &body), "400", "letters, digits and hyphens");
    }
    for (body, why) in [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        (&*"[".repeat(100_000), "cannot be read"),
        (r#"{"schema":"hopwatch.handoff/1"}"#, "missing field"),
        (&*body.replace("handoff/1", "handoff/2"), "another version"),
        (&*body.replace("\"open\":1", "\"open\":-1"), "cannot be read"),
    ] {
        refused(&put("/api/runs/1", HEADER, body), "400", why);
    }
    let many = Handoff { ended: vec![ended(1, "docs", Outcome::Ok); HOPS_MAX + 2], ..word() };
    refused(&put("/api/runs/1", HEADER, &serde_json::to_string(&many).unwrap()), "400", "more than");
    let head =
        |length: &str| format!("PUT /api/runs/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{HEADER}{length}\r\n\r\n");
    // Refused by its head: nothing of it is read.
    refused(head("content-length: 67108865").as_bytes(), "413", "too large");
    refused(head("transfer-encoding: chunked").as_bytes(), "411", "content-length");
    let told = answer(&server, b"GET /api/report HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(told.contains("\"runs\":[]") && told.contains("\"started\":0"), "nothing of all that was taken: {told}");
}

#[test]
fn a_run_that_leaves_in_the_middle_of_a_word_leaves_room_for_others() {
    let (_admin, server) = serving(true);
    let whole = "content-length: 67108864";
    let head = format!("PUT /api/runs/1 HTTP/1.1\r\nhost: localhost\r\n{HEADER}{whole}\r\n\r\n{{");
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
    }
    let body = serde_json::to_string(&word()).unwrap();
    assert!(answer(&server, &put("/api/runs/1", HEADER, &body)).starts_with("HTTP/1.1 200"));
}

#[test]
fn hostile_names_reach_people_and_metrics_harmlessly() {
    let hub = quiet_hub();
    let evil = "a\u{1b}[31m\"\\\n\u{202e}b".repeat(1_000);
    let mut call = ended(1, &evil, Outcome::Reset);
    (call.operation, call.service) = (evil.as_str().into(), evil.as_str().into());
    let known = call.call.as_mut().unwrap();
    (known.model, known.error_type, known.address) = (Some("m\0".into()), Some(evil.as_str().into()), Some(evil.as_str().into()));
    let mut losses = Losses { recorded: 1, ..Losses::default() };
    losses.missed = (0..1_000).map(|n| (format!("{n}{evil}").into(), 1)).collect();
    let whole = Some(run(&evil, std::slice::from_ref(&call)));
    let word = Handoff { ended: vec![call], open: vec![open(2, &evil)], losses, whole, ..Handoff::new(evil.as_str().into()) };
    take(&hub, "1", &serde_json::to_vec(&word).unwrap()).unwrap();
    take(&hub, "2", &serde_json::to_vec(&Handoff { whole: None, ..word }).unwrap()).unwrap();
    let report = hub.report(None);
    let told = [hub.metrics(), text(&report, Style { color: false }), serde_json::to_string(&hub.open()).unwrap()].concat();
    let told = told + &serde_json::to_string(&report).unwrap();
    let harm = told.find(['\u{1b}', '\u{202e}', '\0']).map(|at| told[..at].chars().rev().take(200).collect::<String>());
    assert_eq!(harm, None, "told backwards");
    assert!(told.len() < 100_000, "{} bytes", told.len());
    assert_eq!(report.losses.missed.values().sum::<u64>(), 2_000);
}

/// Numbers of all sizes, those at the end of the line often.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_u64, T0..T0 + 1_000 * MS, (u64::MAX - 3)..=u64::MAX, any::<u64>()]
}

fn hostile_span() -> impl Strategy<Value = Span> {
    let numbers = prop::collection::vec(number(), 16);
    (0..6_u64, prop::option::of(0..6_u64), any::<bool>(), prop::sample::select(Outcome::ALL), numbers).prop_map(
        |(id, parent, is_open, outcome, numbers)| {
            let span = if is_open { open(id, "docs") } else { ended(id, "docs", outcome) };
            let mut json = serde_json::to_value(Span { parent: parent.map(crate::model::SpanId), ..span }).unwrap();
            let mut numbers = numbers.into_iter().cycle();
            replace(&mut json, &mut numbers);
            // As it would come: past what numbers of its kind can be, nothing is told.
            serde_json::from_value(json).unwrap_or_else(|_| open(id, "docs"))
        },
    )
}

/// Puts other numbers where there are instants, counts and times.
fn replace(json: &mut serde_json::Value, numbers: &mut impl Iterator<Item = u64>) {
    match json {
        serde_json::Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match name.as_str() {
            "start" | "end" | "sent" | "received" | "input" | "output" | "idle" | "retry_after" | "gap" | "gave_up_after"
                if value.is_number() =>
            {
                *value = numbers.next().unwrap().into();
            }
            _ => replace(value, numbers),
        }),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replace(item, numbers)),
        _ => {}
    }
}

fn hostile_run() -> impl Strategy<Value = Run> {
    let facts = prop::collection::vec(prop::collection::vec(number(), 5), 0..4);
    (prop::collection::vec(hostile_span(), 0..8), prop::collection::vec(number(), 4), facts).prop_map(|(calls, times, facts)| {
        let connection = |numbers: &Vec<u64>| ConnectionFact {
            pid: 1,
            kind: Kind::Retrieval,
            dependency: "docs".into(),
            peer: None,
            opened: numbers[0],
            closed: Some(numbers[1]),
            closed_by_caller: true,
            calls: numbers[2],
            setup: numbers[3],
            failed: None,
            close_announced: false,
        };
        let stall = |numbers: &Vec<u64>| Stall {
            pid: 1,
            start: numbers[0],
            end: numbers[1],
            cause: StallCause::Sleep,
            dependency: None,
            event_loop: true,
        };
        let context = |numbers: &Vec<u64>| ContextFact { pid: 1, at: numbers[0], took: numbers[1] };
        Run {
            start: times[0],
            end: Some(times[1]),
            seen_until: times[2],
            deadline: Some(times[3]),
            connections: facts.iter().map(connection).collect(),
            stalls: facts.iter().map(stall).collect(),
            contexts: facts.iter().map(context).collect(),
            ..run("agent.py", &calls)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_numbers_do_no_harm(
        ended in prop::collection::vec(hostile_span(), 0..6),
        open in prop::collection::vec(hostile_span(), 0..6),
        whole in prop::option::of(hostile_run()),
        counts in prop::collection::vec(number(), 4),
        before in number(),
    ) {
        let hub = quiet_hub();
        let mut losses = Losses { started: counts[0], recorded: counts[1], open: counts[2], ..Losses::default() };
        losses.dropped.insert("queue_full".into(), counts[3]);
        let word = Handoff { before, ended, open, losses, whole, ..Handoff::new("agent.py".into()) };
        let body = serde_json::to_vec(&word).unwrap();
        for id in ["1", "2", "3"] {
            take(&hub, id, &body).unwrap();
        }
        let counted = hub.losses();
        prop_assert_eq!(&counted.clone().balanced(), &counted);
        let shown = [hub.metrics(), serde_json::to_string(&hub.open()).unwrap(), text(&hub.report(None), Style { color: true })];
        prop_assert!(shown[0].contains("hopwatch_hops_started_total"));
    }
}
