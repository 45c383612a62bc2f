//! `hopwatch run --agent`: runs of real programs, seen from inside, in one place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hopwatch::export::otlp::OtlpProtocol;
use serde_json::Value;

use crate::ask::wait_for;
use crate::collector::peer::Peer;
use crate::reloaded::held_stream;
use crate::sidecar::{Sidecar, free, hopwatch};
use crate::support::app;
use crate::support::replies::documents;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};

/// `hopwatch run` of so many calls by httpx.
fn run(python: &Path, name: &str, server: &Server, path: &str, calls: usize, options: &[&str]) -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/httpx_calls.py");
    let mut command = hopwatch();
    command.args(["run", "--name", name, &server.dep("retrieval/docs")]).args(options).arg("--").arg(python).arg(program);
    command.arg(server.url(path)).args(["--calls", &calls.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_run_of_a_fleet_is_in_the_report_once_with_its_verdict_and_each_hop_is_counted_once() {
    let Some(python) = app::python() else { return };
    let docs = Router::new()
        .route("/search", |_| documents().after(300))
        .route("/broken", |request| if request.number < 3 { documents() } else { Script::new().then(Step::Reset) })
        .start();
    let peer = Peer::start(OtlpProtocol::HttpProtobuf, []);
    let sidecar = Sidecar::with("", |command| {
        command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", peer.endpoint()));
    });
    let start = |number: usize| {
        // Long enough to tell on their way: five calls of 0.3 s.
        let (path, calls) = if number < 7 { ("/search", 5) } else { ("/broken", 2) };
        run(&python, &format!("run-{number}"), &docs, path, calls, &["--quiet", "--agent", &sidecar.admin]).spawn().unwrap()
    };
    let fleet: Vec<Child> = (0..10).map(start).collect();
    let ended: Vec<Output> = fleet.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let broken = ended.iter().filter(|output| output.status.code() == Some(1)).count();
    assert_eq!(ended.iter().filter(|output| output.status.success()).count() + broken, 10, "{ended:#?}");
    assert!((1..=3).contains(&broken), "three of six calls were reset: {ended:#?}");

    let report = sidecar.report();
    let runs = report["runs"].as_array().unwrap();
    let mut names: Vec<&str> = runs.iter().map(|run| run["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, (0..10).map(|number| format!("run-{number}")).collect::<Vec<_>>());
    let unhealthy: Vec<&Value> = runs.iter().filter(|run| run["healthy"] == false).collect();
    assert_eq!(unhealthy.len(), broken, "{report:#}");
    for run in unhealthy {
        let verdict = &run["verdict"];
        assert_eq!((&verdict["dependency"], &verdict["cause"]), (&"docs".into(), &"connection_dropped".into()), "{report:#}");
    }
    let hops: usize = runs.iter().map(|run| run["hops"].as_array().unwrap().len()).sum();
    assert_eq!(hops, docs.requests().len());
    assert_eq!(report["dependencies"][0]["calls"], hops);
    assert_eq!(sidecar.metric("hopwatch_hop_calls_total", &["dependency=\"docs\""]), hops as f64);
    assert_eq!(sidecar.metric("hopwatch_runs_total", &[]), 10.0);
    assert_eq!(sidecar.metric("hopwatch_verdicts_total", &[]), broken as f64);
    let losses = &report["losses"];
    assert_eq!((&losses["started"], &losses["open"], &losses["dropped"]), (&hops.into(), &0.into(), &serde_json::json!({})));
    sidecar.send(libc::SIGTERM);
    assert_eq!(sidecar.ended(), Some(0));
    // A root each, and the start-up before its first call. Ids are those of one trace.
    assert_eq!(peer.taken().values().sum::<usize>(), hops + 2 * 10);
}

#[test]
fn a_run_is_seen_while_it_goes_on() {
    let Some(python) = app::python() else { return };
    let (server, release) = held_stream();
    let sidecar = Sidecar::start("");
    let child = run(&python, "held", &server, "/held", 1, &["--quiet", "--agent", &sidecar.admin]).spawn().unwrap();
    let hop = wait_for("its call is open there", || {
        let open = sidecar.json("/api/open");
        if open["hops"][0].is_object() { Ok(open["hops"][0].clone()) } else { Err(open.to_string()) }
    });
    assert_eq!((&hop["run"], &hop["dependency"], &hop["phase"]), (&"held".into(), &"docs".into(), &"wait".into()));
    assert_eq!(sidecar.metric("hopwatch_hop_in_flight", &["dependency=\"docs\""]), 1.0);
    let going = sidecar.report()["runs"].clone();
    assert_eq!((going.as_array().unwrap().len(), &going[0]["open"], &going[0]["verdict"]), (1, &true.into(), &Value::Null));
    assert_eq!(going[0]["hops"][0]["current_phase"], "wait", "{going:#}");
    release.send(()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let report = sidecar.report();
    assert_eq!((&report["runs"][0]["id"], report["runs"].as_array().unwrap().len()), (&going[0]["id"], 1));
    assert_eq!((&report["runs"][0]["name"], &report["losses"]["open"]), (&"held".into(), &0.into()));
    assert_eq!(sidecar.json("/api/open")["hops"], Value::Array(Vec::new()));
}

#[test]
fn an_agent_that_dies_midway_or_is_not_there_does_not_disturb_the_run() {
    let Some(python) = app::python() else { return };
    let (server, release) = held_stream();
    let sidecar = Sidecar::start("");
    let admin = sidecar.admin.clone();
    let child = run(&python, "held", &server, "/held", 1, &["--quiet", "--agent", &admin]).spawn().unwrap();
    wait_for("its call is open there", || {
        let open = sidecar.json("/api/open");
        if open["hops"][0].is_object() { Ok(()) } else { Err(open.to_string()) }
    });
    drop(sidecar);
    release.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*text(&output.stdout)), (Some(0), "200 {\"held\":true}\n"));
    let said = text(&output.stderr);
    assert!(said.starts_with(&format!("hopwatch: the run was not handed over to the agent at {admin}: ")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let docs = Router::new().route("/search", |_| documents()).start();
    let output = run(&python, "alone", &docs, "/search", 1, &["--quiet", "--agent", &free()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(said.starts_with("hopwatch: no agent at ") && said.ends_with("the run goes on without\n"), "{said}");
}

#[test]
fn the_agent_of_this_host_is_found_where_there_is_one_and_not_missed_where_there_is_none() {
    let Some(python) = app::python() else { return };
    let docs = Router::new().route("/search", |_| documents()).start();
    let at = |admin: &str, option: &[&str], variable: &str| {
        let mut command = run(&python, "job", &docs, "/search", 1, option);
        command.env("HOPWATCH_ADMIN_LISTEN", admin).env("HOPWATCH_AGENT", variable).arg("--timeout").arg("60");
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), &*text(&output.stderr)), (Some(0), ""));
    };
    at(&free(), &["--quiet", "--agent", "auto"], "");
    // What listens there is no agent.
    at(&format!("127.0.0.1:{}", mute().port()), &["--quiet", "--agent", "auto"], "");
    let sidecar = Sidecar::start("");
    at(&sidecar.admin, &["--quiet", "--agent", "auto"], "");
    at(&sidecar.admin, &["--quiet"], "auto");
    assert_eq!(sidecar.report()["runs"].as_array().unwrap().len(), 2);
}

/// A server that is none of hopwatch's.
fn mute() -> &'static Server {
    static OTHER: std::sync::OnceLock<Server> = std::sync::OnceLock::new();
    OTHER.get_or_init(|| Router::new().route("/healthz", |_| Script::answer(200, &[], &Value::Null)).start())
}

#[test]
fn a_run_of_another_user_hands_itself_over_without_a_file_in_common() {
    let Some(python) = app::python() else { return };
    // SAFETY: only asks.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: only root can start an agent as somebody else");
        return;
    }
    // As with `DynamicUser=yes`: a user of its own, who may read the program and its configuration.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hopwatch");
    fs::copy(env!("CARGO_BIN_EXE_hopwatch"), &program).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command.args(["agent", "-c", "hopwatch.toml"]).env_clear().uid(65_534).gid(65_534);
    let mut sidecar = Sidecar::begun(&crate::sidecar::local(""), command);
    sidecar.is_ready();
    let docs = Router::new().route("/search", |_| documents()).start();
    let output = run(&python, "job", &docs, "/search", 2, &["--quiet", "--agent", &sidecar.admin]).output().unwrap();
    assert_eq!((output.status.code(), &*text(&output.stderr)), (Some(0), ""));
    let report = sidecar.report();
    assert_eq!((&report["runs"][0]["name"], &report["dependencies"][0]["calls"]), (&"job".into(), &2.into()));
}
