//! Calls as property tests feed them to a reader: any bytes, with gaps, in either direction.

use super::{Chunk, Direction};
use proptest::prelude::*;

/// A call, and whether its direction ends with it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) direction: Direction,
    head: Vec<u8>,
    skipped: u64,
    tail: Vec<u8>,
    pub(super) end: bool,
}

impl Call {
    pub(super) fn chunk(&self, at: u64) -> Chunk<'_> {
        Chunk { at, head: &self.head, skipped: self.skipped, tail: &self.tail }
    }
}

/// Calls that move such bytes.
pub(super) fn call(bytes: impl Strategy<Value = Vec<u8>> + Clone) -> impl Strategy<Value = Call> {
    let skipped = prop_oneof![4 => Just(0), 2 => 0..3000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let end = proptest::bool::weighted(0.02);
    (any::<bool>(), bytes.clone(), skipped, bytes, end).prop_map(|(request, head, skipped, tail, end)| Call {
        direction: if request { Direction::Request } else { Direction::Response },
        head,
        skipped,
        tail,
        end,
    })
}
