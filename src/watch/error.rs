//! Why a run gave no output, with the report of it.

use crate::attribution::exceeded;
use crate::export::report::{self, Report, Style};
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::instrument::run::{DeadlinePassed, Expired, Unfinished};
use crate::model::{Losses, Run, Verdict};
use std::any::Any;
use std::fmt;

/// A run that did not come to its output.
///
/// Displayed, it is one line that names the culprit: `10 s exceeded: 7.9 s in retrieval/qdrant (wait), normally 0.3 s`.
#[derive(Clone)]
pub struct RunError {
    inner: Box<Inner>,
}

#[derive(Clone)]
enum Inner {
    Expired { expired: Box<Expired>, losses: Losses },
    NoRuntime,
}

impl RunError {
    pub(super) fn new(unfinished: Unfinished, losses: impl FnOnce() -> Losses) -> Self {
        let inner = match unfinished {
            Unfinished::Expired(expired) => Inner::Expired { expired, losses: losses() },
            Unfinished::NoRuntime => Inner::NoRuntime,
        };
        Self { inner: Box::new(inner) }
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        matches!(*self.inner, Inner::Expired { .. })
    }

    /// Whether a deadline was asked for where no tokio runtime is there to keep it.
    #[must_use]
    pub fn is_no_runtime(&self) -> bool {
        matches!(*self.inner, Inner::NoRuntime)
    }

    /// The run up to its deadline.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.expired().map(|expired| &expired.run)
    }

    /// Who ate the time.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.expired()?.judgement.verdict.as_ref()
    }

    /// The report of this run alone, as of its deadline.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let Inner::Expired { expired, losses } = &*self.inner else { return None };
        let now = expired.run.end.unwrap_or(expired.run.seen_until);
        Some(report::report("library", now, &[(&expired.run, &expired.judgement)], &[], losses, Vec::new()))
    }

    fn expired(&self) -> Option<&Expired> {
        match &*self.inner {
            Inner::Expired { expired, .. } => Some(expired),
            Inner::NoRuntime => None,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expired() {
            Some(expired) => f.write_str(&exceeded(&expired.run, &expired.judgement)),
            None => f.write_str("a deadline needs a tokio runtime with time enabled: call this inside one"),
        }
    }
}

impl fmt::Debug for RunError {
    /// The report as text: what `unwrap` shows should say what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.report() {
            Some(report) => write!(f, "\n{}", report::text(&report, Style { color: false })),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.is_deadline().then_some(&DeadlinePassed)
    }
}

/// How a run ended that gave this result; the deadline of one inside it is a timeout.
pub(super) fn of_result<T, E: 'static>(result: &Result<T, E>) -> Ending {
    let inner = result.as_ref().err().and_then(|error| (error as &dyn Any).downcast_ref::<RunError>());
    if inner.is_some_and(RunError::is_deadline) { Ending::cut() } else { failure::of_result(result) }
}
