//! The life of a connection: connect, accept, close, and what copies or configures descriptors.

use super::super::fds::{self, Connection, bit};
use super::super::layout::{Call, Event, SOCKADDR_BYTES, flag};
use super::super::real::{self, real};
use super::super::ring::{self, Payload, Ring};
use super::super::sys::{self, AF_INET, AF_INET6, AF_UNIX, EALREADY, EINPROGRESS, EINTR, EISCONN, IoVec, SO_ERROR, SOL_SOCKET};
use super::super::thread::{self, Thread};
use super::transfer::flags;
use core::sync::atomic::Ordering::Relaxed;

const F_DUPFD: i32 = 0;
const F_SETFL: i32 = 4;
const F_DUPFD_CLOEXEC: i32 = 1030;
const FIONBIO: u64 = 0x5421;
const CLOSE_RANGE_CLOEXEC: i32 = 4;
const SHORTEST_BLOCK_NS: u64 = 1_000_000;

/// Notes that a connect ended; told once for each.
pub(super) fn connect_ended(ring: Ring, thread: &Thread, fd: i32, connection: &Connection, error: i32, now: u64) {
    if !connection.take(bit::CONNECTING) {
        return;
    }
    let began = connection.began.load(Relaxed);
    let mut record = thread.record(Event::ConnectEnd, began);
    record.flags |= flags(connection.bits.load(Relaxed));
    record.dur = now.wrapping_sub(began);
    record.fd = fd;
    record.conn = connection.id.load(Relaxed);
    record.errno = error;
    record.rc = if error == 0 { 0 } else { -1 };
    let mut own = [0u8; SOCKADDR_BYTES];
    if error == 0 {
        if !connection.has(bit::UNIX) {
            record.aux = sys::tcp_info(fd).map_or(0, |info| u64::from(info.rtt_us));
        }
        sys::socket_address(fd, true, &mut own);
        record.head = SOCKADDR_BYTES as u32;
    }
    let piece = IoVec { base: own.as_ptr(), len: SOCKADDR_BYTES };
    ring.put(&record, Payload { pieces: &raw const piece, count: 1, total: SOCKADDR_BYTES }, None);
    connection.last.store(now, Relaxed);
}

/// Begins a connection where the socket is one that is tracked.
unsafe fn connect_begins(ring: Ring, thread: &Thread, fd: i32, address: *const u8, len: u32) -> Option<&'static Connection> {
    if !(2..=128).contains(&len) || !sys::readable(address, len as usize) {
        return None;
    }
    // SAFETY: the caller's address has `len` bytes.
    let family = unsafe { address.cast::<u16>().read_unaligned() };
    if !matches!(family, AF_UNIX | AF_INET | AF_INET6) || !sys::is_stream(fd) {
        return None;
    }
    let mut bits = bit::CONNECTING;
    if family == AF_UNIX {
        bits |= bit::UNIX;
    }
    if sys::is_nonblocking(fd) {
        bits |= bit::NONBLOCK;
    }
    let now = sys::now();
    let connection = fds::begin(fd, bits, now)?;
    let mut peer = [0u8; SOCKADDR_BYTES];
    // SAFETY: the caller's address has `len` bytes.
    unsafe { sys::pack_address(address, len as usize, &mut peer) };
    let mut record = thread.record(Event::ConnectStart, now);
    record.flags |= flags(bits);
    record.fd = fd;
    record.conn = connection.id.load(Relaxed);
    record.head = SOCKADDR_BYTES as u32;
    let piece = IoVec { base: peer.as_ptr(), len: SOCKADDR_BYTES };
    ring.put(&record, Payload { pieces: &raw const piece, count: 1, total: SOCKADDR_BYTES }, None);
    Some(connection)
}

