use super::Direction::{Request, Response};
use super::*;

mod extended;
mod gaps;
mod properties;

/// Feeds whole calls; the time of each is its index.
fn read(calls: &[(Direction, Vec<u8>)]) -> Vec<String> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (at, (direction, bytes)) in calls.iter().enumerate() {
        connection.feed(*direction, Chunk::whole(at as u64, bytes), &mut |fact| facts.push(fact));
    }
    brief(&facts)
}

/// The facts in short, for comparisons.
fn brief(facts: &[Fact]) -> Vec<String> {
    facts.iter().map(brief_one).collect()
}

fn brief_one(fact: &Fact) -> String {
    let failed = |error: &Option<SqlState>| error.map_or(String::new(), |error| format!(" {error}"));
    match fact {
        Fact::EncryptionAsked { at } => format!("encrypt? @{at}"),
        Fact::Encrypted { at } => format!("encrypted @{at}"),
        Fact::EncryptionRefused { at } => format!("not encrypted @{at}"),
        Fact::Startup { at } => format!("startup @{at}"),
        Fact::Authenticated { at } => format!("authenticated @{at}"),
        Fact::Ready { at, backend } => format!("ready {backend:?} @{at}"),
        Fact::Error { at, error } => format!("error {error} @{at}"),
        Fact::CancelAsked { at, backend } => format!("cancel {backend} @{at}"),
        Fact::QueryStarted { query, at } => format!("{query} started @{at}"),
        Fact::QuerySent { query, at, bytes, operation } => format!("{query} {operation} {bytes} @{at}"),
        Fact::AnswerStarted { query, at } => format!("{query} answer @{at}"),
        Fact::AnswerEnded { query, at, bytes, error } => format!("{query} ended {bytes}{} @{at}", failed(error)),
        Fact::Terminated { at } => format!("terminated @{at}"),
        Fact::NotPostgres { direction, at } => format!("not PostgreSQL {direction:?} @{at}"),
    }
}

/// A message of this kind.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// A message without a kind.
fn greeting(code: u32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

fn startup() -> Vec<u8> {
    greeting(3 << 16, b"user\0agent\0database\0orders\0options\0-c x=secret\0\0")
}

fn encrypt() -> Vec<u8> {
    greeting(80_877_103, b"")
}

/// What the server says when it lets a client in.
fn welcome() -> Vec<u8> {
    [
        message(b'R', &[0, 0, 0, 0]),
        message(b'S', b"server_version\x0016.2\0"),
        message(b'K', &[0, 0, 0x10, 0x92, 1, 2, 3, 4]),
        ready(b'I'),
    ]
    .concat()
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn query(statement: &str) -> Vec<u8> {
    message(b'Q', &[statement.as_bytes(), b"\0"].concat())
}

fn row(bytes: usize) -> Vec<u8> {
    message(b'D', &[&[0, 1][..], &(bytes as u32).to_be_bytes(), &vec![b'x'; bytes]].concat())
}

fn complete() -> Vec<u8> {
    message(b'C', b"SELECT 1\0")
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mrelation \"secret\" does not exist\0Fparse.c\0\0").as_bytes())
}

/// A connection that is set up, and calls after it. The first has the time 2.
fn once_ready(calls: &[(Direction, Vec<u8>)]) -> Vec<String> {
    let facts = read(&[&[(Request, startup()), (Response, welcome())], calls].concat());
    assert_eq!(facts[..3], ["startup @0", "authenticated @1", "ready Some(4242) @1"]);
    facts[3..].to_vec()
}

#[test]
fn a_simple_query_is_told_with_its_times_and_its_word() {
    let facts = once_ready(&[
        (Request, query("select secret from orders")),
        (Response, [message(b'T', &[0, 0]), row(3)].concat()),
        (Response, [row(3), complete()].concat()),
        (Response, ready(b'I')),
        (Request, message(b'X', b"")),
    ]);
    assert_eq!(facts, ["0 started @2", "0 SELECT 31 @2", "0 answer @3", "0 ended 55 @5", "terminated @6"]);
}

