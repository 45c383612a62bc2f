//! What holds for any bytes, and for any split of valid ones.

use proptest::prelude::*;

use super::*;
use crate::wire::calls::call;
use crate::wire::tls::order::check_order;

/// Most memory that a connection may hold, in bytes: a hello a direction, with the room a vector makes ahead.
const MEMORY_LIMIT: usize = 2 * 2 * 16 * 1024;

/// Bytes that look like TLS often enough to reach all states.
fn hostile() -> impl Strategy<Value = Vec<u8>> + Clone {
    let piece = prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..30),
        2 => Just(client_hello()),
        2 => Just(server_hello()),
        1 => Just(carrying(22, &server_message(super::super::hello::RETRY, 0x1301, &extension(43, &[3, 4])))),
        1 => Just(carrying(22, &server_message([7; 32], 0xc02f, &[]))),
        1 => Just(change()),
        1 => Just(data(FINISHED)),
        2 => (0..3_000_u16).prop_map(data),
        1 => (20..25_u8, 0..60_u16).prop_map(|(kind, length)| record(kind, length)),
        1 => Just(vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]),
        1 => Just(vec![23, 3, 3]),
        1 => Just(carrying(21, &[2, 48])),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// A connection that goes well: its calls with their times.
fn conversation() -> impl Strategy<Value = Vec<(Direction, u64, Vec<u8>)>> {
    let handshake = prop_oneof![
        Just(vec![
            (Request, client_hello()),
            (Response, [server_hello(), change(), data(30), data(900)].concat()),
            (Request, [change(), data(FINISHED)].concat()),
        ]),
        Just(vec![
            (Request, client_hello()),
            (Response, [server_hello(), data(900)].concat()),
            (Request, [data(700), data(90), data(FINISHED), data(80)].concat()),
        ]),
        Just(vec![
            (Request, client_hello()),
            (Response, [carrying(22, &server_message([7; 32], 0xc02f, &[])), record(22, 800)].concat()),
            (Request, [record(22, 37), change(), record(22, 40)].concat()),
            (Response, [change(), record(22, 40)].concat()),
        ]),
        Just(vec![
            (Request, [client_hello(), data(70)].concat()),
            (Response, [server_hello(), data(90)].concat()),
            (Request, [data(21), data(FINISHED)].concat()),
        ]),
    ];
    let moved = (any::<bool>(), proptest::collection::vec(0..2_500_u16, 1..4));
    let moved = moved.prop_map(|(request, lengths)| {
        (if request { Request } else { Response }, lengths.into_iter().map(data).collect::<Vec<_>>().concat())
    });
    let times = proptest::collection::vec(0..40_u64, 16);
    (handshake, proptest::collection::vec(moved, 0..12), times).prop_map(|(handshake, moved, times)| {
        let mut now = 0;
        let calls = handshake.into_iter().chain(moved).zip(times);
        let timed = calls.map(|((direction, bytes), later)| {
            now += later;
            (direction, now, bytes)
        });
        timed.collect()
    })
}

/// Plays calls in parts of these sizes, each of the time of its call.
fn play(calls: &[(Direction, u64, Vec<u8>)], sizes: &[usize]) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let mut sizes = sizes.iter().cycle();
    for (direction, at, bytes) in calls {
        let mut rest = &bytes[..];
        while let (false, Some(&size)) = (rest.is_empty(), sizes.next()) {
            let (part, after) = rest.split_at(size.min(rest.len()));
            connection.feed(*direction, Chunk::whole(at * MS, part), &mut |fact| facts.push(fact));
            rest = after;
        }
    }
    connection.end(Response, u64::MAX, &mut |fact| facts.push(fact));
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_calls_are_read_orderly_in_bounded_memory(
        calls in proptest::collection::vec(call(hostile()), 0..30),
        times in proptest::collection::vec(any::<u64>(), 30),
        greeted in any::<bool>(),
    ) {
        let mut connection = Connection::new();
        let mut facts = Vec::new();
        if greeted {
            connection.feed(Request, Chunk::whole(0, &client_hello()), &mut |fact| facts.push(fact));
        }
        for (call, &at) in calls.iter().zip(&times) {
            connection.feed(call.direction, call.chunk(at), &mut |fact| facts.push(fact));
            prop_assert!(connection.retained_bytes() <= MEMORY_LIMIT);
            if call.end {
                connection.end(call.direction, at, &mut |fact| facts.push(fact));
            }
        }
        check_order(&facts);
    }

    #[test]
    fn valid_records_say_the_same_in_any_split(
        calls in conversation(),
        sizes in proptest::collection::vec(1..400_usize, 1..20),
    ) {
        let all = play(&calls, &[usize::MAX]);
        check_order(&all);
        let shaken = |fact: &Fact| matches!(fact, Fact::HandshakeEnded { .. });
        prop_assert!(calls.len() < 4 || all.iter().any(shaken));
        for sizes in [&[1][..], &sizes] {
            prop_assert_eq!(&play(&calls, sizes), &all);
        }
    }

    #[test]
    fn what_records_carry_need_not_be_kept(calls in conversation(), kept in 0..40_usize) {
        let all = play(&calls, &[usize::MAX]);
        let mut connection = Connection::new();
        let mut facts = Vec::new();
        for (direction, at, bytes) in &calls {
            // Of application data the head and so many bytes; of the rest everything.
            let mut rest = &bytes[..];
            while let [kind, _, _, high, low, ..] = *rest {
                let (record, after) = rest.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
                let whole = if kind == 23 { record.len().min(5 + kept) } else { record.len() };
                let chunk = Chunk { at: at * MS, head: &record[..whole], skipped: (record.len() - whole) as u64, tail: &[] };
                connection.feed(*direction, chunk, &mut |fact| facts.push(fact));
                rest = after;
            }
        }
        connection.end(Response, u64::MAX, &mut |fact| facts.push(fact));
        prop_assert_eq!(facts, all);
    }
}
