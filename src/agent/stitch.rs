//! Two records of one call become one: what the observer saw in the program, and what the gateway saw behind it.
//!
//! Both know the client's own end of its connection, so that nothing is guessed (design page, section 4, rule 9). The gateway's record
//! becomes a part of the observer's, and tells the dependency, its phases and what became of the call; what the observer's is longer is
//! the caller's own.

use crate::gateway::Carried;
use crate::model::{Call, Span};
use crate::observe::Observed;
use rustc_hash::FxHashMap;
use std::net::SocketAddr;

/// Adds what a gateway carried to what was observed of the programs that used it. `gateway` are its addresses.
#[must_use]
pub fn stitch(mut observed: Observed, carried: Carried, gateway: &[SocketAddr]) -> Observed {
    let Carried { mut spans, connections, stalls, losses } = carried;
    let is_gateway =
        |call: &Call| call.address.as_deref().and_then(|text| text.parse().ok()).is_some_and(|to| gateway.contains(&to));
    let mut outer: FxHashMap<SocketAddr, Vec<usize>> = FxHashMap::default();
    for (at, span) in observed.spans.iter().enumerate() {
        if let Some(own) = span.call.as_deref().filter(|call| is_gateway(call)).and_then(|call| call.client.address) {
            outer.entry(own).or_default().push(at);
        }
    }
    for inner in &mut spans {
        // What called it elsewhere is not among the spans of this run.
        inner.parent = None;
        let own = inner.call.as_ref().and_then(|call| call.client.address);
        let around = own.and_then(|own| outer.get(&own)).and_then(|calls| {
            // Calls on one connection follow each other; the one that this is a part of overlaps it most.
            calls
                .iter()
                .copied()
                .max_by_key(|&at| overlap(&observed.spans[at], inner))
                .filter(|&at| overlap(&observed.spans[at], inner) > 0)
        });
        if let Some(at) = around {
            relay(&mut observed.spans[at], inner);
        }
    }
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

fn overlap(outer: &Span, inner: &Span) -> u64 {
    let end = outer.end_or(u64::MAX).min(inner.end_or(u64::MAX));
    end.saturating_sub(outer.start.max(inner.start))
}

fn relay(outer: &mut Span, inner: &mut Span) {
    inner.parent = Some(outer.id);
    outer.kind = inner.kind;
    outer.dependency.clone_from(&inner.dependency);
    outer.operation.clone_from(&inner.operation);
    if let Some(call) = outer.call.as_deref_mut() {
        (call.internal, call.relayed) = (true, true);
    }
}
