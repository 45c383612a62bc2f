use super::*;
use crate::model::{FailedBy, Outcome};

fn verdict(span: &Span) -> (Option<Outcome>, Option<FailedBy>) {
    (call(span).outcome, call(span).failed_by)
}

#[test]
fn a_name_that_does_not_resolve_is_a_hop_of_that_name() {
    let mut script = Script::new();
    script.resolve("nowhere.invalid", &[], 0.0, 20.0);
    script.resolve("nowhere.invalid", &[], 20.1, 30.0);
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Dns), Some(FailedBy::Peer)));
    assert_eq!(phases(&hop), [(Phase::Dns, 30)]);
    assert_eq!(hop.dependency.as_deref(), Some("nowhere.invalid"));
}

#[test]
fn a_second_look_up_that_succeeds_leaves_no_failure() {
    let mut script = Script::new();
    script.resolve("docs.internal", &[], 0.0, 2.0);
    script.resolve("docs.internal", &["127.0.0.1"], 2.1, 4.0);
    script.connect(1, DOCS, 4.0, 5.0);
    script.exchange(1, 5.0, 9.0, &get("/"), &answer(200, ""));
    assert_eq!(verdict(&script.hop(100.0)).0, Some(Outcome::Ok));
}

#[test]
fn a_refused_connect_has_its_error_number() {
    let mut script = Script::new();
    script.connect_start(1, DOCS, 0.0);
    script.connect_end(1, libc::ECONNREFUSED, 0.0, 1.0);
    script.close(1, 1.1);
    let out = script.finish(100.0);
    let hop = &out.spans[0];
    assert_eq!(verdict(hop), (Some(Outcome::Connect), Some(FailedBy::Peer)));
    assert_eq!(call(hop).errno, Some(libc::ECONNREFUSED));
    assert_eq!(hop.dependency.as_deref(), Some("docs"));
    assert_eq!(out.connections[0].failed, Some(Outcome::Connect));
}

#[test]
fn the_next_address_of_the_same_look_up_belongs_to_the_same_hop() {
    let mut script = Script::new();
    script.resolve("localhost", &["::1", "127.0.0.1"], 0.0, 1.0);
    script.connect_start(1, ("::1", 40001), 1.0);
    script.connect_end(1, libc::ECONNREFUSED, 1.0, 3.0);
    script.close(1, 3.0);
    script.connect(2, DOCS, 3.5, 4.0);
    script.exchange(2, 4.0, 14.0, &get("/"), &answer(200, ""));
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Ok), None));
    assert_eq!(phases(&hop), [(Phase::Dns, 1), (Phase::Connect, 3), (Phase::Wait, 10)]);
}

#[test]
fn of_two_addresses_tried_at_once_the_slower_is_no_failure() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    script.resolve("docs.internal", &["::1", "127.0.0.1"], 0.0, 1.0);
    script.connect_start(1, ("::1", 40001), 1.0);
    script.connect_start(2, DOCS, 251.0);
    script.connect_end(2, 0, 251.0, 252.0);
    script.record(Event::Close, 252.5, 252.5, |record| (record.conn, record.flags) = (1, flag::CONNECTING), &[]);
    script.exchange(2, 253.0, 263.0, &get("/"), &answer(200, ""));
    assert_eq!(verdict(&script.hop(300.0)).0, Some(Outcome::Ok));
}

#[test]
fn fifty_connects_to_both_addresses_of_their_own_look_ups_are_fifty_hops() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    for index in 0..50 {
        script.tid = 20 + index % 4;
        script.resolve("localhost", &["::1", "127.0.0.1"], 0.0, 1.0 + f64::from(index) / 100.0);
    }
    script.tid = 7;
    for conn in 1..=50 {
        script.connect_start(conn, ("::1", 40001), 2.0);
        script.connect_end(conn, libc::ECONNREFUSED, 2.0, 3.0);
    }
    for conn in 51..=100 {
        script.connect(conn, DOCS, 3.0, 4.0);
        script.write(conn, 4.0, &get("/"));
    }
    for conn in 51..=100 {
        script.read(conn, 5.0, &answer(200, ""));
    }
    let hops = script.hops(100.0);
    assert_eq!(hops.len(), 50);
    assert!(hops.iter().all(|hop| call(hop).outcome == Some(Outcome::Ok) && ms(hop, Phase::Dns).is_some()));
}

