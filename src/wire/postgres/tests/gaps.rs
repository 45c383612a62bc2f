//! Calls of which not every byte was kept.

use super::*;

/// Feeds calls of which at most the first `from` and the last `to` bytes were kept.
fn read_cut(calls: &[(Direction, Vec<u8>)], from: usize, to: usize) -> Vec<String> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    connection.feed(Request, Chunk::whole(0, &startup()), &mut |fact| facts.push(fact));
    connection.feed(Response, Chunk::whole(1, &welcome()), &mut |fact| facts.push(fact));
    facts.clear();
    for (at, (direction, bytes)) in calls.iter().enumerate() {
        let at = at as u64 + 2;
        let cut = bytes.len().saturating_sub(from + to);
        let chunk = match cut {
            0 => Chunk::whole(at, bytes),
            _ => Chunk { at, head: &bytes[..from], skipped: cut as u64, tail: &bytes[bytes.len() - to..] },
        };
        connection.feed(*direction, chunk, &mut |fact| facts.push(fact));
    }
    brief(&facts)
}

fn rows(count: usize, bytes: usize) -> Vec<u8> {
    row(bytes).repeat(count)
}

#[test]
fn messages_are_stepped_over_whatever_was_kept_of_them() {
    let insert = format!("insert into t values ('{}')", "x".repeat(9_000));
    let facts = read_cut(
        &[(Request, query(&insert)), (Response, [row(20_000), complete(), ready(b'I')].concat()), (Request, query("select 1"))],
        64,
        40,
    );
    assert_eq!(facts, ["0 started @2", "0 INSERT 9031 @2", "0 answer @3", "0 ended 20031 @3", "1 started @4", "1 SELECT 14 @4"]);
}

#[test]
fn the_end_of_an_answer_is_found_behind_rows_that_were_not_kept() {
    let facts = read_cut(
        &[
            (Request, query("select embedding from t")),
            (Response, rows(100, 50)),
            (Response, [rows(100, 50), complete(), ready(b'I')].concat()),
            (Request, query("select 1")),
            (Response, [complete(), ready(b'I')].concat()),
        ],
        100,
        30,
    );
    let all = (50 + 11) * 200 + 14 + 6;
    assert_eq!(
        facts[2..],
        [
            "0 answer @3".to_owned(),
            format!("0 ended {all} @4"),
            "1 started @5".to_owned(),
            "1 SELECT 14 @5".to_owned(),
            "1 answer @6".to_owned(),
            "1 ended 20 @6".to_owned(),
        ]
    );
}

#[test]
fn a_failure_behind_rows_that_were_not_kept_has_its_code() {
    let answer = [rows(100, 50), error("22012"), ready(b'I')].concat();
    let facts = read_cut(&[(Request, query("select 1")), (Response, answer)], 100, 90);
    assert_eq!(facts[2..], ["0 answer @3", "0 ended 6176 22012 @3"]);
}

#[test]
fn the_next_query_ends_an_answer_whose_end_was_not_seen() {
    let facts = read_cut(
        &[
            (Request, query("select 1")),
            (Response, [rows(30, 50), complete(), ready(b'I')].concat()),
            (Request, query("update t")),
            (Response, [complete(), ready(b'I')].concat()),
        ],
        100,
        0,
    );
    assert_eq!(facts[2..], ["0 answer @3", "0 ended 1850 @3", "1 started @4", "1 UPDATE 14 @4", "1 answer @5", "1 ended 20 @5"]);
}

#[test]
fn messages_of_the_client_that_were_not_kept_make_one_query_up_to_the_ready() {
    let many = [message(b'B', &[0; 60]), message(b'E', b"\0\0\0\0\0")].concat().repeat(100);
    let answer = [message(b'2', b""), complete()].concat().repeat(100);
    let facts = read_cut(
        &[
            (Request, [many, message(b'S', b"")].concat()),
            (Response, [answer, ready(b'I')].concat()),
            (Request, query("select 1")),
            (Response, [complete(), ready(b'I')].concat()),
        ],
        200,
        20,
    );
    // The first two and a half were seen; the rest is the third.
    assert_eq!(facts.iter().filter(|fact| fact.contains("started")).count(), 4);
    assert_eq!(facts[facts.len() - 5..], ["2 ended 1868 @3", "3 started @4", "3 SELECT 14 @4", "3 answer @5", "3 ended 20 @5"]);
}

#[test]
fn a_query_that_was_not_seen_at_all_ends_when_the_server_is_ready() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let tell = &mut |fact| facts.push(fact);
    connection.feed(Request, Chunk::whole(0, &startup()), tell);
    connection.feed(Response, Chunk::whole(1, &welcome()), tell);
    connection.feed(Request, Chunk { at: 2, skipped: 90, ..Chunk::default() }, tell);
    connection.feed(Response, Chunk::whole(3, &[complete(), ready(b'I')].concat()), tell);
    connection.feed(Request, Chunk::whole(4, &query("select 1")), tell);
    connection.feed(Response, Chunk::whole(5, &[complete(), ready(b'I')].concat()), tell);
    assert_eq!(
        brief(&facts)[3..],
        ["0 started @2", "0 answer @3", "0 ended 20 @3", "1 started @4", "1 SELECT 14 @4", "1 answer @5", "1 ended 20 @5"]
    );
}

#[test]
fn data_that_is_copied_in_need_not_be_kept() {
    let facts = read_cut(
        &[
            (Request, query("copy t from stdin")),
            (Response, message(b'G', &[0, 0, 0])),
            (Request, message(b'd', &[b'x'; 50]).repeat(100)),
            (Request, [message(b'd', &[b'x'; 50]).repeat(10), message(b'c', b"")].concat()),
            (Response, [complete(), ready(b'I')].concat()),
        ],
        100,
        80,
    );
    assert_eq!(facts.iter().filter(|fact| fact.contains("started")).count(), 1);
    assert_eq!(facts[2..], ["0 answer @3", &*format!("0 COPY {} @5", 23 + 110 * 55 + 5), "0 answer @6", "0 ended 28 @6"]);
}

#[test]
fn a_ready_that_was_not_seen_is_known_by_the_first_query() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let tell = &mut |fact| facts.push(fact);
    connection.feed(Request, Chunk::whole(0, &startup()), tell);
    connection.feed(Response, Chunk { at: 1, skipped: 400, ..Chunk::default() }, tell);
    connection.feed(Request, Chunk::whole(2, &query("select 1")), tell);
    connection.feed(Response, Chunk::whole(3, &[complete(), ready(b'I')].concat()), tell);
    assert_eq!(brief(&facts), ["startup @0", "ready None @2", "0 started @2", "0 SELECT 14 @2", "0 answer @3", "0 ended 20 @3"]);
}

#[test]
fn a_missing_first_message_is_no_postgres() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    connection.feed(Request, Chunk { at: 0, skipped: 50, ..Chunk::default() }, &mut |fact| facts.push(fact));
    assert_eq!(brief(&facts), ["not PostgreSQL Request @0"]);
    // What follows its first eight bytes is not looked at.
    let mut connection = Connection::new();
    let startup = startup();
    let cut = Chunk { at: 0, head: &startup[..8], skipped: startup.len() as u64 - 8, tail: &[] };
    connection.feed(Request, cut, &mut |fact| assert_eq!(brief_one(&fact), "startup @0"));
}
