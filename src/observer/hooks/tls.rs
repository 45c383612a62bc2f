//! OpenSSL: handshakes, server names, plaintext, contexts, and which session is on which connection.
//!
//! A process may hold several OpenSSLs: each hook passes its return address on, by which the caller's one is found.

use super::super::arch::with_caller;
use super::super::fds::{self, bit};
use super::super::layout::{AGE_UNKNOWN, Call, Event, Record, flag};
use super::super::real;
use super::super::ring::{self, Payload, Ring};
use super::super::ssl::{self, Session, handshake};
use super::super::sys::{self, EAGAIN, EPROTO, IoVec};
use super::super::thread::{self, Mark, Thread};
use super::transfer::{age, bind, flags, put};
use core::ffi::CStr;
use core::mem::transmute;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

/// `SSL_CTRL_SET_TLSEXT_HOSTNAME`.
const SET_HOSTNAME: i32 = 55;
const SSL_ERROR_SSL: i32 = 1;
const SSL_ERROR_SYSCALL: i32 = 5;
const SSL_ERROR_ZERO_RETURN: i32 = 6;
/// Salt of the look-up of `SSL_get_error` for a site of another function.
const GET_ERROR: usize = 1;

with_caller! {
    SSL_do_handshake => ssl_do_handshake,
    SSL_connect => ssl_connect,
    SSL_accept => ssl_accept,
    SSL_read => ssl_read,
    SSL_read_ex => ssl_read_ex,
    SSL_write => ssl_write,
    SSL_write_ex => ssl_write_ex,
    SSL_set_fd => ssl_set_fd,
    SSL_set_bio => ssl_set_bio,
    SSL_free => ssl_free,
    SSL_ctrl => ssl_ctrl,
    BIO_read => bio_read,
    BIO_write => bio_write,
    SSL_CTX_new => ssl_ctx_new,
    SSL_CTX_load_verify_locations => ssl_ctx_load_verify_locations,
    SSL_CTX_set_default_verify_paths => ssl_ctx_set_default_verify_paths,
}

/// The original behind a hook for the code at `site`; leaves the hook with `$otherwise` when there is none.
macro_rules! original {
    ($hook:ident, $site:expr, $type:ty $(, $otherwise:expr)?) => {{
        // SAFETY: ends with the only zero.
        let name = unsafe { CStr::from_bytes_with_nul_unchecked(concat!(stringify!($hook), "\0").as_bytes()) };
        let address = real::by_site($site, name, $hook as *const () as usize, 0);
        if address == 0 {
            return $($otherwise)?;
        }
        // SAFETY: the address is that of the function of this name.
        unsafe { transmute::<usize, $type>(address) }
    }};
}

/// Calls the original and returns its result when this process records nothing.
macro_rules! recording {
    ($call:expr) => {
        match ring::active() {
            Some(ring) => (ring, thread::current()),
            None => return $call,
        }
    };
}

/// What `SSL_get_error` of the caller's OpenSSL says of a failed call; it only looks.
unsafe fn get_error(session: usize, rc: i32, site: usize) -> i32 {
    let address = real::by_site(site, c"SSL_get_error", 0, GET_ERROR);
    if address == 0 {
        return 0;
    }
    // SAFETY: the address is that of the function of this name.
    unsafe { transmute::<usize, unsafe extern "C" fn(usize, i32) -> i32>(address)(session, rc) }
}

/// Enters a TLS call: the thread is in it, and what it reads or writes below belongs to the session.
fn enter(ring: Ring, thread: &Thread, call: Call, ssl: usize, known: Option<&Session>, now: u64) -> usize {
    let (fd, conn) = known.map_or((-1, 0), |session| (session.fd.load(Relaxed), session.conn.load(Relaxed)));
    let outer = thread.inside.replace(ssl);
    if outer == 0 {
        thread.enter(ring, call, fd, conn, now);
    }
    outer
}

