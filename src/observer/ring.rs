//! The ring file of this process: made by the constructor, made anew after a fork, written without locks.

use super::arch::{self, number};
use super::layout::{
    NO_ROOM,
    FILE_BYTES, HEADER_BYTES, Header, MADE_AFTER_FORK, MADE_AT_START, MAGIC, RING_BYTES, RING_OFFSET, Record, SLOT_BYTES, SLOTS,
    THREADS, ThreadSlot, slots_for,
};
use super::redact::Scan;
use super::sys::{self, IoVec};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

const RECORD_BYTES: usize = size_of::<Record>();
/// Longest directory that is accepted.
const DIRECTORY_MAX: usize = 3072;
const PROGRAM_MAX: usize = 63;

static RING: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// A word in a page that the kernel wipes in a forked child: [`ALIVE`] in the process that set it. Null: not supported.
static FORK_WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(core::ptr::null_mut());
/// The process that made the ring.
static PID: AtomicU32 = AtomicU32::new(0);
/// Grows with every fork; thread memory of another generation is stale.
static GENERATION: AtomicU32 = AtomicU32::new(0);

const ALIVE: u32 = 1;
const BUSY: u32 = 2;

/// Kept for the rings of forked children.
struct Place {
    directory: [u8; DIRECTORY_MAX],
    directory_len: usize,
    program: [u8; PROGRAM_MAX + 1],
}

/// A static that one thread at a time writes, by the rule that its user states.
struct Shared<T>(UnsafeCell<T>);

// SAFETY: see each static of this type.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn get(&self) -> *mut T {
        self.0.get()
    }
}

/// Written by the constructor only.
static PLACE: Shared<Place> =
    Shared(UnsafeCell::new(Place { directory: [0; DIRECTORY_MAX], directory_len: 0, program: [0; PROGRAM_MAX + 1] }));

/// A mapped ring file.
#[derive(Clone, Copy)]
pub(crate) struct Ring(*mut u8);

/// The ring, when this process records: there is one, it is this process's own, and the agent has not ended it.
#[inline(always)]
pub(crate) fn active() -> Option<Ring> {
    let base = RING.load(Relaxed);
    if base.is_null() {
        return None;
    }
    if !is_own() {
        return after_fork();
    }
    living(base)
}

/// As [`active`], but makes no ring for a new process.
#[inline(always)]
pub(crate) fn existing() -> Option<Ring> {
    let base = RING.load(Relaxed);
    if base.is_null() || !is_own() { None } else { living(base) }
}

/// As [`existing`], for a new process that still has its parent's.
pub(crate) fn existing_or_parents() -> Option<Ring> {
    let base = RING.load(Relaxed);
    if base.is_null() { None } else { living(base) }
}

#[inline(always)]
fn living(base: *mut u8) -> Option<Ring> {
    let ring = Ring(base);
    if ring.header().kill.load(Relaxed) != 0 { None } else { Some(ring) }
}

/// Whether the memory of this process is its own, not that of a parent before a fork.
#[inline(always)]
fn is_own() -> bool {
    let word = FORK_WORD.load(Relaxed);
    if word.is_null() {
        return PID.load(Relaxed) == sys::pid();
    }
    // SAFETY: the page stays mapped.
    unsafe { (*word).load(Relaxed) == ALIVE }
}

/// Whether this process only borrows its memory (`vfork`): what it does to its descriptors is not done to ours.
pub(crate) fn borrowed() -> bool {
    // In a forked child the word is wiped, in one that borrows it is not.
    (FORK_WORD.load(Relaxed).is_null() || is_own()) && PID.load(Relaxed) != sys::pid()
}

/// The generation of this process.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// The process that made the ring.
pub(crate) fn owner() -> u32 {
    PID.load(Relaxed)
}

/// Counts something that found its table full.
#[cold]
pub(crate) fn table_full() {
    if let Some(ring) = existing() {
        ring.header().tables_lost.fetch_add(1, Relaxed);
    }
}

