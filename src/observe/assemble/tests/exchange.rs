use super::*;
use crate::model::{ConnectionState, FailedBy, Outcome, StallCause};

#[test]
fn one_plain_exchange_is_one_hop_with_all_its_phases() {
    let mut script = Script::new();
    script.resolve("docs.internal", &["127.0.0.1"], 10.0, 14.0);
    script.connect(1, DOCS, 14.0, 16.0);
    script.write(1, 16.0, &get("/search?q=secret"));
    script.read(1, 116.0, &answer(200, "hello"));
    let hop = script.hop(500.0);
    assert_eq!(phases(&hop), [(Phase::Dns, 4), (Phase::Connect, 2), (Phase::Wait, 100)]);
    assert_eq!((hop.kind, hop.dependency.as_deref(), &*hop.operation), (Some(Kind::Retrieval), Some("docs"), "GET /search"));
    let call = call(&hop);
    assert_eq!((call.outcome, call.failed_by, call.status), (Some(Outcome::Ok), None, Some(200)));
    assert_eq!(call.client.connection, Some(ConnectionState::New));
    assert_eq!(call.address.as_deref(), Some("127.0.0.1:40001"));
    assert_eq!(call.bytes.received, answer(200, "hello").len() as u64);
    assert!(!call.internal && !hop.inferred);
}

#[test]
fn a_reused_connection_says_how_long_it_was_idle() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 10.0, &get("/a"), &answer(200, ""));
    script.exchange(1, 60.0, 70.0, &get("/b"), &answer(404, ""));
    let hops = script.hops(100.0);
    assert_eq!(hops.len(), 2);
    assert_eq!(phases(&hops[1]), [(Phase::Wait, 10)]);
    let call = call(&hops[1]);
    assert_eq!(call.client.connection, Some(ConnectionState::Reused));
    assert_eq!(call.attempts[0].idle, Some(50 * MS));
    assert_eq!((call.outcome, call.failed_by), (Some(Outcome::ClientError), Some(FailedBy::Peer)));
}

#[test]
fn a_look_up_in_another_thread_belongs_to_the_connect_that_uses_it() {
    let mut script = Script::new();
    script.tid = 8;
    script.resolve("docs.internal", &["127.0.0.1"], 0.0, 30.0);
    script.tid = 9;
    script.resolve("other.internal", &["10.0.0.9"], 0.0, 31.0);
    script.tid = 7;
    script.connect(1, DOCS, 32.0, 33.0);
    script.exchange(1, 33.0, 40.0, &get("/a"), &answer(200, ""));
    let hop = script.hop(100.0);
    assert_eq!(ms(&hop, Phase::Dns), Some(30.0));
    assert_eq!(ms(&hop, Phase::Own), Some(2.0));
}

#[test]
fn a_stream_of_events_has_a_first_token() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &post("/v1/chat/completions", Some(0), r#"{"model":"m","stream":true}"#));
    script.read(1, 101.0, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    let event = |text: &str| chunk(&format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"));
    script.read(1, 301.0, &event("a"));
    script.read(1, 341.0, &event("b"));
    script.read(1, 381.0, &chunk("data: [DONE]\n\n"));
    script.read(1, 382.0, b"0\r\n\r\n");
    let hop = script.hop(500.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Wait, 100), (Phase::FirstToken, 200), (Phase::Stream, 81)]);
    let call = call(&hop);
    assert_eq!((call.stream, call.model.as_deref()), (Some(true), Some("m")));
    assert_eq!(call.client.read_timeout, Some(500 * MS));
}

#[test]
fn an_answer_that_lay_unread_is_the_callers_time_with_its_cause() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/a"));
    script.read_late(1, 1001.0, &answer(200, "x"), 900);
    script.busy(2.0, 1001.5, Call::Sleep, 999);
    let out = script.finish(1100.0);
    let hop = &out.spans[0];
    assert_eq!(phases(hop), [(Phase::Connect, 1), (Phase::Wait, 100), (Phase::Stall, 900)]);
    assert_eq!(out.stalls.len(), 1);
    assert_eq!((out.stalls[0].cause, out.stalls[0].event_loop, out.stalls[0].pid), (StallCause::Sleep, true, 100));
}