fn leave(ring: Ring, thread: &Thread, outer: usize) {
    thread.inside.set(outer);
    if outer == 0 {
        thread.leave(ring);
    }
}

/// A session that was given a descriptor before that was connected is bound when it is used.
fn settle(ring: Ring, thread: &Thread, ssl: usize, session: &Session) {
    let fd = session.fd.load(Relaxed);
    if fd >= 0
        && let Some(connection) = fds::tracked(fd)
        && connection.session.load(Relaxed) == ssl
        && session.conn.load(Relaxed) != connection.id.load(Relaxed)
    {
        bind(ring, thread, ssl, fd, connection);
    }
}

/// A record of a session.
fn record(thread: &Thread, event: Event, t: u64, ssl: usize, session: Option<&Session>) -> Record {
    let mut record = thread.record(event, t);
    record.aux = ssl as u64;
    if let Some(session) = session {
        record.conn = session.conn.load(Relaxed);
        record.fd = session.fd.load(Relaxed);
        if let Some(connection) = fds::tracked(record.fd)
            && connection.id.load(Relaxed) == record.conn
        {
            record.flags |= flags(connection.bits.load(Relaxed));
        }
    }
    record
}

type OneArgument = unsafe extern "C" fn(usize) -> i32;
type Transfer = unsafe extern "C" fn(usize, *const u8, i32) -> i32;
type TransferEx = unsafe extern "C" fn(usize, *const u8, usize, *mut usize) -> i32;

unsafe fn shakes(ssl: usize, site: usize, original: OneArgument) -> i32 {
    // SAFETY: as the caller's own call.
    let (ring, thread) = recording!(unsafe { original(ssl) });
    let before = sys::errno();
    let session = ssl::session(ssl);
    let t = sys::now();
    if let Some(session) = session {
        settle(ring, thread, ssl, session);
        let state = &session.handshake;
        if state.compare_exchange(handshake::NONE, handshake::BEGUN, AcqRel, Relaxed).is_ok() {
            session.began.store(t, Relaxed);
            ring.put(&record(thread, Event::TlsStart, t, ssl, Some(session)), Payload::NONE, None);
        }
    }
    let outer = enter(ring, thread, Call::Handshake, ssl, session, t);
    sys::set_errno(before);
    // SAFETY: as the caller's own call.
    let rc = unsafe { original(ssl) };
    let saved = sys::errno();
    leave(ring, thread, outer);
    let now = sys::now();
    if let Some(session) = session {
        thread.blocked(Call::Handshake, session.fd.load(Relaxed), session.conn.load(Relaxed), now.wrapping_sub(t));
        // SAFETY: as the caller's own call.
        let over = rc == 1 || matches!(unsafe { get_error(ssl, rc, site) }, SSL_ERROR_SSL | SSL_ERROR_SYSCALL | SSL_ERROR_ZERO_RETURN);
        let state = &session.handshake;
        if over && state.compare_exchange(handshake::BEGUN, handshake::OVER, AcqRel, Relaxed).is_ok() {
            let began = session.began.load(Relaxed);
            let mut end = record(thread, Event::TlsEnd, began, ssl, Some(session));
            end.dur = now.wrapping_sub(began);
            end.rc = i64::from(rc);
            end.errno = if rc == 1 { 0 } else { saved };
            ring.put(&end, Payload::NONE, None);
        }
    }
    sys::set_errno(saved);
    rc
}

unsafe extern "C" fn ssl_do_handshake(ssl: usize, _: usize, _: usize, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(SSL_do_handshake, site, OneArgument, -1);
    // SAFETY: as the caller's own call.
    unsafe { shakes(ssl, site, original) }
}

unsafe extern "C" fn ssl_connect(ssl: usize, _: usize, _: usize, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(SSL_connect, site, OneArgument, -1);
    // SAFETY: as the caller's own call.
    unsafe { shakes(ssl, site, original) }
}

unsafe extern "C" fn ssl_accept(ssl: usize, _: usize, _: usize, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(SSL_accept, site, OneArgument, -1);
    // SAFETY: as the caller's own call.
    unsafe { shakes(ssl, site, original) }
}

