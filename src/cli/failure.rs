//! A failure as people read it: `error: …`, then what to do about it.

use super::tell;
use std::error::Error;
use std::fmt::Write;

/// Exit codes.
pub(crate) mod status {
    /// A check failed.
    pub(crate) const CHECK_FAILED: u8 = 1;
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
    /// What went wrong, told one below the other; empty = nothing is printed.
    told: Vec<Told>,
}

/// Something that went wrong.
#[derive(Debug)]
struct Told {
    /// What stands after `error: `.
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, told: vec![Told { message: message.into(), hint: None }] }
    }

    /// A usage failure.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(status::USAGE, message)
    }

    /// A failure whose message was printed already, or needs none.
    pub(crate) const fn silent(code: u8) -> Self {
        Self { code, told: Vec::new() }
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
        if let Some(told) = self.told.last_mut() {
            told.hint = Some(hint.into());
        }
        self
    }

    /// Another thing that went wrong, told below.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.told.extend(other.told);
        self
    }

    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn print(&self) {
        let told = self.told.iter().map(|Told { message, hint }| {
            let hint = hint.as_ref().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
            format!("error: {message}\n{hint}")
        });
        tell(&told.collect::<String>());
    }
}
