use super::*;
use crate::model::{ConnectionState, Outcome};

const BODY: &str = r#"{"model":"m","messages":[]}"#;
const CHAT: &str = "/v1/chat/completions";

#[test]
fn a_retry_that_counts_itself_is_an_attempt_of_the_same_hop() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 11.0, &post(CHAT, Some(0), BODY), b"HTTP/1.1 429 X\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
    script.exchange(1, 1011.0, 1061.0, &post(CHAT, Some(1), BODY), &answer(200, "{}"));
    let hop = script.hop(2000.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Wait, 10), (Phase::Backoff, 1000), (Phase::Wait, 50)]);
    let call = call(&hop);
    assert_eq!((call.outcome, call.status, call.client.retry), (Some(Outcome::Ok), Some(200), Some(1)));
    let outcomes: Vec<_> = call.attempts.iter().map(|attempt| (attempt.number, attempt.outcome, attempt.status)).collect();
    assert_eq!(outcomes, [(1, Some(Outcome::RateLimited), Some(429)), (2, Some(Outcome::Ok), Some(200))]);
    assert_eq!(call.attempts[0].retry_after, Some(1000 * MS));
    assert_eq!(call.client.connection, Some(ConnectionState::New));
}

#[test]
fn the_same_request_after_a_failure_is_a_retry_without_any_count() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 11.0, &post("/x", None, BODY), &answer(503, ""));
    script.exchange(1, 111.0, 121.0, &post("/x", None, BODY), &answer(200, ""));
    script.exchange(1, 131.0, 141.0, &post("/x", None, BODY), &answer(200, ""));
    let hops = script.hops(200.0);
    assert_eq!(hops.iter().map(|hop| call(hop).attempts.len()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn another_body_query_or_count_is_another_call() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 11.0, &post("/x", None, BODY), &answer(503, ""));
    script.exchange(1, 20.0, 21.0, &post("/x", None, "{}"), &answer(200, ""));
    script.exchange(1, 30.0, 31.0, &get("/s?q=1"), &answer(503, ""));
    script.exchange(1, 40.0, 41.0, &get("/s?q=2"), &answer(200, ""));
    script.exchange(1, 50.0, 51.0, &post(CHAT, Some(0), BODY), &answer(503, ""));
    script.exchange(1, 60.0, 61.0, &post(CHAT, Some(0), BODY), &answer(200, ""));
    let hops = script.hops(200.0);
    assert_eq!(hops.len(), 6);
}

#[test]
fn a_request_sent_again_because_its_connection_was_stale_is_one_hop() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 11.0, &get("/a"), &answer(200, ""));
    script.write(1, 5000.0, &post(CHAT, Some(0), BODY));
    script.read_failed(1, 5001.0, libc::ECONNRESET);
    script.close(1, 5001.1);
    script.connect(2, DOCS, 5001.5, 5002.0);
    script.exchange(2, 5002.0, 5012.0, &post(CHAT, Some(0), BODY), &answer(200, ""));
    let hops = script.hops(6000.0);
    assert_eq!(hops.len(), 2);
    assert_eq!(call(&hops[1]).attempts.len(), 2);
    assert_eq!(call(&hops[1]).outcome, Some(Outcome::Ok));
}

#[test]
fn refused_connects_with_sleeps_between_are_attempts_of_one_hop() {
    let mut script = Script::new();
    for (conn, at) in [(1, 0.0), (2, 500.0), (3, 1500.0)] {
        script.connect_start(conn, DOCS, at);
        script.connect_end(conn, libc::ECONNREFUSED, at, at + 1.0);
        script.close(conn, at + 1.0);
        if conn < 3 {
            script.block(Call::Sleep, at + 2.0, 499.5 + 2.0 * at);
        }
    }
    let hop = script.hop(2000.0);
    assert_eq!(call(&hop).attempts.len(), 3);
    assert_eq!(ms(&hop, Phase::Backoff), Some(499.0 + 999.0));
    assert_eq!(call(&hop).outcome, Some(Outcome::Connect));
}

