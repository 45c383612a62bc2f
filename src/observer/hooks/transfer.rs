//! Reads and writes on connections.

use super::super::fds::{self, Connection, bit};
use super::super::layout::{
    AGE_ASK_NS, AGE_UNKNOWN, Call, Event, FIRST_HEAD, FIRST_TAIL, LATER_HEAD, LATER_TAIL, Record, flag,
};
use super::super::real::{self, real};
use super::super::redact::Scan;
use super::super::ring::{self, Payload, Ring};
use super::super::sys::{self, EAGAIN, EINTR, ENOTCONN, IoVec, Message};
use super::super::thread::{self, Mark, Thread};
use super::super::ssl;
use super::net;
use core::sync::atomic::Ordering::Relaxed;

const MSG_PEEK: i32 = 2;
const MSG_TRUNC: i32 = 0x20;
const MSG_DONTWAIT: i32 = 0x40;
const MSG_ERRQUEUE: i32 = 0x2000;
/// A call that took this long (nanoseconds) did block.
const BLOCKED_NS: u64 = 1_000_000;
/// After this silence (nanoseconds) every read asks when its bytes arrived.
const SILENCE_NS: u64 = 20_000_000;
const PIECES_MAX: usize = 1024;

/// Bits of a connection as flags of a record.
pub(super) fn flags(bits: u32) -> u16 {
    let mut flags = 0;
    if bits & bit::ACCEPTED != 0 {
        flags |= flag::ACCEPTED;
    }
    if bits & bit::UNIX != 0 {
        flags |= flag::UNIX;
    }
    if bits & bit::NONBLOCK != 0 {
        flags |= flag::NONBLOCK;
    }
    flags
}

/// How much of `total` bytes is copied: from the start, from the end.
pub(super) fn portions(total: usize, turn: bool) -> (u32, u32) {
    let (head, tail) = if turn { (FIRST_HEAD, FIRST_TAIL) } else { (LATER_HEAD, LATER_TAIL) };
    if total <= head + tail { (total as u32, 0) } else { (head as u32, tail as u32) }
}

/// Puts a record with the payload's portions; HTTP heads lose their secrets.
pub(super) fn put(ring: Ring, record: &mut Record, payload: Payload, turn: bool, scan: &mut Scan) {
    (record.head, record.tail) = portions(payload.total, turn);
    if turn {
        *scan = Scan::default();
    }
    ring.put(record, payload, Some(scan));
}

/// A transfer under way on a tracked descriptor.
#[derive(Clone, Copy)]
struct Transfer {
    ring: Ring,
    thread: &'static Thread,
    connection: &'static Connection,
    id: u32,
    fd: i32,
    t: u64,
}

impl Transfer {
    #[inline(always)]
    fn begin(fd: i32, connection: &'static Connection, call: Call) -> Option<Self> {
        let ring = ring::active()?;
        let thread = thread::current();
        let id = connection.id.load(Relaxed);
        let t = sys::now();
        // Inside a TLS call the thread is in that call.
        if thread.inside.get() == 0 {
            thread.enter(ring, call, fd, id, t);
        }
        Some(Self { ring, thread, connection, id, fd, t })
    }

    #[inline(always)]
    fn leave(&self) {
        if self.thread.inside.get() == 0 {
            self.thread.leave(self.ring);
        }
    }

    fn record(&self, event: Event, rc: isize, error: i32, end: u64) -> Record {
        let record = self.thread.record(event, self.t);
        Record {
            flags: record.flags | flags(self.connection.bits.load(Relaxed)),
            dur: end.wrapping_sub(self.t),
            fd: self.fd,
            conn: self.id,
            rc: rc as i64,
            errno: if rc < 0 { error } else { 0 },
            ..record
        }
    }

    /// A TLS call of this thread works on this connection: they belong together.
    fn nested(&self) {
        let inside = self.thread.inside.get();
        if inside != 0 && self.connection.session.load(Relaxed) != inside {
            bind(self.ring, self.thread, inside, self.fd, self.connection);
        }
    }

