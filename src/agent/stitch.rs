//! Two records of one call become one: what the observer saw in the program, and what the gateway saw behind it.
//!
//! Both know the client's own end of its connection, so that nothing is guessed (design page, section 4, rule 9). The gateway's record
//! becomes a part of the observer's, and tells the dependency, its phases and what became of the call; what the observer's is longer is
//! the caller's own. While a run goes on, records come one by one: the observer's are known by whom they call.

use crate::gateway::Carried;
use crate::model::{Call, FailedBy, Losses, Origin, Outcome, Phase, Span, SpanId, Timeline};
use crate::observe::Observed;
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::SocketAddr;

/// Adds what a gateway carried to what was observed of the programs that used it. `gateway` are its addresses.
#[must_use]
pub fn stitch(mut observed: Observed, carried: Carried, gateway: &[SocketAddr]) -> Observed {
    let Carried { mut spans, connections, stalls, mut losses } = carried;
    let before = spans.len() as u64;
    join(&mut observed.spans, &mut spans, gateway);
    let merged = before - spans.len() as u64;
    losses.started -= merged;
    losses.recorded -= merged;
    reopen(&observed.spans, &mut spans, &mut losses);
    observed.spans.append(&mut spans);
    observed.spans.sort_by_key(|span| (span.start, span.id));
    // Of the connections to the gateway it knows more: what they were for.
    observed.connections.retain(|fact| !fact.peer.is_some_and(|peer| gateway.contains(&peer)));
    observed.connections.extend(connections);
    observed.stalls.extend(stalls);
    observed.first_activity = observed.first_activity.or_else(|| observed.spans.first().map(|span| span.start));
    observed.losses.add(losses);
    observed
}

/// Marks the records of the observer that a gateway tells the rest of, although that may not have come yet.
pub fn mark_relayed<'a>(observed: impl IntoIterator<Item = &'a mut Span>, gateway: &[SocketAddr]) {
    let calls = observed.into_iter().filter_map(|span| span.call.as_deref_mut());
    calls.filter(|call| is_to(gateway, call)).for_each(mark);
}

/// Joins the records that are there of a run so far, whoever made them.
#[must_use]
pub fn stitched(spans: Vec<Span>, gateway: &[SocketAddr]) -> Vec<Span> {
    let is_carried = |span: &Span| span.call.as_ref().is_some_and(|call| call.origin == Origin::Gateway);
    let (mut carried, mut observed): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(is_carried);
    join(&mut observed, &mut carried, gateway);
    observed.append(&mut carried);
    observed
}

fn join(observed: &mut [Span], carried: &mut Vec<Span>, gateway: &[SocketAddr]) {
    let own = |span: &Span| span.call.as_ref().and_then(|call| call.client.address);
    let is_relayed = |span: &&Span| span.call.as_deref().is_some_and(|call| is_to(gateway, call));
    let mut connections: FxHashMap<SocketAddr, (Vec<usize>, Vec<usize>)> = FxHashMap::default();
    for (at, own) in observed.iter().enumerate().filter_map(|(at, span)| Some((at, own(Some(span).filter(is_relayed)?)?))) {
        connections.entry(own).or_default().0.push(at);
    }
    for (at, inner) in carried.iter_mut().enumerate() {
        // What called it elsewhere is not among the spans of this run.
        inner.parent = None;
        if let Some((_, within)) = own(inner).and_then(|own| connections.get_mut(&own)) {
            within.push(at);
        }
    }
    let mut merged = FxHashSet::default();
    for (around, within) in connections.into_values() {
        let mut pairs = pairs((observed, around), (carried, within));
        let mut first_parts = FxHashMap::default();
        pairs.retain(|&(outer, inner)| {
            let Some(attempt) = seen_inside(&observed[outer], &carried[inner]) else { return true };
            let first = *first_parts.entry((outer, attempt)).or_insert(inner);
            if first != inner && !carried[inner].is_open() {
                let part = carried[inner].clone();
                merge(&mut carried[first], part);
                merged.insert(carried[inner].id);
            }
            first == inner || carried[inner].is_open()
        });
        for (outer, inner) in pairs {
            relay(&mut observed[outer], &mut carried[inner]);
        }
    }
    carried.retain(|span| !merged.contains(&span.id));
}