/// Runs a call that moves plaintext; `done` says how many bytes it moved, from its result.
#[inline(always)]
unsafe fn moves(
    reading: bool,
    ssl: usize,
    buffer: *const u8,
    site: usize,
    call: impl Fn() -> i32,
    done: impl Fn(i32) -> usize,
) -> i32 {
    let (ring, thread) = recording!(call());
    let before = sys::errno();
    let session = ssl::session(ssl);
    let t = sys::now();
    if let Some(session) = session {
        settle(ring, thread, ssl, session);
    }
    let outer = enter(ring, thread, if reading { Call::Read } else { Call::Write }, ssl, session, t);
    sys::set_errno(before);
    let rc = call();
    let saved = sys::errno();
    leave(ring, thread, outer);
    if let Some(session) = session {
        let len = done(rc);
        // SAFETY: as the caller's own call.
        let error = if len > 0 { 0 } else { unsafe { get_error(ssl, rc, site) } };
        // SAFETY: `len` bytes were moved from or to the buffer.
        unsafe { moved(ring, thread, reading, ssl, session, buffer, len, error, saved, t) };
    }
    sys::set_errno(saved);
    rc
}

#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "all of one call; a structure would say the same")]
unsafe fn moved(
    ring: Ring,
    thread: &Thread,
    reading: bool,
    ssl: usize,
    session: &Session,
    buffer: *const u8,
    len: usize,
    error: i32,
    errno: i32,
    t: u64,
) {
    let (event, call, offsets) = if reading {
        (Event::Read, Call::Read, &session.received)
    } else {
        (Event::Write, Call::Write, &session.sent)
    };
    let ended = matches!(error, SSL_ERROR_SSL | SSL_ERROR_SYSCALL | SSL_ERROR_ZERO_RETURN);
    if len == 0 && !ended {
        return;
    }
    let now = sys::now();
    let mut record = record(thread, event, t, ssl, Some(session));
    record.flags |= flag::PLAINTEXT;
    record.dur = now.wrapping_sub(t);
    thread.blocked(call, record.fd, record.conn, record.dur);
    if len == 0 {
        record.offset = offsets.load(Relaxed);
        // An orderly end, or one without a word, reads as the end of the stream; all else failed.
        if error != SSL_ERROR_ZERO_RETURN && !(reading && error == SSL_ERROR_SYSCALL && matches!(errno, 0 | EAGAIN)) {
            record.rc = -1;
            record.errno = if errno == 0 || error == SSL_ERROR_SSL { EPROTO } else { errno };
        }
        ring.put(&record, Payload::NONE, None);
        return;
    }
    record.rc = len as i64;
    record.offset = offsets.fetch_add(len as u64, Relaxed);
    let turn = session.turns(if reading { bit::READING } else { bit::WRITING });
    if turn {
        record.flags |= flag::TURN;
    }
    record.age_ms = match fds::tracked(record.fd) {
        Some(connection) if reading && connection.id.load(Relaxed) == record.conn => age(connection, now),
        _ => AGE_UNKNOWN,
    };
    let piece = IoVec { base: buffer, len };
    let mut scan = session.scan();
    put(ring, &mut record, Payload { pieces: &raw const piece, count: 1, total: len }, turn, &mut scan);
    session.set_scan(scan);
}

fn positive(rc: i32) -> usize {
    rc.max(0) as usize
}

unsafe extern "C" fn ssl_read(ssl: usize, buffer: *const u8, len: i32, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(SSL_read, site, Transfer, -1);
    // SAFETY: as the caller's own call.
    unsafe { moves(true, ssl, buffer, site, || original(ssl, buffer, len), positive) }
}

unsafe extern "C" fn ssl_write(ssl: usize, buffer: *const u8, len: i32, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(SSL_write, site, Transfer, -1);
    // SAFETY: as the caller's own call.
    unsafe { moves(false, ssl, buffer, site, || original(ssl, buffer, len), positive) }
}