    fn encrypted(&self) -> bool {
        self.connection.session.load(Relaxed) != 0 || self.connection.has(bit::TLS)
    }

    /// Whether the direction changed, noted in the record. Where plaintext is had, the record is made without bytes: `None`.
    fn turn(&self, record: &mut Record, way: u32) -> Option<bool> {
        let turn = self.connection.turns(way);
        if turn {
            record.flags |= flag::TURN;
        }
        if self.encrypted() {
            record.flags |= flag::CIPHERTEXT;
            self.ring.put(record, Payload::NONE, None);
            return None;
        }
        Some(turn)
    }

    /// Makes the record with its bytes, secrets blanked across calls.
    fn copy(&self, mut record: Record, payload: Payload, turn: bool) {
        let mut scan = self.connection.scan();
        put(self.ring, &mut record, payload, turn, &mut scan);
        self.connection.set_scan(scan);
    }

    fn blocked(&self, call: Call, dur: u64) {
        if dur >= BLOCKED_NS && self.thread.inside.get() == 0 {
            self.thread.blocked(call, self.fd, self.id, dur);
        }
    }

    #[inline(never)]
    unsafe fn read(&self, rc: isize, options: i32, pieces: *const IoVec, count: usize) {
        let error = if rc < 0 { sys::errno() } else { 0 };
        if rc < 0 && (error == EAGAIN || error == EINTR) {
            return;
        }
        let connection = self.connection;
        // Closed meanwhile by another thread.
        if connection.id.load(Relaxed) != self.id {
            return;
        }
        let end = sys::now();
        let dur = end.wrapping_sub(self.t);
        self.blocked(Call::Read, dur);
        if connection.has(bit::CONNECTING) && (rc >= 0 || error != ENOTCONN) {
            net::connect_ended(self.ring, self.thread, self.fd, connection, if rc < 0 { error } else { 0 }, end);
        }
        self.nested();
        let quiet = end.wrapping_sub(connection.last.swap(end, Relaxed));
        let mut record = self.record(Event::Read, rc, error, end);
        if rc <= 0 {
            record.offset = connection.received.load(Relaxed);
            self.ring.put(&record, Payload::NONE, None);
            return;
        }
        record.offset = connection.received.fetch_add(rc as u64, Relaxed);
        let at_once = dur < BLOCKED_NS || options & MSG_DONTWAIT != 0 || connection.has(bit::NONBLOCK);
        if ((at_once && quiet >= AGE_ASK_NS) || quiet >= SILENCE_NS)
            && !connection.has(bit::UNIX)
            && let Some(info) = sys::tcp_info(self.fd)
        {
            record.age_ms = info.last_data_ms;
            let age = u64::from(info.last_data_ms).wrapping_mul(1_000_000);
            connection.arrived.store(end.saturating_sub(age).max(1), Relaxed);
        } else if dur >= BLOCKED_NS || quiet >= AGE_ASK_NS {
            // What is known is of earlier bytes. (A read at once after another brings more of the same.)
            connection.arrived.store(0, Relaxed);
        }
        let Some(turn) = self.turn(&mut record, bit::READING) else { return };
        // Bytes that MSG_TRUNC throws away are in no buffer.
        let total = if options & MSG_TRUNC != 0 { 0 } else { rc as usize };
        let payload = Payload { pieces, count: count.min(PIECES_MAX), total };
        if total > 0 && count > 0 {
            // SAFETY: the first piece was filled up to its length or `total`.
            let mark = unsafe { Mark::of((*pieces).base, total.min((*pieces).len)) };
            self.thread.incoming.set(mark);
            self.thread.in_fd.set(self.fd);
            self.thread.in_conn.set(self.id);
        }
        self.copy(record, payload, turn);
    }

