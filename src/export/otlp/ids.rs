//! Ids of what had none.

use crate::model::{SpanId, TraceId, mix};
use std::hash::{BuildHasher, RandomState};

/// A trace id that nobody else has: 128 random bits, never all zero.
#[must_use]
pub fn random_trace_id() -> TraceId {
    let half = || RandomState::new().hash_one(std::process::id());
    let id = (u128::from(half()) << 64) | u128::from(half());
    TraceId(id.max(1).to_be_bytes())
}

/// The id of an attempt's span: a function of its hop's id, so that what is sent twice is the same span.
pub(super) fn attempt_id(hop: SpanId, number: u32) -> SpanId {
    // A bijection, so attempts of one hop never share an id.
    SpanId(mix::mixed(hop.0 ^ u64::from(number).wrapping_mul(mix::STEP)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_not_shared() {
        let traces: HashSet<_> = (0..1000).map(|_| random_trace_id()).collect();
        assert_eq!(traces.len(), 1000);
        let hops = (1..50).flat_map(|hop| (1..20).map(move |number| attempt_id(SpanId(hop), number)));
        let attempts: HashSet<_> = hops.collect();
        assert_eq!(attempts.len(), 49 * 19);
        assert!(attempts.iter().all(|id| id.0 > 1000), "small ids belong to hops");
    }
}