/// Makes the ring of a new program.
///
/// # Safety
/// From the constructor only. `directory` must be readable for `directory_len`, `program` for `program_len` bytes.
pub(crate) unsafe fn start(directory: *const u8, directory_len: usize, program: *const u8, program_len: usize) {
    if directory_len == 0 || directory_len > DIRECTORY_MAX {
        return;
    }
    // SAFETY: nobody else uses the place yet; the lengths are bounded by its fields.
    unsafe {
        let place = PLACE.get();
        core::ptr::copy_nonoverlapping(directory, (&raw mut (*place).directory).cast(), directory_len);
        (*place).directory_len = directory_len;
        core::ptr::copy_nonoverlapping(program, (&raw mut (*place).program).cast(), program_len.min(PROGRAM_MAX));
    }
    let page = map(-1, 4096, 0x22);
    if let Some(page) = page {
        // SAFETY: advises on the page just mapped. 18: MADV_WIPEONFORK.
        if unsafe { arch::syscall(number::MADVISE, [page as usize, 4096, 18, 0, 0, 0]) } == 0 {
            let word = page.cast::<AtomicU32>();
            // SAFETY: the page is mapped, aligned and zero.
            unsafe { (*word).store(ALIVE, Relaxed) };
            FORK_WORD.store(word, Relaxed);
        }
    }
    GENERATION.store(1, Relaxed);
    make(MADE_AT_START);
}

#[cold]
#[inline(never)]
fn after_fork() -> Option<Ring> {
    let word = FORK_WORD.load(Relaxed);
    if word.is_null() {
        // Not to be told from a `vfork`: such a child is not observed.
        return None;
    }
    // SAFETY: the page stays mapped.
    let word = unsafe { &*word };
    // One thread makes the ring; what others and signal handlers do meanwhile is not recorded.
    if word.compare_exchange(0, BUSY, AcqRel, Relaxed).is_err() {
        return None;
    }
    // The old ring stays mapped: a hook below us on this stack may still write to it.
    RING.store(core::ptr::null_mut(), Relaxed);
    GENERATION.fetch_add(1, Relaxed);
    make(MADE_AFTER_FORK);
    word.store(ALIVE, Release);
    existing()
}

fn map(fd: i32, len: usize, flags: usize) -> Option<*mut u8> {
    // SAFETY: a new mapping, readable and writable.
    let address = unsafe { arch::syscall(number::MMAP, [0, len, 3, flags, fd as usize, 0]) };
    if (-4095..=0).contains(&address) { None } else { Some(address as *mut u8) }
}

/// A byte writer for the path.
struct Path {
    bytes: [u8; DIRECTORY_MAX + 64],
    len: usize,
}

/// Used by [`make`] only, which runs once at a time.
static PATH: Shared<Path> = Shared(UnsafeCell::new(Path { bytes: [0; DIRECTORY_MAX + 64], len: 0 }));

impl Path {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn push_number(&mut self, number: u64) {
        let mut digits = 1u64;
        while digits <= number / 10 {
            digits *= 10;
        }
        while digits > 0 {
            self.push(b'0' + (number / digits % 10) as u8);
            digits /= 10;
        }
    }
}

/// Makes a file that was not there; its descriptor, or an error below zero.
fn create(path: &Path) -> isize {
    // O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, relative to the working directory (-100).
    let flags = 0o2 | 0o100 | 0o200 | 0o400_000 | 0o2_000_000;
    // SAFETY: the path ends with a zero.
    unsafe { arch::syscall(number::OPENAT, [-100isize as usize, path.bytes.as_ptr() as usize, flags, 0o600, 0, 0]) }
}

/// Whether nobody reads the rings of a directory any more: its reader holds a lock on it for as long as it lives. Rings made
/// after that would fill the place, since nobody takes them away.
fn is_abandoned(directory: &Path) -> bool {
    let name = directory.bytes.as_ptr() as usize;
    // O_RDONLY | O_DIRECTORY | O_CLOEXEC; LOCK_SH | LOCK_NB.
    // SAFETY: the path ends with a zero; the descriptor is closed again, and the lock with it.
    unsafe {
        let fd = arch::syscall(number::OPENAT, [-100isize as usize, name, 0o200_000 | 0o2_000_000, 0, 0, 0]);
        if fd < 0 {
            return true;
        }
        let locked = arch::syscall(number::FLOCK, [fd as usize, 1 | 4, 0, 0, 0, 0]) == 0;
        arch::syscall(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]);
        locked
    }
}

