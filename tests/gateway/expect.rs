//! Interim answers: a body that its client holds back, and hints that come early.

use crate::peer::Peer;
use crate::through::{Through, pause};
use crate::wire::Wire;
use hopwatch::model::clock::monotonic;
use hopwatch::model::{FailedBy, Outcome, Phase};
use std::time::Duration;

const HEAD: &str = "POST /thing HTTP/1.1\r\nhost: gateway\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A head that asks first.
fn asked(wire: &mut Wire) {
    let head = wire.until("\r\n\r\n");
    assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
}

#[test]
fn a_body_is_sent_when_the_upstream_wants_it_and_not_before() {
    let peer = Peer::new(|wire, _| {
        asked(wire);
        pause(300);
        wire.say(CONTINUE);
        assert_eq!(wire.exactly(5), b"hello");
        wire.say(OK);
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    let start = monotonic();
    client.say(HEAD);
    assert_eq!(client.until("\r\n\r\n"), CONTINUE);
    assert!(start.elapsed() >= Duration::from_millis(300), "the client was told before the upstream wanted it");
    client.say("hello");
    assert_eq!(client.message().text(), "ok");
    drop(client);
    through.finish().hop().ok(200).took(Phase::Send, 300.0);
}

#[test]
fn a_body_that_is_not_wanted_is_never_sent() {
    for (status, outcome) in [(417, Outcome::ClientError), (401, Outcome::ClientError), (503, Outcome::ServerError)] {
        let peer = Peer::new(move |wire, _| {
            asked(wire);
            wire.say(format!("HTTP/1.1 {status} No\r\ncontent-length: 3\r\n\r\nno\n"));
            // Nothing of the body comes, and the connection is not kept for another request.
            wire.rest();
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        client.say(HEAD);
        let answer = client.message();
        assert_eq!((answer.status(), answer.text().as_str()), (status, "no\n"));
        client.rest();
        drop(client);
        let told = through.finish();
        assert!(peer.heard(0).ends_with("\r\n\r\n"), "{}", peer.heard(0));
        told.hop().ended(outcome, FailedBy::Peer).status(Some(status));
    }
}

#[test]
fn a_refused_body_that_the_client_sends_all_the_same_does_not_become_a_request() {
    let peer = Peer::new(|wire, _| {
        asked(wire);
        wire.say("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(HEAD);
    assert_eq!(client.message().status(), 417);
    let body = "GET /smuggled HTTP/1.1\r\nhost: gateway\r\n\r\n";
    drop(client.try_say(body));
    client.rest();
    drop(client);
    let told = through.finish();
    assert_eq!(peer.connections(), 1);
    assert!(!peer.heard(0).contains("smuggled"), "{}", peer.heard(0));
    told.hop().ended(Outcome::ClientError, FailedBy::Peer);
}

#[test]
fn an_upstream_that_says_nothing_gets_the_body_after_a_second() {
    let peer = Peer::new(|wire, _| {
        asked(wire);
        assert_eq!(wire.exactly(5), b"hello");
        wire.say(OK);
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(HEAD);
    assert_eq!(client.until("\r\n\r\n"), CONTINUE);
    client.say("hello");
    assert_eq!(client.message().text(), "ok");
    drop(client);
    through.finish().hop().ok(200).took(Phase::Send, 1_000.0);
}

#[test]
fn a_client_that_does_not_wait_for_its_permission_is_served() {
    let peer = Peer::new(|wire, _| {
        asked(wire);
        wire.say(CONTINUE);
        assert_eq!(wire.exactly(5), b"hello");
        wire.say(OK);
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(format!("{HEAD}hello"));
    assert!(client.until("ok").ends_with(OK));
    drop(client);
    through.finish().hop().ok(200);
}

#[test]
fn hints_that_come_early_are_no_answer() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        for _ in 0..3 {
            wire.say("HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n");
            pause(100);
        }
        wire.say("HTTP/1.1 102 Processing\r\n\r\n");
        pause(100);
        wire.say(OK);
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    // A server of hyper cannot send them, so that they end here: clients may ignore them anyhow (RFC 9110, 15.2).
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(client.heard, OK.as_bytes());
    drop(client);
    through.finish().hop().ok(200).took(Phase::Wait, 400.0);
}
