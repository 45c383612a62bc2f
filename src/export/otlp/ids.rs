//! Ids of what had none.

use crate::model::{SpanId, TraceId};
use std::hash::{BuildHasher, RandomState};

/// A trace id that nobody else has: 128 random bits, never all zero.
#[must_use]
pub fn random_trace_id() -> TraceId {
    let half = || RandomState::new().hash_one(std::process::id());
    let id = (u128::from(half()) << 64) | u128::from(half());
    TraceId(id.max(1).to_be_bytes())
}

/// The id of an attempt's span: a function of its hop's id, so that what is sent twice is the same span.
pub(super) const fn attempt_id(hop: SpanId, number: u32) -> SpanId {
    // The finalizer of SplitMix64: a bijection, so attempts of one hop never share an id.
    let mut mixed = hop.0 ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    SpanId(if mixed == 0 { 1 } else { mixed })
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
