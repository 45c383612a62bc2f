//! Numbers that look random, made of such that do not (SplitMix64: Steele, Lea, Flood, OOPSLA 2014). Not for secrets.

/// The step from one state to the next: a walk by it meets no number twice in 2^64.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number of a state. A bijection: different states have different numbers. A few nanoseconds.
pub(crate) const fn mixed(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
