//! Runs that the observer sees.

use crate::support::{ended, hopwatch, send, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A server that takes a request and never answers; tells when the request came.
fn silent_server() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, requests) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let _request = stream.read(&mut buffer).unwrap();
        came.send(()).unwrap();
        // Held until the client leaves.
        while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
    });
    (address, requests)
}

/// The demo's agent against a retriever that never answers.
fn hanging_agent(docs: SocketAddr, json: &Path) -> Command {
    let docs = docs.to_string();
    let mut command = hopwatch();
    command.args(["run", "--via", "observer", "--name", "agent", "--json", json.to_str().unwrap()]);
    command.args(["--dep", &format!("retrieval/docs={docs}"), "--", env!("CARGO_BIN_EXE_hopwatch"), "demo-agent"]);
    command.args(["--fault", "none", "--llm", "127.0.0.1:1", "--tool", "127.0.0.1:1", "--docs", &docs, "--budget", "60s"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn the_agent(child: &Child) -> u32 {
    let mut found = None;
    wait_until("the agent runs", || {
        found = crate::support::children(child.id()).into_iter().next();
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_hanging_call_is_shown_when_asked_and_kept_open_when_killed() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let (address, requests) = silent_server();
    let mut child = hanging_agent(address, &json).spawn().unwrap();
    requests.recv_timeout(Duration::from_secs(30)).unwrap();
    // What was written a moment ago is read within a polling round.
    std::thread::sleep(Duration::from_millis(500));
    send(child.id(), libc::SIGQUIT);
    std::thread::sleep(Duration::from_millis(500));
    send(the_agent(&child), libc::SIGKILL);
    assert_eq!(child.wait().unwrap().code(), Some(137));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let open: Vec<&str> = said.lines().filter(|line| line.contains("retrieval/docs") && line.contains("wait")).collect();
    assert!(!open.is_empty(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let hops = report["runs"][0]["hops"].as_array().unwrap();
    let hop = hops.iter().find(|hop| hop["dependency"] == "docs").unwrap();
    assert_eq!((&hop["kind"], &hop["open"], &hop["current_phase"]), (&"retrieval".into(), &true.into(), &"wait".into()));
}

#[test]
fn an_answer_that_lies_unread_at_the_kill_is_the_callers_stall() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _request = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        // Held until the client leaves.
        let _end = stream.read(&mut [0; 1]);
    });
    let script = format!(
        "import socket, time\ns = socket.create_connection(('127.0.0.1', {port}))\n\
         s.sendall(b'GET / HTTP/1.1\\r\\nHost: docs\\r\\n\\r\\n')\ntime.sleep(60)"
    );
    let mut command = hopwatch();
    command.args(["run", "--via", "observer", "--deadline", "3s", "--kill", "--json", json.to_str().unwrap()]);
    let told = ended(command.args(["--", "python3", "-c", &script]));
    if told.code == Some(127) {
        println!("skipped: there is no python3");
        return;
    }
    assert_eq!(told.code, Some(124), "{}", told.err);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let hop = &report["runs"][0]["hops"][0];
    assert_eq!((&hop["open"], &hop["current_phase"]), (&true.into(), &"stall".into()), "{hop:#}");
    let stall = hop["phases"]["stall"].as_f64().unwrap_or_default();
    assert!(stall > 1000.0, "{hop:#}");
}

#[test]
fn a_skipped_program_is_left_alone_and_what_it_starts_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hopwatch.toml"), "[run]\nskip = [\"make\"]\n").unwrap();
    let script = "echo $HOPWATCH_SKIP; echo $HOPWATCH_RINGS/*; /bin/ls $HOPWATCH_RINGS | wc -l; true";
    let mut command = hopwatch();
    command.args(["run", "--via", "observer", "-q", "--skip", "sh", "--skip", "wc", "--", "sh", "-c", script]);
    let told = ended(command.env("HOPWATCH_SKIP", "git").current_dir(folder.path()));
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = told.out.lines().map(str::trim).collect();
    assert_eq!((lines[0], lines[2]), ("sh:wc:make:git", "1"), "{}", told.out);
    assert!(lines[1].ends_with("/*"), "{}", told.out);
}

#[test]
fn nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let places = || {
        let all = fs::read_dir("/dev/shm").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        all.filter(|name| name.contains("hopwatch")).count()
    };
    // Others may run at the same time: only this one's own variable says where its place was.
    let told = ended(hopwatch().args(["run", "--via", "observer", "-q", "--", "sh", "-c", "echo $HOPWATCH_RINGS"]));
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let place = told.out.trim();
    assert!(!place.is_empty());
    assert!(!Path::new(place).exists(), "{place} is still there, {} in all", places());
    // Neither does a command that fails to start.
    let script = folder.path().join("script");
    fs::File::create(&script).unwrap().write_all(b"#!/nonexistent\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(ended(hopwatch().args(["run", "-q", "--"]).arg(&script)).code, Some(127));
}

#[test]
fn a_command_that_cannot_be_observed_is_told_before_it_starts() {
    let Some(static_binary) = ["/sbin/ldconfig.real", "/sbin/ldconfig", "/usr/sbin/ldconfig"].iter().find(is_static) else {
        println!("skipped: no static binary here");
        return;
    };
    let told = ended(hopwatch().args(["run", "--", static_binary, "--version"]));
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.err.starts_with(&format!("hopwatch: `{static_binary}` cannot be observed from inside: ")), "{}", told.err);
    assert!(told.err.contains("its calls go through the gateway instead\n"), "{}", told.err);
    assert!(told.err.contains("no call came through the gateway, to which HTTP_PROXY"), "{}", told.err);
    let refused = ended(hopwatch().args(["run", "--via", "observer", "--", static_binary, "--version"]));
    assert_eq!((refused.code, refused.out.as_str()), (Some(3), ""));
    assert!(refused.err.starts_with(&format!("error: `{static_binary}` cannot be observed: ")), "{}", refused.err);
}

/// Whether a program has no interpreter entry (`PT_INTERP` is 3).
fn is_static(path: &&&str) -> bool {
    let Ok(bytes) = fs::read(path) else { return false };
    let number = |at: usize, size: usize| {
        bytes.get(at..at + size).map(|part| part.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let (Some(table), Some(entry), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else { return false };
    bytes.starts_with(b"\x7fELF") && (0..count).all(|index| number(table + index * entry, 4) != Some(3))
}