#[test]
fn a_connect_that_was_never_answered_is_the_callers_timeout() {
    let mut script = Script::new();
    script.connect_start(1, ("10.255.255.1", 80), 0.0);
    script.record(Event::Close, 300.0, 300.0, |record| (record.conn, record.flags) = (1, flag::CONNECTING), &[]);
    let hop = script.hop(400.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!(phases(&hop), [(Phase::Connect, 300)]);
    assert_eq!(call(&hop).gave_up_after, Some(300 * MS));
    assert_eq!(hop.dependency.as_deref(), Some("10.255.255.1"));
}

#[test]
fn a_connect_that_the_system_gave_up_is_the_peers() {
    let mut script = Script::new();
    script.connect_start(1, ("10.255.255.1", 80), 0.0);
    script.connect_end(1, libc::ETIMEDOUT, 0.0, 900.0);
    assert_eq!(verdict(&script.hop(1000.0)), (Some(Outcome::Connect), Some(FailedBy::Peer)));
}

#[test]
fn a_failed_handshake_is_the_peers() {
    let mut script = Script::new();
    script.connect(1, ("10.0.0.1", 443), 0.0, 1.0);
    script.record(Event::TlsStart, 1.0, 1.0, |record| (record.aux, record.conn) = (9, 1), &[]);
    script.record(Event::TlsEnd, 1.0, 21.0, |record| (record.aux, record.conn, record.rc) = (9, 1, -1), &[]);
    script.close(1, 22.0);
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Tls), Some(FailedBy::Peer)));
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Tls, 20)]);
}

#[test]
fn a_handshake_that_stalls_until_the_caller_leaves_is_its_timeout() {
    let mut script = Script::new();
    script.connect(1, ("10.0.0.1", 443), 0.0, 1.0);
    script.record(Event::TlsStart, 1.0, 1.0, |record| (record.aux, record.conn) = (9, 1), &[]);
    script.record(Event::TlsFree, 500.0, 500.0, |record| record.aux = 9, &[]);
    script.close(1, 501.0);
    let hop = script.hop(600.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Tls, 500)]);
}

#[test]
fn a_caller_that_leaves_while_nothing_moves_timed_out() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &post("/v1/chat/completions", Some(0), "{}"));
    script.close(1, 501.0);
    let hop = script.hop(600.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!(call(&hop).gave_up_after, Some(500 * MS));
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Wait, 500)]);
}

fn stream(script: &mut Script, pieces: u32, gap: f64) -> f64 {
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/stream"));
    script.read(1, 11.0, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut at = 11.0;
    for _ in 0..pieces {
        at += gap;
        script.read(1, at, b"9\r\ndata: x\n\n\r\n");
    }
    at
}

#[test]
fn a_caller_that_leaves_a_moving_stream_cancelled_it() {
    let mut script = Script::new();
    let last = stream(&mut script, 10, 30.0);
    script.close(1, last + 10.0);
    assert_eq!(verdict(&script.hop(1000.0)), (Some(Outcome::Cancelled), Some(FailedBy::Caller)));
}

#[test]
fn a_caller_that_leaves_a_stream_that_stalled_timed_out() {
    let mut script = Script::new();
    let last = stream(&mut script, 10, 30.0);
    script.close(1, last + 2000.0);
    let hop = script.hop(5000.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!(call(&hop).gave_up_after, Some(2000 * MS));
    assert_eq!(call(&hop).timeline.last_phase(), Some(Phase::Stream));
}

#[test]
fn a_caller_that_leaves_a_stream_that_said_it_is_done_got_all_of_it() {
    let mut script = Script::new();
    let last = stream(&mut script, 10, 30.0);
    script.read(1, last + 5.0, b"e\r\ndata: [DONE]\n\n\r\n");
    script.close(1, last + 10.0);
    let hop = script.hop(1000.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Ok), None));
    assert_eq!(hop.end, Some((last * 1e6) as u64 + 5 * MS));
}

