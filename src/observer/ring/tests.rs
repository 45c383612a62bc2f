use super::super::layout::{Event, FILE_BYTES, RING_OFFSET, Record, SLOT_BYTES, SLOTS, slots_for};
use super::super::redact::Scan;
use super::super::sys::IoVec;
use super::{Payload, Ring};
use std::sync::atomic::Ordering::Relaxed;

/// Memory as a ring file has it.
struct Memory(Vec<u64>);

impl Memory {
    fn new() -> Self {
        Self(vec![0; FILE_BYTES / 8])
    }

    fn ring(&mut self) -> Ring {
        // SAFETY: aligned, zero, large enough; tests keep it alive.
        unsafe { Ring::over(self.0.as_mut_ptr().cast()) }
    }

    fn byte(&self, at: usize) -> u8 {
        self.0[at / 8].to_le_bytes()[at % 8]
    }

    /// The sequence number and the payload of the record at a position.
    fn record(&self, position: u64, payload: usize) -> (u64, Vec<u8>) {
        let start = (position as usize % SLOTS) * SLOT_BYTES;
        let seq = self.0[(RING_OFFSET + start) / 8];
        let at = |index: usize| RING_OFFSET + (start + size_of::<Record>() + index) % (SLOTS * SLOT_BYTES);
        (seq, (0..payload).map(|index| self.byte(at(index))).collect())
    }
}

fn record(head: usize, tail: usize) -> Record {
    Record { event: Event::Write as u16, head: head as u32, tail: tail as u32, ..Record::default() }
}

fn pieces(text: &[u8], sizes: &[usize]) -> Vec<IoVec> {
    let mut at = 0;
    sizes
        .iter()
        .map(|&len| {
            let piece = IoVec { base: text[at..].as_ptr(), len };
            at += len;
            piece
        })
        .collect()
}

#[test]
fn head_and_tail_are_gathered_from_pieces() {
    let text: Vec<u8> = (0..=255).collect();
    for sizes in [vec![256], vec![1, 255], vec![100, 0, 56, 100], vec![64; 4]] {
        for (head, tail) in [(256, 0), (10, 10), (100, 120), (0, 30), (30, 0)] {
            let mut memory = Memory::new();
            let pieces = pieces(&text, &sizes);
            let payload = Payload { pieces: pieces.as_ptr(), count: pieces.len(), total: 256 };
            memory.ring().put(&record(head, tail), payload, None);
            let expected: Vec<u8> = text[..head].iter().chain(&text[256 - tail..]).copied().collect();
            assert_eq!(memory.record(0, head + tail), (1, expected), "{sizes:?} {head} {tail}");
        }
    }
}

#[test]
fn less_than_the_pieces_may_have_been_moved() {
    let text = [7u8; 64];
    let pieces = pieces(&text, &[32, 32]);
    let mut memory = Memory::new();
    memory.ring().put(&record(40, 0), Payload { pieces: pieces.as_ptr(), count: 2, total: 40 }, None);
    assert_eq!(memory.record(0, 41).1, [vec![7; 40], vec![0]].concat());
}

#[test]
fn payloads_wrap_at_the_end_of_the_ring() {
    let mut memory = Memory::new();
    let ring = memory.ring();
    let start = SLOTS as u64 - 1;
    ring.header().reserve.store(start, Relaxed);
    ring.header().tail.store(start, Relaxed);
    let text: Vec<u8> = (0..200).collect();
    let pieces = pieces(&text, &[200]);
    ring.put(&record(200, 0), Payload { pieces: pieces.as_ptr(), count: 1, total: 200 }, None);
    assert_eq!(memory.record(start, 200), (start + 1, text));
}

#[test]
fn secrets_are_blanked_in_head_and_tail() {
    let text = format!("GET / HTTP/1.1\r\nx: {}\r\ncookie: {}", "y".repeat(500), "z".repeat(500));
    let pieces = pieces(text.as_bytes(), &[text.len()]);
    let mut memory = Memory::new();
    let mut scan = Scan::default();
    let payload = Payload { pieces: pieces.as_ptr(), count: 1, total: text.len() };
    memory.ring().put(&record(600, 100), payload, Some(&mut scan));
    let copied = String::from_utf8(memory.record(0, 700).1).unwrap();
    assert!(!copied.contains('z') && copied.ends_with(&"*".repeat(100)) && copied.contains("cookie: *"));
}

#[test]
fn a_full_ring_counts_what_it_loses_and_leaves_no_hole() {
    let mut memory = Memory::new();
    let ring = memory.ring();
    let text = [1u8; 1000];
    let pieces = pieces(&text, &[1000]);
    let payload = Payload { pieces: pieces.as_ptr(), count: 1, total: 1000 };
    let each = slots_for(1000) as u64;
    let fit = SLOTS as u64 / each;
    for _ in 0..fit + 3 {
        ring.put(&record(1000, 0), payload, None);
    }
    let header = ring.header();
    assert_eq!(header.reserve.load(Relaxed), fit * each);
    assert_eq!((header.lost.load(Relaxed), header.lost_bytes.load(Relaxed)), (3, 3000));
    // The reader takes one: there is room for one.
    header.tail.store(each, Relaxed);
    ring.put(&record(1000, 0), payload, None);
    ring.put(&record(1000, 0), payload, None);
    assert_eq!((header.reserve.load(Relaxed), header.lost.load(Relaxed)), ((fit + 1) * each, 4));
    // A tail that makes no sense counts as full.
    header.tail.store(u64::MAX / 2, Relaxed);
    ring.put(&record(0, 0), Payload::NONE, None);
    assert_eq!(header.lost.load(Relaxed), 5);
}

#[test]
fn writers_on_many_threads_lose_and_mix_nothing() {
    let mut memory = Memory::new();
    let ring = memory.ring();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let base = ring.0 as usize;
            scope.spawn(move || {
                // SAFETY: the memory outlives the scope.
                let ring = unsafe { Ring::over(base as *mut u8) };
                for round in 0..200u8 {
                    let text = [thread ^ round; 100];
                    let piece = IoVec { base: text.as_ptr(), len: 100 };
                    let payload = Payload { pieces: &raw const piece, count: 1, total: 100 };
                    ring.put(&Record { aux: u64::from(thread ^ round), ..record(100, 0) }, payload, None);
                }
            });
        }
    });
    assert_eq!(ring.header().reserve.load(Relaxed), 4 * 200 * 2);
    for position in (0..1600).step_by(2) {
        let (seq, payload) = memory.record(position, 100);
        assert_eq!(seq, position + 1);
        assert!(payload.iter().all(|&byte| byte == payload[0]));
    }
}
