use crate::support::{children, ended, hopwatch, lines_of, plain_run, process, send, wait_until};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A command that notes signals line by line and runs until `SIGUSR2`.
fn script(log: &Path) -> String {
    let log = log.display();
    format!(
        "for s in HUP INT TERM USR1 WINCH QUIT; do trap \"echo $s >> {log}\" $s; done; trap 'exit 0' USR2; echo ready >> {log}; \
         while :; do sleep 0.02; done"
    )
}

struct Noting {
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

fn noting(options: &[&str]) -> Noting {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = hopwatch();
    command.args(["run", "--via", "none"]).args(options).args(["--", "sh", "-c", &script(&log)]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the command is ready", || lines_of(&log) == 1);
    Noting { child, log, _folder: folder }
}

impl Noting {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn noted(&self) -> Vec<String> {
        fs::read_to_string(&self.log).unwrap().lines().skip(1).map(str::to_owned).collect()
    }

    fn end(mut self) -> (Option<i32>, String) {
        send(self.pid(), libc::SIGUSR2);
        self.wait()
    }

    fn wait(&mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (code, err)
    }
}

#[test]
fn signals_to_hopwatch_are_passed_on_once() {
    let noting = noting(&["--quiet"]);
    let mut expected = Vec::new();
    for (signal, name) in [(libc::SIGTERM, "TERM"), (libc::SIGHUP, "HUP"), (libc::SIGUSR1, "USR1"), (libc::SIGWINCH, "WINCH")] {
        send(noting.pid(), signal);
        expected.push(name);
        wait_until(name, || noting.noted().len() >= expected.len());
    }
    // One that came twice would be noted with the next round of the command's loop.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(noting.noted(), expected);
    assert_eq!(noting.end(), (Some(0), String::new()));
}

#[test]
fn a_second_interrupt_kills() {
    let mut noting = noting(&["--quiet"]);
    send(noting.pid(), libc::SIGINT);
    wait_until("the first is passed on", || noting.noted() == ["INT"]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(noting.child.try_wait().unwrap().is_none());
    send(noting.pid(), libc::SIGINT);
    assert_eq!(noting.wait().0, Some(137));
    assert_eq!(noting.noted(), ["INT"]);
}

#[test]
fn an_interrupt_that_timeout_sends_twice_does_not_kill() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!("trap 'sleep 0.3; echo bye >> {}; exit 0' INT; while :; do sleep 0.02; done", log.display());
    let mut command = Command::new("timeout");
    command.args(["--preserve-status", "-s", "INT", "1", env!("CARGO_BIN_EXE_hopwatch"), "run", "--via", "none", "-q", "--"]);
    assert_eq!(command.args(["sh", "-c", &script]).status().unwrap().code(), Some(0));
    assert_eq!(lines_of(&log), 1);
}

#[test]
fn sigquit_prints_what_is_open_and_is_not_passed_on() {
    let mut noting = noting(&["--quiet", "--name", "agent"]);
    send(noting.pid(), libc::SIGQUIT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(noting.noted().is_empty());
    let mut first = [0; 4];
    noting.child.stderr.as_mut().unwrap().read_exact(&mut first).unwrap();
    let (code, rest) = noting.end();
    let said = String::from_utf8(first.to_vec()).unwrap() + &rest;
    assert!(said.starts_with("open"), "{said}");
    assert!(said.contains("agent"), "{said}");
    assert_eq!(code, Some(0));
}

#[test]
fn signals_of_the_commands_own_tree_do_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!("trap 'echo TERM >> {}' TERM; kill -TERM $PPID; sleep 0.3; exit 5", log.display());
    assert_eq!(ended(&mut plain_run(&["sh", "-c", &script])).code, Some(5));
    assert_eq!(lines_of(&log), 0);
}

#[test]
fn a_run_that_the_user_ended_is_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut command = hopwatch();
    command.args(["run", "--via", "none", "--quiet", "--json", json.to_str().unwrap(), "--", "sleep", "60"]);
    let mut child = command.spawn().unwrap();
    wait_until("the command runs", || !children(child.id()).is_empty());
    let sleeping = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n");
    wait_until("it is the command", || children(child.id()).iter().any(|pid| sleeping(*pid)));
    send(child.id(), libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["runs"][0]["outcome"], "cancelled");
}

#[test]
fn kill_ends_the_command_at_its_deadline() {
    let start = Instant::now();
    let timed_out = ended(hopwatch().args(["run", "--via", "none", "-q", "--kill", "--deadline", "200ms", "--", "sleep", "60"]));
    assert_eq!((timed_out.code, timed_out.err.as_str()), (Some(124), ""));
    assert!(start.elapsed() >= Duration::from_millis(200));
    // One that does not listen is killed two seconds later.
    let start = Instant::now();
    let mut deaf = hopwatch();
    deaf.args(["run", "--via", "none", "-q", "--kill", "--deadline", "200ms", "--"]);
    deaf.args(["sh", "-c", "trap '' TERM; while :; do sleep 0.02; done"]);
    assert_eq!(ended(&mut deaf).code, Some(124));
    assert!(start.elapsed() >= Duration::from_millis(2200));
    // One that ends in time keeps its code.
    let in_time =
        ended(hopwatch().args(["run", "--via", "none", "-q", "--kill", "--deadline", "60s", "--", "sh", "-c", "exit 6"]));
    assert_eq!(in_time.code, Some(6));
}

#[test]
fn a_deadline_without_kill_leaves_the_command_alone() {
    let told = ended(hopwatch().args(["run", "--via", "none", "--deadline", "50ms", "--", "sh", "-c", "sleep 0.5; echo done"]));
    assert_eq!((told.code, told.out.as_str()), (Some(0), "done\n"));
    assert!(told.err.contains("timed out"), "{}", told.err);
}

#[test]
fn a_stop_stops_both_and_a_continuation_continues_both() {
    let noting = noting(&["--quiet"]);
    let stopped = |pid: u32| process(pid).is_some_and(|(state, _)| state == 'T');
    let command = children(noting.pid())[0];
    // The tests may run without a terminal, in an orphaned process group, where only this one stops anything.
    send(noting.pid(), libc::SIGSTOP);
    wait_until("hopwatch is stopped", || stopped(noting.pid()));
    send(command, libc::SIGSTOP);
    wait_until("the command is stopped", || stopped(command));
    send(noting.pid(), libc::SIGCONT);
    // With a terminal hopwatch stops once more, for its command; without one it goes on and wakes the command.
    wait_until("the command goes on", || {
        if stopped(noting.pid()) {
            send(noting.pid(), libc::SIGCONT);
        }
        !stopped(command)
    });
    assert_eq!(noting.end().0, Some(0));
}
