//! `hopwatch run --watch`: a view beside a command that behaves as without.

use crate::support::replies::documents;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};
use crate::tmux::Window;

/// A vector store that takes its time.
fn docs() -> Server {
    let held = |_: &_| Script::new().then(Step::Stall);
    Router::new().route("/slow", |_| documents().after(3_000)).route("/held", held).start()
}

#[test]
fn a_quiet_program_leaves_the_whole_screen_to_the_view() {
    let Some(window) = Window::open(100, 30) else { return };
    let (docs, before) = (docs(), window.state());
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    window.runs(&format!(
        "\"$HOPWATCH\" run --watch {} -- sh -c 'curl -s {}; exit 7' > {} 2> {}; echo code=$?",
        docs.dep("retrieval/docs"),
        docs.url("/slow"),
        out.display(),
        err.display(),
    ));
    let screen = window.shows("1 call open; retrieval/docs for ");
    assert!(window.is_full() && screen.contains("waiting for its response") && screen.contains("goes on"), "{screen}");
    let screen = window.shows("code=7");
    assert!(screen.contains("\"$HOPWATCH\" run") && !screen.contains("call open"), "{screen}");
    assert_eq!(window.state(), before);
    assert!(std::fs::read_to_string(out).unwrap().contains("Order 42 left on Monday."));
    assert!(std::fs::read_to_string(err).unwrap().contains("retrieval/docs"), "the report is where it always is");
}

#[test]
fn a_program_that_prints_goes_on_above_the_view() {
    let Some(window) = Window::open(100, 30) else { return };
    let (docs, before) = (docs(), window.state());
    let calls = format!("curl -s -o /dev/null {}", docs.url("/slow"));
    window.runs(&format!(
        "\"$HOPWATCH\" run --watch {} -- sh -c 'for n in $(seq 40); do echo line-$n; done; {calls}; tty; echo last; exit 7'; echo code=$?",
        docs.dep("retrieval/docs"),
    ));
    let screen = window.shows("1 call open; retrieval/docs for ");
    assert!(!window.is_full());
    let lines: Vec<&str> = screen.lines().collect();
    let view = lines.iter().position(|line| line.contains("goes on")).unwrap();
    assert!(lines[..view].iter().any(|line| line == &"line-40"), "its output is above: {screen}");
    assert!(lines[view..].iter().all(|line| !line.starts_with("line-")), "and nowhere else: {screen}");
    let screen = window.shows("code=7");
    assert!(!screen.contains("call open") && !screen.contains("goes on"), "the view is gone: {screen}");
    let at = |text: &str| screen.find(text).unwrap_or_else(|| panic!("{text}: {screen}"));
    assert!(at("line-40\n/dev/pts/") < at("\nlast\n") && at("\nlast\n") < at("\nrun  sh"), "{screen}");
    assert_eq!(window.state(), before);
}

#[test]
fn an_interrupt_and_a_stop_are_the_commands_and_leave_the_terminal_as_it_was() {
    let Some(window) = Window::open(100, 30) else { return };
    let (docs, before) = (docs(), window.state());
    for redirected in ["", "> /dev/null 2>&1"] {
        window.runs("clear");
        window.runs(&format!(
            "\"$HOPWATCH\" run --watch {} -- curl -s {} {redirected}",
            docs.dep("retrieval/docs"),
            docs.url("/held"),
        ));
        window.shows("1 call open; retrieval/docs for ");
        window.presses(&["C-z"]);
        window.is("the shell has the terminal", |screen| screen.contains("Stopped") || screen.contains("suspended"));
        assert_eq!(window.state(), before);
        window.runs("fg");
        window.shows("1 call open; retrieval/docs for ");
        window.presses(&["C-c"]);
        window.hides("1 call open");
        window.exits(130);
        assert_eq!(window.state(), before);
    }
}

#[test]
fn a_window_that_changes_its_size_keeps_the_view_below() {
    let Some(window) = Window::open(100, 30) else { return };
    let docs = docs();
    window.runs(&format!("\"$HOPWATCH\" run --watch {} -- curl -s {}", docs.dep("retrieval/docs"), docs.url("/held")));
    window.shows("1 call open; retrieval/docs for ");
    for (columns, lines) in [(60, 20), (120, 40)] {
        window.resizes(columns, lines);
        window.is("the view is in the last lines", |screen| {
            let below: Vec<&str> = screen.lines().skip(usize::from(lines - lines / 3)).collect();
            below.iter().any(|line| line.contains("1 call open"))
        });
    }
    window.presses(&["C-c"]);
    window.hides("1 call open");
}

#[test]
fn what_cannot_be_shown_is_told_and_disturbs_nothing() {
    let ended = |arguments: &[&str]| {
        let mut command = crate::sidecar::hopwatch();
        // Of a session of its own it has no terminal.
        let mut command = {
            command.arg("run").args(arguments);
            command
        };
        // SAFETY: one system call, which is async-signal-safe.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(&mut command, || {
                libc::setsid();
                Ok(())
            })
        };
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, out, err) = ended(&["--watch", "--", "sh", "-c", "echo hello; exit 5"]);
    assert_eq!((code, &*out), (Some(5), "hello\n"));
    assert!(err.starts_with("hopwatch: there is no terminal to show the run on; it goes on without\n"), "{err}");
    let (code, _, err) = ended(&["--watch", "--quiet", "--", "true"]);
    assert_eq!((code, &*err), (Some(0), ""));
    let (code, _, err) = ended(&["--watch", "--via", "none", "--", "true"]);
    assert!(code == Some(2) && err.contains("`--watch` has nothing to show"), "{err}");
}
