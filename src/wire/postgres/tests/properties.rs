//! What holds for any bytes, and for any split of valid ones.

use proptest::prelude::*;

use super::*;
use crate::wire::calls::call;
use crate::wire::postgres::order::check_order;

/// Most memory that a connection may hold, in bytes: the outstanding queries and two tables of names.
const MEMORY_LIMIT: usize = 256 * 1024;

fn words() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"select 1\0".to_vec()),
        Just(b"s1\0update t\0\0\0".to_vec()),
        Just(b"\0s1\0\0\0\0\0\0\0".to_vec()),
        Just(b"\0\0\0\0\0".to_vec()),
        Just(b"SERROR\0C42601\0Mno\0\0".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Bytes that look like PostgreSQL often enough to reach all states.
fn hostile() -> impl Strategy<Value = Vec<u8>> + Clone {
    let kinds = proptest::sample::select(b"BCDEFHPQSXcdfp123ACDEGHIKNRSTVWZcdnstv".to_vec());
    let piece = prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..30),
        8 => (kinds, words()).prop_map(|(kind, body)| message(kind, &body)),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(kind, length)| [&[kind][..], &length.to_be_bytes()].concat()),
        2 => Just(ready(b'I')),
        1 => Just(startup()),
        1 => Just(encrypt()),
        1 => Just(welcome()),
        1 => Just(b"N".to_vec()),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A statement and its answer: what the client sends, what the server sends.
fn exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let simple = prop_oneof![
        (0..4_usize, 0..200_usize).prop_map(|(count, bytes)| {
            (query("select 1"), [message(b'T', &[0, 0]), row(bytes).repeat(count), complete(), ready(b'I')].concat())
        }),
        Just((query("begin; select 1"), [message(b'C', b"BEGIN\0"), complete(), ready(b'T')].concat())),
        Just((query("selec"), [error("42601"), ready(b'E')].concat())),
        Just((query(""), [message(b'I', b""), ready(b'I')].concat())),
    ];
    let one = || {
        (
            [message(b'P', b"\0update t\0\0\0"), message(b'B', &[0; 8]), message(b'D', b"P\0"), message(b'E', &[0; 5])].concat(),
            [message(b'1', b""), message(b'2', b""), message(b'n', b""), complete()].concat(),
        )
    };
    let extended = (1..5_usize, any::<bool>()).prop_map(move |(count, fails)| {
        let (asked, answered) = one();
        let answers = if fails { [answered.repeat(count - 1), error("22012")].concat() } else { answered.repeat(count) };
        ([asked.repeat(count), message(b'S', b"")].concat(), [answers, message(b'N', b"SNOTICE\0\0"), ready(b'I')].concat())
    });
    let flushed = Just((
        [message(b'P', b"s1\0select 1\0\0\0"), message(b'D', b"Ss1\0"), message(b'H', b"")].concat(),
        [message(b'1', b""), message(b't', &[0, 0]), message(b'T', &[0, 0])].concat(),
    ));
    prop_oneof![2 => simple, 2 => extended, 1 => flushed]
}

/// Plays exchanges one after the other, each direction in parts of these sizes; all parts of a direction at one time.
fn play(exchanges: &[(Vec<u8>, Vec<u8>)], sizes: &[usize]) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let calls = [(startup(), welcome())];
    for (at, (asked, answered)) in calls.iter().chain(exchanges).enumerate() {
        for (direction, at, bytes) in [(Request, 2 * at, asked), (Response, 2 * at + 1, answered)] {
            let mut rest = &bytes[..];
            while let (false, Some(&size)) = (rest.is_empty(), sizes.next()) {
                let (part, after) = rest.split_at(size.min(rest.len()));
                connection.feed(direction, Chunk::whole(at as u64, part), &mut |fact| facts.push(fact));
                rest = after;
            }
        }
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_calls_are_read_orderly_in_bounded_memory(
        calls in proptest::collection::vec(call(hostile()), 0..30),
        greeted in any::<bool>(),
    ) {
        let mut connection = Connection::new();
        let mut facts = Vec::new();
        if greeted {
            connection.feed(Request, Chunk::whole(0, &startup()), &mut |fact| facts.push(fact));
            connection.feed(Response, Chunk::whole(0, &welcome()), &mut |fact| facts.push(fact));
        }
        for (at, call) in calls.iter().enumerate() {
            connection.feed(call.direction, call.chunk(at as u64), &mut |fact| facts.push(fact));
            prop_assert!(connection.retained_bytes() <= MEMORY_LIMIT);
            if call.end {
                connection.end(call.direction, &mut |fact| facts.push(fact));
            }
        }
        check_order(&facts);
    }

    #[test]
    fn valid_messages_say_the_same_in_any_split(
        exchanges in proptest::collection::vec(exchange(), 1..6),
        sizes in proptest::collection::vec(1..60_usize, 1..20),
    ) {
        let all = play(&exchanges, &[usize::MAX]);
        check_order(&all);
        let count = |wanted: fn(&Fact) -> bool| all.iter().filter(|fact| wanted(fact)).count();
        let started = count(|fact| matches!(fact, Fact::QueryStarted { .. }));
        prop_assert_eq!(count(|fact| matches!(fact, Fact::AnswerEnded { .. })), started);
        for sizes in [&[1][..], &sizes] {
            prop_assert_eq!(&play(&exchanges, sizes), &all);
        }
    }
}