#[test]
fn an_answer_that_came_late_is_the_peers_although_the_loop_was_blocked() {
    let mut script = Script::new();
    script.flags = flag::LOOP;
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/a"));
    script.read_late(1, 1501.0, &answer(200, "x"), 0);
    script.busy(2.0, 1000.0, Call::Sleep, 998);
    assert_eq!(phases(&script.hop(1600.0)), [(Phase::Connect, 1), (Phase::Wait, 1500)]);
}

#[test]
fn bytes_unread_in_mid_stream_are_the_callers_own() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/a"));
    script.read(1, 11.0, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab");
    script.read_late(1, 111.0, b"cd", 80);
    assert_eq!(phases(&script.hop(200.0)), [(Phase::Connect, 1), (Phase::Wait, 10), (Phase::Stream, 20), (Phase::Own, 80)]);
}

#[test]
fn a_connect_that_a_blocked_loop_noticed_late_is_a_stall() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    script.connect_start(1, DOCS, 0.0);
    let own = endpoint(("127.0.0.1", 50_001));
    script.record(Event::ConnectEnd, 0.0, 300.0, |record| (record.conn, record.aux) = (1, 2_000), &own);
    script.exchange(1, 300.0, 310.0, &get("/a"), &answer(200, ""));
    script.busy(1.0, 300.0, Call::None, 0);
    let hop = script.hop(400.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 2), (Phase::Stall, 298), (Phase::Wait, 10)]);
    assert_eq!(call(&hop).timeline.stretches().nth(1).unwrap().cause, Some(StallCause::Unknown));
}

#[test]
fn a_pool_made_ahead_is_no_part_of_the_first_request() {
    let mut script = Script::new();
    script.flags = flag::LOOP;
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 5000.0, 5010.0, &get("/a"), &answer(200, ""));
    let hop = script.hop(6000.0);
    assert_eq!(phases(&hop), [(Phase::Wait, 10)]);
    assert_eq!(call(&hop).client.connection, Some(ConnectionState::New));
}

#[test]
fn a_thread_that_waited_for_the_only_connection_waited_in_the_pool() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 100.0, &get("/a"), &answer(200, ""));
    script.tid = 8;
    script.block(Call::Semaphore, 10.0, 100.5);
    script.exchange(1, 101.0, 201.0, &get("/b"), &answer(200, ""));
    let hops = script.hops(300.0);
    assert_eq!(phases(&hops[1]), [(Phase::Pool, 91), (Phase::Wait, 100)]);
}

#[test]
fn a_lock_that_has_nothing_to_do_with_a_connection_is_no_pool() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 5.0, &get("/a"), &answer(200, ""));
    script.tid = 8;
    script.block(Call::Semaphore, 10.0, 100.5);
    script.exchange(1, 101.0, 201.0, &get("/b"), &answer(200, ""));
    assert_eq!(phases(&script.hops(300.0)[1]), [(Phase::Wait, 100)]);
}

#[test]
fn a_thread_waits_in_the_pool_from_before_the_only_connection_was_made() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 20.0);
    script.exchange(1, 20.0, 100.0, &get("/a"), &answer(200, ""));
    script.tid = 8;
    script.block(Call::Semaphore, 10.0, 100.5);
    script.exchange(1, 101.0, 201.0, &get("/b"), &answer(200, ""));
    assert_eq!(phases(&script.hops(300.0)[1]), [(Phase::Pool, 91), (Phase::Wait, 100)]);
}

#[test]
fn a_thread_that_waited_for_its_own_answer_waited_for_no_connection() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 100.0, &get("/a"), &answer(200, ""));
    script.block(Call::Condition, 10.0, 100.5);
    script.exchange(1, 101.0, 201.0, &get("/b"), &answer(200, ""));
    assert_eq!(phases(&script.hops(300.0)[1]), [(Phase::Wait, 100)]);
}