unsafe fn connects(fd: i32, address: *const u8, len: u32, call: impl FnOnce() -> i32) -> i32 {
    let Some(ring) = ring::active() else { return call() };
    let saved = sys::errno();
    let thread = thread::current();
    // A connect that is still open: this one asks how it went.
    let open = fds::tracked(fd).filter(|connection| connection.has(bit::CONNECTING));
    // SAFETY: as the caller vouches.
    let Some(connection) = open.or_else(|| unsafe { connect_begins(ring, thread, fd, address, len) }) else {
        sys::set_errno(saved);
        return call();
    };
    let id = connection.id.load(Relaxed);
    let t = sys::now();
    thread.enter(ring, Call::Connect, fd, id, t);
    sys::set_errno(saved);
    let rc = call();
    let error = sys::errno();
    thread.leave(ring);
    let now = sys::now();
    let dur = now.wrapping_sub(t);
    if dur >= SHORTEST_BLOCK_NS {
        thread.blocked(Call::Connect, fd, id, dur);
    }
    if connection.id.load(Relaxed) == id {
        if rc == 0 || error == EISCONN {
            connect_ended(ring, thread, fd, connection, 0, now);
        } else if !matches!(error, EINPROGRESS | EALREADY | EINTR) {
            connect_ended(ring, thread, fd, connection, error, now);
        }
    }
    sys::set_errno(error);
    rc
}

/// Runs a call that accepts, and notes the connection.
unsafe fn accepts(listener: i32, nonblocking: bool, call: impl FnOnce() -> i32) -> i32 {
    let Some(ring) = ring::active() else { return call() };
    let thread = thread::current();
    let t = sys::now();
    thread.enter(ring, Call::Accept, listener, 0, t);
    let fd = call();
    let saved = sys::errno();
    thread.leave(ring);
    if fd >= 0 {
        accepted(ring, thread, fd, nonblocking, t);
    }
    sys::set_errno(saved);
    fd
}

fn accepted(ring: Ring, thread: &Thread, fd: i32, nonblocking: bool, t: u64) {
    forget(fd);
    let now = sys::now();
    let mut addresses = [[0u8; SOCKADDR_BYTES]; 2];
    let [peer, own] = &mut addresses;
    sys::socket_address(fd, false, peer);
    sys::socket_address(fd, true, own);
    let [low, high, ..] = *own;
    let mut bits = bit::ACCEPTED;
    match u16::from_le_bytes([low, high]) {
        AF_UNIX => bits |= bit::UNIX,
        AF_INET | AF_INET6 => {}
        _ => return,
    }
    if nonblocking {
        bits |= bit::NONBLOCK;
    }
    if !sys::is_stream(fd) {
        return;
    }
    let Some(connection) = fds::begin(fd, bits, now) else { return };
    let mut record = thread.record(Event::Accept, t);
    record.flags |= flags(bits);
    record.dur = now.wrapping_sub(t);
    record.fd = fd;
    record.conn = connection.id.load(Relaxed);
    record.rc = i64::from(fd);
    record.head = 2 * SOCKADDR_BYTES as u32;
    let piece = IoVec { base: (&raw const addresses).cast(), len: 2 * SOCKADDR_BYTES };
    ring.put(&record, Payload { pieces: &raw const piece, count: 1, total: 2 * SOCKADDR_BYTES }, None);
}

/// A new descriptor of this number came up: what is known of an old one is stale.
pub(super) fn forget(fd: i32) {
    if fd >= 0 {
        thread::descriptors_gone(fd, fd);
    }
    if fds::tracked(fd).is_some() && !ring::borrowed() {
        fds::end_of(fd);
    }
}

/// As [`forget`], for a call that made two descriptors.
unsafe fn forget_two(fds: *const i32, rc: i32) -> i32 {
    if rc == 0 {
        // SAFETY: the call succeeded, so it wrote two.
        let (one, other) = unsafe { (*fds, *fds.add(1)) };
        forget(one);
        forget(other);
    }
    rc
}