#[test]
fn a_query_of_several_statements_ends_when_the_server_is_ready() {
    let answer = [message(b'C', b"BEGIN\0"), complete(), message(b'I', b"")].concat();
    let facts = once_ready(&[(Request, query("BEGIN; SELECT 1; ;")), (Response, answer), (Response, ready(b'T'))]);
    assert_eq!(facts[1..], ["0 BEGIN 24 @2", "0 answer @3", "0 ended 36 @4"]);
}

#[test]
fn whether_it_is_encrypted_is_settled_first() {
    let facts = read(&[
        (Request, greeting(80_877_104, b"")),
        (Response, b"N".to_vec()),
        (Request, encrypt()),
        (Response, b"N".to_vec()),
        (Request, startup()),
        (Response, welcome()),
    ]);
    assert_eq!(facts[..5], ["encrypt? @0", "not encrypted @1", "encrypt? @2", "not encrypted @3", "startup @4"]);
    let hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252];
    assert_eq!(read(&[(Request, encrypt()), (Response, b"S".to_vec()), (Request, hello)]), ["encrypt? @0", "encrypted @1"]);
    let mut connection = Connection::new();
    connection.feed(Request, Chunk::whole(0, &encrypt()), &mut |_| {});
    connection.feed(Response, Chunk::whole(1, b"S"), &mut |_| {});
    assert!(connection.is_encrypted() && connection.is_postgres() == Some(true) && !connection.is_ready());
    // An old server, or one that has no room even for the question.
    let facts = read(&[(Request, encrypt()), (Response, error("53300"))]);
    assert_eq!(facts, ["encrypt? @0", "error 53300 @1"]);
}

#[test]
fn a_password_is_stepped_over() {
    let facts = read(&[
        (Request, startup()),
        (Response, message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")),
        (Request, message(b'p', b"SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=secret")),
        (Response, message(b'R', b"\0\0\0\x0br=secret")),
        (Request, message(b'p', b"c=biws,r=secret")),
        (Response, [message(b'R', b"\0\0\0\x0cv=secret"), welcome()].concat()),
    ]);
    assert_eq!(facts, ["startup @0", "authenticated @5", "ready Some(4242) @5"]);
}

#[test]
fn a_server_that_lets_nobody_in_says_why_in_five_letters() {
    assert_eq!(read(&[(Request, startup()), (Response, error("53300"))]), ["startup @0", "error 53300 @1"]);
    assert_eq!(SqlState::new(*b"53300"), SqlState::TOO_MANY_CONNECTIONS);
    let facts = read(&[
        (Request, startup()),
        (Response, message(b'R', &[0, 0, 0, 3])),
        (Request, message(b'p', b"x\0")),
        (Response, error("28P01")),
    ]);
    assert_eq!(facts, ["startup @0", "error 28P01 @3"]);
    // What is no code is none.
    assert_eq!(read(&[(Request, startup()), (Response, error("secret"))]), ["startup @0", "error _OTHER @1"]);
    assert_eq!(read(&[(Request, startup()), (Response, error("ab\u{e9}1"))]), ["startup @0", "error _OTHER @1"]);
}

#[test]
fn a_query_that_fails_says_why_in_five_letters() {
    let facts = once_ready(&[(Request, query("selec 1")), (Response, [error("42601"), ready(b'I')].concat())]);
    assert_eq!(facts[1..], ["0 query 13 @2", "0 answer @3", "0 ended 76 42601 @3"]);
    // What it is ready after is not waited for.
    let facts = once_ready(&[(Request, query("selec 1")), (Response, error("42601")), (Response, ready(b'I'))]);
    assert_eq!(facts[1..], ["0 query 13 @2", "0 answer @3", "0 ended 76 42601 @3"]);
}

#[test]
fn a_server_that_goes_away_says_why() {
    // While nothing is asked.
    let facts = once_ready(&[(Response, error("57P01"))]);
    assert_eq!(facts, ["error 57P01 @2"]);
    // In the middle of a query: nothing follows but the end of the connection.
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let tell = &mut |fact| facts.push(fact);
    connection.feed(Request, Chunk::whole(0, &startup()), tell);
    connection.feed(Response, Chunk::whole(1, &welcome()), tell);
    connection.feed(Request, Chunk::whole(2, &query("select 1")), tell);
    connection.feed(Response, Chunk::whole(3, &error("57P01")), tell);
    connection.end(Response, tell);
    connection.end(Response, tell);
    assert_eq!(brief(&facts)[4..], ["0 SELECT 14 @2", "0 answer @3", "0 ended 70 57P01 @3"]);
}

#[test]
fn a_query_without_an_answer_does_not_end_with_the_connection() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let tell = &mut |fact| facts.push(fact);
    connection.feed(Request, Chunk::whole(0, &startup()), tell);
    connection.feed(Response, Chunk::whole(1, &welcome()), tell);
    connection.feed(Request, Chunk::whole(2, &query("select 1")), tell);
    connection.end(Response, tell);
    assert_eq!(brief(&facts)[3..], ["0 started @2", "0 SELECT 14 @2"]);
}

