//! Which of a report's runs is meant.

use crate::cli::{Failure, status};
use crate::export::report::{Report, RunReport};
use crate::model::redact;
use std::fmt;
use std::str::FromStr;

/// Most runs that are named where the one that was meant is not there.
const NAMED_MAX: usize = 5;

/// `--run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Selector {
    /// The one that began last.
    Last,
    /// The one of this id, or the last of this name.
    Named(String),
}

impl FromStr for Selector {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "last" { Self::Last } else { Self::Named(text.to_owned()) })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::Named(name) => f.write_str(&redact::name(name)),
        }
    }
}

impl Selector {
    /// The run that is meant.
    ///
    /// # Errors
    /// It is not there; `source` is where it was looked for.
    pub(in crate::cli) fn find<'a>(&self, report: &'a Report, source: &dyn fmt::Display) -> Result<&'a RunReport, Failure> {
        let last =
            |is: &dyn Fn(&&RunReport) -> bool| report.runs.iter().filter(is).max_by(|a, b| a.started_at.cmp(&b.started_at));
        let found = match self {
            Self::Last => last(&|_| true),
            Self::Named(name) => {
                // Names are kept as they may be shown.
                let shown = redact::name(name);
                report.runs.iter().find(|run| run.id == *name).or_else(|| last(&|run| run.name == shown))
            }
        };
        found.ok_or_else(|| self.missing(report, source))
    }

    fn missing(&self, report: &Report, source: &dyn fmt::Display) -> Failure {
        if report.runs.is_empty() {
            return Failure::new(status::FAILED, format!("{source} has no run"))
                .hint("runs come there by `hopwatch run --agent ADDRESS`, and calls that failed through its gateway");
        }
        let mut names: Vec<&str> = report.runs.iter().rev().map(|run| run.name.as_str()).collect();
        names.dedup();
        let more = if names.len() > NAMED_MAX { ", ..." } else { "" };
        names.truncate(NAMED_MAX);
        Failure::new(status::FAILED, format!("{source} has no run `{self}`"))
            .hint(format!("runs there: `{}`{more}; `last` is the one that began last", names.join("`, `")))
    }
}