/// Runs a call that closes a tracked descriptor, and notes it. The descriptor is forgotten before the call, for
/// another thread may get the same number at once after it. `open`: it is still the descriptor that was tracked.
#[cold]
#[inline(never)]
fn closes(fd: i32, open: bool, call: &mut dyn FnMut() -> i32) -> i32 {
    if ring::borrowed() {
        return call();
    }
    // A child that has no ring yet closes what it inherited: not an end of the connection.
    let ring = ring::existing();
    if open
        && let Some(ring) = ring
        && let Some(connection) = fds::tracked(fd)
        && connection.has(bit::CONNECTING)
        && !connection.has(bit::UNIX)
        && sys::tcp_info(fd).is_some_and(|info| info.established)
    {
        // It was connected, and nobody had looked.
        connect_ended(ring, thread::current(), fd, connection, 0, sys::now());
    }
    let Some(ended) = fds::end_of(fd) else { return call() };
    let t = sys::now();
    let rc = call();
    let saved = sys::errno();
    if let Some(ring) = ring
        && !ended.shared
    {
        let mut record = thread::current().record(Event::Close, t);
        record.flags |= flags(ended.bits);
        if ended.bits & bit::CONNECTING != 0 {
            record.flags |= flag::CONNECTING;
        }
        record.dur = sys::now().wrapping_sub(t);
        record.fd = fd;
        record.conn = ended.id;
        record.rc = i64::from(rc);
        record.errno = if rc < 0 { saved } else { 0 };
        record.offset = ended.sent;
        record.aux = ended.received;
        ring.put(&record, Payload::NONE, None);
    }
    sys::set_errno(saved);
    rc
}

/// Runs a call that closes the descriptors from `first` to `last`.
fn closes_many(first: u32, last: u32, mut call: impl FnMut() -> i32) -> i32 {
    if let Ok(first) = i32::try_from(first) {
        thread::descriptors_gone(first, last.min(i32::MAX as u32) as i32);
    }
    let end = fds::end().max(0) as u32;
    if first >= end || ring::borrowed() {
        return call();
    }
    for fd in first..end.min(last.saturating_add(1)) {
        if fds::tracked(fd as i32).is_some() {
            closes(fd as i32, true, &mut || 0);
        }
    }
    call()
}

/// Notes what a call that copies descriptors returned.
fn copied(from: i32, rc: i32) -> i32 {
    if rc >= 0 && rc != from && (fds::tracked(from).is_some() || fds::tracked(rc).is_some()) && !ring::borrowed() {
        let saved = sys::errno();
        forget(rc);
        fds::copy(from, rc);
        sys::set_errno(saved);
    }
    rc
}

/// What `dup2` or `dup3` did: whatever `to` was is closed by it.
fn copied_to(from: i32, to: i32, rc: i32) -> i32 {
    if rc >= 0 && from != to {
        thread::descriptors_gone(to, to);
    }
    if rc >= 0 && from != to && fds::tracked(to).is_some() {
        closes(to, false, &mut || rc);
    }
    copied(from, rc)
}

fn set_nonblocking(fd: i32, on: bool) {
    if let Some(connection) = fds::tracked(fd) {
        connection.set(bit::NONBLOCK, on);
    }
}

/// What `fcntl` did.
fn controlled(fd: i32, command: i32, argument: usize, rc: i32) -> i32 {
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => copied(fd, rc),
        F_SETFL if rc == 0 => {
            set_nonblocking(fd, argument as i32 & sys::O_NONBLOCK != 0);
            rc
        }
        _ => rc,
    }
}

/// An answer to `SO_ERROR` ends a connect: with the error, or without one when the kernel says that it is connected.
#[cold]
#[inline(never)]
fn asked(fd: i32, connection: &Connection, error: i32) {
    let Some(ring) = ring::active() else { return };
    if error == 0 && !connection.has(bit::UNIX) && sys::tcp_info(fd).is_some_and(|info| !info.established) {
        return;
    }
    connect_ended(ring, thread::current(), fd, connection, error, sys::now());
}