unsafe extern "C" fn ssl_read_ex(
    ssl: usize,
    buffer: *const u8,
    len: usize,
    moved: *mut usize,
    _: usize,
    site: usize,
) -> i32 {
    let original = original!(SSL_read_ex, site, TransferEx, 0);
    // SAFETY: as the caller's own call.
    unsafe { moves(true, ssl, buffer, site, || original(ssl, buffer, len, moved), |rc| if rc == 1 { *moved } else { 0 }) }
}

unsafe extern "C" fn ssl_write_ex(
    ssl: usize,
    buffer: *const u8,
    len: usize,
    moved: *mut usize,
    _: usize,
    site: usize,
) -> i32 {
    let original = original!(SSL_write_ex, site, TransferEx, 0);
    // SAFETY: as the caller's own call.
    unsafe { moves(false, ssl, buffer, site, || original(ssl, buffer, len, moved), |rc| if rc == 1 { *moved } else { 0 }) }
}

unsafe extern "C" fn ssl_set_fd(ssl: usize, fd: i32, _: usize, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(SSL_set_fd, site, unsafe extern "C" fn(usize, i32) -> i32, 0);
    // SAFETY: as the caller's own call.
    let (ring, thread) = recording!(unsafe { original(ssl, fd) });
    // SAFETY: as the caller's own call.
    let rc = unsafe { original(ssl, fd) };
    let saved = sys::errno();
    if rc == 1
        && let Some(session) = ssl::session(ssl)
    {
        session.fd.store(fd, Relaxed);
        if let Some(connection) = fds::tracked(fd) {
            bind(ring, thread, ssl, fd, connection);
        }
    }
    sys::set_errno(saved);
    rc
}

unsafe extern "C" fn ssl_set_bio(ssl: usize, read: usize, write: usize, _: usize, _: usize, site: usize) {
    let original = original!(SSL_set_bio, site, unsafe extern "C" fn(usize, usize, usize));
    if ring::active().is_some() {
        ssl::set_bios(ssl, read, write);
    }
    // SAFETY: as the caller's own call.
    unsafe { original(ssl, read, write) }
}

unsafe extern "C" fn ssl_free(ssl: usize, _: usize, _: usize, _: usize, _: usize, site: usize) {
    let original = original!(SSL_free, site, unsafe extern "C" fn(usize));
    if ssl != 0
        && let Some(ring) = ring::active()
        && let Some((conn, fd)) = ssl::free(ssl)
    {
        let thread = thread::current();
        if let Some(connection) = fds::tracked(fd)
            && connection.session.load(Relaxed) == ssl
        {
            connection.session.store(0, Relaxed);
        }
        if thread.out_session.get() == ssl {
            thread.out_session.set(0);
        }
        let record = Record { fd, conn, ..record(thread, Event::TlsFree, sys::now(), ssl, None) };
        ring.put(&record, Payload::NONE, None);
    }
    // SAFETY: as the caller's own call.
    unsafe { original(ssl) }
}

unsafe extern "C" fn ssl_ctrl(ssl: usize, command: i32, option: i64, name: *const u8, _: usize, site: usize) -> i64 {
    let original = original!(SSL_ctrl, site, unsafe extern "C" fn(usize, i32, i64, *const u8) -> i64, 0);
    // SAFETY: as the caller's own call.
    let rc = unsafe { original(ssl, command, option, name) };
    if command == SET_HOSTNAME
        && rc == 1
        && !name.is_null()
        && let Some(ring) = ring::active()
    {
        let saved = sys::errno();
        // SAFETY: a server name ends with a zero.
        let len = unsafe { sys::text_len(name, 255) };
        let thread = thread::current();
        let mut record = record(thread, Event::TlsName, sys::now(), ssl, ssl::session(ssl));
        record.head = len as u32;
        let piece = IoVec { base: name, len };
        ring.put(&record, Payload { pieces: &raw const piece, count: 1, total: len }, None);
        sys::set_errno(saved);
    }
    rc
}

