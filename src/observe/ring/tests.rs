use super::*;
use proptest::prelude::*;
use std::io::{Seek, SeekFrom, Write};

/// A ring file that a test writes as an observer would.
pub(crate) struct Writer {
    file: tempfile::NamedTempFile,
    reserve: u64,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file_mut().set_len(FILE_BYTES as u64).unwrap();
        let mut writer = Self { file, reserve: 0 };
        writer.put(offset_of!(Header, pid), &7u32.to_le_bytes());
        writer.put(offset_of!(Header, slots), &(SLOTS as u32).to_le_bytes());
        writer.put(offset_of!(Header, program), b"python\0");
        writer.put(offset_of!(Header, magic), &MAGIC.to_le_bytes());
        writer
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.file.seek(SeekFrom::Start(at as u64)).unwrap();
        self.file.write_all(bytes).unwrap();
    }

    fn write(&mut self, t: u64, payload: &[u8], committed: bool) {
        let first = (self.reserve as usize % SLOTS) * SLOT_BYTES;
        let mut bytes = Vec::new();
        let seq = if committed { self.reserve + 1 } else { 0 };
        for word in [seq, 0, t, 0, 0, 0, 0, 0, 0, payload.len() as u64] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(payload);
        let room = (RING_OFFSET + SLOTS * SLOT_BYTES) - (RING_OFFSET + first);
        let (now, wrapped) = bytes.split_at(bytes.len().min(room));
        let (now, wrapped) = (now.to_vec(), wrapped.to_vec());
        self.put(RING_OFFSET + first, &now);
        self.put(RING_OFFSET, &wrapped);
        self.reserve += slots_for(payload.len()) as u64;
        let reserve = self.reserve;
        self.put(offset_of!(Header, reserve), &reserve.to_le_bytes());
    }

    /// A record of any kind.
    fn record(&mut self, event: u16, t: u64, rc: i64, payload: &[u8]) {
        let first = (self.reserve as usize % SLOTS) * SLOT_BYTES;
        self.write(t, payload, true);
        self.put(RING_OFFSET + first + 8, &u64::from(event).to_le_bytes());
        self.put(RING_OFFSET + first + 32, &(1u64 << 32 | 5).to_le_bytes());
        self.put(RING_OFFSET + first + 40, &rc.to_le_bytes());
        self.put(RING_OFFSET + first + 48, &(u64::from(u32::MAX) << 32).to_le_bytes());
        // The writer of `write` counts its payload as a tail.
        self.put(RING_OFFSET + first + 72, &(payload.len() as u64).to_le_bytes());
    }

    pub(crate) fn set_pid(&mut self, pid: u32) {
        self.put(offset_of!(Header, pid), &pid.to_le_bytes());
    }

    /// A connection with a request on it.
    pub(crate) fn request(&mut self) {
        let peer = [&[2, 0, 80, 0][..], &[0; 10], &[0xff, 0xff, 127, 0, 0, 1]].concat();
        self.record(3, 1_000, 0, &peer);
        self.record(4, 1_000, 0, &[]);
        let request = b"GET / HTTP/1.1\r\n\r\n";
        self.record(6, 2_000, request.len() as i64, request);
    }

    /// The same, with its answer.
    pub(crate) fn exchange(&mut self) {
        self.request();
        let answer = b"HTTP/1.1 204 X\r\n\r\n";
        self.record(7, 9_000, answer.len() as i64, answer);
    }

    /// Puts the file where a reader looks for it.
    pub(crate) fn publish(self, path: &Path) {
        self.file.persist(path).unwrap();
    }

    /// The kill word of a file.
    pub(crate) fn kill_word(path: &Path) -> u32 {
        Ring::open(path).unwrap().half(offset_of!(Header, kill))
    }

    fn ring(&self) -> Ring {
        Ring::open(self.file.path()).unwrap()
    }
}

#[test]
fn records_come_back_in_order_with_their_payload_over_many_turns_of_the_ring() {
    let mut writer = Writer::new();
    let mut ring = writer.ring();
    assert_eq!(ring.maker().program, "python");
    for t in 0..3_000u64 {
        let payload: Vec<u8> = (0..(t * 7 % 900)).map(|byte| byte as u8).collect();
        writer.write(t, &payload, true);
        let entry = ring.next(false).unwrap();
        assert_eq!((entry.record.t, entry.payload), (t, payload));
    }
    assert!(ring.next(true).is_none());
    assert_eq!(ring.lost(), Lost::default());
}

#[test]
fn a_record_that_was_never_finished_costs_itself_alone() {
    let mut writer = Writer::new();
    let mut ring = writer.ring();
    writer.write(1, b"one", true);
    writer.write(2, &[0xff; 300], false);
    writer.write(3, b"three", true);
    assert_eq!(ring.next(false).map(|entry| entry.record.t), Some(1));
    assert_eq!(ring.next(false), None, "its writer may still be at it");
    assert_eq!(ring.next(true).map(|entry| entry.record.t), Some(3));
    assert_eq!(ring.lost().records, 1);
    assert!(!ring.is_behind());
}

#[test]
fn the_kill_word_is_set_without_touching_its_neighbours() {
    let writer = Writer::new();
    let ring = writer.ring();
    ring.kill();
    assert_eq!(ring.half(offset_of!(Header, kill)), 1);
    assert_eq!(ring.half(offset_of!(Header, slots)), SLOTS as u32);
}

#[test]
fn a_file_that_is_too_short_is_no_ring() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(100).unwrap();
    assert!(Ring::open(file.path()).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_in_the_file_reading_ends(
        seed in prop::collection::vec(any::<u64>(), 1..64),
        writes in prop::collection::vec((0usize..FILE_BYTES - 8, any::<u64>()), 0..200),
        plausible in prop::collection::vec((0u64..64, 0u64..400, any::<bool>()), 0..64),
    ) {
        let mut writer = Writer::new();
        for (index, word) in seed.iter().enumerate() {
            writer.put(RING_OFFSET + index * 64, &word.to_le_bytes());
        }
        for (t, bytes, committed) in plausible {
            writer.write(t, &vec![1; bytes as usize], committed);
        }
        for (at, word) in writes {
            let at = at.max(offset_of!(Header, program));
            writer.put(at, &word.to_le_bytes());
        }
        let mut ring = writer.ring();
        let mut taken = 0;
        while ring.next(true).is_some() {
            taken += 1;
            prop_assert!(taken <= SLOTS);
        }
        let _ = (ring.threads(), ring.maker(), ring.lost());
    }
}
