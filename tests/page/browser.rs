//! Scenes in a real browser, played by `drive.mjs`.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::part::part;

/// No scene takes longer unless something is wrong.
const LIMIT: Duration = Duration::from_secs(1_800);
/// One browser at a time: several would keep each other from smooth frames.
static STAGE: Mutex<()> = Mutex::new(());

/// A scene that goes on. Dropped, it is stopped.
pub(crate) struct Scene {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    said: String,
    _alone: MutexGuard<'static, ()>,
}

/// What it takes to play one.
pub(crate) struct Stage {
    node: PathBuf,
    browser: PathBuf,
    packages: PathBuf,
}

impl Stage {
    /// `None` after saying why the test is skipped. Where parts are required their absence fails the test.
    pub(crate) fn find() -> Option<Self> {
        let (node, browser) = (part("node")?, part("chromium")?);
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("page-node");
        if packages.join(".key").exists() {
            return Some(Self { node, browser, packages });
        }
        let why = format!("no packages at {} (run tests/page/setup)", packages.display());
        let on = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        assert!(!on("CI") && !on("HOPWATCH_REQUIRE_PARTS"), "{why}");
        // Past the harness, which would keep back what a passing test prints.
        drop(writeln!(std::io::stderr(), "skipped: {why}"));
        None
    }

    /// Plays a scene of `tests/page/scenes` on the page at an admin address.
    pub(crate) fn play(&self, scene: &str, admin: &str) -> Scene {
        let alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = Command::new(&self.node)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/drive.mjs"))
            .args([scene, &format!("http://{admin}")])
            .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("page"))
            .env("PAGE_NODE", &self.packages)
            .env("PAGE_BROWSER", &self.browser)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            drop(stderr.read_to_string(&mut text));
            text
        });
        Scene { child, lines, stderr: Some(stderr), said: String::new(), _alone: alone }
    }
}

impl Scene {
    /// Waits until it gets to a step, does that, and lets it go on.
    #[track_caller]
    pub(crate) fn step<T>(&mut self, step: &str, act: impl FnOnce() -> T) -> T {
        while let Some(line) = self.line() {
            if let Some(word) = line.strip_prefix("> ") {
                assert_eq!(word, step);
                let done = act();
                self.child.stdin.as_mut().unwrap().write_all(b"done\n").unwrap();
                return done;
            }
        }
        panic!("it ended before `{step}`: {}", self.rest())
    }

    /// Waits for its end; it must have gone well. What it measured.
    #[track_caller]
    pub(crate) fn ends(mut self) -> String {
        while let Some(line) = self.line() {
            assert!(!line.starts_with("> "), "nobody answers `{line}`");
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}", self.rest());
        std::mem::take(&mut self.said)
    }

    #[track_caller]
    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => {
                self.said.push_str(&format!("{line}\n"));
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                drop(self.child.kill());
                panic!("not done after {LIMIT:?}: {}", self.rest())
            }
        }
    }

    fn rest(&mut self) -> String {
        let stderr = self.stderr.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
        format!("{}{stderr}", self.said)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Its input ends: it closes its browser by itself where it still can.
        drop(self.child.stdin.take());
        if std::thread::panicking() {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
