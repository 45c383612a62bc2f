//! When bytes of one exchange moved on its connection.

use crate::model::Nanos;
use crate::model::clock::Anchor;
use std::sync::atomic::{AtomicU64, Ordering};

/// Moves of the exchange under way on a connection, written where the bytes move and read by whoever shows open hops.
///
/// Exchanges of HTTP/1 take turns, so that one set of marks is enough: [`Marks::begin`] clears it for the next one. Instants are 0 while
/// nothing moved. A move costs a clock reading and a few plain stores.
#[derive(Debug)]
pub(crate) struct Marks {
    anchor: Anchor,
    first_write: AtomicU64,
    last_write: AtomicU64,
    first_read: AtomicU64,
    last_read: AtomicU64,
    reads: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// Error number by which the connection broke; [`ORDERLY`] for an end without one, 0 while it is whole.
    broken: AtomicU64,
    broken_at: AtomicU64,
}

/// The peer closed without an error.
const ORDERLY: u64 = u64::MAX;

/// What moved so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// First and last byte of the request.
    pub(crate) written: Option<(Nanos, Nanos)>,
    /// First and last byte of the answer.
    pub(crate) read: Option<(Nanos, Nanos)>,
    /// How often bytes of the answer came.
    pub(crate) reads: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// The peer closed or the connection broke: when, and the error number, 0 = in order.
    pub(crate) broken: Option<(Nanos, i32)>,
}

impl Marks {
    pub(crate) fn new(anchor: Anchor) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            anchor,
            first_write: zero(),
            last_write: zero(),
            first_read: zero(),
            last_read: zero(),
            reads: zero(),
            sent: zero(),
            received: zero(),
            broken: zero(),
            broken_at: zero(),
        }
    }

    /// The next exchange begins.
    pub(crate) fn begin(&self) {
        for mark in
            [&self.first_write, &self.last_write, &self.first_read, &self.last_read, &self.reads, &self.sent, &self.received]
        {
            mark.store(0, Ordering::Relaxed);
        }
    }

    /// Bytes of the request went.
    pub(crate) fn wrote(&self, bytes: usize) {
        let now = self.anchor.now();
        if self.first_write.load(Ordering::Relaxed) == 0 {
            self.first_write.store(now, Ordering::Relaxed);
        }
        self.last_write.store(now, Ordering::Relaxed);
        add(&self.sent, bytes as u64);
    }

    /// Bytes of the answer came.
    pub(crate) fn read(&self, bytes: usize) {
        let now = self.anchor.now();
        if self.first_read.load(Ordering::Relaxed) == 0 {
            self.first_read.store(now, Ordering::Relaxed);
        }
        self.last_read.store(now, Ordering::Relaxed);
        add(&self.reads, 1);
        add(&self.received, bytes as u64);
    }

    /// When bytes of the answer last came; `None` = none have.
    pub(crate) fn last_read(&self) -> Option<Nanos> {
        Some(self.last_read.load(Ordering::Relaxed)).filter(|&at| at > 0)
    }

    /// The peer closed, or the connection broke with an error number.
    pub(crate) fn broke(&self, errno: i32) {
        if self.broken.load(Ordering::Relaxed) == 0 {
            self.broken_at.store(self.anchor.now(), Ordering::Relaxed);
            self.broken.store(if errno == 0 { ORDERLY } else { u64::from(errno.unsigned_abs()) }, Ordering::Relaxed);
        }
    }

    /// What moved so far.
    pub(crate) fn moved(&self) -> Moved {
        let load = |mark: &AtomicU64| mark.load(Ordering::Relaxed);
        let both = |first, last| Some((load(first), load(last))).filter(|&(first, _)| first > 0);
        let broken = match load(&self.broken) {
            0 => None,
            ORDERLY => Some((load(&self.broken_at), 0)),
            errno => Some((load(&self.broken_at), i32::try_from(errno).unwrap_or(0))),
        };
        Moved {
            written: both(&self.first_write, &self.last_write),
            read: both(&self.first_read, &self.last_read),
            reads: load(&self.reads),
            sent: load(&self.sent),
            received: load(&self.received),
            broken,
        }
    }
}

/// Adds without a locked instruction: one task writes.
fn add(mark: &AtomicU64, more: u64) {
    mark.store(mark.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
}
