//! PostgreSQL: how connections are set up, and queries.

use super::*;
use crate::model::{ConnectionState, FailedBy, Outcome};

const DB: (&str, u16) = ("10.1.1.1", 5432);

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn encrypt() -> Vec<u8> {
    vec![0, 0, 0, 8, 4, 210, 22, 47]
}

fn startup() -> Vec<u8> {
    b"\0\0\0\x17\0\x03\0\0user\0secret\0\0\0\0".to_vec()
}

fn welcome() -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'K', &[0, 0, 0x10, 0x92, 1, 2, 3, 4]), ready()].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn query(statement: &str) -> Vec<u8> {
    message(b'Q', &[statement.as_bytes(), b"\0"].concat())
}

fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x01x")
}

fn done() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), ready()].concat()
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0C{code}\0Msecret\0\0").as_bytes())
}

/// A connection that is set up from 0 to 5 ms.
fn connected() -> Script {
    let mut script = Script::new();
    script.connect(1, DB, 0.0, 1.0);
    script.exchange(1, 1.0, 2.0, &encrypt(), b"N");
    script.exchange(1, 2.0, 5.0, &startup(), &welcome());
    script
}

fn verdict(span: &Span) -> (Option<Outcome>, Option<FailedBy>, Option<&str>) {
    (call(span).outcome, call(span).failed_by, call(span).error_type.as_deref())
}

#[test]
fn each_query_is_a_hop_and_the_first_has_the_set_up() {
    let mut script = connected();
    script.exchange(1, 5.0, 6.0, &query("begin"), &[message(b'C', b"BEGIN\0"), message(b'Z', b"T")].concat());
    script.write(1, 10.0, &query("select pg_sleep(1)"));
    script.read(1, 110.0, &row());
    script.read(1, 120.0, &done());
    script.write(1, 130.0, &message(b'X', b""));
    script.close(1, 130.1);
    let out = script.finish(200.0);
    let hops = &out.spans;
    assert_eq!(hops.len(), 2);
    assert_eq!(phases(&hops[0]), [(Phase::Connect, 5), (Phase::Wait, 1)]);
    assert_eq!(phases(&hops[1]), [(Phase::Wait, 100), (Phase::Stream, 10)]);
    assert_eq!((&*hops[0].operation, &*hops[1].operation), ("BEGIN", "SELECT"));
    assert_eq!((hops[1].kind, hops[1].dependency.as_deref()), (Some(Kind::Http), Some("10.1.1.1")));
    let call = call(&hops[1]);
    assert_eq!((call.outcome, call.failed_by, call.stream, call.status), (Some(Outcome::Ok), None, None, None));
    assert_eq!((call.bytes.sent, call.bytes.received), (24, (row().len() + done().len()) as u64));
    assert_eq!((call.client.connection, call.attempts[0].idle), (Some(ConnectionState::Reused), Some(4 * MS)));
    assert!(!hops[1].inferred && !call.opaque);
    assert_eq!((out.connections[0].calls, out.connections[0].setup), (2, 5 * MS));
}

#[test]
fn queries_inside_tls_are_read_as_well() {
    let mut script = Script::new();
    script.connect(1, DB, 0.0, 1.0);
    script.exchange(1, 1.0, 2.0, &encrypt(), b"S");
    script.record(Event::TlsStart, 2.0, 2.0, |record| (record.aux, record.conn) = (9, 1), &[]);
    script.record(Event::TlsEnd, 2.0, 12.0, |record| (record.aux, record.conn, record.rc) = (9, 1, 1), &[]);
    script.flags = flag::PLAINTEXT;
    script.exchange(1, 12.0, 15.0, &startup(), &welcome());
    script.exchange(1, 15.0, 25.0, &query("select 1"), &done());
    let hop = script.hop(100.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 2), (Phase::Tls, 10), (Phase::Connect, 3), (Phase::Wait, 10)]);
    assert_eq!((&*hop.operation, call(&hop).outcome), ("SELECT", Some(Outcome::Ok)));
}

