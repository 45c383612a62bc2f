//! A real PostgreSQL server: that of the Python environment, which has pgvector, or the system's, which speaks TLS.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::authority::Authority;
use super::turn::Turn;

/// Who runs the server when the tests run as root, which it refuses: nobody.
const USER: u32 = 65_534;
const ROOT: u32 = 0;
/// An introduction: user and database `postgres`, protocol 3.0.
const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";

/// How a server is set up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// It asks for this password.
    pub(crate) password: Option<&'a str>,
    /// It speaks TLS, with a certificate of this authority.
    pub(crate) authority: Option<&'a Authority>,
    /// Settings of its configuration: `max_connections=5`.
    pub(crate) settings: &'a [&'a str],
}

/// A running server with data of its own; ended and removed when dropped.
pub(crate) struct Postgres {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Starts it and waits until it lets clients in. `python` is the environment's interpreter. `None` when it is to speak TLS and the
    /// system has none that does (and that was said).
    pub(crate) fn start(python: &Path, options: Options<'_>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        hand_over(folder.path());
        let programs = match options.authority {
            Some(_) => programs_of_system()?,
            None => programs_of_environment(python, folder.path()),
        };
        let data = folder.path().join("data");
        let mut initdb = of_user(programs.join("initdb"), folder.path());
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]);
        match options.password {
            Some(password) => {
                let file = folder.path().join("password");
                fs::write(&file, password).unwrap();
                hand_over(&file);
                initdb.args(["-A", "scram-sha-256"]).arg(format!("--pwfile={}", file.display()));
            }
            None => drop(initdb.args(["-A", "trust"])),
        }
        let _turn = Turn::take();
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        // It wants to be told a port: one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder.path().join("log");
        let output = File::create(&log).unwrap();
        let mut server = of_user(programs.join("postgres"), folder.path());
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        let sockets = format!("unix_socket_directories={}", folder.path().display());
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=16MB", &sockets].iter().chain(options.settings)
        {
            server.args(["-c", setting]);
        }
        if let Some(authority) = options.authority {
            for name in ["server.crt", "server.key"] {
                let file = data.join(name);
                fs::copy(authority.file().with_file_name(name), &file).unwrap();
                fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
                hand_over(&file);
            }
            server.args(["-c", "ssl=on"]);
        }
        server.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut postgres = Self { child: server.spawn().unwrap(), port, _folder: folder };
        for _ in 0..600 {
            if postgres.lets_in().unwrap_or(false) {
                return Some(postgres);
            }
            if let Some(status) = postgres.child.try_wait().unwrap() {
                panic!("postgres ended ({status}): {}", fs::read_to_string(&log).unwrap());
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("postgres let nobody in for a minute: {}", fs::read_to_string(&log).unwrap());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `--dep` that names it.
    pub(crate) fn dep(&self, name: &str) -> String {
        format!("--dep={name}=127.0.0.1:{}", self.port)
    }

    /// Whether it welcomes a client, or asks who it is.
    fn lets_in(&self) -> io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(STARTUP)?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        stream.write_all(b"X\0\0\0\x04")?;
        Ok(first == *b"R")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SAFETY: a plain system call; the process is our own child, which is not reaped yet. SIGQUIT ends the whole server at once.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGQUIT) };
        drop(self.child.wait());
    }
}

/// Whether the tests run as root.
fn is_root() -> bool {
    // SAFETY: a plain system call without arguments.
    unsafe { libc::geteuid() == ROOT }
}

/// A program run by whoever may run the server.
fn of_user(program: PathBuf, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("HOME", folder).env_remove("LD_PRELOAD");
    if is_root() {
        command.uid(USER).gid(USER);
    }
    command
}

fn hand_over(path: &Path) {
    if is_root() {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
}

/// Where the programs of the system's server are (Debian's are in no `PATH`).
fn programs_of_system() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = versions.chain(std::env::split_paths(&path)).find(|folder| folder.join("postgres").is_file());
    if found.is_none() {
        let required = std::env::var("HOPWATCH_REQUIRE_PARTS").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
        assert!(!required, "PostgreSQL is not installed");
        // Past the harness, which would keep back what a passing test prints.
        drop(writeln!(io::stderr(), "skipped: PostgreSQL is not installed (Debian: apt-get install postgresql)"));
    }
    found
}

/// Where the environment's are: there, or copied where the server's user can reach them.
fn programs_of_environment(python: &Path, folder: &Path) -> PathBuf {
    let asked = Command::new(python).args(["-c", "import pgserver; print(*pgserver.__path__)"]).output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let installed = Path::new(String::from_utf8(asked.stdout).unwrap().trim()).join("pginstall");
    let reaches = || of_user(installed.join("bin/postgres"), folder).arg("--version").output();
    if reaches().is_ok_and(|output| output.status.success()) {
        return installed.join("bin");
    }
    let copied = Command::new("cp").arg("-r").arg(&installed).arg(folder).status().unwrap();
    assert!(copied.success(), "{} cannot be copied", installed.display());
    folder.join("pginstall/bin")
}
