//! The real binary as a sidecar.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::ask::{PATIENCE, get, wait_for};

/// A sidecar that runs. Dropped, it is killed.
pub(crate) struct Sidecar {
    child: Child,
    folder: TempDir,
    /// Where clients come in, in the order of its listeners.
    pub(crate) gateway: Vec<String>,
    /// Where operators ask.
    pub(crate) admin: String,
    lines: Receiver<String>,
    said: Arc<Mutex<String>>,
}

/// `hopwatch` without what the tests' own environment says to it.
pub(crate) fn hopwatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_told = ["HOPWATCH_", "OTEL_", "NOTIFY_", "LISTEN_", "WATCHDOG_"].iter().any(|start| text.starts_with(start));
        let leads =
            ["_proxy", "_base_url", "_api_base", "_endpoint", "_host"].iter().any(|end| text.to_lowercase().ends_with(end));
        if is_told || leads || text == "LD_PRELOAD" {
            command.env_remove(&name);
        }
    }
    command
}

/// A route to a dependency, as a file has it.
pub(crate) fn route(prefix: &str, upstream: &str, kind: &str, dependency: &str) -> String {
    format!("[[route]]\nprefix = \"{prefix}\"\nupstream = \"{upstream}\"\ndependency = \"{dependency}\"\nkind = \"{kind}\"\n")
}

impl Sidecar {
    /// Listens where the system lets it, with these lines in the table of the gateway and what follows them.
    pub(crate) fn start(gateway: &str) -> Self {
        Self::with(gateway, |_| ())
    }

    /// The same, with a change to its command.
    pub(crate) fn with(gateway: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::of(&local(gateway), change)
    }

    /// With this file, all of it.
    fn of(file: &str, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = hopwatch();
        command.arg("agent");
        change(&mut command);
        let mut sidecar = Self::begun(file, command);
        sidecar.is_ready();
        sidecar
    }

    /// What this command starts, which may not be ready yet.
    pub(crate) fn begun(file: &str, mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hopwatch.toml"), file).unwrap();
        // Other users may have to read it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (told, lines) = channel();
        let said: Arc<Mutex<String>> = Arc::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().unwrap().push_str(&format!("{line}\n"));
                // The test may have heard enough.
                let _over = told.send(line);
            }
        });
        Self { child, folder, gateway: Vec::new(), admin: String::new(), lines, said }
    }

    /// Waits until it says where it serves.
    #[track_caller]
    pub(crate) fn is_ready(&mut self) {
        let line = self.says("hopwatch: gateway at ");
        let (gateway, admin) = line.strip_prefix("hopwatch: gateway at ").unwrap().split_once(", admin at http://").unwrap();
        self.gateway = gateway.split(" and ").map(str::to_owned).collect();
        admin.clone_into(&mut self.admin);
    }

    /// Waits for a line that begins so.
    #[track_caller]
    pub(crate) fn says(&self, start: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with(start) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it does not say `{start}`, but:\n{}", self.said())
                }
            }
        }
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `http://` and where the first listener is, with a path behind it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway[0])
    }

    /// A file beside its configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Other lines in the table of the gateway and behind it; to be read again.
    pub(crate) fn rewrite(&self, gateway: &str) {
        fs::write(self.file("hopwatch.toml"), local(gateway)).unwrap();
        self.send(libc::SIGHUP);
    }

    pub(crate) fn send(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.pid()).unwrap();
        // SAFETY: sending a signal touches no memory; the child is not reaped yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// The status and body of what operators ask.
    pub(crate) fn asked(&self, path: &str) -> (u16, String) {
        let (head, body) = get(&self.admin, path).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.asked(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn report(&self) -> Value {
        self.json("/api/report")
    }

    /// The sum of a metric over its series that have all of these labels (`dependency="docs"`).
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.asked("/metrics");
        let is_of = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        text.lines().filter(is_of).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits until so many calls are counted.
    #[track_caller]
    pub(crate) fn counted(&self, calls: usize) {
        self.counts("hopwatch_hop_calls_total", calls);
    }

    /// The same of tries: a call that failed and one like it of a client that nobody knows are taken for two tries of one.
    #[track_caller]
    pub(crate) fn tried(&self, tries: usize) {
        self.counts("hopwatch_attempts_total", tries);
    }

    #[track_caller]
    fn counts(&self, metric: &str, most: usize) {
        wait_for("all is counted", || {
            let counted = self.metric(metric, &[]);
            if counted >= most as f64 { Ok(()) } else { Err(format!("{counted} of {most}; it said:\n{}", self.said())) }
        });
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Option<i32> {
        wait_for("it ends", || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status.code()),
            None => Err(self.said()),
        })
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An address that was free a moment ago, for programs that want to be told one.
pub(crate) fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn local(gateway: &str) -> String {
    let listen = if gateway.contains("listen = ") { "" } else { "listen = \"127.0.0.1:0\"\n" };
    format!("[agent]\nadmin = \"127.0.0.1:0\"\n[gateway]\n{listen}{gateway}")
}
