//! TLS records: any bytes in any calls are read orderly and in bounded memory; where all heads are seen, the facts do not depend on how
//! the bytes are cut, nor on what was kept of the application data.

#![no_main]

use hopwatch::wire::tls::order::check_order;
use hopwatch::wire::tls::{Connection, Fact};
use hopwatch::wire::{Chunk, Direction};
use hopwatch_fuzz::{Input, calls, parts};
use libfuzzer_sys::fuzz_target;

/// Most memory that a connection may hold, in bytes: a hello a direction, with the room a vector makes ahead.
const MEMORY_LIMIT: usize = 2 * 2 * 16 * 1024;
/// An application record.
const DATA: u8 = 23;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    match input.byte() {
        0..128 => any_calls(input),
        _ => whole_and_in_parts(input),
    }
});

fn any_calls(mut input: Input<'_>) {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for call in calls(&mut input) {
        connection.feed(call.direction, call.chunk, &mut |fact| facts.push(fact));
        assert!(connection.retained_bytes() <= MEMORY_LIMIT);
        if call.ends {
            connection.end(call.direction, call.chunk.at, &mut |fact| facts.push(fact));
        }
    }
    check_order(&facts);
}

/// Records with a true head each: kind, direction and time in one byte, then what they carry.
fn whole_and_in_parts(mut input: Input<'_>) {
    let lengths = input.counted(false);
    let mut records = Vec::new();
    let mut at = 0;
    while !input.is_empty() {
        let what = input.byte();
        at += u64::from(what >> 4) * 5_000_000;
        let direction = if what & 1 == 0 { Direction::Request } else { Direction::Response };
        let kind = [20, 21, 22, 22, 24, DATA, DATA, DATA][usize::from(what >> 1 & 7)];
        let carried = input.counted(true);
        let carried = &carried[..carried.len().min(1 << 14)];
        let [high, low] = (carried.len() as u16).to_be_bytes();
        records.push((direction, at, [&[kind, 3, 3, high, low], carried].concat()));
    }
    let whole = read(&records, &[], usize::MAX);
    check_order(&whole);
    assert_eq!(whole, read(&records, lengths, usize::MAX));
    assert_eq!(whole, read(&records, &[], 5));
}

/// Reads records in parts of these lengths; of application data no more than the first `kept` bytes of each are kept.
fn read(records: &[(Direction, u64, Vec<u8>)], lengths: &[u8], kept: usize) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (direction, at, record) in records {
        for part in parts(record, lengths) {
            let kept = if record[0] == DATA { part.len().min(kept) } else { part.len() };
            let chunk = Chunk { at: *at, head: &part[..kept], skipped: (part.len() - kept) as u64, tail: &[] };
            connection.feed(*direction, chunk, &mut |fact| facts.push(fact));
        }
    }
    connection.end(Direction::Response, u64::MAX, &mut |fact| facts.push(fact));
    facts
}
