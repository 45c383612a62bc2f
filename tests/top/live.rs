//! `hopwatch top` against a real agent with real traffic.

use std::process::{Command, Stdio};

use crate::ask::{get, wait_for};
use crate::sidecar::{Sidecar, free, hopwatch, route};
use crate::support::replies::documents;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};
use crate::tmux::Window;

/// A vector store that resets the connection of whoever asks for `/broken`, and never answers `/held`.
fn docs() -> Server {
    let reset = |_: &_| Script::new().then(Step::Reset);
    let held = |_: &_| Script::new().then(Step::Stall);
    Router::new().route("/search", |_| documents()).route("/broken", reset).route("/held", held).start()
}

/// An agent that leads to it.
fn agent(docs: &Server) -> Sidecar {
    Sidecar::start(&route("/docs", &docs.url(""), "retrieval", "docs"))
}

/// A call through the agent.
fn call(sidecar: &Sidecar, path: &str) {
    // Its connection may be reset.
    drop(get(&sidecar.gateway[0], path));
}

/// `hopwatch top` in a window, once it shows something.
fn top(window: &Window, sidecar: &Sidecar, options: &str) {
    window.runs(&format!("\"$HOPWATCH\" top {} {options}", sidecar.admin));
    window.shows("hopwatch top  ");
}

#[test]
fn a_fault_appears_while_one_looks_and_its_waterfall_is_a_key_away() {
    let Some(window) = Window::open(120, 40) else { return };
    let (docs, before) = (docs(), window.state());
    let sidecar = agent(&docs);
    call(&sidecar, "/docs/search");
    top(&window, &sidecar, "--interval 200ms");
    window.shows("Runs none");
    window.shows("retrieval/docs");
    call(&sidecar, "/docs/broken");
    let screen = window.shows("connection_dropped");
    assert!(screen.lines().any(|line| line.contains("failed (reset)") && line.contains("retrieval/docs")), "{screen}");
    window.presses(&["Enter"]);
    let screen = window.shows("off the critical path");
    assert!(screen.lines().any(|line| line.contains("retrieval/docs") && line.contains("x reset")), "{screen}");
    window.presses(&["Escape"]);
    window.shows("Runs 1");
    window.types("?");
    window.shows("the other way round");
    window.types("?q");
    let screen = window.hides("hopwatch top  ");
    assert!(screen.contains("\"$HOPWATCH\" top"), "what was on the screen before is there again: {screen}");
    assert_eq!(window.state(), before);
}

#[test]
fn a_call_that_is_open_gets_older_before_ones_eyes() {
    let Some(window) = Window::open(120, 40) else { return };
    let docs = docs();
    let sidecar = agent(&docs);
    let mut held = Command::new("curl");
    let mut held = held.args(["-s", "-m", "60", &sidecar.url("/docs/held")]).stdout(Stdio::null()).spawn().unwrap();
    top(&window, &sidecar, "--interval 500ms");
    let screen = window.shows("Open calls 1");
    let age = |screen: &str| -> String {
        let line = screen.lines().skip_while(|line| !line.contains("Open calls")).nth(2).unwrap().to_owned();
        assert!(line.contains("retrieval/docs") && line.contains("wait"), "{screen}");
        line
    };
    let first = age(&screen);
    window.is("the age goes on", |screen| screen.contains("Open calls 1") && age(screen) != first);
    held.kill().unwrap();
    held.wait().unwrap();
    window.shows("Open calls none");
}

#[test]
fn what_is_shown_follows_the_size_of_the_window() {
    let Some(window) = Window::open(40, 14) else { return };
    let docs = docs();
    let sidecar = agent(&docs);
    call(&sidecar, "/docs/broken");
    top(&window, &sidecar, "--interval 200ms");
    let screen = window.shows("Runs 1  Dependencies 1");
    assert!(screen.contains("retrieval/docs") && !screen.contains("connection_dropped"), "{screen}");
    window.resizes(150, 40);
    let screen = window.shows("connection_dropped");
    assert!(screen.contains("Open calls none"), "{screen}");
    window.presses(&["Enter"]);
    window.shows("off the critical path");
    for (columns, lines) in [(40, 14), (12, 4), (200, 60), (3, 2), (80, 24)] {
        window.resizes(columns, lines);
        window.is("it fills the new size", |screen| {
            screen.lines().next().is_some_and(|line| line.starts_with(&"hopwatch top"[..usize::from(columns - 1).min(12)]))
        });
    }
    window.shows("x reset");
}

#[test]
fn it_sorts_and_filters_by_keys() {
    let Some(window) = Window::open(120, 40) else { return };
    let docs = docs();
    let sidecar = Sidecar::start(&format!(
        "{}{}",
        route("/docs", &docs.url(""), "retrieval", "docs"),
        route("/tool", &docs.url(""), "tool", "lookup")
    ));
    (0..3).for_each(|_| call(&sidecar, "/docs/search"));
    call(&sidecar, "/tool/broken");
    top(&window, &sidecar, "--interval 200ms");
    window.shows("tool/lookup");
    window.types("2sssss");
    let order = |first: &'static str, last: &'static str| {
        move |screen: &str| {
            let list = screen.split_once("Dependencies").map_or("", |(_, list)| list);
            list.find(first).zip(list.find(last)).is_some_and(|(first, last)| first < last)
        }
    };
    window.is("by time at first", |screen| screen.contains("Dependencies 2  by time"));
    window.types("ssss");
    window.is("by name", |screen| screen.contains("by name") && order("retrieval/docs", "tool/lookup")(screen));
    window.types("r");
    window.is("the other way round", |screen| screen.contains("reversed") && order("tool/lookup", "retrieval/docs")(screen));
    window.types("/lookup");
    window.presses(&["Enter"]);
    let screen = window.shows("only `lookup`");
    assert!(screen.contains("Dependencies 1 of 2") && !screen.contains("retrieval/docs"), "{screen}");
    window.presses(&["Escape"]);
    window.shows("Dependencies 2");
}