unsafe extern "C" fn bio_read(bio: usize, buffer: *const u8, len: i32, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(BIO_read, site, Transfer, -1);
    // SAFETY: as the caller's own call.
    let rc = unsafe { original(bio, buffer, len) };
    if rc > 0
        && let Some((session, ssl)) = ssl::of_bio(bio)
        && session.is_write_bio(bio)
        && ring::active().is_some()
    {
        // What the session wants sent; the next write on this thread that sends it shows the connection.
        let thread = thread::current();
        let bound = fds::tracked(session.fd.load(Relaxed)).is_some_and(|connection| connection.session.load(Relaxed) == ssl);
        if !bound && thread.inside.get() != ssl {
            // SAFETY: `rc` bytes were read into the buffer.
            thread.out.set(unsafe { Mark::of(buffer, rc as usize) });
            thread.out_session.set(ssl);
        }
    }
    rc
}

unsafe extern "C" fn bio_write(bio: usize, buffer: *const u8, len: i32, _: usize, _: usize, site: usize) -> i32 {
    let original = original!(BIO_write, site, Transfer, -1);
    if len > 0
        && let Some((session, ssl)) = ssl::of_bio(bio)
        && session.is_read_bio(bio)
        && let Some(ring) = ring::active()
    {
        let saved = sys::errno();
        let thread = thread::current();
        // What the session is given; the last read on this thread that brought it shows the connection.
        if session.conn.load(Relaxed) == 0
            && let Some(connection) = fds::tracked(thread.in_fd.get())
            && connection.id.load(Relaxed) == thread.in_conn.get()
            && connection.session.load(Relaxed) == 0
            // SAFETY: the caller's buffer has `len` bytes.
            && unsafe { Mark::of(buffer, len as usize) }.same(&thread.incoming.get())
        {
            bind(ring, thread, ssl, thread.in_fd.get(), connection);
        }
        sys::set_errno(saved);
    }
    // SAFETY: as the caller's own call.
    unsafe { original(bio, buffer, len) }
}

/// Notes how long work on a context took.
fn context(event: Event, context: usize, rc: i64, t: u64) {
    if let Some(ring) = ring::active() {
        let saved = sys::errno();
        let mut record = record(thread::current(), event, t, context, None);
        record.dur = sys::now().wrapping_sub(t);
        record.rc = rc;
        ring.put(&record, Payload::NONE, None);
        sys::set_errno(saved);
    }
}

unsafe extern "C" fn ssl_ctx_new(method: usize, _: usize, _: usize, _: usize, _: usize, site: usize) -> usize {
    let original = original!(SSL_CTX_new, site, unsafe extern "C" fn(usize) -> usize, 0);
    let t = sys::now();
    // SAFETY: as the caller's own call.
    let made = unsafe { original(method) };
    context(Event::TlsContext, made, i64::from(made != 0), t);
    made
}

unsafe extern "C" fn ssl_ctx_load_verify_locations(
    ctx: usize,
    file: *const u8,
    folder: *const u8,
    _: usize,
    _: usize,
    site: usize,
) -> i32 {
    type Load = unsafe extern "C" fn(usize, *const u8, *const u8) -> i32;
    let original = original!(SSL_CTX_load_verify_locations, site, Load, 0);
    let t = sys::now();
    // SAFETY: as the caller's own call.
    let rc = unsafe { original(ctx, file, folder) };
    context(Event::TlsAuthorities, ctx, i64::from(rc), t);
    rc
}

unsafe extern "C" fn ssl_ctx_set_default_verify_paths(
    ctx: usize,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    site: usize,
) -> i32 {
    let original = original!(SSL_CTX_set_default_verify_paths, site, OneArgument, 0);
    let t = sys::now();
    // SAFETY: as the caller's own call.
    let rc = unsafe { original(ctx) };
    context(Event::TlsAuthorities, ctx, i64::from(rc), t);
    rc
}
