//! Files opened, early in a process's life: they show what start-up does.

use super::super::layout::{Event, OPENS_FOR_NS, OPENS_MAX, Record};
use super::super::real::{self, real};
use super::super::ring::{self, Payload};
use super::super::sys::{self, IoVec};
use super::super::thread;
use super::net::forget;
use core::sync::atomic::Ordering::Relaxed;

/// Bytes kept of a path, from its end.
const PATH_END: usize = 180;
const PATH_MAX: usize = 4096;

/// Runs a call that opens `path`.
#[inline(always)]
fn opens(path: *const u8, run: impl FnOnce() -> i32) -> i32 {
    let Some(ring) = ring::existing() else {
        let fd = run();
        forget(fd);
        return fd;
    };
    let header = ring.header();
    let seen = header.opens.load(Relaxed);
    let mut t = 0;
    if seen < OPENS_MAX {
        t = sys::now();
    }
    let fd = run();
    if fd < 0 {
        return fd;
    }
    let saved = sys::errno();
    forget(fd);
    header.opens.fetch_add(1, Relaxed);
    if t != 0 && t.wrapping_sub(header.start.load(Relaxed)) < OPENS_FOR_NS && !path.is_null() && !ring::borrowed() {
        // SAFETY: a path that was opened ends with a zero.
        let len = unsafe { sys::text_len(path, PATH_MAX) };
        let kept = len.min(PATH_END);
        // SAFETY: within the path.
        let piece = IoVec { base: unsafe { path.add(len - kept) }, len: kept };
        let record = Record {
            dur: sys::now().wrapping_sub(t),
            fd,
            rc: i64::from(fd),
            head: kept as u32,
            ..thread::current().record(Event::Open, t)
        };
        ring.put(&record, Payload { pieces: &raw const piece, count: 1, total: kept }, None);
    }
    sys::set_errno(saved);
    fd
}

hooks! {
    fn open(path: *const u8, options: i32, mode: u32) -> i32 |original| {
        opens(path, || original(path, options, mode))
    }

    fn open64(path: *const u8, options: i32, mode: u32) -> i32 |original| {
        opens(path, || original(path, options, mode))
    }

    fn openat(folder: i32, path: *const u8, options: i32, mode: u32) -> i32 |original| {
        opens(path, || original(folder, path, options, mode))
    }

    fn openat64(folder: i32, path: *const u8, options: i32, mode: u32) -> i32 |original| {
        opens(path, || original(folder, path, options, mode))
    }

    fn __open_2(path: *const u8, options: i32) -> i32 |original| {
        opens(path, || original(path, options))
    }

    fn __open64_2(path: *const u8, options: i32) -> i32 |original| {
        opens(path, || original(path, options))
    }
}
