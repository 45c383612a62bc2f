//! Waits outside the network, and the event loop.

use super::super::fds;
use super::super::layout::{BLOCK_MIN_NS, Call, Event, Record};
use super::super::real::{self, real};
use super::super::ring::{self, Payload};
use super::super::sys;
use super::super::thread;
use core::sync::atomic::Ordering::Relaxed;

const WNOHANG: i32 = 1;
const LOCK_NB: i32 = 4;
/// Shorter waits do not count as what blocked an event loop (nanoseconds).
const SHORTEST_NS: u64 = 1_000_000;

/// Runs a call that waits.
#[inline(always)]
fn waits<T>(call: Call, fd: i32, run: impl FnOnce() -> T) -> T {
    let Some(ring) = ring::active() else { return run() };
    let before = sys::errno();
    let thread = thread::current();
    let conn = fds::tracked(fd).map_or(0, |connection| connection.id.load(Relaxed));
    let t = sys::now();
    thread.enter(ring, call, fd, conn, t);
    sys::set_errno(before);
    let result = run();
    let saved = sys::errno();
    thread.leave(ring);
    let dur = sys::now().wrapping_sub(t);
    if dur >= SHORTEST_NS || matches!(call, Call::Condition) {
        thread.blocked(call, fd, conn, dur);
    }
    if dur >= BLOCK_MIN_NS {
        let record = Record { dur, fd, conn, aux: call as u64, ..thread.record(Event::Block, t) };
        ring.put(&record, Payload::NONE, None);
    }
    sys::set_errno(saved);
    result
}

/// Runs the wait of an event loop.
#[inline(always)]
fn loops<T>(call: Call, fd: i32, run: impl FnOnce() -> T) -> T {
    let Some(ring) = ring::active() else { return run() };
    let before = sys::errno();
    let thread = thread::current();
    thread.loop_waits(ring, call, fd, sys::now());
    sys::set_errno(before);
    let result = run();
    let saved = sys::errno();
    thread.loop_wakes(ring, sys::now());
    sys::set_errno(saved);
    result
}

/// Runs a wait by `poll` or `select`: that of a loop, or one that blocks. `key` stands for the descriptors.
#[inline(always)]
fn polls<T>(call: Call, fd: i32, descriptors: usize, key: u64, run: impl FnOnce() -> T) -> T {
    if ring::active().is_none() {
        return run();
    }
    if thread::current().polls_as_loop(descriptors, key) { loops(call, fd, run) } else { waits(call, fd, run) }
}

/// `struct pollfd`.
#[repr(C)]
pub(crate) struct PollFd {
    fd: i32,
    events: i16,
    returned: i16,
}

/// The first descriptor of a `poll`, and a key that stands for all.
unsafe fn polled(list: *const PollFd, count: u64) -> (i32, u64) {
    if count == 0 || count > 1 << 16 || !sys::readable(list.cast(), count as usize * size_of::<PollFd>()) {
        return (-1, 0);
    }
    // SAFETY: the caller's list has `count` entries.
    let (first, last) = unsafe { ((*list).fd, (*list.add(count as usize - 1)).fd) };
    (first, count << 48 | (first as u64 & 0xff_ffff) << 24 | last as u64 & 0xff_ffff)
}

/// How many descriptors a `select` waits on (two stands for more), and a key that stands for them.
unsafe fn selected(end: i32, sets: [*const u64; 2]) -> (usize, u64) {
    let words = (end.max(0) as usize).div_ceil(64).min(16);
    let (mut count, mut key) = (0, 0u64);
    for set in sets {
        if words == 0 || !sys::readable(set.cast(), words * 8) {
            continue;
        }
        for at in 0..words {
            // SAFETY: the caller's set has room for `end` bits.
            let word = unsafe { *set.add(at) };
            count += word.count_ones() as usize;
            key = key.rotate_left(7) ^ word;
        }
    }
    (count, key)
}

