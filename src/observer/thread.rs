//! What is kept for each thread: in its own memory what only it needs, in its slot of the ring what it is in now.

use super::arch;
use super::errors::Line;
use super::layout::{BUSY_MIN_NS, Call, Event, Record, THREADS, ThreadSlot, flag};
use super::ring::{self, Payload, Ring};
use super::sys;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed, Ordering::Release};

/// A thread's CPU clock is read at a wake-up at most this often (nanoseconds).
const CPU_EVERY_NS: u64 = 5_000_000;
/// So many waits in a row on the same descriptors (two or more) make a thread that polls an event loop.
const POLLS_OF_LOOP: u32 = 8;
/// Search for a free slot at most this often once there was none (nanoseconds).
const SEARCH_EVERY_NS: u64 = 1_000_000_000;
const NO_SLOT: u32 = u32::MAX;

/// The first bytes of a transfer, to find them again in another.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) len: usize,
    bytes: [u64; 4],
}

impl Mark {
    /// The mark of `len` bytes.
    ///
    /// # Safety
    /// `from` must be readable for `len` bytes (of which at most 32 are read).
    pub(crate) unsafe fn of(from: *const u8, len: usize) -> Self {
        let mut bytes = [0u64; 4];
        // SAFETY: at most 32 and at most `len` bytes.
        unsafe { core::ptr::copy_nonoverlapping(from, (&raw mut bytes).cast::<u8>(), len.min(32)) };
        Self { len, bytes }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.len == other.len && self.len > 0 && self.bytes == other.bytes
    }
}

/// A thread's own memory; all zero in a new thread.
#[repr(C)]
pub(crate) struct Thread {
    generation: Cell<u32>,
    tid: Cell<u32>,
    /// Index + 1 of the slot in the ring; 0 = not looked for, [`NO_SLOT`] = none free.
    slot: Cell<u32>,
    is_loop: Cell<u32>,
    /// Descriptor + 1 that the event loop waits on; 0 = none.
    loop_fd: Cell<i32>,
    searched: Cell<u64>,
    busy_since: Cell<u64>,
    cpu: Cell<u64>,
    cpu_at: Cell<u64>,
    longest: Cell<u64>,
    longest_call: Cell<u32>,
    longest_fd: Cell<i32>,
    longest_conn: Cell<u32>,
    polls: Cell<u32>,
    polled: Cell<u64>,
    condition: Cell<u64>,
    /// The TLS session that this thread is inside of.
    pub(crate) inside: Cell<usize>,
    /// The session whose outgoing bytes were fetched last, and what they were.
    pub(crate) out_session: Cell<usize>,
    pub(crate) out: Cell<Mark>,
    /// The descriptor and connection that was read last, and what came.
    pub(crate) in_fd: Cell<i32>,
    pub(crate) in_conn: Cell<u32>,
    pub(crate) incoming: Cell<Mark>,
    /// What this thread is writing to standard error.
    pub(crate) line: UnsafeCell<Line>,
}

const _: () = assert!(size_of::<Thread>() <= arch::THREAD_BYTES);

/// This thread's memory.
#[inline(always)]
pub(crate) fn current() -> &'static Thread {
    // SAFETY: the block is large enough, aligned, and zero in a new thread, which is a valid `Thread`. Only this
    // thread and its signal handlers use it, through cells.
    let thread = unsafe { &*arch::thread_memory().cast::<Thread>() };
    if thread.generation.get() != ring::generation() {
        thread.renew();
    }
    thread
}

/// The descriptors from `first` to `last` are closed or came up anew: a loop that waited on one of them is over.
#[inline(always)]
pub(crate) fn descriptors_gone(first: i32, last: i32) {
    // SAFETY: as in `current`.
    let thread = unsafe { &*arch::thread_memory().cast::<Thread>() };
    let waits_on = thread.loop_fd.get().wrapping_sub(1);
    if waits_on >= 0 && (first..=last).contains(&waits_on) && thread.generation.get() == ring::generation() {
        thread.loop_ends();
    }
}