/// Which try of a call is what a gateway led through unread, where the observer saw inside.
fn seen_inside(outer: &Span, inner: &Span) -> Option<usize> {
    let (seen, call) = (outer.call.as_deref()?, inner.call.as_deref()?);
    let tries = seen.attempts.iter().enumerate().filter(|_| call.opaque && !seen.opaque);
    tries.max_by_key(|(_, attempt)| shared(&attempt.timeline, &call.timeline)).map(|(at, _)| at)
}

/// What looked like one more exchange from outside is another part of one.
fn merge(first: &mut Span, part: Span) {
    let (Some(call), Some(more)) = (first.call.as_deref_mut(), part.call) else { return };
    call.timeline.append(Phase::Send, &more.timeline);
    call.bytes.sent = call.bytes.sent.saturating_add(more.bytes.sent);
    call.bytes.received = call.bytes.received.saturating_add(more.bytes.received);
    call.gap = call.gap.max(more.gap);
    (call.outcome, call.failed_by, call.errno, call.gave_up_after) =
        (more.outcome, more.failed_by, more.errno, more.gave_up_after);
    call.error_type = more.error_type;
    if let Some(last) = call.attempts.last_mut() {
        last.timeline = call.timeline.clone();
        (last.outcome, last.failed_by) = (call.outcome, call.failed_by);
    }
    first.end = part.end;
}

/// Which call of the observer's each of the gateway's is a part of, of those on one connection.
fn pairs((observed, mut around): (&[Span], Vec<usize>), (carried, mut within): (&[Span], Vec<usize>)) -> Vec<(usize, usize)> {
    let end = |span: &Span| span.end_or(u64::MAX);
    around.sort_by_key(|&at| (observed[at].start, end(&observed[at])));
    within.sort_by_key(|&at| (carried[at].start, end(&carried[at])));
    let overlap = |outer: usize, inner: usize| overlap(&observed[outer], &carried[inner]);
    let in_order = || around.iter().copied().zip(within.iter().copied());
    let fit = |(outer, inner): (usize, usize)| overlap(outer, inner) > 0 || observed[outer].operation == carried[inner].operation;
    if around.len() == within.len() && in_order().all(fit) {
        return in_order().collect();
    }
    // Calls on one connection follow each other; the one that another is a part of overlaps it most.
    let nearest = |inner: usize| {
        let first = around.partition_point(|&at| end(&observed[at]) <= carried[inner].start);
        let near = around[first..].iter().copied().take_while(|&at| observed[at].start < end(&carried[inner]));
        near.max_by_key(|&outer| overlap(outer, inner)).map(|outer| (outer, inner))
    };
    within.into_iter().filter_map(nearest).collect()
}

/// A process that was killed in mid-call closed nothing itself: its calls stay open, although the kernel closed their connections.
fn reopen(observed: &[Span], carried: &mut [Span], losses: &mut Losses) {
    let open: FxHashSet<SpanId> = observed.iter().filter(|span| span.is_open()).map(|span| span.id).collect();
    let of_open = carried.iter_mut().filter(|span| !span.is_open() && span.parent.is_some_and(|outer| open.contains(&outer)));
    for span in of_open {
        let Some(call) = span.call.as_deref_mut().filter(|call| call.failed_by == Some(FailedBy::Caller)) else { continue };
        span.end = None;
        (call.outcome, call.failed_by, call.gave_up_after) = (None, None, None);
        if let Some(last) = call.attempts.last_mut() {
            (last.outcome, last.failed_by) = (None, None);
        }
        losses.recorded -= 1;
        losses.open += 1;
    }
}

fn is_to(gateway: &[SocketAddr], call: &Call) -> bool {
    call.address.as_deref().and_then(|text| text.parse().ok()).is_some_and(|to| gateway.contains(&to))
}

