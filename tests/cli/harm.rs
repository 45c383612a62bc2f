//! Bad surroundings and hostile peers: the command runs as it would alone, and nothing hostile is passed on.

use crate::support::{ended, hopwatch};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

/// Runs a script as root of namespaces of its own, with small file systems instead of all places for temporary files.
fn in_small_places(size: &str, script: &str) -> Option<crate::support::Ended> {
    let program = env!("CARGO_BIN_EXE_hopwatch");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("hopwatch");
    // The build may lie below one of the places.
    if fs::hard_link(program, &copy).is_err() {
        fs::copy(program, &copy).unwrap();
    }
    let prepare = format!(
        "exec 9<{}; for place in /dev/shm /tmp /var/tmp; do mount -t tmpfs -o size=$SIZE none $place || exit 99; done; \
         H=/proc/self/fd/9; {script}",
        copy.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &prepare]).env("TMPDIR", "/tmp").env_remove("XDG_RUNTIME_DIR").env_remove("LD_PRELOAD");
    command.env("XDG_CACHE_HOME", "/var/tmp").env("SIZE", size);
    if Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
        return Some(ended(&mut command));
    }
    println!("skipped: no namespaces here");
    None
}

#[test]
fn without_room_for_records_the_command_runs_and_that_is_told_before() {
    // No room for records, and none for the observer itself.
    for (size, reason) in [("4m", "MiB free"), ("64k", "no space left")] {
        let Some(told) = in_small_places(size, "$H run -- sh -c 'echo done; exit 4'") else { return };
        assert_eq!((told.code, told.out.as_str()), (Some(4), "done\n"), "{}", told.err);
        assert!(told.err.starts_with("hopwatch: `sh` cannot be observed from inside: "), "{}", told.err);
        assert!(told.err.contains(reason) && told.err.contains("TMPDIR"), "{}", told.err);
        assert!(told.err.contains("its calls go through the gateway instead\n"), "{}", told.err);
        let Some(refused) = in_small_places(size, "$H run --via observer -- echo started") else { return };
        assert_eq!((refused.code, refused.out.as_str()), (Some(3), ""), "{}", refused.err);
    }
}

#[test]
fn processes_for_which_the_room_did_not_suffice_are_told_at_the_end() {
    let script = "$H run -- sh -c 'for i in $(seq 30); do sleep 1 & done; wait; echo done'";
    let Some(told) = in_small_places("20m", script) else { return };
    assert_eq!((told.code, told.out.as_str()), (Some(0), "done\n"), "{}", told.err);
    assert!(told.err.contains("no room for its records") && told.err.contains("processes: the report may be"), "{}", told.err);
}

#[test]
fn an_unwritable_home_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = hopwatch();
    command.args(["run", "--via", "observer", "-q", "--", "sh", "-c", "echo $LD_PRELOAD"]);
    command.env("HOME", "/proc/1").env_remove("XDG_CACHE_HOME").env("TMPDIR", folder.path());
    let told = ended(&mut command);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    assert!(told.out.starts_with(folder.path().to_str().unwrap()), "{}", told.out);
}

/// Answers that a hostile server may give.
fn hostile_answers() -> Vec<Vec<u8>> {
    let with = |head: &str, body: &[u8]| [b"HTTP/1.1 200 OK\r\n".as_slice(), head.as_bytes(), b"\r\n", body].concat();
    let json = "{\"model\":\"\u{1b}]0;evil\u{7}\u{202e}\u{9b}31m\",\"usage\":{\"prompt_tokens\":1e400,\"completion_tokens\":-5}}";
    let escaped = r#"{"model":"\u001b[31mevil\u202e\u0000","usage":{"prompt_tokens":99999999999999999999}}"#;
    let sized =
        |body: &str| with(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()), body.as_bytes());
    vec![
        (0..100_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        with(&format!("x: {}\r\ncontent-length: 0\r\n", "a".repeat(1_000_000)), b""),
        with("transfer-encoding: chunked\r\n", &[b'0'; 200_000]),
        with("transfer-encoding: chunked\r\n", b"FFFFFFFFFFFFFFFF\r\nabc"),
        with("content-length: 99999999999999999999999\r\n", b"abc"),
        with("x\0: \0\r\ncontent-length: 4\r\n", b"\0\0\0\0"),
        b"HTTP/1.1 999999999 \x1b[31m\r\n\r\n".to_vec(),
        b"HTTP/1.1 100 Continue\r\n\r\n".repeat(5_000),
        sized(json),
        sized(escaped),
        sized(&"[".repeat(100_000)),
        with("content-type: text/event-stream\r\n", &[b"data: \x1b[31m\0".as_slice(), &[b'x'; 300_000], b"\n\n"].concat()),
    ]
}

/// What moves a terminal's cursor, its colours or the order of its letters.
fn is_hostile(letter: char) -> bool {
    (letter.is_control() && letter != '\n')
        || "\u{200b}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".contains(letter)
}

#[test]
fn hostile_bytes_reach_neither_terminal_nor_report() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: no curl here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = hostile_answers();
    let count = answers.len();
    std::thread::spawn(move || {
        for (answer, stream) in answers.iter().zip(listener.incoming()) {
            let mut stream = stream.unwrap();
            let _request = stream.read(&mut [0; 4096]).unwrap();
            // It leaves whenever it has enough.
            let _sent = stream.write_all(answer);
        }
    });
    let ask = format!(
        "for i in $(seq {count}); do curl -s -m 20 -o /dev/null -H \"Host: ev\u{202e}il\u{1b}[2J\" -H 'authorization: TOKEN-H' \
         'http://127.0.0.1:{port}/a?key=TOKEN-Q' -d '{{\"model\":\"\u{1b}[31m\u{202e}m\",\"prompt\":\"TOKEN-P\"}}'; done; exit 0"
    );
    let mut command = hopwatch();
    command.args(["run", "--via", "observer", "--color", "never", "--name", "na\u{1b}[31m\u{202e}me", "--json"]).arg(&json);
    let told = ended(command.args(["--", "sh", "-c", &ask]));
    assert_eq!((told.code, told.out.as_str()), (Some(0), ""), "{}", told.err);
    let text = fs::read_to_string(&json).unwrap();
    for said in [&text, &told.err] {
        assert_eq!(said.chars().find(|&letter| is_hostile(letter)), None, "{said:?}");
        assert!(!said.contains("TOKEN-"), "{said}");
    }
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains("\\u001b") && !text.contains("\\u202e"));
    assert_eq!(report["runs"][0]["hops"].as_array().unwrap().len(), count);
}