#[test]
fn what_a_stream_said_before_its_caller_left_is_known() {
    let mut script = Script::new();
    let last = stream(&mut script, 10, 30.0);
    script.read(
        1,
        last + 30.0,
        b"49\r\ndata: {\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10},\"model\":\"m\"}\n\n\r\n",
    );
    script.close(1, last + 40.0);
    let hop = script.hop(1000.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Cancelled), Some(FailedBy::Caller)));
    assert_eq!((call(&hop).tokens.input, call(&hop).tokens.output), (Some(20), Some(10)));
}

#[test]
fn a_peer_that_closes_before_an_answer_reset_the_call() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/"));
    script.read_failed(1, 31.0, 0);
    script.close(1, 31.1);
    let hop = script.hop(100.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Reset), Some(FailedBy::Peer)));
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Wait, 30)]);
}

#[test]
fn a_reset_in_mid_stream_is_the_peers() {
    let mut script = Script::new();
    let last = stream(&mut script, 3, 30.0);
    script.read_failed(1, last + 20.0, libc::ECONNRESET);
    script.close(1, last + 20.0);
    let hop = script.hop(1000.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Reset), Some(FailedBy::Peer)));
    assert_eq!(call(&hop).errno, Some(libc::ECONNRESET));
}

#[test]
fn an_answer_that_is_cut_by_an_orderly_close_is_a_broken_body() {
    let mut script = Script::new();
    let last = stream(&mut script, 3, 30.0);
    script.read_failed(1, last + 20.0, 0);
    script.close(1, last + 20.0);
    assert_eq!(verdict(&script.hop(1000.0)), (Some(Outcome::Body), Some(FailedBy::Peer)));
}

#[test]
fn an_answer_without_length_ends_well_with_the_connection() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/"));
    script.read(1, 11.0, b"HTTP/1.0 200 OK\r\n\r\nhello");
    script.read_failed(1, 31.0, 0);
    script.close(1, 31.1);
    assert_eq!(verdict(&script.hop(100.0)), (Some(Outcome::Ok), None));
}

#[test]
fn what_a_process_leaves_unfinished_at_its_exit_is_its_own_doing() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/"));
    script.exit(2001.0);
    let hop = script.hop(3000.0);
    assert_eq!(verdict(&hop), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!(call(&hop).gave_up_after, Some(2000 * MS));
}

#[test]
fn what_was_under_way_when_a_process_was_killed_stays_open() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/"));
    script.connect_start(2, DOCS, 100.0);
    script.ended(2001.0, Ending::Killed);
    let hops = script.hops(3000.0);
    assert_eq!(hops.len(), 2);
    assert!(hops.iter().all(|hop| hop.is_open() && call(hop).outcome.is_none()));
    assert_eq!(phases(&hops[0]), [(Phase::Connect, 1), (Phase::Wait, 2000)]);
    assert_eq!(phases(&hops[1]), [(Phase::Connect, 1901)]);
}

#[test]
fn each_phase_can_be_seen_while_it_lasts() {
    let mut script = Script::new();
    script.record(Event::ResolveStart, 0.0, 0.0, |_| {}, b"docs.internal");
    assert_eq!(phases(&script.open(5.0)[0]), [(Phase::Dns, 5)]);
    script.record(Event::ResolveEnd, 0.0, 5.0, |record| record.aux = 1, &[&mapped("127.0.0.1")[..], b"docs.internal"].concat());
    assert!(script.open(5.0).is_empty());
    script.connect_start(1, DOCS, 5.0);
    assert_eq!(phases(&script.open(8.0)[0]), [(Phase::Dns, 5), (Phase::Connect, 3)]);
    script.connect_end(1, 0, 5.0, 10.0);
    assert!(script.open(11.0).is_empty());
    script.write(1, 10.0, &get("/"));
    let open = script.open(40.0);
    assert_eq!(phases(&open[0]), [(Phase::Dns, 5), (Phase::Connect, 5), (Phase::Wait, 30)]);
    assert_eq!((open[0].end, open[0].dependency.as_deref()), (None, Some("docs")));
    script.read(1, 50.0, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab");
    assert_eq!(phases(&script.open(60.0)[0]).last(), Some(&(Phase::Stream, 10)));
    script.read(1, 70.0, b"1234567");
    assert!(script.open(80.0).is_empty());
}