#[test]
fn tls_linked_into_the_program_may_follow_the_question_for_it() {
    let mut script = Script::new();
    script.connect(1, DB, 0.0, 1.0);
    script.exchange(1, 1.0, 2.0, &encrypt(), b"S");
    script.write(1, 2.0, &[22, 3, 1, 0, 4, 1, 0, 0, 0]);
    script.read(1, 12.0, &[22, 3, 3, 0, 1, 2]);
    script.write(1, 12.0, &[23, 3, 3, 0, 1, 0]);
    script.write(1, 13.0, &[23, 3, 3, 0, 1, 0]);
    script.read(1, 200.0, &[23, 3, 3, 0, 1, 0]);
    let hop = script.hop(300.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 2), (Phase::Tls, 10), (Phase::Send, 1), (Phase::Wait, 187)]);
    assert_eq!((&*hop.operation, hop.dependency.as_deref()), ("tls", Some("10.1.1.1")));
}

#[test]
fn queries_that_are_sent_together_are_hops_one_after_the_other() {
    let mut script = connected();
    script.write(1, 10.0, &[query("select 1"), query("update t")].concat());
    script.read(1, 60.0, &done());
    script.read(1, 160.0, &done());
    let hops = script.hops(200.0);
    assert_eq!(hops.len(), 2);
    assert_eq!(phases(&hops[0])[2..], [(Phase::Wait, 50)]);
    assert_eq!((hops[1].start, phases(&hops[1])), (60 * MS, vec![(Phase::Wait, 100)]));
}

#[test]
fn a_pool_of_connections_that_nobody_asks_is_no_hop() {
    let mut script = Script::new();
    for conn in 1..=5 {
        script.connect(conn, DB, 0.0, 1.0);
        script.exchange(conn, 1.0, 4.0, &startup(), &welcome());
    }
    script.exchange(3, 5_000.0, 5_010.0, &query("select 1"), &done());
    let out = script.finish(6_000.0);
    assert_eq!(out.spans.len(), 1);
    assert_eq!(phases(&out.spans[0]), [(Phase::Wait, 10)]);
    assert_eq!(out.connections.len(), 5);
}

#[test]
fn too_many_connections_are_shed() {
    let mut script = Script::new();
    script.connect(1, DB, 0.0, 1.0);
    script.exchange(1, 1.0, 4.0, &startup(), &error("53300"));
    script.close(1, 4.1);
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Shed), Some(FailedBy::Peer), Some("53300")));
    assert_eq!((phases(&hop), &*hop.operation), (vec![(Phase::Connect, 4)], "connect"));
}

#[test]
fn whoever_is_not_let_in_has_an_error() {
    let mut script = Script::new();
    script.connect(1, DB, 0.0, 1.0);
    script.exchange(1, 1.0, 2.0, &startup(), &message(b'R', &[0, 0, 0, 3]));
    script.exchange(1, 2.0, 4.0, &message(b'p', b"secret\0"), &error("28P01"));
    script.read_failed(1, 4.1, 0);
    script.close(1, 4.2);
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Error), Some(FailedBy::Peer), Some("28P01")));
    assert_eq!(phases(&hop), [(Phase::Connect, 4)]);
}

#[test]
fn a_server_that_closes_instead_of_letting_in_reset_the_connection() {
    let mut script = Script::new();
    script.connect(1, DB, 0.0, 1.0);
    script.write(1, 1.0, &startup());
    script.read_failed(1, 31.0, 0);
    script.close(1, 31.1);
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Reset), Some(FailedBy::Peer), None));
    assert_eq!(phases(&hop), [(Phase::Connect, 31)]);
}

#[test]
fn a_caller_that_is_not_let_in_for_long_timed_out() {
    let mut script = Script::new();
    script.connect(1, DB, 0.0, 1.0);
    script.write(1, 1.0, &startup());
    let open = script.open(400.0);
    assert_eq!((open.len(), phases(&open[0])), (1, vec![(Phase::Connect, 400)]));
    script.close(1, 501.0);
    let hop = script.hop(600.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Timeout), Some(FailedBy::Caller), None));
    assert_eq!((phases(&hop), call(&hop).gave_up_after), (vec![(Phase::Connect, 501)], Some(500 * MS)));
}

#[test]
fn a_query_that_fails_has_the_code_of_its_error() {
    let mut script = connected();
    script.exchange(1, 10.0, 20.0, &query("selec"), &[error("42601"), ready()].concat());
    assert_eq!(verdict(&script.hop(100.0)), (Some(Outcome::Error), Some(FailedBy::Peer), Some("42601")));
}

