//! The shared-memory layout: the one file that the observer (inside the observed process) and `observe/` (outside)
//! have in common.
//!
//! One file a process, `<directory>/<pid>-<start>.ring`, where `<start>` is the constructor's monotonic time in
//! nanoseconds:
//!
//! ```text
//! offset 0                 Header                     HEADER_BYTES
//! HEADER_BYTES             THREADS × ThreadSlot       THREADS_BYTES
//! RING_OFFSET              SLOTS × SLOT_BYTES         RING_BYTES
//! ```
//!
//! The ring is multi-producer, single-consumer. A producer checks `Header::tail`, reserves consecutive slots by
//! compare-exchange on `Header::reserve` (full → `lost` grows, nothing is reserved), writes the record and its payload,
//! and last stores `Record::seq = position + 1` with release. The consumer takes the record at `tail` when its `seq` is
//! `tail + 1`; a writer killed in between leaves a hole, over which the consumer steps to the next slot whose `seq`
//! equals its own position + 1. Positions count slots and never wrap (64 bits); the slot index is `position % SLOTS`.
//!
//! All values are little-endian (the two architectures that have an observer are). Times are `CLOCK_MONOTONIC`
//! nanoseconds.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// First eight bytes of a ring file; the last byte is the layout's version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"HOPWTCH\x01");
/// Size of the header in bytes.
pub const HEADER_BYTES: usize = 4096;
/// Thread slots in a file. Threads beyond are observed too, but not seen while inside a call; `Header::threads_lost` counts them.
pub const THREADS: usize = 255;
/// Room of the thread slots in bytes.
pub const THREADS_BYTES: usize = 16384;
/// Where the ring starts in the file.
pub const RING_OFFSET: usize = HEADER_BYTES + THREADS_BYTES;
/// Size of one slot in bytes.
pub const SLOT_BYTES: usize = 128;
/// Slots in the ring; a power of two.
pub const SLOTS: usize = 8192;
/// Size of the ring in bytes (1 MiB).
pub const RING_BYTES: usize = SLOTS * SLOT_BYTES;
/// Size of the whole file in bytes.
pub const FILE_BYTES: usize = RING_OFFSET + RING_BYTES;

/// Bytes copied from the start of the first write or read of a turn: the protocol head and the start of the body.
pub const FIRST_HEAD: usize = 4096;
/// Bytes copied from the end of the first write or read of a turn: the end of a JSON body names model and stream flag.
pub const FIRST_TAIL: usize = 1024;
/// Bytes copied from the start of the later writes or reads of a turn.
pub const LATER_HEAD: usize = 1024;
/// Bytes copied from the end of the later ones.
pub const LATER_TAIL: usize = 1024;
/// Longest payload of any record in bytes.
pub const PAYLOAD_MAX: usize = FIRST_HEAD + FIRST_TAIL;

/// A busy span of an event loop is recorded from this length on (nanoseconds).
pub const BUSY_MIN_NS: u64 = 20_000_000;
/// A blocking wait outside the network is recorded from this length on (nanoseconds).
pub const BLOCK_MIN_NS: u64 = 5_000_000;
/// A read this long after the connection's last activity asks the kernel when the bytes arrived (nanoseconds).
pub const AGE_ASK_NS: u64 = 5_000_000;
/// `Record::age_ms` when the kernel was not asked.
pub const AGE_UNKNOWN: u32 = u32::MAX;

/// File opens are recorded until this many have been seen; beyond they are only counted.
pub const OPENS_MAX: u64 = 20_000;
/// File opens are recorded for this long after the constructor (nanoseconds).
pub const OPENS_FOR_NS: u64 = 60_000_000_000;

/// Environment variable: the directory that holds the rings. Unset or empty: the observer stays inactive.
pub const ENV_RINGS: &str = "HOPWATCH_RINGS";
/// Environment variable: `off` keeps the observer inactive in this process (and what it starts).
pub const ENV_OBSERVER: &str = "HOPWATCH_OBSERVER";
/// Environment variable: base names of programs, separated by `:`, in which the observer stays inactive. What they start is
/// observed.
pub const ENV_SKIP: &str = "HOPWATCH_SKIP";

