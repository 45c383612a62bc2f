//! Starting hopwatch and waiting for things.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// hopwatch without what the tests' own environment says to it.
pub(crate) fn hopwatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
    for name in ["HOPWATCH_CONFIG", "NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "LD_PRELOAD"] {
        command.env_remove(name);
    }
    // A suite in the background or under `nohup` inherits signals that are ignored, and shells cannot trap those.
    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    command
}

/// `hopwatch run`, unobserved and without a report: what the process handling does shows best alone.
pub(crate) fn plain_run(arguments: &[&str]) -> Command {
    let mut command = hopwatch();
    command.args(["run", "--via", "none", "--quiet", "--"]).args(arguments);
    command
}

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// State (`R`, `S`, `T`, …) and parent of a process.
pub(crate) fn process(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    all.filter(|child| process(*child).is_some_and(|(_, parent)| parent == pid)).collect()
}

pub(crate) fn lines_of(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

pub(crate) fn send(pid: u32, signal: i32) {
    // SAFETY: sending a signal touches no memory.
    assert_eq!(unsafe { libc::kill(pid.cast_signed(), signal) }, 0);
}
