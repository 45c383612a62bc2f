//! Buffers that bytes are copied through.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Large, so that a system call moves much, and small enough to stay in a processor's own cache.
const SIZE: usize = 128 << 10;
/// Most that a thread keeps for the next one who needs some.
const KEPT: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer on loan: held while something is in it, so that a connection at rest has none.
#[derive(Debug)]
pub(super) struct Buffer(Option<Box<[u8]>>);

impl Buffer {
    /// Takes one that was given back on this thread, else a new one.
    pub(super) fn lease() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        Self(Some(spare.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            // A thread that ends keeps none.
            let _gone = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < KEPT {
                    spare.push(buffer);
                }
            });
        }
    }
}
