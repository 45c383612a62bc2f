//! Methods and the ways in which a message says how long it is.

use crate::peer::Peer;
use crate::through::Through;
use crate::wire::End;
use hopwatch::model::{ConnectionState, Phase};

/// One exchange on a connection that the client then closes.
struct Exchange {
    /// What the upstream got.
    up: String,
    /// What the client got.
    down: String,
}

/// Sends a request through a gateway, closes, and says what arrived on either side. There is one hop, and nothing of it failed.
#[track_caller]
fn exchange(request: &str, answer: &str, status: u16) -> Exchange {
    let peer = Peer::answering(answer);
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(request);
    let bodiless = request.starts_with("HEAD") || matches!(status, 204 | 304);
    client.try_message(bodiless).unwrap();
    assert_eq!(peer.open(), 1, "the connection is kept");
    let down = String::from_utf8(client.heard.clone()).unwrap();
    client.half_close();
    assert_eq!(client.rest(), End::Closed(Vec::new()), "nothing more comes");
    let told = through.finish();
    let operation = format!("{} /thing", request.split(' ').next().unwrap());
    let hop = told.hop().ok(status).operation(&operation).connections(&[ConnectionState::New]);
    assert!(hop.call().stream.is_none_or(|stream| !stream));
    let up = peer.heard(0);
    hop.bytes(up.len(), answer.len());
    for absent in [Phase::Pool, Phase::Dns, Phase::Tls, Phase::Backoff] {
        assert_eq!(hop.phase(absent), 0.0, "{absent}: {hop:?}");
    }
    Exchange { up, down }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[test]
fn each_method_passes_as_it_is() {
    for method in ["GET", "DELETE", "OPTIONS", "PURGE"] {
        let Exchange { up, down } =
            exchange(&format!("{method} /thing?a=1 HTTP/1.1\r\nhost: gateway\r\nx-one: 1\r\n\r\n"), OK, 200);
        assert!(up.starts_with(&format!("{method} /thing?a=1 HTTP/1.1\r\n")), "{up}");
        assert!(up.contains("\r\nhost: 127.0.0.1:") && up.contains("\r\nx-one: 1\r\n") && up.ends_with("\r\n\r\n"), "{up}");
        assert!(!up.contains("content-length") && !up.contains("transfer-encoding"), "no body is made up: {up}");
        assert_eq!(down, OK);
    }
}

#[test]
fn a_body_of_known_length_passes_as_it_is() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let request = format!("{method} /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 11\r\n\r\nhello there");
        let Exchange { up, down } = exchange(&request, OK, 200);
        assert!(up.contains("\r\ncontent-length: 11\r\n") && up.ends_with("\r\n\r\nhello there"), "{up}");
        assert_eq!((up.matches("content-length").count(), down.as_str()), (1, OK), "{up}");
    }
}

#[test]
fn an_empty_body_stays_an_empty_body() {
    let request = "POST /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n\r\n";
    let Exchange { up, down } = exchange(request, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200);
    assert!(up.contains("\r\ncontent-length: 0\r\n") && up.ends_with("\r\n\r\n"), "{up}");
    assert_eq!(down, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn chunked_bodies_stay_chunked_both_ways() {
    let request =
        "POST /thing HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=1\r\n there\r\n0\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";
    let Exchange { up, down } = exchange(request, answer, 200);
    let (head, body) = up.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{up}");
    assert!(body.replace("\r\n", "|").contains("hello") && body.ends_with("0\r\n\r\n"), "{up}");
    assert!(down.ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") || down.ends_with("6\r\nonetwo\r\n0\r\n\r\n"), "{down}");
}

#[test]
fn the_answer_to_head_says_its_length_and_has_no_body() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 12345\r\netag: \"a\"\r\n\r\n";
    let Exchange { down, .. } = exchange("HEAD /thing HTTP/1.1\r\nhost: gateway\r\n\r\n", answer, 200);
    assert_eq!(down, answer);
}

#[test]
fn answers_without_a_body_stay_without() {
    for (status, answer) in [
        (204, "HTTP/1.1 204 No Content\r\nx-one: 1\r\n\r\n"),
        (304, "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 77\r\n\r\n"),
        (304, "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"),
    ] {
        let Exchange { down, .. } = exchange("GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n", answer, status);
        // What the body of a 304 would have measured may be said or not (RFC 9110, 8.6): hyper leaves it out.
        assert_eq!(down, answer.replace("content-length: 77\r\n", ""));
    }
}

#[test]
fn a_reason_of_ones_own_passes() {
    let answer = "HTTP/1.1 299 Quite Fine\r\ncontent-length: 0\r\n\r\n";
    let Exchange { down, .. } = exchange("GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n", answer, 299);
    assert_eq!(down, answer);
}
