//! Span and trace ids: random, never zero, without a lock or a system call after a thread's first.

use crate::model::{SpanId, TraceId, mix};
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

thread_local! {
    static STATE: Cell<u64> = Cell::new(seed());
}

/// The standard library's hasher is seeded from the system's randomness, once per thread, and differs from call to call.
fn seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// A random number. Not for secrets.
fn random() -> u64 {
    let next = |state: &Cell<u64>| {
        state.set(state.get().wrapping_add(mix::STEP));
        state.get()
    };
    // A thread that is being torn down has no state left: its few last ids come from fresh seeds.
    mix::mixed(STATE.try_with(next).unwrap_or_else(|_| seed()))
}

/// A fresh span id.
pub(crate) fn span_id() -> SpanId {
    SpanId(random().max(1))
}

/// A fresh trace id.
pub(crate) fn trace_id() -> TraceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random().max(1).to_be_bytes());
    bytes[8..].copy_from_slice(&random().to_be_bytes());
    TraceId(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_within_and_across_threads() {
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| (0..1_000).map(|_| span_id()).collect::<Vec<_>>())).collect();
        let ids: HashSet<SpanId> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.len(), 4_000);
        assert_ne!(trace_id(), trace_id());
    }
}
