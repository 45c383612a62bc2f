//! Where a setting is from, and what is wrong with it.

use crate::model::redact;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Mistakes that are told of one configuration at most.
const FAULTS_MAX: usize = 20;

/// Where a value is from. Its text is what a mistake is called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// This variable.
    Environment(Cow<'static, str>),
    /// This option of the command line.
    Flag(&'static str),
}

/// A value and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it is from.
    pub source: Source,
}

/// What is wrong with a value, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead.
    pub(super) hint: Option<String>,
}

/// A mistake, or what is likely one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands.
    pub at: Source,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds mistakes.
    #[error("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// At least one, in the order of the file; the first 20.
        faults: Vec<Fault>,
        /// Those beyond.
        more: usize,
    },
}

/// The mistakes that were found so far, and the text that positions are taken from.
#[derive(Debug)]
pub(super) struct Faults {
    file: Option<(Arc<Path>, Box<str>)>,
    found: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Source {
    /// In a word or two, as `config show` tells it: `default`, `hopwatch.toml:3`, `environment HOPWATCH_DRAIN`, `flag --set`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File { path, line, .. } => format!("{}:{line}", path.display()),
            Self::Environment(name) => format!("environment {name}"),
            Self::Flag(option) => format!("flag {option}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(option) => write!(f, "`{option}`"),
        }
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }

    /// At its place, fit to be shown: values are quoted in it as they were written.
    fn at(self, at: Source) -> Fault {
        Fault { at, message: redact::printable(&self.message), hint: self.hint.as_deref().map(redact::printable) }
    }
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self { message, hint: None }
    }
}

impl From<(String, String)> for Problem {
    fn from((message, hint): (String, String)) -> Self {
        Self::new(message, hint)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl Faults {
    /// None so far, in the text of a file or where there is none.
    pub(super) fn new(file: Option<(&Path, &str)>) -> Self {
        Self { file: file.map(|(path, text)| (path.into(), text.into())), found: Vec::new(), warnings: Vec::new() }
    }

    /// The place of a byte of the file.
    pub(super) fn place(&self, at: usize) -> Source {
        let Some((path, text)) = &self.file else { return Source::Default };
        let (line, column) = position(text, at);
        Source::File { path: Arc::clone(path), line, column }
    }

    /// Notes a mistake.
    pub(super) fn add(&mut self, at: Source, problem: Problem) {
        self.found.push(problem.at(at));
    }

    /// Notes a mistake at a byte of the file.
    pub(super) fn add_at(&mut self, at: usize, problem: Problem) {
        self.add(self.place(at), problem);
    }

    /// Notes what is allowed and hardly meant; once, where two settings have it from one place.
    pub(super) fn warn(&mut self, at: Source, problem: Problem) {
        let warning = problem.at(at);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The warnings, where there is no mistake.
    ///
    /// # Errors
    /// The mistakes.
    pub(super) fn finish(self) -> Result<Vec<Fault>, ConfigError> {
        if self.found.is_empty() { Ok(self.warnings) } else { Err(self.refuse()) }
    }

    /// The mistakes, in the order of the file, then of the environment and the flags.
    pub(super) fn refuse(mut self) -> ConfigError {
        self.found.sort_by_key(|fault| match &fault.at {
            Source::File { line, column, .. } => (0, *line, *column),
            Source::Environment(_) => (1, 0, 0),
            Source::Flag(_) | Source::Default => (2, 0, 0),
        });
        let more = self.found.len().saturating_sub(FAULTS_MAX);
        self.found.truncate(FAULTS_MAX);
        ConfigError::Invalid { faults: self.found, more }
    }
}

/// Line and column, in characters and from 1, of a byte offset.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(position("a\nüx", 4), (2, 2));
        assert_eq!(position("", 9), (1, 1));
    }

    #[test]
    fn mistakes_come_in_the_order_of_the_file_and_are_bounded() {
        let text = "a\nb\n";
        let mut faults = Faults::new(Some((Path::new("f"), text)));
        faults.add(Source::Flag("--set"), "last".to_owned().into());
        faults.add_at(2, "second".to_owned().into());
        faults.add_at(0, "first".to_owned().into());
        let error = faults.finish().unwrap_err();
        assert_eq!(error.to_string(), "f:1:1: first; f:2:1: second; `--set`: last");
        let mut faults = Faults::new(Some((Path::new("f"), text)));
        (0..25).for_each(|_| faults.add_at(0, "again".to_owned().into()));
        assert!(matches!(faults.finish(), Err(ConfigError::Invalid { faults, more: 5 }) if faults.len() == 20));
    }
}
