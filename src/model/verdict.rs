//! What attribution says: blame by component, and the culprit.

use super::{Cause, Kind, Name, Nanos, Outcome, Phase};

/// What time is charged to: a phase of a dependency, or of the caller (`kind` and `dependency` empty).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Component {
    /// Kind of the dependency; `startup` has a kind and no dependency.
    pub kind: Option<Kind>,
    /// The dependency; `None` = the caller itself.
    pub dependency: Option<Name>,
    /// The phase.
    pub phase: Phase,
}

/// A share of a run's wall clock on its critical path.
#[derive(Clone, Debug, PartialEq)]
pub struct BlameRow {
    /// What it is charged to.
    pub component: Component,
    /// Time on the critical path.
    pub time: Nanos,
    /// Part of the run (of its deadline when it was cut there), 0 to 1.
    pub share: f64,
    /// What one call takes here normally: the median of the run's other calls, leaving the one that matters most out; `None` = too few
    /// to say.
    pub usual: Option<Nanos>,
    /// Calls of the component that lie on the path.
    pub calls: u64,
    /// Some of it is estimated.
    pub inferred: bool,
    /// For the caller's own rows what blocked ("event loop blocked in sleep"), or the parts of a start-up ("index 4.2 s, config 0.1 s").
    pub detail: Option<String>,
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Observations were lost, or most of the blame is estimated.
    Low,
    /// No baseline to compare with.
    Medium,
    /// Measured, compared with a baseline or plain from the failure.
    High,
}

/// The culprit of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whom and which phase.
    pub component: Component,
    /// Why, when a rule of the catalogue is sure.
    pub cause: Option<Cause>,
    /// Time on the critical path.
    pub time: Nanos,
    /// Part of the run, 0 to 1.
    pub share: f64,
    /// What one call takes normally.
    pub usual: Option<Nanos>,
    /// How sure.
    pub confidence: Confidence,
    /// Where the error was raised, when that is not the culprit.
    pub raised_at: Option<RaisedAt>,
    /// The numbers behind it.
    pub evidence: Vec<Evidence>,
    /// One sentence for people.
    pub sentence: String,
    /// What to change, in one or two sentences.
    pub remedy: Option<String>,
}

/// The hop whose failure the program saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaisedAt {
    /// Its kind.
    pub kind: Kind,
    /// Its dependency.
    pub dependency: Name,
    /// Its outcome.
    pub outcome: Outcome,
    /// The client's exception class.
    pub error_type: Option<Name>,
    /// How long the client had waited when it gave up, where it did.
    pub gave_up_after: Option<Nanos>,
}

/// One number behind a statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What it is.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
    /// Its unit; `None` = a count or a ratio.
    pub unit: Option<&'static str>,
}

/// A value of evidence.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A short text: an address, an error's name.
    Text(String),
}

impl Evidence {
    /// A count or ratio.
    #[must_use]
    pub const fn number(name: &'static str, value: f64) -> Self {
        Self { name, value: Value::Number(value), unit: None }
    }

    /// A duration, in milliseconds.
    #[must_use]
    pub fn time(name: &'static str, time: Nanos) -> Self {
        Self { name, value: Value::Number(super::millis(time)), unit: Some("ms") }
    }

    /// A short text.
    pub fn text(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: Value::Text(value.into()), unit: None }
    }
}