#[test]
fn what_comes_unasked_is_no_answer() {
    let unasked =
        [message(b'N', b"SNOTICE\0\0"), message(b'A', b"\0\0\0\x01jobs\0\0"), message(b'S', b"TimeZone\0UTC\0")].concat();
    let facts = once_ready(&[(Request, query("select 1")), (Response, unasked), (Response, [complete(), ready(b'I')].concat())]);
    assert_eq!(facts[2..], ["0 answer @4", "0 ended 20 @4"]);
}

#[test]
fn a_connection_that_cancels_asks_nothing_else() {
    let cancel = greeting(80_877_102, &[0, 0, 0x10, 0x92, 1, 2, 3, 4]);
    assert_eq!(read(&[(Request, cancel.clone()), (Request, query("select 1"))]), ["cancel 4242 @0"]);
    assert_eq!(read(&[(Request, encrypt()), (Response, b"N".to_vec()), (Request, cancel)])[2..], ["cancel 4242 @2"]);
}

#[test]
fn data_that_is_copied_in_is_sent_and_no_answer_asks_for_it() {
    let facts = once_ready(&[
        (Request, query("copy t from stdin")),
        (Response, message(b'G', &[0, 0, 0])),
        (Request, message(b'd', b"1\n")),
        (Request, [message(b'd', b"2\n"), message(b'c', b"")].concat()),
        (Response, [message(b'C', b"COPY 2\0"), ready(b'I')].concat()),
    ]);
    assert_eq!(facts, ["0 started @2", "0 COPY 23 @2", "0 answer @3", "0 COPY 42 @5", "0 answer @6", "0 ended 26 @6"]);
    // The server may refuse in the middle of it.
    let facts = once_ready(&[
        (Request, query("copy t from stdin")),
        (Response, message(b'G', &[0, 0, 0])),
        (Request, message(b'd', b"x\n")),
        (Response, [error("22P02"), ready(b'I')].concat()),
        (Request, [message(b'd', b"y\n"), message(b'c', b"")].concat()),
        (Request, query("select 1")),
    ]);
    assert_eq!(facts[3..], ["0 COPY 30 @4", "0 answer @5", "0 ended 84 22P02 @5", "1 started @7", "1 SELECT 14 @7"]);
}

#[test]
fn data_that_is_copied_out_is_an_answer() {
    let data = message(b'd', b"1\n");
    let facts = once_ready(&[
        (Request, query("copy t to stdout")),
        (Response, [message(b'H', &[0, 0, 0]), data.clone()].concat()),
        (Response, [data, message(b'c', b""), message(b'C', b"COPY 2\0"), ready(b'I')].concat()),
    ]);
    assert_eq!(facts[1..], ["0 COPY 22 @2", "0 answer @3", "0 ended 45 @4"]);
}