impl Thread {
    #[cold]
    #[inline(never)]
    fn renew(&self) {
        self.generation.set(ring::generation());
        self.tid.set(sys::tid());
        self.slot.set(0);
        self.searched.set(0);
        self.is_loop.set(0);
        self.loop_fd.set(0);
        self.busy_since.set(0);
        self.inside.set(0);
        self.out_session.set(0);
        self.in_fd.set(-1);
    }

    /// [`flag::LOOP`] on an event loop's thread.
    pub(crate) fn loop_flag(&self) -> u16 {
        if self.is_loop.get() != 0 { flag::LOOP } else { 0 }
    }

    /// A record of this thread that began at `t`.
    pub(crate) fn record(&self, event: Event, t: u64) -> Record {
        Record {
            event: event as u16,
            flags: self.loop_flag(),
            tid: self.tid.get(),
            t,
            fd: -1,
            age_ms: super::layout::AGE_UNKNOWN,
            ..Record::default()
        }
    }

    #[inline(always)]
    fn slot(&self, ring: Ring, now: u64) -> Option<&'static ThreadSlot> {
        match self.slot.get() {
            0 | NO_SLOT => self.find_slot(ring, now),
            index => Some(ring.thread(index as usize - 1)),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_slot(&self, ring: Ring, now: u64) -> Option<&'static ThreadSlot> {
        if self.slot.get() == NO_SLOT && now.wrapping_sub(self.searched.get()) < SEARCH_EVERY_NS {
            return None;
        }
        if self.slot.get() == 0 {
            for index in 0..THREADS {
                let slot = ring.thread(index);
                if slot.tid.load(Relaxed) == 0 && slot.tid.compare_exchange(0, self.tid.get(), AcqRel, Relaxed).is_ok() {
                    return Some(self.take_slot(slot, index));
                }
            }
            ring.header().threads_lost.fetch_add(1, Relaxed);
        }
        self.slot.set(NO_SLOT);
        self.searched.set(now);
        // All taken: threads that ended left theirs behind. One searcher at a time is enough.
        static SEARCHED: AtomicU64 = AtomicU64::new(0);
        let before = SEARCHED.load(Relaxed);
        if now.wrapping_sub(before) < SEARCH_EVERY_NS
            || SEARCHED.compare_exchange(before, now, AcqRel, Relaxed).is_err()
        {
            return None;
        }
        let mut mine = None;
        for index in 0..THREADS {
            let slot = ring.thread(index);
            let tid = slot.tid.load(Relaxed);
            if tid == 0 || sys::thread_lives(ring::owner(), tid) {
                continue;
            }
            let next = if mine.is_none() { self.tid.get() } else { 0 };
            slot.since.store(0, Relaxed);
            slot.busy_since.store(0, Relaxed);
            if slot.tid.compare_exchange(tid, next, AcqRel, Relaxed).is_ok() && mine.is_none() {
                mine = Some(self.take_slot(slot, index));
            }
        }
        mine
    }

