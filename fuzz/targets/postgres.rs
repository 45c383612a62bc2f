//! PostgreSQL's messages: any bytes in any calls are read orderly and in bounded memory; where all heads are seen, the facts do not
//! depend on how the bytes are cut; and nothing that is said is kept.

#![no_main]

use hopwatch::wire::postgres::order::check_order;
use hopwatch::wire::postgres::{Connection, Fact};
use hopwatch::wire::{Chunk, Direction};
use hopwatch_fuzz::{Input, calls, parts};
use libfuzzer_sys::fuzz_target;

/// Most memory that a connection may hold, in bytes: the outstanding queries and two tables of names.
const MEMORY_LIMIT: usize = 256 * 1024;
/// The kinds of messages of a client and of a server.
const KINDS: [&[u8]; 2] = [b"BCDEFHPQSXcdfp", b"123ACDEGHIKNRSTVWZcdnstv"];

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
            connection.end(call.direction, &mut |fact| facts.push(fact));
        }
    }
    check_order(&facts);
}

/// A connection that is set up, then messages with a true head each: direction, time and kind in two bytes, then what they carry.
fn whole_and_in_parts(mut input: Input<'_>) {
    let lengths = input.counted(false);
    let mut messages = vec![
        (Direction::Request, 0, b"\0\0\0\x10\0\x03\0\0user\0me\0".to_vec()),
        (Direction::Response, 0, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec()),
    ];
    let mut at = 0;
    while !input.is_empty() {
        let what = input.byte();
        at += u64::from(what >> 1);
        let direction = if what & 1 == 0 { Direction::Request } else { Direction::Response };
        let kinds = KINDS[direction as usize];
        let kind = kinds[usize::from(input.byte()) % kinds.len()];
        let said = input.counted(false);
        // No kind is shorter or longer than it may be: a head that could not be one would not be taken for one.
        let said = match (direction, kind) {
            (Direction::Request, b'H' | b'S' | b'X' | b'c') | (Direction::Response, b'1' | b'2' | b'3' | b'I' | b'c' | b'n' | b's') => Vec::new(),
            (Direction::Response, b'Z') => vec![b'I'],
            _ => [said, &[0; 8]].concat(),
        };
        let length = (said.len() as u32 + 4).to_be_bytes();
        messages.push((direction, at, [&[kind][..], &length, &said].concat()));
    }
    let whole = read(&messages, &[]);
    check_order(&whole);
    assert_eq!(whole, read(&messages, lengths));
}

fn read(messages: &[(Direction, u64, Vec<u8>)], lengths: &[u8]) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (direction, at, message) in messages {
        for part in parts(message, lengths) {
            connection.feed(*direction, Chunk::whole(*at, part), &mut |fact| facts.push(fact));
        }
    }
    connection.end(Direction::Response, &mut |fact| facts.push(fact));
    facts
}
