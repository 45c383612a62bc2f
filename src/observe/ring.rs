//! Reader of one ring file: what a process recorded, in order, whatever state the process left the file in.
//!
//! The file is shared with a process that may die, or misbehave, at any moment. So every number read from it is checked
//! before it is used, and every word is read atomically.

use crate::observer::layout::{
    FILE_BYTES, HEADER_BYTES, Header, MADE_AFTER_FORK, MAGIC, PAYLOAD_MAX, RING_OFFSET, Record, SLOT_BYTES, SLOTS, THREADS,
    ThreadSlot, slots_for,
};
use std::fs::File;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words in a record's head.
const RECORD_WORDS: usize = size_of::<Record>() / 8;
/// Words in a slot.
const SLOT_WORDS: usize = SLOT_BYTES / 8;
/// Where the ring starts, in words.
const RING_WORD: usize = RING_OFFSET / 8;
/// Words of the ring.
const RING_WORDS: usize = SLOTS * SLOT_WORDS;

/// One record with its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// `record.head + record.tail` bytes.
    pub payload: Vec<u8>,
}

impl Entry {
    /// The bytes from the start of the buffer, and those from its end.
    #[must_use]
    pub fn parts(&self) -> (&[u8], &[u8]) {
        self.payload.split_at((self.record.head as usize).min(self.payload.len()))
    }
}

/// Who made a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maker {
    /// Process id in its own namespace.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Base name of the program.
    pub program: String,
    /// When the ring was made (`CLOCK_MONOTONIC`, nanoseconds).
    pub start: u64,
    /// Made after a fork without exec: connections of the parent may be in use.
    pub forked: bool,
}

/// What the observer could not record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Records that found the ring full, and such as were never finished.
    pub records: u64,
    /// Threads without a slot.
    pub threads: u64,
    /// Table entries that found no room.
    pub tables: u64,
}

/// What a thread is in right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Thread id.
    pub tid: u32,
    /// Number of the `Call` it is in.
    pub call: u32,
    /// When it entered the call; 0 = it is in none.
    pub since: u64,
    /// Connection of the call, or 0.
    pub conn: u32,
    /// It runs an event loop.
    pub is_loop: bool,
}

/// A ring file, mapped.
#[derive(Debug)]
pub struct Ring {
    memory: Memory,
    tail: u64,
    /// Records that were reserved and never finished.
    holes: u64,
}

/// What is at a position of the ring.
enum At {
    Record(Box<Entry>, u64),
    Nothing,
}

impl Ring {
    /// Maps a ring file. `None` = it is not (or not yet) a ring of this layout.
    #[must_use]
    pub fn open(path: &Path) -> Option<Self> {
        let file = File::options().read(true).write(true).open(path).ok()?;
        if file.metadata().ok()?.len() < FILE_BYTES as u64 {
            return None;
        }
        let ring = Self { memory: Memory::map(&file)?, tail: 0, holes: 0 };
        let valid = ring.word(offset_of!(Header, magic), Ordering::Acquire) == MAGIC
            && ring.half(offset_of!(Header, slots)) == SLOTS as u32;
        valid.then_some(ring)
    }

    /// Who made it.
    #[must_use]
    pub fn maker(&self) -> Maker {
        let at = offset_of!(Header, program);
        let name: Vec<u8> = (at..at + 64).map(|at| self.byte(at)).take_while(|&byte| byte != 0).collect();
        Maker {
            pid: self.half(offset_of!(Header, pid)),
            ppid: self.half(offset_of!(Header, ppid)),
            program: crate::model::redact::name(&String::from_utf8_lossy(&name)),
            start: self.word(offset_of!(Header, start), Ordering::Relaxed),
            forked: self.half(offset_of!(Header, made)) == MADE_AFTER_FORK,
        }
    }

    /// What could not be recorded so far.
    #[must_use]
    pub fn lost(&self) -> Lost {
        let count = |at| self.word(at, Ordering::Relaxed);
        Lost {
            records: count(offset_of!(Header, lost)).saturating_add(self.holes),
            threads: count(offset_of!(Header, threads_lost)),
            tables: count(offset_of!(Header, tables_lost)),
        }
    }

    /// What the threads are in right now.
    #[must_use]
    pub fn threads(&self) -> Vec<Thread> {
        let slot = |index: usize| HEADER_BYTES + index * size_of::<ThreadSlot>();
        (0..THREADS)
            .map(slot)
            .filter(|at| self.half(at + offset_of!(ThreadSlot, tid)) != 0)
            .map(|at| Thread {
                tid: self.half(at + offset_of!(ThreadSlot, tid)),
                call: self.half(at + offset_of!(ThreadSlot, call)),
                since: self.word(at + offset_of!(ThreadSlot, since), Ordering::Acquire),
                conn: self.half(at + offset_of!(ThreadSlot, conn)),
                is_loop: self.half(at + offset_of!(ThreadSlot, is_loop)) != 0,
            })
            .collect()
    }

