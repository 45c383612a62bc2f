//! A run's log as the model's run.

use super::log::Log;
use super::record::Record;
use crate::instrument::ending::Ending;
use crate::model::{Nanos, Run, Span, SpanId, Stall};
use rustc_hash::FxHashSet;
use std::sync::Arc;

/// The run of a log as of `now`; `None` for the log of a thread.
pub(crate) fn run_of(log: &Log, now: Nanos) -> Option<Run> {
    let facts = log.run.as_ref()?;
    let (records, stalls, end) = log.snapshot();
    let seen_until = end.as_ref().map_or(now, |(end, _)| *end);
    let records: Vec<Record> = records.into_iter().map(|record| record.seen_at(seen_until)).collect();
    let root = Span {
        role: facts.role,
        kind: facts.kind,
        id: facts.id,
        parent: facts.caller.span_id(),
        ..Span::new(
            0,
            None,
            Arc::clone(&log.shared.service),
            Arc::clone(&facts.name),
            facts.start,
            end.as_ref().map(|(end, _)| *end),
        )
    };
    let spans = std::iter::once(root).chain(spans(log, &records, seen_until)).collect();
    Some(with_end(
        Run {
            name: Arc::clone(&facts.name),
            trace_id: Some(facts.trace),
            start: facts.start,
            seen_until,
            deadline: facts.deadline,
            spans,
            stalls,
            ..Run::default()
        },
        end,
    ))
}

/// The run inside the run of `log` whose root is `root`: the spans below it.
pub(crate) fn subtree(log: &Log, root: SpanId, deadline: Option<Nanos>, now: Nanos, end: Option<(Nanos, Ending)>) -> Option<Run> {
    let (records, stalls, _) = log.snapshot();
    let top = records.iter().find(|record| record.id == root)?;
    let mut inside: FxHashSet<SpanId> = FxHashSet::from_iter([root]);
    // Parents begin before their children, so that one pass in order of start finds all.
    let mut by_start: Vec<&Record> = records.iter().collect();
    by_start.sort_by_key(|record| record.start);
    for _ in 0..2 {
        for record in &by_start {
            if record.parent.is_some_and(|parent| inside.contains(&parent)) {
                inside.insert(record.id);
            }
        }
    }
    let below: Vec<Record> = records.iter().filter(|record| record.id != root && inside.contains(&record.id)).cloned().collect();
    let start = top.start;
    let name = Arc::clone(&log.shared.named(top.subject).operation);
    let seen_until = end.as_ref().map_or(now, |(end, _)| *end);
    let service = Arc::clone(&log.shared.service);
    let first = Span {
        role: crate::model::Role::Server,
        id: root,
        parent: top.parent,
        ..Span::new(0, None, service, Arc::clone(&name), start, end.as_ref().map(|(end, _)| *end))
    };
    let within = |stall: &Stall| stall.end > start && stall.start < seen_until;
    Some(with_end(
        Run {
            name,
            trace_id: log.run.as_ref().map(|run| run.trace),
            start,
            seen_until,
            deadline,
            spans: std::iter::once(first).chain(spans(log, &below, seen_until)).collect(),
            stalls: stalls.into_iter().filter(within).collect(),
            ..Run::default()
        },
        end,
    ))
}

/// The records as spans; doors that know more are asked outside of any lock.
fn spans<'a>(log: &'a Log, records: &'a [Record], now: Nanos) -> impl Iterator<Item = Span> + 'a {
    records.iter().map(move |record| record.span(&log.shared.named(record.subject), &log.shared.service, now))
}

fn with_end(mut run: Run, end: Option<(Nanos, Ending)>) -> Run {
    if let Some((end, ending)) = end {
        (run.end, run.ending) = (Some(end), Some(ending.outcome));
    }
    run
}