#[test]
fn a_function_called_is_a_query() {
    let call = message(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let facts = once_ready(&[(Request, call), (Response, [message(b'V', &[0, 0, 0, 0]), ready(b'I')].concat())]);
    assert_eq!(facts[1..], ["0 query 15 @2", "0 answer @3", "0 ended 15 @3"]);
}

#[test]
fn a_statement_is_called_by_its_first_keyword() {
    for (statement, operation) in [
        ("SELECT 1", "SELECT"),
        ("select\n1", "SELECT"),
        ("  \t\r\n insert into t", "INSERT"),
        ("BEGIN;", "BEGIN"),
        ("begin", "BEGIN"),
        ("START TRANSACTION", "BEGIN"),
        ("END", "COMMIT"),
        ("abort", "ROLLBACK"),
        ("table t", "SELECT"),
        ("(select 1) union (select 2)", "SELECT"),
        ("-- by the planner; delete\n update t", "UPDATE"),
        ("/* a /* nested */ 'comment' **/ delete from t", "DELETE"),
        ("/*/*/**/*/*/ with x as", "WITH"),
        ("/***/--\nSavepoint a", "SAVEPOINT"),
        ("; vacuum", "VACUUM"),
        ("", "query"),
        ("selects", "query"),
        ("select_1", "query"),
        ("selectselectselect", "query"),
        ("/* never ends", "query"),
        ("-", "query"),
        ("/x", "query"),
        ("$1", "query"),
        ("secret", "query"),
        ("s\u{e9}lect", "query"),
    ] {
        let mut scanner = operation::Scanner::default();
        scanner.feed(statement.as_bytes());
        assert_eq!(scanner.operation(), operation, "{statement:?}");
        let mut scanner = operation::Scanner::default();
        statement.as_bytes().iter().for_each(|&byte| scanner.feed(&[byte]));
        assert_eq!(scanner.operation(), operation, "{statement:?} in pieces");
    }
}

#[test]
fn other_protocols_are_told_apart_by_their_first_bytes() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[22, 3, 1, 2, 0, 1, 0, 1, 252],
        b"*1\r\n$4\r\nPING\r\n",
        // Of an older version, too long, too short.
        &greeting(2 << 16, b"x"),
        &[0, 0, 0x40, 0, 0, 3, 0, 0, 0],
        &[0, 0, 0, 7, 0, 3, 0, 0],
        &greeting(80_877_102, b"1234"),
    ] {
        assert_eq!(read(&[(Request, bytes.to_vec()), (Request, startup())]), ["not PostgreSQL Request @0"], "{bytes:?}");
    }
    assert_eq!(read(&[(Response, b"5.5.5-MariaDB".to_vec()), (Request, startup())]), ["not PostgreSQL Response @0"]);
    assert_eq!(read(&[(Request, startup()), (Response, b"HTTP/1.1 400".to_vec())]), ["startup @0", "not PostgreSQL Response @1"]);
    assert_eq!(read(&[(Request, encrypt()), (Response, b"H".to_vec())]), ["encrypt? @0", "not PostgreSQL Response @1"]);
    // Too few bytes to say.
    let mut connection = Connection::new();
    connection.feed(Request, Chunk::whole(0, &startup()[..6]), &mut |fact| panic!("{fact:?}"));
    assert_eq!(connection.is_postgres(), None);
}

#[test]
fn nothing_that_is_said_is_kept() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (direction, bytes) in [
        (Request, startup()),
        (Response, welcome()),
        (Request, query("select secret")),
        (Response, error("42P01")),
        (Response, ready(b'I')),
        (Request, message(b'P', b"secret\0select 'secret'\0\0\0")),
    ] {
        connection.feed(direction, Chunk::whole(0, &bytes), &mut |fact| facts.push(fact));
    }
    let shown = format!("{connection:?} {facts:?}");
    assert!(!shown.contains("secret") && !shown.contains("orders") && !shown.contains("115, 101, 99"), "{shown}");
}