    /// Makes every hook of the process pass through from now on.
    pub fn kill(&self) {
        let at = offset_of!(Header, kill);
        let bit = 1u64 << ((at % 8) * 8);
        if let Some(word) = self.memory.words().get(at / 8) {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    /// Takes the next record. `finished` = nobody writes any more (or has not for long): steps over records that were
    /// never finished. `None` = there is nothing to take.
    pub fn next(&mut self, finished: bool) -> Option<Entry> {
        let reserved = self.word(offset_of!(Header, reserve), Ordering::Acquire);
        if reserved == self.tail {
            return None;
        }
        let ahead = reserved.wrapping_sub(self.tail);
        if ahead > SLOTS as u64 {
            // No writer does this. What is in the file cannot be told apart any more.
            self.holes += 1;
            self.set_tail(reserved);
            return None;
        }
        if let At::Record(entry, slots) = self.at(self.tail, reserved) {
            self.set_tail(self.tail.wrapping_add(slots));
            return Some(*entry);
        }
        if !finished {
            return None;
        }
        self.holes += 1;
        for step in 1..ahead {
            let position = self.tail.wrapping_add(step);
            if let At::Record(entry, slots) = self.at(position, reserved) {
                self.set_tail(position.wrapping_add(slots));
                return Some(*entry);
            }
        }
        self.set_tail(reserved);
        None
    }

    /// Whether something was reserved that was not taken yet.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.word(offset_of!(Header, reserve), Ordering::Relaxed) != self.tail
    }

    fn set_tail(&mut self, tail: u64) {
        self.tail = tail;
        if let Some(word) = self.memory.words().get(offset_of!(Header, tail) / 8) {
            word.store(tail, Ordering::Release);
        }
    }

    fn at(&self, position: u64, reserved: u64) -> At {
        let first = (position as usize % SLOTS) * SLOT_WORDS;
        let word = |index: usize, order| {
            self.memory.words().get(RING_WORD + (first + index) % RING_WORDS).map_or(0, |word| word.load(order))
        };
        if word(0, Ordering::Acquire) != position.wrapping_add(1) {
            return At::Nothing;
        }
        let words: [u64; RECORD_WORDS] = std::array::from_fn(|index| word(index, Ordering::Relaxed));
        let record = decode(&words);
        let bytes = (record.head as usize).saturating_add(record.tail as usize);
        let slots = slots_for(bytes.min(PAYLOAD_MAX)) as u64;
        if bytes > PAYLOAD_MAX || slots > reserved.wrapping_sub(position) {
            return At::Nothing;
        }
        let mut payload = Vec::with_capacity(bytes.next_multiple_of(8));
        for index in 0..bytes.div_ceil(8) {
            payload.extend_from_slice(&word(RECORD_WORDS + index, Ordering::Relaxed).to_le_bytes());
        }
        payload.truncate(bytes);
        At::Record(Box::new(Entry { record, payload }), slots)
    }

    fn word(&self, at: usize, order: Ordering) -> u64 {
        self.memory.words().get(at / 8).map_or(0, |word| word.load(order))
    }

    fn half(&self, at: usize) -> u32 {
        (self.word(at, Ordering::Relaxed) >> ((at % 8) * 8)) as u32
    }

    fn byte(&self, at: usize) -> u8 {
        (self.word(at, Ordering::Relaxed) >> ((at % 8) * 8)) as u8
    }
}

/// A record of its little-endian words.
fn decode(words: &[u64; RECORD_WORDS]) -> Record {
    let low = |word: u64| word as u32;
    let high = |word: u64| (word >> 32) as u32;
    Record {
        seq: words[0],
        event: words[1] as u16,
        flags: (words[1] >> 16) as u16,
        tid: high(words[1]),
        t: words[2],
        dur: words[3],
        fd: low(words[4]) as i32,
        conn: high(words[4]),
        rc: words[5] as i64,
        errno: low(words[6]) as i32,
        age_ms: high(words[6]),
        offset: words[7],
        aux: words[8],
        head: low(words[9]),
        tail: high(words[9]),
    }
}

/// A shared mapping of a ring file, read as words.
#[derive(Debug)]
struct Memory(*mut libc::c_void);

// SAFETY: the mapping is reached through atomics only, and unmapped by its one owner.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn map(file: &File) -> Option<Self> {
        // SAFETY: a new shared mapping of a file that is at least this long.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                FILE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        (address != libc::MAP_FAILED).then_some(Self(address))
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned and `FILE_BYTES` long, and lives as long as `self`; other processes change it,
        // which atomics allow.
        unsafe { std::slice::from_raw_parts(self.0.cast::<AtomicU64>(), FILE_BYTES / 8) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: unmaps what `map` mapped, once.
        unsafe { libc::munmap(self.0, FILE_BYTES) };
    }
}

#[cfg(test)]
pub(crate) mod tests;