    #[inline(never)]
    unsafe fn write(&self, rc: isize, pieces: *const IoVec, count: usize) {
        let error = if rc < 0 { sys::errno() } else { 0 };
        let connection = self.connection;
        if error == EINTR || connection.id.load(Relaxed) != self.id {
            return;
        }
        if error == EAGAIN && (connection.has(bit::FULL) || connection.has(bit::CONNECTING)) {
            return;
        }
        let end = sys::now();
        self.blocked(Call::Write, end.wrapping_sub(self.t));
        if connection.has(bit::CONNECTING) && (rc >= 0 || error != ENOTCONN) {
            net::connect_ended(self.ring, self.thread, self.fd, connection, error, end);
        }
        if rc > 0 && self.thread.inside.get() == 0 && connection.session.load(Relaxed) == 0 {
            // SAFETY: the caller's pieces were readable for `rc` bytes.
            unsafe { self.claim(rc as usize, pieces, count) };
        }
        self.nested();
        let mut record = self.record(Event::Write, rc, error, end);
        connection.set(bit::FULL, error == EAGAIN);
        if rc <= 0 {
            record.offset = connection.sent.load(Relaxed);
            self.ring.put(&record, Payload::NONE, None);
            return;
        }
        connection.last.store(end, Relaxed);
        record.offset = connection.sent.fetch_add(rc as u64, Relaxed);
        let Some(turn) = self.turn(&mut record, bit::WRITING) else { return };
        let total = if count == 0 { 0 } else { rc as usize };
        self.copy(record, Payload { pieces, count: count.min(PIECES_MAX), total }, turn);
    }

    /// Bytes that a session gave out for sending, and that are sent now: the session is on this connection.
    unsafe fn claim(&self, rc: usize, pieces: *const IoVec, count: usize) {
        let session = self.thread.out_session.get();
        if session == 0 || count == 0 {
            return;
        }
        // SAFETY: the first piece was readable up to its length or `rc`.
        let mark = unsafe { Mark::of((*pieces).base, rc.min((*pieces).len)) };
        if mark.same(&self.thread.out.get()) {
            self.thread.out_session.set(0);
            bind(self.ring, self.thread, session, self.fd, self.connection);
        }
    }
}

/// Notes that a session is on a connection.
pub(super) fn bind(ring: Ring, thread: &Thread, session: usize, fd: i32, connection: &Connection) {
    let Some(known) = ssl::session(session) else { return };
    let id = connection.id.load(Relaxed);
    connection.session.store(session, Relaxed);
    connection.set(bit::TLS, true);
    known.fd.store(fd, Relaxed);
    if known.conn.swap(id, Relaxed) != id {
        let record = Record { fd, conn: id, aux: session as u64, ..thread.record(Event::TlsBind, sys::now()) };
        ring.put(&record, Payload::NONE, None);
    }
}

/// A read by `call` into `count` pieces.
#[inline(always)]
unsafe fn reads(fd: i32, options: i32, pieces: *const IoVec, count: usize, call: impl FnOnce() -> isize) -> isize {
    let Some(connection) = fds::tracked(fd) else { return call() };
    if options & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return call();
    }
    let Some(transfer) = Transfer::begin(fd, connection, Call::Read) else { return call() };
    let rc = call();
    let saved = sys::errno();
    transfer.leave();
    // SAFETY: as the caller vouches.
    unsafe { transfer.read(rc, options, pieces, count) };
    sys::set_errno(saved);
    rc
}

/// A read by `call` into the pieces of a message. The message is looked at after the call, for it may be a bad one.
#[inline(always)]
unsafe fn reads_message(fd: i32, options: i32, message: *const Message, call: impl FnOnce() -> isize) -> isize {
    let Some(connection) = fds::tracked(fd) else { return call() };
    if options & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return call();
    }
    let Some(transfer) = Transfer::begin(fd, connection, Call::Read) else { return call() };
    let rc = call();
    let saved = sys::errno();
    transfer.leave();
    // SAFETY: as the caller vouches; the kernel read the message when it succeeded.
    unsafe {
        let (pieces, count) = message_pieces(message, rc);
        transfer.read(rc, options, pieces, count);
    }
    sys::set_errno(saved);
    rc
}

