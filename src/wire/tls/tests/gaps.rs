//! Calls of which not every byte was kept.

use super::*;

/// Feeds calls of which at most the first `from` and the last `to` bytes were kept.
fn read_cut(calls: &[(Direction, u64, Vec<u8>)], from: usize, to: usize) -> Vec<String> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (direction, at, bytes) in calls {
        let chunk = cut(at * MS, bytes, from, to);
        connection.feed(*direction, chunk, &mut |fact| facts.push(fact));
    }
    brief(&facts)
}

fn cut(at: u64, bytes: &[u8], from: usize, to: usize) -> Chunk<'_> {
    if bytes.len() <= from + to {
        return Chunk::whole(at, bytes);
    }
    Chunk { at, head: &bytes[..from], skipped: (bytes.len() - from - to) as u64, tail: &bytes[bytes.len() - to..] }
}

fn handshake() -> Vec<(Direction, u64, Vec<u8>)> {
    vec![(Request, 0, client_hello()), (Response, 10, [server_hello(), data(900)].concat()), (Request, 11, data(FINISHED))]
}

#[test]
fn records_are_stepped_over_whatever_was_kept_of_them() {
    let calls = [
        handshake(),
        vec![
            (Request, 100, [data(3_000), data(10)].concat()),
            (Response, 200, [data(16_000), data(20)].concat()),
            (Response, 230, data(16_000)),
            (Request, 300, data(30)),
        ],
    ]
    .concat();
    let facts = read_cut(&calls, 300, 40);
    assert_eq!(
        facts[3..],
        [
            "0 request started @100",
            "0 request ended 3010 @100",
            "0 response started @200",
            "0 content after 30 @230",
            "0 response ended 32020 @230",
            "1 request started @300",
        ]
    );
}

#[test]
fn a_head_in_a_gap_is_found_again_behind_it() {
    // Between the kept parts lie two heads; in the tail begins a third.
    let answer = [data(500), data(500), data(500), data(20)].concat();
    let calls = [handshake(), vec![(Request, 100, data(50)), (Response, 200, answer), (Response, 210, data(40))]].concat();
    let facts = read_cut(&calls, 300, 60);
    let all = 500 * 3 + 20 + 40;
    let Some(last) = facts.last() else { panic!("nothing told") };
    assert_eq!((&*facts[5], &**last), ("0 response started @200", "0 content after 10 @210"));
    // Bytes of heads that were not seen are taken for what they carry.
    let mut connection = Connection::new();
    let mut told = Vec::new();
    for (direction, at, bytes) in &calls {
        connection.feed(*direction, cut(at * MS, bytes, 300, 60), &mut |fact| told.push(fact));
    }
    connection.end(Response, 300 * MS, &mut |fact| told.push(fact));
    let Some(Fact::ResponseEnded { bytes, .. }) = told.last() else { panic!("{told:?}") };
    assert!((all..all + 3 * 5).contains(bytes), "{bytes}");
}

#[test]
fn what_is_written_after_a_lost_head_begins_with_one() {
    let calls = [
        handshake(),
        vec![
            (Request, 100, [data(1_000), data(1_000)].concat()),
            (Response, 200, data(40)),
            (Request, 300, data(19)),
            (Request, 301, data(60)),
        ],
    ]
    .concat();
    // Nothing of the tail: the second head is never seen.
    let facts = read_cut(&calls, 400, 0);
    assert_eq!(
        facts[3..],
        [
            "0 request started @100",
            "0 request ended 2005 @100",
            "0 response started @200",
            "Request alert encrypted @300",
            "0 response ended 40 @200",
            "1 request started @301",
        ]
    );
}

#[test]
fn a_hello_that_was_cut_says_what_was_seen_of_it() {
    let hello = client_hello();
    let name_ends = hello.windows(3).position(|window| window == b"com").unwrap() + 3;
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let chunk = Chunk { at: 0, head: &hello[..name_ends], skipped: (hello.len() - name_ends) as u64, tail: &[] };
    connection.feed(Request, chunk, &mut |fact| facts.push(fact));
    assert_eq!(brief(&facts), ["hello of api.example.com [] cut @0..0"]);
    // The rest of the handshake is followed all the same.
    for (direction, at, bytes) in &handshake()[1..] {
        connection.feed(*direction, Chunk::whole(at * MS, bytes), &mut |fact| facts.push(fact));
    }
    assert_eq!(brief(&facts)[1..], ["hello 1.3 @10", "handshake ended Some(false) @11"]);
}

#[test]
fn a_servers_hello_that_was_not_seen_leaves_the_rest_to_be_told() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let tell = &mut |fact| facts.push(fact);
    connection.feed(Request, Chunk::whole(0, &client_hello()), tell);
    connection.feed(Response, Chunk { at: 10 * MS, skipped: 1_200, ..Chunk::default() }, tell);
    connection.feed(Request, Chunk::whole(11 * MS, &[change(), data(FINISHED)].concat()), tell);
    connection.feed(Request, Chunk::whole(12 * MS, &data(70)), tell);
    connection.feed(Response, Chunk::whole(500 * MS, &data(70)), tell);
    assert_eq!(
        brief(&facts)[1..],
        ["handshake ended None @11", "0 request started @12", "0 request ended 70 @12", "0 response started @500"]
    );
}

#[test]
fn a_missing_first_hello_is_no_tls() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    connection.feed(Request, Chunk { at: 0, skipped: 517, ..Chunk::default() }, &mut |fact| facts.push(fact));
    assert_eq!((facts, connection.is_tls()), (vec![Fact::NotTls { direction: Request, at: 0 }], Some(false)));
}