#[test]
fn without_colour_nothing_is_coloured_and_with_it_phases_are() {
    let Some(window) = Window::open(120, 40) else { return };
    let docs = docs();
    let sidecar = agent(&docs);
    call(&sidecar, "/docs/broken");
    let colours = |painted: &str| painted.contains("\u{1b}[31m") || painted.contains("[38;5;") || painted.contains(";31m");
    window.runs(&format!("NO_COLOR=1 \"$HOPWATCH\" top {}", sidecar.admin));
    window.shows("failed (reset)");
    assert!(!colours(&window.painted()), "{:?}", window.painted());
    window.presses(&["Enter"]);
    window.shows("capitals");
    assert!(!colours(&window.painted()), "{:?}", window.painted());
    window.types("q");
    window.hides("failed (reset)");
    window.runs(&format!("\"$HOPWATCH\" top --color never {}", sidecar.admin));
    window.shows("failed (reset)");
    assert!(!colours(&window.painted()), "{:?}", window.painted());
    window.types("q");
    window.hides("failed (reset)");
    window.runs(&format!("NO_COLOR=1 \"$HOPWATCH\" top --color always {}", sidecar.admin));
    window.shows("failed (reset)");
    assert!(colours(&window.painted()), "{:?}", window.painted());
    window.presses(&["Enter"]);
    window.shows("off the critical path");
}

#[test]
fn an_agent_that_goes_away_and_comes_back_is_told_and_found_again() {
    let Some(window) = Window::open(120, 40) else { return };
    let docs = docs();
    let first = agent(&docs);
    call(&first, "/docs/broken");
    let admin = first.admin.clone();
    top(&window, &first, "--interval 200ms");
    window.shows("failed (reset)");
    drop(first);
    let screen = window.shows(&format!("away  no agent answers at {admin}: Connection refused"));
    assert!(screen.contains("failed (reset)"), "what it told last stays: {screen}");
    let second = Sidecar::with(&route("/docs", &docs.url(""), "retrieval", "docs"), |command| {
        command.args(["--admin", &admin]);
    });
    assert_eq!(second.admin, admin);
    window.hides("away");
    window.shows("Runs none");
    call(&second, "/docs/broken");
    window.shows("Runs 1");
}

#[test]
fn the_terminal_is_as_it_was_whatever_ends_or_stops_it() {
    let Some(window) = Window::open(100, 30) else { return };
    let (docs, before) = (docs(), window.state());
    let sidecar = agent(&docs);
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129), (libc::SIGINT, 130)] {
        top(&window, &sidecar, "");
        window.sends(signal);
        window.hides("hopwatch top  ");
        window.exits(code);
        assert_eq!(window.state(), before, "{signal}");
        window.runs("clear");
        window.hides("code=");
    }
    top(&window, &sidecar, "");
    window.presses(&["C-z"]);
    window.is("the shell has the terminal", |screen| screen.contains("Stopped") || screen.contains("suspended"));
    assert_eq!(window.state(), before);
    window.runs("fg");
    window.shows("hopwatch top  ");
    assert!(window.is_full());
    window.presses(&["C-c"]);
    window.hides("hopwatch top  ");
    window.exits(0);
    assert_eq!(window.state(), before);
}

#[test]
fn it_ends_with_its_terminal() {
    let Some(window) = Window::open(100, 30) else { return };
    let docs = docs();
    let sidecar = agent(&docs);
    top(&window, &sidecar, "");
    let child = window.child();
    drop(window);
    let is_gone = || !std::path::Path::new(&format!("/proc/{child}")).exists();
    wait_for("it ends", || if is_gone() { Ok(()) } else { Err("it runs on".to_owned()) });
}

#[test]
fn where_nothing_is_a_terminal_one_snapshot_is_printed() {
    let docs = docs();
    let sidecar = agent(&docs);
    call(&sidecar, "/docs/broken");
    let ended = |arguments: &[&str]| {
        let output = hopwatch().args(["top"]).args(arguments).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, out, err) = wait_for("the call is told", || {
        let told = ended(&[&sidecar.admin]);
        if told.1.contains("Runs 1") { Ok(told) } else { Err(format!("{told:?}")) }
    });
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.contains("connection_dropped") && out.contains("Dependencies 1") && !out.contains('\u{1b}'), "{out}");
    let (code, out, _) = ended(&[&sidecar.admin, "--run", "last", "--color", "always"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("retrieval/docs") && out.contains("\u{1b}[38;5;"), "{out}");

    let nobody = free();
    let (code, out, err) = ended(&[&nobody]);
    assert_eq!((code, &*out), (Some(3), ""));
    assert!(err.starts_with(&format!("error: no agent answers at {nobody}: Connection refused")), "{err}");
    assert!(err.contains("\nhint: ") && err.contains("HOPWATCH_ADMIN"), "{err}");
    let (code, _, err) = ended(&["https://127.0.0.1:1"]);
    assert!(code == Some(2) && err.contains("hint: "), "{err}");
    let other = Router::new().route("/api/report", |_| Script::answer(404, &[], &serde_json::json!("nothing is here"))).start();
    let (code, _, err) = ended(&[&format!("127.0.0.1:{}", other.port())]);
    assert!(code == Some(3) && err.starts_with("error: 127.0.0.1:") && err.contains(" answered 404"), "{err}");
}
