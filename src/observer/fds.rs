//! Descriptor → connection.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};

use super::redact::Scan;

/// Descriptors that can be tracked.
pub(crate) const FDS: usize = 65_536;

/// Bits of [`Connection::bits`].
pub(crate) mod bit {
    /// `connect` has begun and its end was not noticed yet.
    pub(crate) const CONNECTING: u32 = 1;
    /// The process accepted it.
    pub(crate) const ACCEPTED: u32 = 2;
    /// A socket of the Unix domain.
    pub(crate) const UNIX: u32 = 4;
    /// The descriptor does not block.
    pub(crate) const NONBLOCK: u32 = 8;
    /// A TLS session of the process is or was on it.
    pub(crate) const TLS: u32 = 16;
    /// The last transfer was a write.
    pub(crate) const WRITING: u32 = 32;
    /// The last transfer was a read.
    pub(crate) const READING: u32 = 64;
    /// The last write found no room.
    pub(crate) const FULL: u32 = 128;
    /// More than one descriptor is on it.
    pub(crate) const COPIED: u32 = 256;
}

/// A connection as one descriptor sees it.
pub(crate) struct Connection {
    /// Its id; 0 = the descriptor is not tracked.
    pub(crate) id: AtomicU32,
    /// [`bit`]s.
    pub(crate) bits: AtomicU32,
    /// Bytes written so far.
    pub(crate) sent: AtomicU64,
    /// Bytes read so far.
    pub(crate) received: AtomicU64,
    /// When `connect` began.
    pub(crate) began: AtomicU64,
    /// When the bytes that were read last had arrived; 0 = not known.
    pub(crate) arrived: AtomicU64,
    /// Last time something happened.
    pub(crate) last: AtomicU64,
    /// The TLS session on it; 0 = none known.
    pub(crate) session: AtomicUsize,
    scan_name: AtomicU64,
    scan_phase: AtomicU32,
}

impl Connection {
    const fn new() -> Self {
        Self {
            id: AtomicU32::new(0),
            bits: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            began: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            last: AtomicU64::new(0),
            session: AtomicUsize::new(0),
            scan_name: AtomicU64::new(0),
            scan_phase: AtomicU32::new(0),
        }
    }

    pub(crate) fn has(&self, bit: u32) -> bool {
        self.bits.load(Relaxed) & bit != 0
    }

    pub(crate) fn set(&self, bit: u32, on: bool) {
        if on {
            self.bits.fetch_or(bit, Relaxed);
        } else {
            self.bits.fetch_and(!bit, Relaxed);
        }
    }

    /// Clears a bit; whether it was set. One of several threads gets `true`.
    pub(crate) fn take(&self, bit: u32) -> bool {
        self.has(bit) && self.bits.fetch_and(!bit, AcqRel) & bit != 0
    }

    /// Whether a transfer in this direction begins a turn; it does so once.
    pub(crate) fn turns(&self, direction: u32) -> bool {
        let bits = self.bits.load(Relaxed);
        if bits & direction != 0 {
            return false;
        }
        self.bits.store(bits & !(bit::READING | bit::WRITING) | direction, Relaxed);
        true
    }

    pub(crate) fn scan(&self) -> Scan {
        Scan::unpack(self.scan_phase.load(Relaxed), self.scan_name.load(Relaxed))
    }

    pub(crate) fn set_scan(&self, scan: Scan) {
        let (phase, name) = scan.pack();
        self.scan_phase.store(phase, Relaxed);
        self.scan_name.store(name, Relaxed);
    }
}

// All zero, so it takes no room in the file and only the pages that are used in memory.
static TABLE: [Connection; FDS] = [const { Connection::new() }; FDS];
static NEXT_ID: AtomicU32 = AtomicU32::new(0);
/// One more than the highest descriptor that was ever tracked.
static END: AtomicU32 = AtomicU32::new(0);

/// The connection of a descriptor, when it is tracked.
#[inline(always)]
pub(crate) fn tracked(fd: i32) -> Option<&'static Connection> {
    let connection = TABLE.get(fd as usize)?;
    if connection.id.load(Relaxed) == 0 { None } else { Some(connection) }
}

/// One more than the highest descriptor that was ever tracked.
pub(crate) fn end() -> i32 {
    END.load(Relaxed) as i32
}

/// A new connection on a descriptor; `None` beyond the table.
pub(crate) fn begin(fd: i32, bits: u32, now: u64) -> Option<&'static Connection> {
    let Some(connection) = TABLE.get(fd as usize) else {
        super::ring::table_full();
        return None;
    };
    connection.id.store(0, Relaxed);
    connection.bits.store(bits, Relaxed);
    connection.sent.store(0, Relaxed);
    connection.received.store(0, Relaxed);
    connection.began.store(now, Relaxed);
    connection.arrived.store(0, Relaxed);
    connection.last.store(now, Relaxed);
    connection.session.store(0, Relaxed);
    connection.set_scan(Scan::default());
    END.fetch_max(fd as u32 + 1, Relaxed);
    connection.id.store(NEXT_ID.fetch_add(1, Relaxed).wrapping_add(1).max(1), Relaxed);
    Some(connection)
}

/// What is known of a connection at its end.
pub(crate) struct Ended {
    pub(crate) id: u32,
    pub(crate) bits: u32,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Another descriptor is still on the connection.
    pub(crate) shared: bool,
}

/// Forgets a descriptor.
pub(crate) fn end_of(fd: i32) -> Option<Ended> {
    let connection = tracked(fd)?;
    let id = connection.id.swap(0, Relaxed);
    if id == 0 {
        return None;
    }
    let bits = connection.bits.load(Relaxed);
    let shared =
        bits & bit::COPIED != 0 && TABLE.iter().take(end() as usize).any(|other| other.id.load(Relaxed) == id);
    Some(Ended {
        id,
        bits,
        sent: connection.sent.load(Relaxed),
        received: connection.received.load(Relaxed),
        shared,
    })
}

/// A second descriptor for the same connection.
pub(crate) fn copy(from: i32, to: i32) {
    let (Some(old), Some(new)) = (tracked(from), TABLE.get(to as usize)) else { return };
    old.set(bit::COPIED, true);
    new.id.store(0, Relaxed);
    new.bits.store(old.bits.load(Relaxed), Relaxed);
    new.sent.store(old.sent.load(Relaxed), Relaxed);
    new.received.store(old.received.load(Relaxed), Relaxed);
    new.began.store(old.began.load(Relaxed), Relaxed);
    new.arrived.store(0, Relaxed);
    new.last.store(old.last.load(Relaxed), Relaxed);
    new.session.store(old.session.load(Relaxed), Relaxed);
    new.set_scan(old.scan());
    END.fetch_max(to as u32 + 1, Relaxed);
    new.id.store(old.id.load(Relaxed), Relaxed);
}

#[cfg(test)]
mod tests;
