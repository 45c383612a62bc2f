//! What the bytes of a fuzzer stand for: calls on a connection, in both directions, of which not everything was kept.
//!
//! Bytes that change little change the calls little, so that the fuzzer can find its way.

use hopwatch::wire::{Chunk, Direction};

/// The fuzzer's bytes, taken from the front. What is not there is zero.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// The next `count` bytes, or as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes after a count of their own, of one byte or of two.
    pub fn counted(&mut self, wide: bool) -> &'a [u8] {
        let count = usize::from(self.byte()) | if wide { usize::from(self.byte()) << 8 } else { 0 };
        self.bytes(count)
    }
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub direction: Direction,
    pub chunk: Chunk<'a>,
    /// The direction ends with it.
    pub ends: bool,
}

/// A byte says what a call is: its direction, whether the direction ends, whether bytes are missing, how the others are counted, and
/// how much time went by. The bytes follow; then, where some are missing, a byte for how many, and what follows them.
pub fn calls<'a>(input: &mut Input<'a>) -> impl Iterator<Item = Call<'a>> {
    let mut at = 0_u64;
    std::iter::from_fn(move || {
        if input.is_empty() {
            return None;
        }
        let what = input.byte();
        let wide = what & 8 != 0;
        at = match what >> 4 {
            // A clock that is set back.
            15 => at / 2,
            later => at.saturating_add((1 << (2 * later)) - 1),
        };
        let head = input.counted(wide);
        let (skipped, tail) = match what & 4 {
            0 => (0, &[][..]),
            _ => (missing(input.byte()), input.counted(wide)),
        };
        let direction = if what & 1 == 0 { Direction::Request } else { Direction::Response };
        Some(Call { direction, chunk: Chunk { at, head, skipped, tail }, ends: what & 2 != 0 })
    })
}

/// How many bytes are missing: few exactly, more by the power of two.
fn missing(byte: u8) -> u64 {
    match byte {
        0..=127 => u64::from(byte),
        255 => u64::MAX,
        byte => 1 << (byte - 128).min(63),
    }
}

/// Cuts bytes into parts whose lengths the fuzzer says, over and over; all in one where it says nothing.
pub fn parts<'a>(bytes: &'a [u8], lengths: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().map(|&length| usize::from(length).max(1)).cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (part, after) = rest.split_at(lengths.next().unwrap_or(rest.len()).min(rest.len()));
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}
