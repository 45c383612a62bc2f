//! A failure as people read it: `error: …`, then what to do about it.

use super::tell;
use std::error::Error;
use std::fmt::Write;

/// Exit codes.
pub(crate) mod status {
    /// A check failed.
    pub(crate) const NOT_OK: u8 = 1;
    /// Usage or configuration.
    pub(crate) const USAGE: u8 = 2;
    /// Failed at run time.
    pub(crate) const FAILED: u8 = 3;
    /// The command ran out of its deadline (`--kill`), as `timeout(1)` says it.
    pub(crate) const TIMED_OUT: u8 = 124;
    /// The command cannot be executed, as shells say it.
    pub(crate) const NOT_EXECUTABLE: u8 = 126;
    /// The command was not found, as shells say it.
    pub(crate) const NOT_FOUND: u8 = 127;
}

/// Why a verb did not do what it was asked, with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// What stands after `error: `; empty = nothing is printed.
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// A usage failure.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(status::USAGE, message)
    }

    /// A failure whose message was printed already, or needs none.
    pub(crate) fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    /// The message of an error with all of its causes.
    pub(crate) fn of(code: u8, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _infallible = write!(message, ": {error}");
            cause = error.source();
        }
        Self::new(code, message)
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn print(&self) {
        if self.message.is_empty() {
            return;
        }
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
        tell(&format!("error: {}\n{hint}", self.message));
    }
}