#[test]
fn plaintext_of_tls_is_read_with_the_arrival_of_its_ciphertext() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    script.connect(1, DOCS, 0.0, 1.0);
    script.record(Event::TlsName, 1.0, 1.0, |record| record.aux = 0xabc, b"docs.internal");
    script.record(Event::TlsStart, 1.0, 1.0, |record| record.aux = 0xabc, &[]);
    script.record(Event::TlsBind, 1.5, 1.5, |record| (record.aux, record.conn) = (0xabc, 1), &[]);
    script.record(Event::TlsEnd, 1.0, 9.0, |record| (record.aux, record.rc) = (0xabc, 1), &[]);
    script.flags |= flag::PLAINTEXT;
    script.write(1, 9.0, &get("/a"));
    script.flags = flag::LOOP | flag::CIPHERTEXT;
    script.write(1, 9.1, &[0; 120]);
    script.read_late(1, 409.0, &[0; 90], 300);
    script.flags = flag::LOOP | flag::PLAINTEXT;
    script.read(1, 409.2, &answer(200, "x"));
    let hop = script.hop(500.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Tls, 8), (Phase::Wait, 100), (Phase::Own, 300)]);
    assert!(!call(&hop).opaque && !hop.inferred);
}

#[test]
fn a_protocol_that_is_not_read_gives_a_hop_for_each_turn() {
    let mut script = Script::new();
    script.connect(1, ("10.1.1.1", 6379), 0.0, 1.0);
    script.write(1, 1.0, b"*1\r\n$4\r\nPING\r\n");
    script.read(1, 2.0, b"+PONG\r\n");
    script.write(1, 6.0, b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n");
    script.read(1, 106.0, b"*1\r\n");
    script.read(1, 108.0, b"$1\r\na\r\n");
    script.write(1, 200.0, b"*1\r\n$4\r\nQUIT\r\n");
    script.close(1, 200.1);
    let hops = script.hops(300.0);
    assert_eq!(hops.len(), 2);
    assert_eq!(phases(&hops[1]), [(Phase::Wait, 100), (Phase::Stream, 2)]);
    assert_eq!((&*hops[1].operation, hops[1].dependency.as_deref(), hops[1].inferred), ("tcp", Some("10.1.1.1:6379"), true));
}

#[test]
fn a_proxys_tunnel_is_a_phase_of_the_call_through_it() {
    let mut script = Script::new();
    script.connect(1, ("10.0.0.1", 3128), 0.0, 1.0);
    script.exchange(
        1,
        1.0,
        21.0,
        b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    );
    script.record(Event::TlsStart, 21.0, 21.0, |record| (record.aux, record.conn) = (0xabc, 1), &[]);
    script.record(Event::TlsEnd, 21.0, 31.0, |record| (record.aux, record.conn, record.rc) = (0xabc, 1, 1), &[]);
    script.flags = flag::PLAINTEXT;
    script.exchange(1, 31.0, 81.0, b"GET /x HTTP/1.1\r\nHost: api.example.com\r\n\r\n", &answer(200, ""));
    let hop = script.hop(100.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Proxy, 20), (Phase::Tls, 10), (Phase::Wait, 50)]);
    assert_eq!(hop.dependency.as_deref(), Some("api.example.com"));
}

#[test]
fn unix_sockets_are_calls_only_where_they_speak_http() {
    let mut script = Script::new();
    script.flags = flag::UNIX;
    script.connect(1, ("0.0.0.0", 0), 0.0, 0.1);
    script.exchange(1, 1.0, 2.0, b"\0AUTH EXTERNAL\r\n", b"OK 1234\r\n");
    script.close(1, 3.0);
    script.connect(2, ("0.0.0.0", 0), 5.0, 5.1);
    script.exchange(2, 6.0, 9.0, b"GET /info HTTP/1.1\r\nHost: docker\r\n\r\n", &answer(200, ""));
    let hop = script.hop(10.0);
    assert_eq!(hop.dependency.as_deref(), Some("unix"));
}

#[test]
fn what_is_asked_of_a_forward_proxy_is_named_by_its_own_address() {
    let mut script = Script::new();
    script.connect(1, ("10.0.0.9", 3128), 0.0, 1.0);
    let asked = |url: &str| format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    script.exchange(1, 1.0, 10.0, &asked("http://docs.example/a"), &answer(200, ""));
    script.exchange(1, 11.0, 20.0, &asked("http://docs.example:8080/a"), &answer(200, ""));
    script.exchange(1, 21.0, 30.0, &asked("http://127.0.0.1:40001/a"), &answer(200, ""));
    script.exchange(1, 31.0, 40.0, &asked("http://[::2]:81/a"), &answer(200, ""));
    let hops = script.hops(100.0);
    let names: Vec<&str> = hops.iter().filter_map(|hop| hop.dependency.as_deref()).collect();
    assert_eq!(names, ["docs.example", "docs.example:8080", "docs", "[::2]:81"]);
}
