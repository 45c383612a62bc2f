//! What is said about a command beside the report.

use crate::cli::{Failure, status};
use crate::observe::{self, ResolveError};
use std::ffi::OsStr;
use std::path::PathBuf;

/// Finds the program of a command.
pub(super) fn resolve(command: &OsStr) -> Result<PathBuf, Failure> {
    let shown = command.display();
    observe::resolve(command, std::env::var_os("PATH").as_deref()).map_err(|error| match error {
        ResolveError::NotFound => Failure::new(status::NOT_FOUND, format!("command `{shown}` not found"))
            .hint("check its spelling and `PATH`; options of hopwatch stand before `--`, the command after"),
        ResolveError::NotExecutable => Failure::new(status::NOT_EXECUTABLE, format!("`{shown}` is not executable"))
            .hint("make it so (`chmod +x`), or name its interpreter: `hopwatch run -- python script.py`"),
    })
}

/// Said before a command starts that will not be observed.
pub(super) fn not_seen(name: &str, reason: &str) -> String {
    format!("hopwatch: the calls of `{name}` will not be seen: {reason}\n")
}

/// Said at the end when nothing looked at the command's calls.
pub(super) const NOBODY_LOOKED: &str = "the calls of this command were not watched: its time cannot be told apart";

/// Said at the end when a command that was observed made no call.
pub(super) const NOTHING_SEEN: &str = "no call was seen. A Go program, a static binary or a daemon that ran before hides its calls; \
a model or store inside the process makes none";
