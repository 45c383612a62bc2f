//! `hopwatch report`: what an agent or a file tells, as text and as JSON.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::ask::{get, wait_for};
use crate::sidecar::{Sidecar, free, hopwatch, route};
use crate::support::replies::{documents, unavailable};
use crate::support::server::{Router, Server};

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn report(arguments: &[&str]) -> Ended {
    ended(hopwatch().arg("report").args(arguments).stdin(Stdio::null()))
}

/// A vector store that fails twice in a row, after 50 ms each.
pub(crate) fn docs() -> Server {
    Router::new().route("/search", |_| documents().after(50)).route("/broken", |_| unavailable().after(50)).start()
}

/// A run of three calls, the last of which fails and the run with it: its report is in the file, and what it told on standard error is
/// returned.
pub(crate) fn run(docs: &Server, file: &Path) -> String {
    let calls = format!("curl -sf {0} {0} && curl -sf {1}", docs.url("/search"), docs.url("/broken"));
    let mut command = hopwatch();
    command.args(["run", "--name", "agent", "--json", file.to_str().unwrap(), &docs.dep("retrieval/docs"), "--", "sh", "-c"]);
    let ended = ended(command.arg(calls).stdin(Stdio::null()));
    assert_eq!(ended.code, Some(22), "{}", ended.err);
    ended.err
}

#[test]
fn the_report_of_a_file_is_what_the_run_told() {
    let (docs, folder) = (docs(), tempfile::tempdir().unwrap());
    let file = folder.path().join("report.json");
    let told = run(&docs, &file);
    let from = file.to_str().unwrap();
    let shown = report(&["--from", from]);
    assert_eq!((shown.code, &*shown.err), (Some(0), ""));
    assert_eq!(shown.out, told);
    let json: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for run in ["last", "agent", json["runs"][0]["id"].as_str().unwrap()] {
        let shown = report(&["--from", from, "--run", run, "--format", "json"]);
        assert_eq!(serde_json::from_str::<Value>(&shown.out).unwrap(), json, "nothing is lost or changed on the way");
    }
    let mut command = hopwatch();
    let mut child = command.args(["report", "--from", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json.to_string().as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), told);
}

#[test]
fn the_report_of_an_agent_is_shown_whole_or_one_run_of_it() {
    let docs = docs();
    let sidecar = Sidecar::start(&route("/docs", &docs.url(""), "retrieval", "docs"));
    get(&sidecar.gateway[0], "/docs/broken").unwrap();
    // What is tried again within ten seconds is one call.
    wait_for("the call is told", || {
        let shown = report(&["--from", &sidecar.admin]);
        if shown.out.contains("retrieval/docs") { Ok(()) } else { Err(format!("{}{}", shown.out, shown.err)) }
    });
    let shown = report(&["--from", &format!("http://{}/", sidecar.admin), "--run", "last", "--format", "json"]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    let json: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((&json["source"], json["runs"].as_array().unwrap().len()), (&"agent".into(), 1));
    assert_eq!(json["runs"][0]["hops"][0]["dependency"], "docs");
    let shown = ended(hopwatch().args(["report", "--run", "last"]).env("HOPWATCH_ADMIN", format!("http://{}", sidecar.admin)));
    assert!(shown.code == Some(0) && shown.out.contains("retrieval/docs"), "{}", shown.err);
    let shown = report(&["--from", &sidecar.admin, "--run", "nobody"]);
    assert_eq!((shown.code, &*shown.out), (Some(3), ""));
    assert!(shown.err.contains("has no run `nobody`") && shown.err.contains("hint: runs there: `"), "{}", shown.err);
}

#[test]
fn what_cannot_be_shown_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let nobody = free();
    let empty = file("empty.json", &empty());
    for (arguments, code, said) in [
        (vec!["--from", &nobody], 3, "no agent answers at"),
        (vec!["--from", "missing.json"], 3, "cannot read `missing.json`"),
        (vec!["--from", &file("else.json", "{\"schema\": 1}")], 3, "is no report"),
        (vec!["--from", &file("cut.json", "{\"schema\": \"hop")], 3, "is no report"),
        (vec!["--from", &empty, "--svg"], 3, "has no run"),
        (vec!["--from", &empty, "--run", "a"], 3, "has no run"),
        (vec!["--from", "a b"], 2, "`a b` is no address, and no file is there"),
        (vec!["--svg", "--format", "json"], 2, "--svg"),
        (vec!["--format", "xml"], 2, "`xml` is no value for `--format`"),
        (vec!["--from", &empty, "--svg=/nowhere/run.svg"], 2, "/nowhere/run.svg"),
        (vec!["--schema", "--run", "a"], 2, "--schema"),
    ] {
        let shown = report(&arguments);
        assert_eq!((shown.code, &*shown.out), (Some(code), ""), "{arguments:?}: {}", shown.err);
        assert!(shown.err.starts_with("error: ") && shown.err.contains(said), "{arguments:?}: {}", shown.err);
        assert!(shown.err.contains("\nhint: "), "{arguments:?}: {}", shown.err);
    }
    assert_eq!(report(&["--from", &empty]).out, "no run, no finding and no note so far\n");
}

/// The JSON of a report in which there is nothing.
fn empty() -> String {
    serde_json::json!({
        "schema": "hopwatch.report/1", "hopwatch": "0.1.0", "generated_at": "2026-11-26T07:00:00.000Z", "source": "agent",
        "runs": [], "findings": [], "dependencies": [], "notes": [], "a field of tomorrow": [1, {"b": null}],
        "losses": {"started": 0, "recorded": 0, "open": 0, "dropped": {}, "missed": {}},
    })
    .to_string()
}