/// Head of a ring file.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    /// [`MAGIC`]; stored last, with release, when the file is ready.
    pub magic: AtomicU64,
    /// Process id in its own pid namespace.
    pub pid: AtomicU32,
    /// Its parent's process id when the ring was made.
    pub ppid: AtomicU32,
    /// When the ring was made (constructor, first hook after fork).
    pub start: AtomicU64,
    /// Number of slots, for a reader's check: [`SLOTS`].
    pub slots: AtomicU32,
    /// Set to non-zero by the agent: every hook passes through from then on.
    pub kill: AtomicU32,
    /// How this ring came to be: [`MADE_AT_START`], [`MADE_AFTER_FORK`].
    pub made: AtomicU32,
    /// Keeps what follows aligned to eight bytes.
    pub unused: AtomicU32,
    /// Base name of the program (`argv[0]` or the executable), zero-terminated. Arguments are never copied.
    pub program: [u8; 64],
    /// Padding to a cache line of its own for `reserve`.
    pub pad0: [u8; 16],
    /// Slots reserved so far.
    pub reserve: AtomicU64,
    /// Records that found the ring full, each counted once.
    pub lost: AtomicU64,
    /// Payload bytes of the records in `lost`.
    pub lost_bytes: AtomicU64,
    /// Threads that found no slot.
    pub threads_lost: AtomicU64,
    /// Connections, TLS sessions or call sites that found their table full.
    pub tables_lost: AtomicU64,
    /// Files opened since the constructor, recorded or not.
    pub opens: AtomicU64,
    /// Padding to a cache line of its own for `tail`.
    pub pad1: [u8; 16],
    /// Slots consumed by the agent.
    pub tail: AtomicU64,
}

/// `Header::made`: by the constructor of a new program.
pub const MADE_AT_START: u32 = 1;
/// `Header::made`: at the first hook after a fork without exec.
pub const MADE_AFTER_FORK: u32 = 2;

/// What one thread is in right now: readable after SIGKILL.
///
/// `since` is stored last before a call that may block, and set to 0 first after it.
#[repr(C)]
#[derive(Debug)]
pub struct ThreadSlot {
    /// Thread id; 0 = the slot is free.
    pub tid: AtomicU32,
    /// [`Call`] the thread is in.
    pub call: AtomicU32,
    /// When it entered the call; 0 = it is in none.
    pub since: AtomicU64,
    /// Descriptor of the call, or -1.
    pub fd: core::sync::atomic::AtomicI32,
    /// Connection of the call, or 0.
    pub conn: AtomicU32,
    /// The thread runs an event loop, and its last wait returned then; 0 = waiting, or no loop.
    pub busy_since: AtomicU64,
    /// Non-zero from an event loop's first wait on the thread until its descriptor is closed.
    pub is_loop: AtomicU32,
    /// Keeps the size at 64 bytes.
    pub pad: [u32; 7],
}

/// Head of a record; its payload follows in the same slot (48 bytes) and over the next ones, wrapping at the ring's end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Position + 1, stored last.
    pub seq: u64,
    /// [`Event`].
    pub event: u16,
    /// [`flag`] bits.
    pub flags: u16,
    /// Thread that made the record.
    pub tid: u32,
    /// When the call began.
    pub t: u64,
    /// How long the call took; the end is `t + dur`.
    pub dur: u64,
    /// Descriptor, or -1.
    pub fd: i32,
    /// Connection id: counts from 1 in each process tree branch, unique in one process and kept over fork; 0 = none.
    pub conn: u32,
    /// The call's result as it returned it.
    pub rc: i64,
    /// `errno` after a failed call, else 0.
    pub errno: i32,
    /// Milliseconds between the arrival of the last data and this read ([`AGE_UNKNOWN`]: not asked). On a plaintext read:
    /// of the bytes below TLS that brought it.
    pub age_ms: u32,
    /// Position in the connection's stream (this direction, this layer) before this call.
    pub offset: u64,
    /// Depends on the event.
    pub aux: u64,
    /// Payload: bytes from the start of the buffer.
    pub head: u32,
    /// Payload: bytes from the end of the buffer, after `head`; `head + tail <= rc`.
    pub tail: u32,
}