hooks! {
    fn epoll_wait(fd: i32, events: *mut u8, most: i32, timeout: i32) -> i32 |original| {
        loops(Call::Epoll, fd, || original(fd, events, most, timeout))
    }

    fn epoll_pwait(fd: i32, events: *mut u8, most: i32, timeout: i32, mask: *const u8) -> i32 |original| {
        loops(Call::Epoll, fd, || original(fd, events, most, timeout, mask))
    }

    fn epoll_pwait2(fd: i32, events: *mut u8, most: i32, timeout: *const u8, mask: *const u8) -> i32 |original| {
        loops(Call::Epoll, fd, || original(fd, events, most, timeout, mask))
    }

    fn poll(list: *mut PollFd, count: u64, timeout: i32) -> i32 |original| {
        if timeout == 0 {
            return original(list, count, timeout);
        }
        let (fd, key) = polled(list, count);
        polls(Call::Poll, fd, count as usize, key, || original(list, count, timeout))
    }

    fn __poll_chk(list: *mut PollFd, count: u64, timeout: i32, room: usize) -> i32 |original| {
        let (fd, key) = polled(list, count);
        polls(Call::Poll, fd, count as usize, key, || original(list, count, timeout, room))
    }

    fn ppoll(list: *mut PollFd, count: u64, timeout: *const u8, mask: *const u8) -> i32 |original| {
        let (fd, key) = polled(list, count);
        polls(Call::Poll, fd, count as usize, key, || original(list, count, timeout, mask))
    }

    fn select(end: i32, read: *mut u64, write: *mut u64, except: *mut u64, timeout: *mut u8) -> i32 |original| {
        let (count, key) = selected(end, [read, write]);
        polls(Call::Select, -1, count, key, || original(end, read, write, except, timeout))
    }

    fn pselect(
        end: i32, read: *mut u64, write: *mut u64, except: *mut u64, timeout: *const u8, mask: *const u8,
    ) -> i32 |original| {
        let (count, key) = selected(end, [read, write]);
        polls(Call::Select, -1, count, key, || original(end, read, write, except, timeout, mask))
    }

    fn nanosleep(time: *const u8, rest: *mut u8) -> i32 |original| {
        waits(Call::Sleep, -1, || original(time, rest))
    }

    fn clock_nanosleep(clock: i32, options: i32, time: *const u8, rest: *mut u8) -> i32 |original| {
        waits(Call::Sleep, -1, || original(clock, options, time, rest))
    }

    fn usleep(time: u32) -> i32 |original| {
        waits(Call::Sleep, -1, || original(time))
    }

    fn sleep(time: u32) -> u32 |original| {
        waits(Call::Sleep, -1, || original(time))
    }

    fn sem_wait(semaphore: *mut u8) -> i32 |original| {
        waits(Call::Semaphore, -1, || original(semaphore))
    }

    fn sem_timedwait(semaphore: *mut u8, until: *const u8) -> i32 |original| {
        waits(Call::Semaphore, -1, || original(semaphore, until))
    }

    fn sem_clockwait(semaphore: *mut u8, clock: i32, until: *const u8) -> i32 |original| {
        waits(Call::Semaphore, -1, || original(semaphore, clock, until))
    }

    fn pthread_cond_wait(condition: *mut u8, mutex: *mut u8) -> i32 |original| {
        waits(Call::Condition, -1, || original(condition, mutex))
    }

    fn pthread_cond_timedwait(condition: *mut u8, mutex: *mut u8, until: *const u8) -> i32 |original| {
        waits(Call::Condition, -1, || original(condition, mutex, until))
    }

    fn pthread_cond_clockwait(condition: *mut u8, mutex: *mut u8, clock: i32, until: *const u8) -> i32 |original| {
        waits(Call::Condition, -1, || original(condition, mutex, clock, until))
    }

    fn wait(status: *mut i32) -> i32 |original| {
        waits(Call::Child, -1, || original(status))
    }

    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32 |original| {
        if options & WNOHANG != 0 {
            return original(pid, status, options);
        }
        waits(Call::Child, -1, || original(pid, status, options))
    }

    fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut u8) -> i32 |original| {
        if options & WNOHANG != 0 {
            return original(pid, status, options, usage);
        }
        waits(Call::Child, -1, || original(pid, status, options, usage))
    }

    fn waitid(kind: i32, id: u32, info: *mut u8, options: i32) -> i32 |original| {
        if options & WNOHANG != 0 {
            return original(kind, id, info, options);
        }
        waits(Call::Child, -1, || original(kind, id, info, options))
    }

    fn flock(fd: i32, how: i32) -> i32 |original| {
        if how & LOCK_NB != 0 {
            return original(fd, how);
        }
        waits(Call::FileLock, fd, || original(fd, how))
    }

    fn fsync(fd: i32) -> i32 |original| {
        waits(Call::FileSync, fd, || original(fd))
    }

    fn fdatasync(fd: i32) -> i32 |original| {
        waits(Call::FileSync, fd, || original(fd))
    }
}
