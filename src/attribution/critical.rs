//! The critical path of a run in order of time, with what each stretch is charged to.

use super::account::{Account, Stretch};
use super::history::History;
use crate::model::{Component, Nanos, Run, SpanId};

/// A stretch of a run's critical path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPiece {
    /// The call, or whatever else of a known kind; `None` = the caller itself.
    pub span: Option<SpanId>,
    /// What it is charged to.
    pub component: Component,
    /// Where it starts, on the run's clock.
    pub start: Nanos,
    /// Where it ends.
    pub end: Nanos,
}

/// The stretches of a run's critical path from its start to its horizon: without gap or overlap, summing by component to
/// [`super::blame`].
#[must_use]
pub fn critical_path(run: &Run) -> Vec<PathPiece> {
    let (history, mut path) = (History::default(), Vec::new());
    let _account = Account::with_path(run, &history, Some(&mut path));
    path.sort_by_key(|stretch: &Stretch<'_>| stretch.start);
    let mut pieces: Vec<PathPiece> = Vec::new();
    for Stretch { start, end, kind, dependency, phase, span } in path {
        let component = Component { kind, dependency: dependency.cloned(), phase };
        let span = span.and_then(|span| run.spans.get(span as usize)).map(|span| span.id);
        match pieces.last_mut() {
            Some(last) if last.end == start && last.span == span && last.component == component => last.end = end,
            _ => pieces.push(PathPiece { span, component, start, end }),
        }
    }
    pieces
}