/// Bits of [`Record::flags`].
pub mod flag {
    /// First write or read after the direction changed.
    pub const TURN: u16 = 1;
    /// Bytes above TLS (from `SSL_read`, `SSL_write`).
    pub const PLAINTEXT: u16 = 2;
    /// Bytes below TLS on a connection whose plaintext is had: times and counts only, no payload.
    pub const CIPHERTEXT: u16 = 4;
    /// The descriptor does not block.
    pub const NONBLOCK: u16 = 8;
    /// The thread runs an event loop.
    pub const LOOP: u16 = 16;
    /// The process accepted this connection (it is the server).
    pub const ACCEPTED: u16 = 32;
    /// The descriptor was still connecting.
    pub const CONNECTING: u16 = 64;
    /// The socket is of the Unix domain.
    pub const UNIX: u16 = 128;
}

/// Extension of the empty file that stands for a ring for which there was no room.
pub const NO_ROOM: &str = "noroom";

/// What a record tells.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A name look-up begins. Payload: the name.
    ResolveStart = 1,
    /// A name look-up ended: `rc` the resolver's code (0 = found), `t`/`dur` the whole call. Payload: `aux` addresses
    /// of 16 bytes (IPv4 as mapped IPv6), then the name.
    ResolveEnd = 2,
    /// A connect begins (made before the call). Payload: [`SOCKADDR_BYTES`] of the peer's address.
    ConnectStart = 3,
    /// A connect ended, in whatever way it was noticed: `errno` 0 = connected. `aux`: the kernel's round-trip time of the
    /// handshake in µs, 0 = not known. Payload when connected: the own address. At the latest it is told just before
    /// the `Close`; when there is none before it, the kernel had not connected (`Close` has [`flag::CONNECTING`]).
    ConnectEnd = 4,
    /// A connection was accepted. Payload: the peer's address, then the own address.
    Accept = 5,
    /// Bytes were written (`rc` of them from `offset` on), or the write failed (`errno`; EAGAIN once a row).
    Write = 6,
    /// Bytes were read; `rc` 0 = the peer closed; `errno` = it failed (never EAGAIN).
    Read = 7,
    /// `shutdown`: `aux` is its `how`.
    Shutdown = 8,
    /// The descriptor was closed. `offset`: bytes sent in all, `aux`: bytes received in all.
    Close = 9,
    /// A TLS handshake begins (made before the first call). `aux`: the session (`SSL*`), `conn` where known.
    TlsStart = 10,
    /// A TLS handshake ended: `rc` 1 = done, else failed. `aux`: the session. Its end is `t + dur`.
    TlsEnd = 11,
    /// The server name a session asks for. `aux`: the session. Payload: the name.
    TlsName = 12,
    /// Session `aux` is on connection `conn` from now on.
    TlsBind = 13,
    /// Session `aux` was freed.
    TlsFree = 14,
    /// A TLS context was built: `aux` the context, `dur` what it took.
    TlsContext = 15,
    /// Certificate authorities were loaded into context `aux`: `dur` what it took.
    TlsAuthorities = 16,
    /// An event loop did not wait from `t` for `dur`: `aux` the longest blocking call inside in ns, `rc` its
    /// [`Call`], `fd`/`conn` its descriptor; `offset` thread CPU time in ns (`u64::MAX`: not known),
    /// `age_ms` the sum of interpreter-lock waits (`pthread_cond_*`) in ms.
    Busy = 17,
    /// A thread waited in [`Call`] `aux` for `dur` (at least [`BLOCK_MIN_NS`]).
    Block = 18,
    /// A file was opened, early in the process's life. Payload: the last 180 bytes of its path.
    Open = 19,
    /// The process is about to become another program. Payload: base name of the program.
    Exec = 20,
    /// An exception's class name was written to descriptor 2 in Python's traceback form. Payload: the class name alone.
    ErrorType = 21,
}

