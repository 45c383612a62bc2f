//! Calls of no run: a sidecar sees them without the work that they are a part of.
//!
//! One that failed or took far beyond its normal is judged as a run of its own, together with the other calls of its trace where its
//! caller carries one, so that it has a verdict like any other.

use super::store::Store;
use crate::model::{FailedBy, Nanos, Outcome, Role, Run, Span};
use std::collections::VecDeque;

/// Most calls that are remembered to be told with a later one of their trace.
const RECENT: usize = 4_096;
/// Most calls that are told with one.
const TOLD: usize = 64;
/// A call this many times beyond its normal is told although it ended well.
const FAR_BEYOND: Nanos = 5;
/// And by at least this much.
const FAR_BEYOND_MIN: Nanos = 1_000_000_000;

/// The last calls of no run.
#[derive(Debug, Default)]
pub(super) struct Calls {
    recent: VecDeque<Span>,
}

impl Calls {
    /// The run that is made of a call that ended, where there is something to tell.
    pub(super) fn told(&self, span: &Span, store: &Store) -> Option<Run> {
        is_worth_telling(span, store).then(|| self.run_of(span))
    }

    /// Remembers a call that ended.
    pub(super) fn keep(&mut self, span: Span) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(span);
    }

    /// The last calls.
    pub(super) fn recent(&self) -> Vec<Span> {
        self.recent.iter().cloned().collect()
    }

    fn run_of(&self, span: &Span) -> Run {
        let trace_id = span.call.as_ref().and_then(|call| call.trace_id);
        let of_trace = |other: &&Span| trace_id.is_some() && other.call.as_ref().is_some_and(|call| call.trace_id == trace_id);
        let mut spans: Vec<Span> = self.recent.iter().rev().filter(of_trace).take(TOLD).cloned().collect();
        spans.push(span.clone());
        spans.sort_by_key(|span| (span.start, span.id));
        let start = spans.first().map_or(span.start, |first| first.start);
        let end = spans.iter().filter_map(|span| span.end).max().unwrap_or(span.start);
        let name = span.service.clone();
        let mut root = Span {
            role: Role::Server,
            ..Span::new(span.id.0.wrapping_add(1), None, name.clone(), name.clone(), start, Some(end))
        };
        root.parent = None;
        for span in &mut spans {
            span.parent = Some(root.id);
        }
        spans.insert(0, root);
        let ending = span.call.as_ref().and_then(|call| call.outcome);
        Run { name, trace_id, start, end: Some(end), seen_until: end, spans, ending, ..Run::default() }
    }
}

/// Whether a call failed, or took far beyond its normal.
fn is_worth_telling(span: &Span, store: &Store) -> bool {
    let Some(call) = span.call.as_deref() else { return false };
    let (Some(outcome), Some(end)) = (call.outcome, span.end) else { return false };
    let failed = match outcome {
        // A client that stopped to read has what it wanted.
        Outcome::Ok | Outcome::Cancelled => false,
        Outcome::ClientError => call.failed_by != Some(FailedBy::Peer),
        _ => true,
    };
    let took = end.saturating_sub(span.start);
    let far =
        || took >= FAR_BEYOND_MIN && store.history().usual(span).is_some_and(|usual| took >= usual.saturating_mul(FAR_BEYOND));
    failed || far()
}