#[test]
fn a_server_that_goes_away_in_a_query_says_why() {
    let mut script = connected();
    script.exchange(1, 10.0, 20.0, &query("select 1"), &error("57P01"));
    script.read_failed(1, 20.1, 0);
    script.close(1, 30.0);
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Error), Some(FailedBy::Peer), Some("57P01")));
    // Or does not.
    let mut script = connected();
    script.write(1, 10.0, &query("select 1"));
    script.read_failed(1, 20.0, libc::ECONNRESET);
    script.close(1, 30.0);
    assert_eq!(verdict(&script.hop(100.0)), (Some(Outcome::Reset), Some(FailedBy::Peer), None));
}

fn cancel(script: &mut Script, at: f64) {
    script.connect(2, DB, at, at + 1.0);
    let mut bytes = vec![0, 0, 0, 16, 4, 210, 22, 46];
    bytes.extend_from_slice(&[0, 0, 0x10, 0x92, 1, 2, 3, 4]);
    script.write(2, at + 1.0, &bytes);
    script.read_failed(2, at + 2.0, 0);
    script.close(2, at + 2.1);
}

#[test]
fn a_query_that_its_caller_stops_is_the_callers_timeout() {
    let mut script = connected();
    script.write(1, 10.0, &query("select pg_sleep(9)"));
    cancel(&mut script, 509.0);
    script.read(1, 515.0, &[error("57014"), ready()].concat());
    let hop = script.hop(600.0);
    assert_eq!(verdict(&hop).0, Some(Outcome::Timeout));
    assert_eq!((call(&hop).failed_by, call(&hop).gave_up_after), (Some(FailedBy::Caller), Some(500 * MS)));
    assert_eq!(ms(&hop, Phase::Wait), Some(505.0));
}

#[test]
fn a_query_that_the_server_stops_is_the_servers_error() {
    let mut script = connected();
    script.exchange(1, 10.0, 210.0, &query("select pg_sleep(9)"), &[error("57014"), ready()].concat());
    assert_eq!(verdict(&script.hop(600.0)), (Some(Outcome::Error), Some(FailedBy::Peer), Some("57014")));
}

#[test]
fn a_query_whose_caller_closes_is_its_timeout() {
    let mut script = connected();
    script.write(1, 10.0, &query("select pg_sleep(9)"));
    assert_eq!(phases(&script.open(300.0)[0]).last(), Some(&(Phase::Wait, 290)));
    script.close(1, 510.0);
    assert_eq!(verdict(&script.hop(600.0)), (Some(Outcome::Timeout), Some(FailedBy::Caller), None));
}

#[test]
fn a_refused_connect_that_is_tried_again_is_the_same_hop() {
    let mut script = Script::new();
    script.connect_start(1, DB, 0.0);
    script.connect_end(1, libc::ECONNREFUSED, 0.0, 1.0);
    script.close(1, 1.0);
    script.block(Call::Sleep, 1.0, 201.0);
    script.connect(2, DB, 201.0, 202.0);
    script.exchange(2, 202.0, 205.0, &startup(), &welcome());
    script.exchange(2, 205.0, 206.0, &query("select 1"), &done());
    script.exchange(2, 207.0, 208.0, &query("select 1"), &done());
    let hops = script.hops(300.0);
    assert_eq!(hops.len(), 2);
    assert_eq!((call(&hops[0]).attempts.len(), call(&hops[1]).attempts.len()), (2, 1));
    assert_eq!(phases(&hops[0]), [(Phase::Connect, 1), (Phase::Backoff, 200), (Phase::Connect, 4), (Phase::Wait, 1)]);
}

#[test]
fn a_local_socket_is_a_call_where_it_speaks_postgres() {
    let mut script = Script::new();
    script.flags = flag::UNIX;
    script.connect(1, ("0.0.0.0", 0), 0.0, 0.1);
    script.exchange(1, 1.0, 2.0, &startup(), &welcome());
    script.exchange(1, 2.0, 9.0, &query("select 1"), &done());
    let hop = script.hop(10.0);
    assert_eq!((hop.dependency.as_deref(), &*hop.operation), (Some("unix"), "SELECT"));
}

#[test]
fn a_database_that_is_named_has_its_kind() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 4.0, &startup(), &welcome());
    script.exchange(1, 5.0, 105.0, &query("select 1 order by embedding <-> $1"), &done());
    let hop = script.hop(200.0);
    assert_eq!((hop.kind, hop.dependency.as_deref(), &*hop.operation), (Some(Kind::Retrieval), Some("docs"), "SELECT"));
}