impl Event {
    /// The event of a record's number; `None` for a number that this version does not know.
    #[must_use]
    pub const fn from_u16(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::ResolveStart,
            2 => Self::ResolveEnd,
            3 => Self::ConnectStart,
            4 => Self::ConnectEnd,
            5 => Self::Accept,
            6 => Self::Write,
            7 => Self::Read,
            8 => Self::Shutdown,
            9 => Self::Close,
            10 => Self::TlsStart,
            11 => Self::TlsEnd,
            12 => Self::TlsName,
            13 => Self::TlsBind,
            14 => Self::TlsFree,
            15 => Self::TlsContext,
            16 => Self::TlsAuthorities,
            17 => Self::Busy,
            18 => Self::Block,
            19 => Self::Open,
            20 => Self::Exec,
            21 => Self::ErrorType,
            _ => return None,
        })
    }
}

/// A call that may block, as [`ThreadSlot::call`], [`Event::Block`] and [`Event::Busy`] name it.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// None, or not known.
    None = 0,
    /// `getaddrinfo` and kin.
    Resolve = 1,
    /// `connect`.
    Connect = 2,
    /// `accept`.
    Accept = 3,
    /// `read`, `recv` and kin on a connection.
    Read = 4,
    /// `write`, `send` and kin on a connection.
    Write = 5,
    /// `SSL_do_handshake` and kin.
    Handshake = 6,
    /// `epoll_wait` and kin.
    Epoll = 7,
    /// `poll`, `ppoll`.
    Poll = 8,
    /// `select`, `pselect`.
    Select = 9,
    /// `nanosleep`, `clock_nanosleep`, `usleep`.
    Sleep = 10,
    /// `sem_wait` and kin (Python's locks).
    Semaphore = 11,
    /// `pthread_cond_*wait` (Python's interpreter lock among others).
    Condition = 12,
    /// `waitpid` and kin.
    Child = 13,
    /// `flock`.
    FileLock = 14,
    /// `fsync`.
    FileSync = 15,
}

impl Call {
    /// The call of a number; [`Call::None`] for one that this version does not know.
    #[must_use]
    pub const fn from_u16(number: u16) -> Self {
        match number {
            1 => Self::Resolve,
            2 => Self::Connect,
            3 => Self::Accept,
            4 => Self::Read,
            5 => Self::Write,
            6 => Self::Handshake,
            7 => Self::Epoll,
            8 => Self::Poll,
            9 => Self::Select,
            10 => Self::Sleep,
            11 => Self::Semaphore,
            12 => Self::Condition,
            13 => Self::Child,
            14 => Self::FileLock,
            15 => Self::FileSync,
            _ => Self::None,
        }
    }
}

/// Bytes of an address in a payload: family (u16, the system's number), port (u16), address (16 bytes; IPv4 as mapped
/// IPv6; zero for Unix sockets).
pub const SOCKADDR_BYTES: usize = 20;

/// Slots that a record with a payload of this many bytes takes.
#[must_use]
pub const fn slots_for(payload: usize) -> usize {
    (size_of::<Record>() + payload).div_ceil(SLOT_BYTES)
}

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);
const _: () = assert!(size_of::<ThreadSlot>() == 64 && THREADS * 64 <= THREADS_BYTES);
const _: () = assert!(size_of::<Record>() == 80 && align_of::<Record>() == 8);
const _: () = assert!(SLOTS.is_power_of_two());
