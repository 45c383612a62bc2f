//! What the program prints, how it ends and what it sends are the same with and without hopwatch.

use serde_json::json;

use crate::support::app::{App, Finished};
use crate::support::peers::refused;
use crate::support::replies::{CHAT, completion, found, stream, tool_call};
use crate::support::request::Request;
use crate::support::server::{Router, Server};
use crate::support::via::{Via, each_way};

/// Runs a program without and with hopwatch and compares all that is the same in two runs alone.
#[track_caller]
fn same_both_ways(app: &App, via: Via, server: &Server) {
    let alone = app.alone();
    let (requests, connections) = (server.requests(), server.connections());
    let watched = app.clone().via(via).watched(&["--quiet"]).finished;
    compare(&alone, &watched);
    let both = server.requests();
    assert_eq!(both.len(), 2 * requests.len(), "as many requests both ways");
    // A gateway may use one again that its clients would not.
    assert!(server.connections() == 2 * connections || via.is_between(), "as many connections both ways");
    for (alone, watched) in requests.iter().zip(&both[requests.len()..]) {
        if via.is_between() {
            assert_eq!(told(alone), told(watched), "what is told on the wire");
        } else {
            assert_eq!(String::from_utf8_lossy(&alone.bytes), String::from_utf8_lossy(&watched.bytes), "the bytes on the wire");
        }
    }
}

#[track_caller]
fn compare(alone: &Finished, watched: &Finished) {
    assert_eq!(alone.stdout, watched.stdout);
    assert_eq!(alone.stderr, watched.stderr);
    assert_eq!(alone.code, watched.code);
}

/// A request without what belongs to its connection and what a proxy may write otherwise (RFC 9110, 7.6.1 and 5.1).
fn told(request: &Request) -> (String, Vec<String>, String) {
    let text = String::from_utf8_lossy(&request.bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let first = lines.next().unwrap().to_owned();
    let fields = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value.trim()));
    let of_message = fields.filter(|(name, _)| !["connection", "keep-alive", "proxy-connection"].contains(&name.as_str()));
    let mut fields: Vec<String> = of_message.map(|(name, value)| format!("{name}: {value}")).collect();
    fields.sort();
    (first, fields, body.to_owned())
}

#[test]
fn plain_clients_write_and_send_the_same() {
    each_way(|via| {
        for program in ["httpx_calls.py", "requests_calls.py", "aiohttp_calls.py"] {
            let Some(app) = App::new(program) else { return };
            let server = Router::new().route("/lookup", |_| found()).start();
            same_both_ways(&app.arg(server.url("/lookup")).option("--calls", 3), via, &server);
        }
    });
}

#[test]
fn the_openai_client_writes_and_sends_the_same() {
    each_way(|via| {
        for program in ["openai_sync.py", "openai_async.py", "openai_stream.py"] {
            let Some(app) = App::new(program) else { return };
            let streams = program == "openai_stream.py";
            let answer = move |_: &_| if streams { stream(5, 5, 9, 5) } else { completion("Here.", 9, 2) };
            let server = Router::new().route(CHAT, answer).start();
            same_both_ways(&app.arg(server.url("/v1")).option("--calls", 2), via, &server);
        }
    });
}

#[test]
fn an_autogen_agent_writes_and_sends_the_same() {
    each_way(|via| {
        let Some(app) = App::new("autogen_agent.py") else { return };
        let answer = |request: &Request| {
            let asks = request.number.is_multiple_of(2);
            if asks { tool_call("lookup", &json!({"key": "42"})) } else { completion("Here.", 9, 2) }
        };
        let server = Router::new().route(CHAT, answer).route("/lookup", |_| found()).start();
        same_both_ways(&app.arg(server.url("/v1")).arg(server.url("")), via, &server);
    });
}

#[test]
fn a_program_that_fails_shows_the_same_traceback_and_exit_code() {
    let Some(app) = App::new("httpx_calls.py") else { return };
    let app = app.arg(format!("http://{}/lookup", refused()));
    let alone = app.alone();
    assert!(alone.stderr.contains("ConnectError") && alone.code == 1, "{}", alone.stderr);
    each_way(|via| {
        let watched = app.clone().via(via).watched(&["--quiet"]).finished;
        if via.is_between() {
            // Who is connected to is the gateway, which closes without an answer.
            assert!(watched.stderr.contains("RemoteProtocolError"), "{}", watched.stderr);
            assert_eq!((&alone.stdout, alone.code), (&watched.stdout, watched.code));
        } else {
            compare(&alone, &watched);
        }
    });
}

#[test]
fn a_wrong_argument_of_the_program_is_the_programs_own() {
    let Some(app) = App::new("httpx_calls.py") else { return };
    let app = app.arg("--no-such-option");
    let alone = app.alone();
    assert_eq!(alone.code, 2, "{}", alone.stderr);
    each_way(|via| {
        let watched = app.clone().via(via).watched(&["--quiet"]);
        compare(&alone, &watched.finished);
        watched.report.is("/runs/0/outcome", "error");
        watched.report.is("/runs/0/healthy", false);
        watched.report.is("/runs/0/verdict", serde_json::Value::Null);
    });
}
