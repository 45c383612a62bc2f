//! What the program prints, how it ends and what it sends are the same with and without hopwatch.

use serde_json::json;

use crate::support::app::{App, Finished};
use crate::support::peers::refused;
use crate::support::replies::{CHAT, completion, found, stream, tool_call};
use crate::support::request::Request;
use crate::support::server::{Router, Server};

/// Runs a program both ways and compares all that is the same in two runs alone.
#[track_caller]
fn same_both_ways(app: &App, server: &Server) {
    let alone = app.alone();
    let (bytes, connections) = (sent(server), server.connections());
    let watched = app.watched(&["--quiet"]).finished;
    compare(&alone, &watched);
    let both = sent(server);
    assert_eq!(both.len(), 2 * bytes.len(), "as many requests both ways");
    assert_eq!(server.connections(), 2 * connections, "as many connections both ways");
    for (alone, watched) in bytes.iter().zip(&both[bytes.len()..]) {
        assert_eq!(String::from_utf8_lossy(alone), String::from_utf8_lossy(watched), "the bytes on the wire");
    }
}

#[track_caller]
fn compare(alone: &Finished, watched: &Finished) {
    assert_eq!(alone.stdout, watched.stdout);
    assert_eq!(alone.stderr, watched.stderr);
    assert_eq!(alone.code, watched.code);
}

fn sent(server: &Server) -> Vec<Vec<u8>> {
    server.requests().into_iter().map(|request| request.bytes).collect()
}

#[test]
fn plain_clients_write_and_send_the_same() {
    for program in ["httpx_calls.py", "requests_calls.py", "aiohttp_calls.py"] {
        let Some(app) = App::new(program) else { return };
        let server = Router::new().route("/lookup", |_| found()).start();
        same_both_ways(&app.arg(server.url("/lookup")).option("--calls", 3), &server);
    }
}

#[test]
fn the_openai_client_writes_and_sends_the_same() {
    for program in ["openai_sync.py", "openai_async.py", "openai_stream.py"] {
        let Some(app) = App::new(program) else { return };
        let streams = program == "openai_stream.py";
        let answer = move |_: &_| if streams { stream(5, 5, 9, 5) } else { completion("Here.", 9, 2) };
        let server = Router::new().route(CHAT, answer).start();
        same_both_ways(&app.arg(server.url("/v1")).option("--calls", 2), &server);
    }
}

#[test]
fn an_autogen_agent_writes_and_sends_the_same() {
    let Some(app) = App::new("autogen_agent.py") else { return };
    let answer = |request: &Request| {
        let asks = request.number.is_multiple_of(2);
        if asks { tool_call("lookup", &json!({"key": "42"})) } else { completion("Here.", 9, 2) }
    };
    let server = Router::new().route(CHAT, answer).route("/lookup", |_| found()).start();
    same_both_ways(&app.arg(server.url("/v1")).arg(server.url("")), &server);
}

#[test]
fn a_program_that_fails_shows_the_same_traceback_and_exit_code() {
    let Some(app) = App::new("httpx_calls.py") else { return };
    let app = app.arg(format!("http://{}/lookup", refused()));
    let alone = app.alone();
    assert!(alone.stderr.contains("ConnectError") && alone.code == 1, "{}", alone.stderr);
    compare(&alone, &app.watched(&["--quiet"]).finished);
}

#[test]
fn a_wrong_argument_of_the_program_is_the_programs_own() {
    let Some(app) = App::new("httpx_calls.py") else { return };
    let app = app.arg("--no-such-option");
    let alone = app.alone();
    assert_eq!(alone.code, 2, "{}", alone.stderr);
    let watched = app.watched(&["--quiet"]);
    compare(&alone, &watched.finished);
    watched.report.is("/runs/0/outcome", "error");
    watched.report.is("/runs/0/healthy", false);
    watched.report.is("/runs/0/verdict", serde_json::Value::Null);
}