    fn take_slot(&self, slot: &'static ThreadSlot, index: usize) -> &'static ThreadSlot {
        slot.since.store(0, Relaxed);
        slot.busy_since.store(0, Relaxed);
        slot.is_loop.store(self.is_loop.get(), Relaxed);
        self.slot.set(index as u32 + 1);
        slot
    }

    /// Says in the ring that this thread is in a call from now on.
    #[inline(always)]
    pub(crate) fn enter(&self, ring: Ring, call: Call, fd: i32, conn: u32, now: u64) {
        if let Some(slot) = self.slot(ring, now) {
            slot.call.store(call as u32, Relaxed);
            slot.fd.store(fd, Relaxed);
            slot.conn.store(conn, Relaxed);
            slot.since.store(now, Release);
        }
    }

    /// Says in the ring that this thread is in no call any more.
    #[inline(always)]
    pub(crate) fn leave(&self, ring: Ring) {
        let index = self.slot.get();
        if index != 0 && index != NO_SLOT {
            ring.thread(index as usize - 1).since.store(0, Relaxed);
        }
    }

    /// Notes a call that blocked, for the busy span that it is in.
    pub(crate) fn blocked(&self, call: Call, fd: i32, conn: u32, dur: u64) {
        if self.busy_since.get() == 0 {
            return;
        }
        if matches!(call, Call::Condition) {
            self.condition.set(self.condition.get().wrapping_add(dur));
        } else if dur > self.longest.get() {
            self.longest.set(dur);
            self.longest_call.set(call as u32);
            self.longest_fd.set(fd);
            self.longest_conn.set(conn);
        }
    }

    /// An event loop's thread begins to wait: its busy span ends.
    pub(crate) fn loop_waits(&self, ring: Ring, call: Call, fd: i32, now: u64) {
        let since = self.busy_since.replace(0);
        let busy = now.wrapping_sub(since);
        let before = self.loop_fd.replace(if matches!(call, Call::Epoll) { fd.wrapping_add(1) } else { 0 });
        // What lies between the end of one loop and the start of the next was neither's.
        let is_same = before == 0 || before == fd.wrapping_add(1);
        if since != 0 && busy >= BUSY_MIN_NS && (is_same || sys::is_open(before.wrapping_sub(1))) {
            let cpu = sys::thread_cpu();
            let record = Record {
                dur: busy,
                fd: self.longest_fd.get(),
                conn: self.longest_conn.get(),
                rc: i64::from(self.longest_call.get()),
                aux: self.longest.get(),
                offset: if self.cpu_at.get() == 0 { u64::MAX } else { cpu.wrapping_sub(self.cpu.get()) },
                age_ms: (self.condition.get() / 1_000_000) as u32,
                flags: flag::LOOP,
                ..self.record(Event::Busy, since)
            };
            ring.put(&record, Payload::NONE, None);
            self.cpu.set(cpu);
            self.cpu_at.set(now);
        }
        if let Some(slot) = self.slot(ring, now) {
            slot.busy_since.store(0, Relaxed);
            if self.is_loop.replace(1) == 0 {
                slot.is_loop.store(1, Relaxed);
            }
        }
        self.is_loop.set(1);
        self.enter(ring, call, fd, 0, now);
    }

    /// An event loop's thread woke up: a busy span begins.
    pub(crate) fn loop_wakes(&self, ring: Ring, now: u64) {
        self.leave(ring);
        self.busy_since.set(now);
        self.longest.set(0);
        self.longest_call.set(0);
        self.longest_fd.set(-1);
        self.longest_conn.set(0);
        self.condition.set(0);
        if let Some(slot) = self.slot(ring, now) {
            slot.busy_since.store(now, Relaxed);
        }
        if self.cpu_at.get() == 0 || now.wrapping_sub(self.cpu_at.get()) >= CPU_EVERY_NS {
            self.cpu.set(sys::thread_cpu());
            self.cpu_at.set(now);
        }
    }

    /// The event loop of this thread is over: what follows is a plain program, and how long it takes is no stall.
    #[cold]
    #[inline(never)]
    fn loop_ends(&self) {
        // A child that borrows this memory, or has its parent's ring yet, closes nothing of ours.
        let Some(ring) = ring::existing() else { return };
        if ring::borrowed() {
            return;
        }
        self.loop_fd.set(0);
        self.is_loop.set(0);
        self.busy_since.set(0);
        let index = self.slot.get();
        if index != 0 && index != NO_SLOT {
            let slot = ring.thread(index as usize - 1);
            slot.busy_since.store(0, Relaxed);
            slot.is_loop.store(0, Relaxed);
        }
    }

    /// Whether a wait by `poll` or `select` is that of an event loop: the thread waits on the same descriptors, two or
    /// more, again and again. `key` stands for the descriptors.
    pub(crate) fn polls_as_loop(&self, descriptors: usize, key: u64) -> bool {
        if descriptors < 2 {
            return false;
        }
        if self.polled.replace(key) == key {
            let polls = self.polls.get().saturating_add(1);
            self.polls.set(polls);
            polls >= POLLS_OF_LOOP
        } else {
            self.polls.set(0);
            false
        }
    }
}
