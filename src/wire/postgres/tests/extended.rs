//! The extended protocol: statements prepared, bound and executed, one by one or many at once.

use super::*;

fn parse(name: &str, statement: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{statement}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn describe(what: &str) -> Vec<u8> {
    message(b'D', format!("{what}\0").as_bytes())
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0\0").as_bytes())
}

fn close(what: &str) -> Vec<u8> {
    message(b'C', format!("{what}\0").as_bytes())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn flush() -> Vec<u8> {
    message(b'H', b"")
}

/// A statement in one go, without what asks for the answer.
fn statement(text: &str) -> Vec<u8> {
    [parse("", text), bind("", ""), describe("P"), execute("")].concat()
}

fn parsed() -> Vec<u8> {
    message(b'1', b"")
}

fn bound() -> Vec<u8> {
    message(b'2', b"")
}

fn described() -> Vec<u8> {
    message(b'T', &[0, 0])
}

/// The answer to [`statement`].
fn done() -> Vec<u8> {
    [parsed(), bound(), described(), row(4), complete()].concat()
}

/// The facts without their bytes.
fn told(calls: &[(Direction, Vec<u8>)]) -> Vec<String> {
    let without_bytes = |fact: String| {
        let words = fact.split(' ').enumerate();
        let kept = words.filter(|&(place, word)| place != 2 || word.parse::<u64>().is_err()).map(|(_, word)| word);
        kept.collect::<Vec<_>>().join(" ")
    };
    once_ready(calls).into_iter().map(without_bytes).collect()
}

#[test]
fn a_statement_in_one_go_is_a_query() {
    let facts = once_ready(&[
        (Request, [statement("select $1"), sync()].concat()),
        (Response, [parsed(), bound(), described(), row(4)].concat()),
        (Response, [complete(), ready(b'I')].concat()),
    ]);
    assert_eq!(facts, ["0 started @2", "0 SELECT 53 @2", "0 answer @3", "0 ended 52 @4"]);
}

#[test]
fn a_prepared_statement_is_known_by_its_name() {
    let facts = told(&[
        (Request, [parse("s1", "insert into t values ($1)"), sync()].concat()),
        (Response, [parsed(), ready(b'I')].concat()),
        (Request, [bind("", "s1"), execute(""), sync()].concat()),
        (Response, [bound(), complete(), ready(b'I')].concat()),
        (Request, [bind("", "other"), execute(""), sync()].concat()),
        (Response, [bound(), complete(), ready(b'I')].concat()),
        (Request, [close("Ss1"), sync()].concat()),
        (Response, [message(b'3', b""), ready(b'I')].concat()),
    ]);
    let sent: Vec<_> = facts.chunks(4).map(|facts| &*facts[1]).collect();
    assert_eq!(sent, ["0 PREPARE @2", "1 INSERT @4", "2 query @6", "3 DEALLOCATE @8"]);
    assert_eq!(facts.len(), 16);
}

#[test]
fn a_flush_asks_for_an_answer_too() {
    // As asyncpg does.
    let facts = told(&[
        (Request, [parse("s1", "select pg_sleep(5)"), describe("Ss1"), flush()].concat()),
        (Response, [parsed(), message(b't', &[0, 0]), described()].concat()),
        (Request, [bind("", "s1"), execute(""), sync()].concat()),
        (Response, [bound(), row(4), complete(), ready(b'I')].concat()),
    ]);
    assert_eq!(
        facts,
        ["0 started @2", "0 PREPARE @2", "0 answer @3", "0 ended @3", "1 started @4", "1 SELECT @4", "1 answer @5", "1 ended @5"]
    );
}

#[test]
fn of_statements_sent_together_each_ends_for_itself() {
    let facts = told(&[
        (Request, statement("select 1")),
        (Request, [statement("update t"), flush()].concat()),
        (Response, done()),
        (Response, done()),
        (Request, [statement("delete from t"), sync(), flush()].concat()),
        (Response, done()),
        (Response, ready(b'I')),
    ]);
    assert_eq!(
        facts,
        [
            "0 started @2",
            "0 SELECT @2",
            "1 started @3",
            "1 UPDATE @3",
            "0 answer @4",
            "0 ended @4",
            "1 answer @5",
            "1 ended @5",
            "2 started @6",
            "2 DELETE @6",
            "2 answer @7",
            "2 ended @8",
        ]
    );
}

#[test]
fn queries_that_are_not_waited_for_are_answered_in_order() {
    let one = |text| [statement(text), sync()].concat();
    let facts = told(&[
        (Request, [one("select 1"), one("update t"), query("begin")].concat()),
        (Response, [done(), ready(b'I')].concat()),
        (Response, [done(), ready(b'I'), message(b'C', b"BEGIN\0")].concat()),
        (Response, ready(b'T')),
    ]);
    let ended: Vec<_> = facts.iter().filter(|fact| fact.contains("ended")).collect();
    assert_eq!(ended, ["0 ended @3", "1 ended @4", "2 ended @5"]);
}

#[test]
fn what_follows_a_failure_up_to_the_sync_fails_with_it() {
    let facts = once_ready(&[
        (Request, statement("select 1")),
        (Request, [statement("selec"), statement("select 2"), sync()].concat()),
        (Response, [done(), error("42601")].concat()),
        (Response, ready(b'I')),
        (Request, [statement("select 3"), sync()].concat()),
        (Response, [done(), ready(b'I')].concat()),
    ]);
    let ended: Vec<_> = facts.iter().filter(|fact| fact.contains("ended") || fact.contains("answer")).collect();
    assert_eq!(
        ended,
        [
            "0 answer @4",
            "0 ended 46 @4",
            "1 answer @4",
            "1 ended 70 42601 @4",
            "2 answer @5",
            "2 ended 6 42601 @5",
            "3 answer @7",
            "3 ended 52 @7",
        ]
    );
}

#[test]
fn a_portal_that_is_executed_again_does_what_its_statement_does() {
    let facts = told(&[
        (Request, [parse("", "select 1"), bind("c", ""), describe("Pc"), execute("c"), sync()].concat()),
        (Response, [parsed(), bound(), described(), row(1), message(b's', b""), ready(b'T')].concat()),
        (Request, [execute("c"), sync()].concat()),
        (Response, [row(1), message(b's', b""), ready(b'T')].concat()),
        (Request, [execute("c"), close("Pc"), sync()].concat()),
        (Response, [complete(), message(b'3', b""), ready(b'T')].concat()),
    ]);
    assert_eq!((&*facts[1], &*facts[5], &*facts[9]), ("0 SELECT @2", "1 SELECT @4", "2 SELECT @6"));
    assert_eq!(facts.len(), 12);
}

#[test]
fn a_sync_alone_is_a_query_or_belongs_to_what_was_flushed() {
    let facts = told(&[(Request, sync()), (Response, ready(b'I'))]);
    assert_eq!(facts, ["0 started @2", "0 query @2", "0 answer @3", "0 ended @3"]);
    let facts = told(&[
        (Request, [statement("select 1"), flush()].concat()),
        (Request, sync()),
        (Response, [done(), ready(b'I')].concat()),
    ]);
    assert_eq!(facts, ["0 started @2", "0 SELECT @2", "0 answer @4", "0 ended @4"]);
}

#[test]
fn beyond_the_limit_queries_are_one() {
    // With a `Sync` each, and with one for all.
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let tell = &mut |fact| facts.push(fact);
    connection.feed(Request, Chunk::whole(0, &startup()), tell);
    connection.feed(Response, Chunk::whole(0, &welcome()), tell);
    for _ in 0..300 {
        connection.feed(Request, Chunk::whole(1, &query("select 1")), tell);
    }
    for _ in 0..300 {
        connection.feed(Response, Chunk::whole(2, &[complete(), ready(b'I')].concat()), tell);
    }
    for _ in 0..300 {
        connection.feed(Request, Chunk::whole(3, &statement("select 1")), tell);
    }
    connection.feed(Request, Chunk::whole(3, &sync()), tell);
    for _ in 0..300 {
        connection.feed(Response, Chunk::whole(4, &done()), tell);
    }
    connection.feed(Response, Chunk::whole(5, &ready(b'I')), tell);
    let ended = |fact: &&Fact| matches!(fact, Fact::AnswerEnded { .. });
    assert_eq!(facts.iter().filter(ended).count(), 2 * 256);
    assert!(connection.queries.is_empty());
    let Some(Fact::AnswerEnded { query: 511, at: 5, .. }) = facts.last() else { panic!("{:?}", facts.last()) };
}
