//! Real Python programs, run alone or under `hopwatch run --json`.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::authority::Authority;
use super::report::Report;
use super::turn::{LOOK, Starting, Turn};
use super::via::Via;
use hopwatch::model::clock::monotonic;

/// No program here runs longer than this unless something is wrong.
const LIMIT: Duration = Duration::from_secs(150);

/// Variables of the surroundings that would change what the programs do.
const CLEARED: &[&str] = &[
    "ALL_PROXY",
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HOPWATCH_APPS_PYTHON",
    "HOPWATCH_REQUIRE_APPS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_PRELOAD",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The interpreter of the pinned environment, or `None` after saying why the test is skipped.
///
/// Where the environment is required (`CI`, `HOPWATCH_REQUIRE_APPS`) its absence fails the test instead.
pub(crate) fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = std::env::var_os("HOPWATCH_APPS_PYTHON").map_or_else(|| target.join("apps-venv/bin/python"), PathBuf::from);
    if python.exists() {
        return Some(python);
    }
    let why = format!("no Python environment at {} (run tests/apps/setup)", python.display());
    let on = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(!on("CI") && !on("HOPWATCH_REQUIRE_APPS"), "{why}");
    // Past the harness, which would keep back what a passing test prints.
    drop(writeln!(io::stderr(), "skipped: {why}"));
    None
}

/// A program of `tests/apps` with its arguments and environment.
#[derive(Clone)]
pub(crate) struct App {
    python: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    via: Option<Via>,
}

/// How a program ended and what it wrote.
pub(crate) struct Finished {
    /// As a shell would give it: 128 + signal when killed.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that ended under hopwatch, and the report on it.
pub(crate) struct Watched {
    pub(crate) finished: Finished,
    pub(crate) report: Report,
}

impl App {
    /// `None` when there is no environment to run it in (and that was said).
    pub(crate) fn new(program: &str) -> Option<Self> {
        let python = python()?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps").join(program);
        assert!(file.exists(), "{} is missing", file.display());
        Some(Self { python, arguments: vec![file.display().to_string()], environment: Vec::new(), via: None })
    }

    /// Another program.
    pub(crate) fn of(program: PathBuf) -> Self {
        Self { python: program, arguments: Vec::new(), environment: Vec::new(), via: None }
    }

    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    pub(crate) fn arg(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    pub(crate) fn option(self, name: &str, value: impl ToString) -> Self {
        self.arg(name).arg(value)
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// How its calls are seen. Of a client that heeds proxy variables only when it is told to, its program has a switch.
    pub(crate) fn via(mut self, via: Via) -> Self {
        self.via = Some(via);
        let has_switch = self.arguments.first().is_some_and(|program| program.ends_with("/aiohttp_calls.py"));
        if has_switch && via.is_between() { self.arg("--trust-env") } else { self }
    }

    /// Makes the program trust this authority, whichever client it uses.
    pub(crate) fn trusting(self, authority: &Authority) -> Self {
        let file = authority.file().display().to_string();
        self.env("SSL_CERT_FILE", &file).env("REQUESTS_CA_BUNDLE", &file)
    }

    /// Runs it as it is.
    pub(crate) fn alone(&self) -> Finished {
        self.run(self.command())
    }

    /// Runs it under `hopwatch run` with these options; the report must be there and its sums must be exact.
    #[track_caller]
    pub(crate) fn watched(&self, options: &[&str]) -> Watched {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("report.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
        command.arg("run").arg("--json").arg(&json).args(self.via.map(Via::option)).args(options);
        command.arg("--").arg(&self.python).args(&self.arguments);
        self.prepare(&mut command);
        let finished = self.run(command);
        let text = std::fs::read_to_string(&json).unwrap_or_else(|error| {
            panic!("no report ({error}); exit code {}\n{}\n{}", finished.code, finished.stdout, finished.stderr)
        });
        let report = Report::parse(&text, &finished).seen(self.via.unwrap_or_default());
        report.check_sums();
        Watched { finished, report }
    }

    /// A command that runs it as it is.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.args(&self.arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        for name in CLEARED {
            command.env_remove(name);
        }
        // Bytes of compiled modules are no part of what is compared or timed.
        command.env("PYTHONDONTWRITEBYTECODE", "1").envs(self.environment.iter().cloned());
    }

    fn run(&self, mut command: Command) -> Finished {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut starting = Some((Turn::take(), Starting::default()));
        let mut child = command.spawn().unwrap();
        let pid = child.id();
        let (done, over) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let start = monotonic();
            loop {
                let left = LIMIT.saturating_sub(start.elapsed());
                let patience = if starting.is_some() { left.min(LOOK) } else { left };
                if over.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return false;
                }
                if start.elapsed() >= LIMIT {
                    // SAFETY: a plain system call; the group is that of our own child, which is not reaped yet.
                    unsafe { libc::kill(-libc::pid_t::try_from(pid).unwrap(), libc::SIGKILL) };
                    return true;
                }
                starting = starting.and_then(|(turn, mut looks)| (!looks.is_over(pid)).then_some((turn, looks)));
            }
        });
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let status = child.wait().unwrap();
        drop(done);
        assert!(!watchdog.join().unwrap(), "not done after {LIMIT:?}\n{stdout}\n{stderr}");
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Finished { code, stdout, stderr }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