/// Leaves an empty file in place of a ring for which there was no room, so that the loss is told.
fn leave_mark(path: &mut Path) {
    path.len = path.len.saturating_sub(b"ring\0".len());
    for &byte in NO_ROOM.as_bytes() {
        path.push(byte);
    }
    path.push(0);
    let fd = create(path);
    if fd >= 0 {
        // SAFETY: closes the file just made.
        unsafe {
            arch::syscall(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]);
        }
    }
}

fn make(how: u32) {
    let pid = sys::pid();
    PID.store(pid, Relaxed);
    // SAFETY: growing a file past this limit would kill the process: ask first. 1: RLIMIT_FSIZE.
    let fits = unsafe {
        let mut limits = [0u64; 2];
        let asked = arch::syscall(number::PRLIMIT64, [0, 1, 0, (&raw mut limits) as usize, 0, 0]);
        asked == 0 && limits[0] >= FILE_BYTES as u64
    };
    let started = sys::now();
    // SAFETY: `make` runs once at a time; the place is written by the constructor only.
    let (path, place) = unsafe { (&mut *PATH.get(), &*PLACE.get()) };
    path.len = 0;
    for &byte in place.directory.iter().take(place.directory_len) {
        path.push(byte);
    }
    path.push(0);
    if is_abandoned(path) {
        return;
    }
    path.len -= 1;
    path.push(b'/');
    path.push_number(u64::from(pid));
    path.push(b'-');
    path.push_number(started);
    for &byte in b".ring\0" {
        path.push(byte);
    }
    let name = path.bytes.as_ptr() as usize;
    if !fits {
        leave_mark(path);
        return;
    }
    let fd = create(path);
    if fd < 0 {
        return;
    }
    // Not sparse: a page that a full file system cannot give would kill the process when it is written.
    // SAFETY: works on the file just made.
    let grown = unsafe { arch::syscall(number::FALLOCATE, [fd as usize, 0, 0, FILE_BYTES, 0, 0]) } == 0;
    let base = if grown { map(fd as i32, FILE_BYTES, 1) } else { None };
    // SAFETY: closes the file just opened, and takes it away if it is of no use.
    unsafe {
        arch::syscall(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]);
        if base.is_none() {
            arch::syscall(number::UNLINK, [name, 0, 0, 0, 0, 0]);
        }
    }
    let Some(base) = base else {
        leave_mark(path);
        return;
    };
    // SAFETY: fresh, zero, mapped for `FILE_BYTES`; nobody else knows it yet.
    unsafe {
        let header = base.cast::<Header>();
        (*header).pid.store(pid, Relaxed);
        (*header).ppid.store(sys::parent_pid(), Relaxed);
        (*header).start.store(started, Relaxed);
        (*header).slots.store(SLOTS as u32, Relaxed);
        (*header).made.store(how, Relaxed);
        (*header).program = place.program;
        (*header).magic.store(MAGIC, Release);
    }
    RING.store(base, Release);
}

/// What to copy into a record: the first `head` and the last `tail` of `total` bytes that lie in `count` pieces.
#[derive(Clone, Copy)]
pub(crate) struct Payload {
    pub(crate) pieces: *const IoVec,
    pub(crate) count: usize,
    pub(crate) total: usize,
}

impl Payload {
    /// No bytes.
    pub(crate) const NONE: Self = Self { pieces: core::ptr::null(), count: 0, total: 0 };
}

impl Ring {
    /// A ring over memory of [`FILE_BYTES`] bytes.
    ///
    /// # Safety
    /// The memory must be mapped, zero and eight-byte aligned, and outlive the ring.
    #[cfg(test)]
    pub(crate) unsafe fn over(base: *mut u8) -> Self {
        Self(base)
    }