hooks! {
    fn socket(domain: i32, kind: i32, protocol: i32) -> i32 |original| {
        let fd = original(domain, kind, protocol);
        forget(fd);
        fd
    }

    fn socketpair(domain: i32, kind: i32, protocol: i32, fds: *mut i32) -> i32 |original| {
        forget_two(fds, original(domain, kind, protocol, fds))
    }

    fn pipe(fds: *mut i32) -> i32 |original| {
        forget_two(fds, original(fds))
    }

    fn pipe2(fds: *mut i32, options: i32) -> i32 |original| {
        forget_two(fds, original(fds, options))
    }

    fn epoll_create(size: i32) -> i32 |original| {
        let fd = original(size);
        forget(fd);
        fd
    }

    fn epoll_create1(options: i32) -> i32 |original| {
        let fd = original(options);
        forget(fd);
        fd
    }

    fn connect(fd: i32, address: *const u8, len: u32) -> i32 |original| {
        connects(fd, address, len, || original(fd, address, len))
    }

    fn getsockopt(fd: i32, level: i32, option: i32, value: *mut i32, len: *mut u32) -> i32 |original| {
        let rc = original(fd, level, option, value, len);
        if rc == 0
            && level == SOL_SOCKET
            && option == SO_ERROR
            && let Some(connection) = fds::tracked(fd)
            && connection.has(bit::CONNECTING)
            && *len >= 4
        {
            let saved = sys::errno();
            asked(fd, connection, value.read_unaligned());
            sys::set_errno(saved);
        }
        rc
    }

    fn accept(fd: i32, address: *mut u8, len: *mut u32) -> i32 |original| {
        accepts(fd, false, || original(fd, address, len))
    }

    fn accept4(fd: i32, address: *mut u8, len: *mut u32, options: i32) -> i32 |original| {
        accepts(fd, options & sys::O_NONBLOCK != 0, || original(fd, address, len, options))
    }

    fn close(fd: i32) -> i32 |original| {
        thread::descriptors_gone(fd, fd);
        if fds::tracked(fd).is_none() {
            return original(fd);
        }
        closes(fd, true, &mut || original(fd))
    }

    fn close_range(first: u32, last: u32, options: i32) -> i32 |original| {
        if options & CLOSE_RANGE_CLOEXEC != 0 {
            return original(first, last, options);
        }
        closes_many(first, last, || original(first, last, options))
    }

    fn closefrom(first: i32) -> () |original| {
        closes_many(first.max(0) as u32, u32::MAX, || {
            original(first);
            0
        });
    }

    fn dup(fd: i32) -> i32 |original| {
        copied(fd, original(fd))
    }

    fn dup2(from: i32, to: i32) -> i32 |original| {
        copied_to(from, to, original(from, to))
    }

    fn dup3(from: i32, to: i32, options: i32) -> i32 |original| {
        copied_to(from, to, original(from, to, options))
    }

    fn fcntl(fd: i32, command: i32, argument: usize) -> i32 |original| {
        controlled(fd, command, argument, original(fd, command, argument))
    }

    fn fcntl64(fd: i32, command: i32, argument: usize) -> i32 |original| {
        controlled(fd, command, argument, original(fd, command, argument))
    }

    fn ioctl(fd: i32, request: u64, argument: usize) -> i32 |original| {
        let rc = original(fd, request, argument);
        if request & 0xffff_ffff == FIONBIO && rc == 0 && fds::tracked(fd).is_some() {
            set_nonblocking(fd, *(argument as *const i32) != 0);
        }
        rc
    }

    fn shutdown(fd: i32, how: i32) -> i32 |original| {
        let rc = original(fd, how);
        if let Some(connection) = fds::tracked(fd)
            && let Some(ring) = ring::active()
        {
            let saved = sys::errno();
            let mut record = thread::current().record(Event::Shutdown, sys::now());
            record.flags |= flags(connection.bits.load(Relaxed));
            record.fd = fd;
            record.conn = connection.id.load(Relaxed);
            record.rc = i64::from(rc);
            record.errno = if rc < 0 { saved } else { 0 };
            record.aux = how as u64;
            ring.put(&record, Payload::NONE, None);
            sys::set_errno(saved);
        }
        rc
    }
}
