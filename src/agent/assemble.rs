//! The assembler: what a source saw becomes a run.

use crate::model::{Exit, Kind, Name, Nanos, Role, Run, Span, SpanId, mix};
use crate::observe::Observed;

/// What is known of a process tree's run beside what was observed in it.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// What the user calls it.
    pub name: Name,
    /// When the process was started.
    pub start: Nanos,
    /// When it ended; `None` = it still runs.
    pub end: Option<Nanos>,
    /// The moment up to which it was observed.
    pub seen_until: Nanos,
    /// How long it may take.
    pub deadline: Option<Nanos>,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// Makes the run of one process tree: a root that spans it, start-up from its beginning to the first hop or inbound request,
/// and the hops, those without a parent hung under the root.
#[must_use]
pub fn process_run(observed: Observed, facts: RunFacts) -> Run {
    let RunFacts { name, start, end, seen_until, deadline, exit } = facts;
    let mut next_id = observed.spans.iter().map(|span| span.id.0).max().unwrap_or(0);
    let mut fresh_id = || {
        next_id = next_id.wrapping_add(1).max(1);
        next_id
    };
    let root = Span { role: Role::Server, ..Span::new(root_id(start), None, name.clone(), name.clone(), start, end) };
    let first_activity = observed.spans.iter().map(|span| span.start).min();
    let startup = first_activity.filter(|first| *first > start).map(|first| Span {
        kind: Some(Kind::Startup),
        ..Span::new(fresh_id(), Some(root.id.0), name.clone(), "startup".into(), start, Some(first))
    });
    let adopt = |mut span: Span, root: SpanId| {
        span.parent.get_or_insert(root);
        span
    };
    let root_id = root.id;
    let spans = std::iter::once(root).chain(startup).chain(observed.spans.into_iter().map(|span| adopt(span, root_id))).collect();
    Run {
        name,
        trace_id: None,
        start,
        end,
        seen_until,
        deadline,
        spans,
        stalls: observed.stalls,
        exit,
        ending: None,
        raised: observed.raised,
        contexts: observed.contexts,
        imports: observed.imports,
        connections: observed.connections,
    }
}

/// The id of a run's root: the same while it goes on, and none of its spans', which sources count from one.
fn root_id(start: Nanos) -> u64 {
    mix::mixed(start.wrapping_add(mix::STEP)).max(1)
}