    #[inline(always)]
    pub(crate) fn header(self) -> &'static Header {
        // SAFETY: the mapping stays; the header's fields that change are atomics.
        unsafe { &*self.0.cast::<Header>() }
    }

    /// Thread slot of an index below [`THREADS`].
    #[inline(always)]
    pub(crate) fn thread(self, index: usize) -> &'static ThreadSlot {
        let index = if index < THREADS { index } else { 0 };
        // SAFETY: the mapping stays, the index is within; the fields are atomics.
        unsafe { &*self.0.add(HEADER_BYTES + index * size_of::<ThreadSlot>()).cast::<ThreadSlot>() }
    }

    fn reserve(self, slots: u64) -> Option<u64> {
        let header = self.header();
        let mut at = header.reserve.load(Relaxed);
        loop {
            let used = at.wrapping_sub(header.tail.load(Acquire));
            if used.wrapping_add(slots) > SLOTS as u64 || used > SLOTS as u64 {
                return None;
            }
            match header.reserve.compare_exchange_weak(at, at.wrapping_add(slots), AcqRel, Relaxed) {
                Ok(_) => return Some(at),
                Err(now) => at = now,
            }
        }
    }

    /// Writes a record with the `record.head` first and `record.tail` last bytes of the payload, as `scan` lets them
    /// through. A full ring counts it as lost.
    #[inline(never)]
    pub(crate) fn put(self, record: &Record, payload: Payload, scan: Option<&mut Scan>) {
        let bytes = record.head as usize + record.tail as usize;
        let Some(at) = self.reserve(slots_for(bytes) as u64) else {
            let header = self.header();
            header.lost.fetch_add(1, Relaxed);
            header.lost_bytes.fetch_add(bytes as u64, Relaxed);
            // What is lost may be a part of a head that goes on.
            if let Some(scan) = scan {
                // SAFETY: the caller's pieces are readable for `total` bytes.
                unsafe { scan.run(payload, |_| {}) };
            }
            return;
        };
        let start = (at as usize & (SLOTS - 1)) * SLOT_BYTES;
        let target = Target { ring: self, start: start + RECORD_BYTES };
        // SAFETY: a record fits its slot; `seq` (the first eight bytes) is stored last.
        unsafe {
            let slot = self.0.add(RING_OFFSET + start);
            let from = (&raw const *record).cast::<u64>();
            for word in 1..RECORD_BYTES / 8 {
                slot.cast::<u64>().add(word).write(*from.add(word));
            }
            if bytes > 0 {
                target.copy(payload, record.head as usize, record.tail as usize);
                if let Some(scan) = scan {
                    scan.run(payload, |at| target.blank(at, payload.total, record.head as usize, record.tail as usize));
                }
            }
            (*slot.cast::<core::sync::atomic::AtomicU64>()).store(at.wrapping_add(1), Release);
        }
    }
}

/// Where a record's payload goes: it wraps at the ring's end.
struct Target {
    ring: Ring,
    start: usize,
}

impl Target {
    unsafe fn write(&self, at: usize, from: *const u8, len: usize) {
        let place = (self.start + at) & (RING_BYTES - 1);
        let first = len.min(RING_BYTES - place);
        // SAFETY: `first` bytes fit before the ring's end, the rest after its start; a record is shorter than the ring.
        unsafe {
            let ring = self.ring.0.add(RING_OFFSET);
            core::ptr::copy_nonoverlapping(from, ring.add(place), first);
            core::ptr::copy_nonoverlapping(from.add(first), ring, len - first);
        }
    }

    /// # Safety
    /// The pieces must be readable for `payload.total` bytes in all.
    unsafe fn copy(&self, payload: Payload, head: usize, tail: usize) {
        let mut position = 0;
        for index in 0..payload.count {
            if position >= payload.total {
                return;
            }
            // SAFETY: within the pieces.
            let piece = unsafe { *payload.pieces.add(index) };
            let len = piece.len.min(payload.total - position);
            let end = position + len;
            if position < head {
                let take = len.min(head - position);
                // SAFETY: within the piece.
                unsafe { self.write(position, piece.base, take) };
            }
            let tail_start = payload.total - tail;
            if tail > 0 && end > tail_start {
                let skip = tail_start.saturating_sub(position);
                // SAFETY: within the piece.
                unsafe { self.write(head + position + skip - tail_start, piece.base.add(skip), len - skip) };
            }
            position = end;
        }
    }

    /// Overwrites the copy of the byte at `at` of `total`, if it was copied.
    fn blank(&self, at: usize, total: usize, head: usize, tail: usize) {
        let place = if at < head {
            at
        } else if at < total && at >= total - tail {
            head + at - (total - tail)
        } else {
            return;
        };
        // SAFETY: within the payload just copied.
        unsafe { self.write(place, b"*".as_ptr(), 1) };
    }
}

#[cfg(test)]
mod tests;