/// Tells what was only seen inside of TLS of a call that the gateway led through. Its times stay those of the gateway.
fn see_inside(outer: &Span, inner: &mut Span) {
    let tried = seen_inside(outer, inner);
    let (Some(seen), Some(call)) = (outer.call.as_deref(), inner.call.as_deref_mut()) else { return };
    // Each try that is joined in the one is a call of its own in the other.
    let Some(attempt) = tried.and_then(|tried| seen.attempts.get(tried)) else { return };
    let is_last = seen.attempts.last().is_some_and(|last| last.number == attempt.number);
    for first_token in attempt.timeline.stretches().filter(|part| part.phase == Phase::FirstToken) {
        call.timeline = call.timeline.with(Phase::FirstToken, first_token.start, first_token.end);
    }
    let has_failed = call.outcome == Some(Outcome::Ok) && attempt.failed_by.is_some();
    // Its client left when it had all of it, or what it wanted of it.
    let was_whole = call.failed_by == Some(FailedBy::Caller) && attempt.outcome == Some(Outcome::Ok);
    if has_failed || was_whole {
        (call.outcome, call.failed_by) = (attempt.outcome, attempt.failed_by);
        call.gave_up_after = seen.gave_up_after;
    }
    call.status = attempt.status;
    if is_last {
        call.error_type.clone_from(&seen.error_type);
        call.model.clone_from(&seen.model);
        (call.stream, call.tokens) = (seen.stream, seen.tokens);
    }
    if let Some(own) = call.attempts.last_mut() {
        own.timeline = call.timeline.clone();
        (own.outcome, own.failed_by, own.status) = (call.outcome, call.failed_by, call.status);
        own.retry_after = attempt.retry_after;
    }
    if seen.attempts.len() == 1 {
        call.bytes = seen.bytes;
    }
    (call.client.read_timeout, call.client.retry) = (seen.client.read_timeout, seen.client.retry);
    call.opaque = false;
    inner.operation.clone_from(&outer.operation);
    // One that was called by the gateway's own address, as by a TCP route, is known by where that leads alone.
    if outer.dependency.as_deref() != seen.address.as_deref() {
        (inner.kind, inner.dependency) = (outer.kind, outer.dependency.clone());
    }
}

fn overlap(outer: &Span, inner: &Span) -> u64 {
    let end = outer.end_or(u64::MAX).min(inner.end_or(u64::MAX));
    end.saturating_sub(outer.start.max(inner.start))
}

fn relay(outer: &mut Span, inner: &mut Span) {
    inner.parent = Some(outer.id);
    see_inside(outer, inner);
    outer.kind = inner.kind;
    outer.dependency.clone_from(&inner.dependency);
    outer.operation.clone_from(&inner.operation);
    if let Some(call) = outer.call.as_deref_mut() {
        mark(call);
        if let Some(carried) = inner.call.as_deref_mut() {
            // It may have been gone before the gateway had looked.
            carried.client.pid = carried.client.pid.or(call.client.pid);
            learn(call, carried);
        }
    }
}

/// Tells what became of a call that the gateway could not carry: all that its client saw of that is how it was told.
fn learn(outer: &mut Call, inner: &Call) {
    for attempt in outer.attempts.iter_mut().filter(|attempt| attempt.failed_by == Some(FailedBy::Peer)) {
        let same = inner.attempts.iter().max_by_key(|same| shared(&attempt.timeline, &same.timeline));
        if let Some(same) = same.filter(|same| same.failed_by == Some(FailedBy::Peer)) {
            (attempt.outcome, attempt.status) = (same.outcome, same.status);
        }
    }
    if (outer.failed_by, inner.failed_by) == (Some(FailedBy::Peer), Some(FailedBy::Peer)) {
        (outer.outcome, outer.errno, outer.status) = (inner.outcome, inner.errno, inner.status);
        outer.error_type.clone_from(&inner.error_type);
    }
}

/// How long two timelines lie over each other.
fn shared(one: &Timeline, other: &Timeline) -> u64 {
    one.end().min(other.end()).saturating_sub(one.start().max(other.start()))
}

fn mark(call: &mut Call) {
    (call.internal, call.relayed) = (true, true);
}