/// A write by `call` from the pieces of a message.
#[inline(always)]
unsafe fn writes_message(fd: i32, message: *const Message, call: impl FnOnce() -> isize) -> isize {
    let Some(connection) = fds::tracked(fd) else { return call() };
    let Some(transfer) = Transfer::begin(fd, connection, Call::Write) else { return call() };
    let rc = call();
    let saved = sys::errno();
    transfer.leave();
    // SAFETY: as the caller vouches; the kernel read the message when it succeeded.
    unsafe {
        let (pieces, count) = message_pieces(message, rc);
        transfer.write(rc, pieces, count);
    }
    sys::set_errno(saved);
    rc
}

/// The pieces of a message that was sent or received.
unsafe fn message_pieces(message: *const Message, rc: isize) -> (*const IoVec, usize) {
    if rc <= 0 {
        return (core::ptr::null(), 0);
    }
    // SAFETY: the kernel read it.
    unsafe { ((*message).iov, (*message).iov_len as usize) }
}

/// A write by `call` from `count` pieces (0: the bytes are not in memory).
#[inline(always)]
unsafe fn writes(fd: i32, pieces: *const IoVec, count: usize, call: impl FnOnce() -> isize) -> isize {
    let Some(connection) = fds::tracked(fd) else { return call() };
    let Some(transfer) = Transfer::begin(fd, connection, Call::Write) else { return call() };
    let rc = call();
    let saved = sys::errno();
    transfer.leave();
    // SAFETY: as the caller vouches.
    unsafe { transfer.write(rc, pieces, count) };
    sys::set_errno(saved);
    rc
}

/// Notes the exception's name in what was written to standard error.
#[cold]
#[inline(never)]
unsafe fn note_error(text: *const u8, len: isize) {
    if len <= 0 {
        return;
    }
    let Some(ring) = ring::existing() else { return };
    let thread = thread::current();
    // SAFETY: only this thread uses its line (a signal handler that writes at the same moment may garble a name);
    // `len` bytes were written from `text`.
    let line = unsafe { &mut *thread.line.get() };
    // SAFETY: as above.
    let Some(len) = (unsafe { line.feed(text, len as usize) }) else { return };
    if ring::borrowed() {
        return;
    }
    let saved = sys::errno();
    let record = Record { fd: 2, head: len as u32, ..thread.record(Event::ErrorType, sys::now()) };
    let name = IoVec { base: line.name(), len };
    ring.put(&record, Payload { pieces: &raw const name, count: 1, total: len }, None);
    sys::set_errno(saved);
}

/// `struct mmsghdr`.
#[repr(C)]
pub(crate) struct ManyMessage {
    message: Message,
    _control: [usize; 3],
    len: u32,
}

/// Bytes of the first `count` messages.
unsafe fn many_len(messages: *const ManyMessage, count: i32) -> isize {
    // SAFETY: the kernel filled `len` of the first `count` messages.
    (0..count.max(0) as usize).map(|at| unsafe { (*messages.add(at)).len as isize }).sum()
}

/// Runs a call on many messages: the bytes of all are counted, none are copied.
macro_rules! many {
    ($noting:ident, $fd:ident, $messages:ident, $call:expr) => {{
        let mut result = -1;
        $noting!($fd, || {
            result = $call;
            if result < 0 { -1 } else { many_len($messages, result) }
        });
        result
    }};
}
macro_rules! noting_reads {
    ($fd:ident, $call:expr) => {
        reads($fd, MSG_TRUNC, core::ptr::null(), 0, $call)
    };
}
macro_rules! noting_writes {
    ($fd:ident, $call:expr) => {
        writes($fd, core::ptr::null(), 0, $call)
    };
}

