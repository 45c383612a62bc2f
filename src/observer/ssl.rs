//! TLS session (`SSL*`) ↔ connection ↔ `BIO*`.
//!
//! Fixed tables. A key lies within a window of places from its hash on; a look-up reads the whole window, so that
//! nothing needs to be left where a key was taken out.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};

use super::redact::Scan;

/// Sessions at one time.
pub(crate) const SESSIONS: usize = 4096;
const BIOS: usize = 8192;
const WINDOW: usize = 16;

/// States of [`Session::handshake`].
pub(crate) mod handshake {
    /// Not begun.
    pub(crate) const NONE: u32 = 0;
    /// Under way.
    pub(crate) const BEGUN: u32 = 1;
    /// Over, in whatever way.
    pub(crate) const OVER: u32 = 2;
}

/// A TLS session.
pub(crate) struct Session {
    pub(crate) fd: AtomicI32,
    /// Connection; 0 = not known.
    pub(crate) conn: AtomicU32,
    pub(crate) handshake: AtomicU32,
    /// `READING` or `WRITING` of [`super::fds::bit`].
    direction: AtomicU32,
    /// When the handshake began.
    pub(crate) began: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    read_bio: AtomicUsize,
    write_bio: AtomicUsize,
    scan_name: AtomicU64,
    scan_phase: AtomicU32,
}

impl Session {
    const fn new() -> Self {
        Self {
            fd: AtomicI32::new(0),
            conn: AtomicU32::new(0),
            handshake: AtomicU32::new(0),
            direction: AtomicU32::new(0),
            began: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            read_bio: AtomicUsize::new(0),
            write_bio: AtomicUsize::new(0),
            scan_name: AtomicU64::new(0),
            scan_phase: AtomicU32::new(0),
        }
    }

    fn reset(&self) {
        self.fd.store(-1, Relaxed);
        self.conn.store(0, Relaxed);
        self.handshake.store(handshake::NONE, Relaxed);
        self.direction.store(0, Relaxed);
        self.began.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        self.received.store(0, Relaxed);
        self.read_bio.store(0, Relaxed);
        self.write_bio.store(0, Relaxed);
        self.set_scan(Scan::default());
    }

    /// Whether a transfer in this direction begins a turn; it does so once.
    pub(crate) fn turns(&self, direction: u32) -> bool {
        self.direction.swap(direction, Relaxed) != direction
    }

    pub(crate) fn is_read_bio(&self, bio: usize) -> bool {
        self.read_bio.load(Relaxed) == bio
    }

    pub(crate) fn is_write_bio(&self, bio: usize) -> bool {
        self.write_bio.load(Relaxed) == bio
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

static KEYS: [AtomicUsize; SESSIONS] = [const { AtomicUsize::new(0) }; SESSIONS];
static TABLE: [Session; SESSIONS] = [const { Session::new() }; SESSIONS];
static BIO_KEYS: [AtomicUsize; BIOS] = [const { AtomicUsize::new(0) }; BIOS];
static BIO_SESSIONS: [AtomicUsize; BIOS] = [const { AtomicUsize::new(0) }; BIOS];

fn start<const N: usize>(key: usize) -> usize {
    (key >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - N.trailing_zeros())
}

fn find<const N: usize>(keys: &[AtomicUsize; N], key: usize) -> Option<usize> {
    let start = start::<N>(key);
    for step in 0..WINDOW {
        let at = (start + step) & (N - 1);
        if keys.get(at)?.load(Relaxed) == key {
            return Some(at);
        }
    }
    None
}

fn insert<const N: usize>(keys: &[AtomicUsize; N], key: usize) -> Option<usize> {
    let start = start::<N>(key);
    for step in 0..WINDOW {
        let at = (start + step) & (N - 1);
        if keys.get(at)?.compare_exchange(0, key, AcqRel, Relaxed).is_ok() {
            return Some(at);
        }
    }
    super::ring::table_full();
    None
}

/// The session of an `SSL*`, when it is known.
pub(crate) fn known(ssl: usize) -> Option<&'static Session> {
    TABLE.get(find(&KEYS, ssl)?)
}

/// The session of an `SSL*`, made known where it is not.
pub(crate) fn session(ssl: usize) -> Option<&'static Session> {
    if ssl == 0 {
        return None;
    }
    if let Some(session) = known(ssl) {
        return Some(session);
    }
    let session = TABLE.get(insert(&KEYS, ssl)?)?;
    session.reset();
    Some(session)
}

/// The session that uses a `BIO*`, and its `SSL*`.
pub(crate) fn of_bio(bio: usize) -> Option<(&'static Session, usize)> {
    let ssl = BIO_SESSIONS.get(find(&BIO_KEYS, bio)?)?.load(Relaxed);
    Some((known(ssl)?, ssl))
}

/// Notes the `BIO`s of a session.
pub(crate) fn set_bios(ssl: usize, read: usize, write: usize) {
    let Some(session) = session(ssl) else { return };
    forget_bios(session, ssl);
    session.read_bio.store(read, Relaxed);
    session.write_bio.store(write, Relaxed);
    for bio in [read, write] {
        if bio != 0
            && let Some(place) = find(&BIO_KEYS, bio).or_else(|| insert(&BIO_KEYS, bio)).and_then(|at| BIO_SESSIONS.get(at))
        {
            place.store(ssl, Relaxed);
        }
    }
}

fn forget_bios(session: &Session, ssl: usize) {
    for bio in [session.read_bio.swap(0, Relaxed), session.write_bio.swap(0, Relaxed)] {
        if bio != 0
            && let Some(at) = find(&BIO_KEYS, bio)
            && let (Some(key), Some(owner)) = (BIO_KEYS.get(at), BIO_SESSIONS.get(at))
            && owner.load(Relaxed) == ssl
        {
            owner.store(0, Relaxed);
            key.store(0, Relaxed);
        }
    }
}

/// Forgets a session; what it was.
pub(crate) fn free(ssl: usize) -> Option<(u32, i32)> {
    let at = find(&KEYS, ssl)?;
    let session = TABLE.get(at)?;
    forget_bios(session, ssl);
    let was = (session.conn.load(Relaxed), session.fd.load(Relaxed));
    KEYS.get(at)?.store(0, Relaxed);
    Some(was)
}

#[cfg(test)]
mod tests;
