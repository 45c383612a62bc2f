//! Behind a terminal of its own, with a shell that does job control.

use crate::support::{children, process, wait_until};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A shell on a terminal: what it prints is collected.
struct Terminal {
    shell: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn open() -> Self {
        let (mut master, mut slave) = (0, 0);
        // SAFETY: the two numbers have room for the answers; name, settings and size are left to the system.
        let opened =
            unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut()) };
        assert_eq!(opened, 0);
        // SAFETY: `openpty` gave both, and nobody else owns them.
        let (mut master, slave) = unsafe {
            libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC);
            (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        };
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new("sh");
        command.arg("-im").env("PS1", "$ ").env_remove("ENV").env("HOPWATCH", env!("CARGO_BIN_EXE_hopwatch"));
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        // SAFETY: two system calls, which are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let shell = command.spawn().unwrap();
        drop((command, slave));
        let screen = Arc::new(Mutex::new(String::new()));
        let (keyboard, shown) = (master.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { shell, keyboard, screen }
    }

    fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn wait_for(&self, text: &str) {
        wait_until(&format!("`{text}` on the screen: {}", self.screen()), || self.screen().contains(text));
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// hopwatch and its command, once both are there.
    fn pair(&self) -> (u32, u32) {
        let mut pair = None;
        wait_until("hopwatch and its command run", || {
            let hopwatch = children(self.shell.id()).into_iter().next();
            pair = hopwatch.and_then(|pid| Some((pid, children(pid).into_iter().next()?)));
            pair.is_some()
        });
        pair.unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for pid in children(self.shell.id()).into_iter().flat_map(|pid| children(pid).into_iter().chain([pid])) {
            // SAFETY: sending a signal touches no memory; a process that is gone already is as well.
            unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
        }
        let _gone = self.shell.kill();
        let _reaped = self.shell.wait();
    }
}

fn state(pid: u32) -> Option<char> {
    process(pid).map(|(state, _)| state)
}

#[test]
fn job_control_stops_both_and_continues_both() {
    let mut terminal = Terminal::open();
    terminal.type_keys("\"$HOPWATCH\" run --via none -q -- sh -c 'echo up; read line; echo \"got $line\"; exit 9'\n");
    terminal.wait_for("up\r\n");
    let (hopwatch, command) = terminal.pair();
    for _ in 0..2 {
        terminal.type_keys("\u{1a}");
        wait_until("both are stopped", || state(hopwatch) == Some('T') && state(command) == Some('T'));
        terminal.wait_for("Stopped");
        terminal.type_keys("fg\n");
        wait_until("both go on", || state(hopwatch) == Some('S') && state(command) == Some('S'));
    }
    terminal.type_keys("hello\n");
    terminal.wait_for("got hello");
    terminal.type_keys("echo code=$?\n");
    terminal.wait_for("code=9");
}

#[test]
fn an_interrupt_of_the_terminal_reaches_the_command_once_and_the_second_kills() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut terminal = Terminal::open();
    terminal.type_keys(&format!(
        "\"$HOPWATCH\" run --via none -q -- sh -c 'trap \"echo INT >> {}\" INT; echo up; while :; do sleep 0.02; done'\n",
        log.display()
    ));
    terminal.wait_for("up\r\n");
    terminal.type_keys("\u{3}");
    wait_until("the command noted it", || crate::support::lines_of(&log) >= 1);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(crate::support::lines_of(&log), 1);
    terminal.type_keys("\u{3}");
    terminal.wait_for("$ ");
    terminal.type_keys("\necho code=$?\n");
    terminal.wait_for("code=137");
}

#[test]
fn a_probe_that_takes_long_tells_where_it_is_and_takes_the_line_away() {
    // The kernel takes the connection, and nobody answers.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut terminal = Terminal::open();
    let address = mute.local_addr().unwrap();
    terminal.type_keys(&format!("\"$HOPWATCH\" probe -n 2 --timeout 2s --no-proxy https://{address}\n"));
    terminal.wait_for(&format!("https://{address}/: try 2 of 2, in its TLS handshake"));
    terminal.wait_for("\r\u{1b}[Kprobe    ");
    terminal.type_keys("echo code=$?\n");
    terminal.wait_for("code=1");
}
