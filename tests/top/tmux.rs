//! A shell in a terminal that can be looked at: tmux keeps the screen.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::ask::wait_for;
use crate::support::part::part;

/// A window of so many columns and lines with a shell that does job control. Dropped, all in it ends.
pub(crate) struct Window {
    tmux: PathBuf,
    /// Its socket is here, and what the shell writes.
    folder: TempDir,
}

impl Window {
    /// Opens one; `None` = there is no tmux, which was said.
    pub(crate) fn open(columns: u16, lines: u16) -> Option<Self> {
        let window = Self { tmux: part("tmux")?, folder: tempfile::tempdir().unwrap() };
        let shell = format!("exec env PS1='$> ' ENV= HOPWATCH={} sh -i", env!("CARGO_BIN_EXE_hopwatch"));
        window.tmux(&["new-session", "-d", "-x", &columns.to_string(), "-y", &lines.to_string(), &shell]);
        window.shows("$>");
        Some(window)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.tmux);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["HOPWATCH_", "OTEL_", "TMUX", "CLICOLOR", "NO_COLOR", "COLUMNS", "LINES"]
                .iter()
                .any(|start| text.starts_with(start))
            {
                command.env_remove(&name);
            }
        }
        // Without a UTF-8 locale it draws lines with letters.
        command.env("LC_ALL", "C.UTF-8").env("SHELL", "/bin/sh").args(["-f", "/dev/null", "-u", "-S"]);
        let Output { status, stdout, stderr } = command.arg(self.folder.path().join("tmux")).args(arguments).output().unwrap();
        assert!(status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Types text as it stands.
    pub(crate) fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses keys by their names: `Enter`, `C-z`, `Down`.
    pub(crate) fn presses(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a command and enters it.
    pub(crate) fn runs(&self, command: &str) {
        self.types(command);
        self.presses(&["Enter"]);
    }

    pub(crate) fn resizes(&self, columns: u16, lines: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// What is on the screen, line by line.
    pub(crate) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with its colours, as escape sequences.
    pub(crate) fn painted(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Something that tmux knows of the window.
    pub(crate) fn knows(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", format]).trim_end().to_owned()
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub(crate) fn is(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        wait_for(what, || {
            let screen = self.screen();
            if holds(&screen) { Ok(screen) } else { Err(format!("the screen is\n{screen}")) }
        })
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> String {
        self.is(&format!("`{text}` on the screen"), |screen| screen.contains(text))
    }

    /// Waits until this is no longer on the screen.
    #[track_caller]
    pub(crate) fn hides(&self, text: &str) -> String {
        self.is(&format!("no `{text}` on the screen"), |screen| !screen.contains(text))
    }

    /// The exit code of what the shell ran last is this.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) {
        self.runs("echo code=$?");
        self.shows(&format!("code={code}"));
    }

    /// Sends a signal to what the shell runs.
    pub(crate) fn sends(&self, signal: i32) {
        // SAFETY: sending a signal touches no memory.
        assert_eq!(unsafe { libc::kill(self.child(), signal) }, 0);
    }

    /// The process that the shell runs.
    pub(crate) fn child(&self) -> i32 {
        let shell = self.knows("#{pane_pid}");
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().parse().expect("it runs one program")
    }

    /// Whether a program has the terminal's other screen.
    pub(crate) fn is_full(&self) -> bool {
        self.knows("#{alternate_on}") == "1"
    }

    /// The modes of the terminal, and that its own screen with its cursor is shown.
    pub(crate) fn state(&self) -> String {
        let file = self.folder.path().join("modes");
        self.runs(&format!("stty -g > {0}.tmp; mv {0}.tmp {0}", file.display()));
        let modes = wait_for("the shell tells the modes", || std::fs::read_to_string(&file).map_err(|error| error.to_string()));
        std::fs::remove_file(file).unwrap();
        let shown = self.knows("#{alternate_on} #{cursor_flag} #{scroll_region_upper} #{scroll_region_lower} #{mouse_any_flag}");
        format!("{modes} {shown}")
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Its shell and what that runs get SIGHUP.
        let _gone = Command::new(&self.tmux).arg("-S").arg(self.folder.path().join("tmux")).arg("kill-server").output();
    }
}