hooks! {
    fn read(fd: i32, buffer: *mut u8, len: usize) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        reads(fd, 0, &raw const piece, 1, || original(fd, buffer, len))
    }

    fn __read_chk(fd: i32, buffer: *mut u8, len: usize, room: usize) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        reads(fd, 0, &raw const piece, 1, || original(fd, buffer, len, room))
    }

    fn readv(fd: i32, pieces: *const IoVec, count: i32) -> isize |original| {
        reads(fd, 0, pieces, count as usize, || original(fd, pieces, count))
    }

    fn recv(fd: i32, buffer: *mut u8, len: usize, options: i32) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        reads(fd, options, &raw const piece, 1, || original(fd, buffer, len, options))
    }

    fn __recv_chk(fd: i32, buffer: *mut u8, len: usize, room: usize, options: i32) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        reads(fd, options, &raw const piece, 1, || original(fd, buffer, len, room, options))
    }

    fn recvfrom(fd: i32, buffer: *mut u8, len: usize, options: i32, address: *mut u8, size: *mut u32) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        reads(fd, options, &raw const piece, 1, || original(fd, buffer, len, options, address, size))
    }

    fn recvmsg(fd: i32, message: *mut Message, options: i32) -> isize |original| {
        reads_message(fd, options, message, || original(fd, message, options))
    }

    fn write(fd: i32, buffer: *const u8, len: usize) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        let rc = writes(fd, &raw const piece, 1, || original(fd, buffer, len));
        if fd == 2 {
            note_error(buffer, rc);
        }
        rc
    }

    fn writev(fd: i32, pieces: *const IoVec, count: i32) -> isize |original| {
        let rc = writes(fd, pieces, count as usize, || original(fd, pieces, count));
        if fd == 2 && count == 1 {
            note_error((*pieces).base, rc);
        }
        rc
    }

    fn send(fd: i32, buffer: *const u8, len: usize, options: i32) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        writes(fd, &raw const piece, 1, || original(fd, buffer, len, options))
    }

    fn sendto(fd: i32, buffer: *const u8, len: usize, options: i32, address: *const u8, size: u32) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        writes(fd, &raw const piece, 1, || original(fd, buffer, len, options, address, size))
    }

    fn sendmsg(fd: i32, message: *const Message, options: i32) -> isize |original| {
        writes_message(fd, message, || original(fd, message, options))
    }

    fn sendfile(to: i32, from: i32, offset: *mut i64, count: usize) -> isize |original| {
        writes(to, core::ptr::null(), 0, || original(to, from, offset, count))
    }

    fn sendfile64(to: i32, from: i32, offset: *mut i64, count: usize) -> isize |original| {
        writes(to, core::ptr::null(), 0, || original(to, from, offset, count))
    }

    fn sendmmsg(fd: i32, messages: *mut ManyMessage, count: u32, options: i32) -> i32 |original| {
        many!(noting_writes, fd, messages, original(fd, messages, count, options))
    }

    fn recvmmsg(fd: i32, messages: *mut ManyMessage, count: u32, options: i32, timeout: *mut u8) -> i32 |original| {
        many!(noting_reads, fd, messages, original(fd, messages, count, options, timeout))
    }

    fn __recvfrom_chk(
        fd: i32, buffer: *mut u8, len: usize, room: usize, options: i32, address: *mut u8, size: *mut u32,
    ) -> isize |original| {
        let piece = IoVec { base: buffer, len };
        reads(fd, options, &raw const piece, 1, || original(fd, buffer, len, room, options, address, size))
    }
}

/// Milliseconds since the bytes that the last raw read of this connection brought had arrived, told once.
pub(super) fn age(connection: &Connection, now: u64) -> u32 {
    match connection.arrived.swap(0, Relaxed) {
        0 => AGE_UNKNOWN,
        arrived => (now.saturating_sub(arrived) / 1_000_000).min(u64::from(AGE_UNKNOWN - 1)) as u32,
    }
}