#[test]
fn a_name_that_is_looked_up_in_vain_again_and_again_is_one_hop() {
    let mut script = Script::new();
    for (tid, at) in [(8, 0.0), (9, 500.0), (8, 1500.0)] {
        script.tid = tid;
        script.resolve("nowhere.invalid", &[], at, at + 5.0);
    }
    let hop = script.hop(2000.0);
    assert_eq!(call(&hop).attempts.len(), 3);
    assert_eq!(phases(&hop).iter().filter(|(phase, _)| *phase == Phase::Dns).count(), 3);
}

#[test]
fn refused_calls_one_after_the_other_are_calls_of_their_own() {
    let mut script = Script::new();
    for conn in 1..=5 {
        let at = f64::from(conn) * 3.0;
        script.connect_start(conn, DOCS, at);
        script.connect_end(conn, libc::ECONNREFUSED, at, at + 1.0);
        script.close(conn, at + 1.0);
    }
    assert_eq!(script.hops(100.0).len(), 5);
}

#[test]
fn a_request_that_says_it_is_the_second_takes_the_refused_connect_before() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    script.connect_start(1, DOCS, 0.0);
    script.connect_end(1, libc::ECONNREFUSED, 0.0, 1.0);
    script.connect(2, DOCS, 501.0, 502.0);
    script.exchange(2, 502.0, 512.0, &post(CHAT, Some(1), BODY), &answer(200, "{}"));
    let hop = script.hop(600.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 1), (Phase::Backoff, 500), (Phase::Connect, 1), (Phase::Wait, 10)]);
    assert_eq!(&*hop.operation, "POST /v1/chat/completions");
}

#[test]
fn fifty_calls_at_once_are_not_joined() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    for conn in 1..=50 {
        script.connect(conn, DOCS, 0.0, 1.0);
        script.write(conn, 1.0, &get("/a"));
    }
    for conn in 1..=25 {
        script.read(conn, 20.0, &answer(503, ""));
    }
    // Others of the same kind are under way when these begin.
    for conn in 51..=60 {
        script.connect(conn, DOCS, 30.0, 31.0);
        script.write(conn, 31.0, &get("/a"));
    }
    for conn in 26..=60 {
        script.read(conn, 40.0, &answer(200, ""));
    }
    assert_eq!(script.hops(100.0).len(), 60);
}

#[test]
fn fifty_calls_that_all_fail_and_count_their_retries_are_fifty_hops_of_two() {
    let mut script = Script::new();
    script.flags = flag::LOOP | flag::NONBLOCK;
    for retry in 0..2 {
        let at = f64::from(retry) * 600.0;
        for conn in 1..=50 {
            if retry == 0 {
                script.connect(conn, DOCS, 0.0, 1.0);
            }
            script.write(conn, at + 1.0, &post(CHAT, Some(retry), &format!("{{\"n\":{conn}}}")));
        }
        for conn in (1..=50).rev() {
            script.read(conn, at + 9.0, &answer(if retry == 0 { 500 } else { 200 }, "{}"));
        }
    }
    let hops = script.hops(1000.0);
    assert_eq!(hops.len(), 50);
    assert!(hops.iter().all(|hop| call(hop).attempts.len() == 2 && call(hop).outcome == Some(Outcome::Ok)));
}

#[test]
fn a_thread_that_sleeps_after_a_failure_has_its_hop_open_in_backoff() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 11.0, &post(CHAT, Some(0), BODY), &answer(503, ""));
    assert!(script.open(100.0).is_empty());
    script.threads = vec![Thread { tid: 7, call: Call::Sleep as u32, since: 12 * MS, conn: 0, is_loop: false }];
    let open = script.open(111.0);
    assert_eq!(phases(&open[0]).last(), Some(&(Phase::Backoff, 100)));
    script.ended(211.0, Ending::Killed);
    let hop = script.hop(300.0);
    assert_eq!((hop.is_open(), phases(&hop).last().copied()), (true, Some((Phase::Backoff, 200))));
}

#[test]
fn a_retry_under_way_shows_the_attempts_before_it() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 1.0, 11.0, &post(CHAT, Some(0), BODY), &answer(503, ""));
    script.write(1, 500.0, &post(CHAT, Some(1), BODY));
    let open = script.open(600.0);
    assert_eq!(open.len(), 1);
    assert_eq!(call(&open[0]).attempts.len(), 2);
    assert_eq!(open[0].start, 0);
    assert!(script.hop(700.0).is_open());
}
