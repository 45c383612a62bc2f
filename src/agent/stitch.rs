//! Two records of one call become one: what the observer saw in the program, and what the gateway saw behind it.
//!
//! Both know the client's own end of its connection, so that nothing is guessed (design page, section 4, rule 9). The gateway's record
//! becomes a part of the observer's, and tells the dependency, its phases and what became of the call; what the observer's is longer is
//! the caller's own. While a run goes on, records come one by one: the observer's are known by whom they call.

use crate::gateway::Carried;
use crate::model::{Attempt, Call, Origin, Outcome, Phase, Span};
use crate::observe::Observed;
use rustc_hash::FxHashMap;
use std::net::SocketAddr;

/// Adds what a gateway carried to what was observed of the programs that used it. `gateway` are its addresses.
#[must_use]
pub fn stitch(mut observed: Observed, carried: Carried, gateway: &[SocketAddr]) -> Observed {
    let Carried { mut spans, connections, stalls, losses } = carried;
    join(&mut observed.spans, &mut spans, gateway);
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

fn join(observed: &mut [Span], carried: &mut [Span], gateway: &[SocketAddr]) {
    let mut outer: FxHashMap<SocketAddr, Vec<usize>> = FxHashMap::default();
    for (at, span) in observed.iter().enumerate() {
        if let Some(own) = span.call.as_deref().filter(|call| is_to(gateway, call)).and_then(|call| call.client.address) {
            outer.entry(own).or_default().push(at);
        }
    }
    for inner in carried {
        // What called it elsewhere is not among the spans of this run.
        inner.parent = None;
        let own = inner.call.as_ref().and_then(|call| call.client.address);
        let around = own.and_then(|own| outer.get(&own)).and_then(|calls| {
            // Calls on one connection follow each other; the one that this is a part of overlaps it most.
            let nearest = calls.iter().copied().max_by_key(|&at| overlap(&observed[at], inner));
            nearest.filter(|&at| overlap(&observed[at], inner) > 0)
        });
        if let Some(at) = around {
            relay(&mut observed[at], inner);
        }
    }
}

fn is_to(gateway: &[SocketAddr], call: &Call) -> bool {
    call.address.as_deref().and_then(|text| text.parse().ok()).is_some_and(|to| gateway.contains(&to))
}

/// Tells what was only seen inside of TLS of a call that the gateway led through. Its times stay those of the gateway.
fn see_inside(outer: &Span, inner: &mut Span) {
    let (Some(seen), Some(call)) = (outer.call.as_deref(), inner.call.as_deref_mut()) else { return };
    if !call.opaque || seen.opaque {
        return;
    }
    // Each try that is joined in the one is a call of its own in the other.
    let shared = |attempt: &&Attempt| {
        let (from, to) = (call.timeline.start(), call.timeline.end());
        attempt.timeline.end().min(to).saturating_sub(attempt.timeline.start().max(from))
    };
    let Some(attempt) = seen.attempts.iter().max_by_key(shared) else { return };
    let is_last = seen.attempts.last().is_some_and(|last| last.number == attempt.number);
    for first_token in attempt.timeline.stretches().filter(|part| part.phase == Phase::FirstToken) {
        call.timeline = call.timeline.with(Phase::FirstToken, first_token.start, first_token.end);
    }
    if call.outcome == Some(Outcome::Ok) && attempt.failed_by.is_some() {
        (call.outcome, call.failed_by) = (attempt.outcome, attempt.failed_by);
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
    (call.client.read_timeout, call.client.retry) = (seen.client.read_timeout, seen.client.retry);
    call.opaque = false;
    (inner.kind, inner.dependency, inner.operation) = (outer.kind, outer.dependency.clone(), outer.operation.clone());
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
    }
}

fn mark(call: &mut Call) {
    (call.internal, call.relayed) = (true, true);
}
