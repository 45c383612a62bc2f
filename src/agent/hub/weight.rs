//! What records take of memory, so that what is remembered is bounded in bytes, whoever told it.

use crate::model::{Attempt, Call, Run, Span, Tile, Timeline};

/// Bytes that the hops of one kind of memory may take: of kept runs, and of runs that go on.
pub(super) const ROOM: usize = 64 << 20;

/// About as many bytes as a span takes.
pub(super) fn weight(span: &Span) -> usize {
    let tiles = |timeline: &Timeline| timeline.stretches().count() * size_of::<Tile>();
    let name = |name: &Option<crate::model::Name>| name.as_ref().map_or(0, |name| name.len());
    let of_call = |call: &Call| {
        let attempts: usize = call.attempts.iter().map(|attempt| size_of::<Attempt>() + tiles(&attempt.timeline)).sum();
        size_of::<Call>() + tiles(&call.timeline) + attempts + name(&call.model) + name(&call.error_type) + name(&call.address)
    };
    let names = span.service.len() + span.operation.len() + name(&span.dependency);
    size_of::<Span>() + names + span.call.as_deref().map_or(0, of_call)
}

/// About as many bytes as a run takes.
pub(super) fn weight_of_run(run: &Run) -> usize {
    let facts =
        size_of_val(&*run.stalls) + size_of_val(&*run.contexts) + size_of_val(&*run.connections) + size_of_val(&*run.imports);
    size_of::<Run>() + facts + run.spans.iter().map(weight).sum::<usize>()
}
