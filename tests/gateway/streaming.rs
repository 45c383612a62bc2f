//! What comes in pieces goes on in pieces, at once, both ways.

use crate::peer::Peer;
use crate::through::{Through, pause};
use crate::wire::PATIENCE;
use hopwatch::model::{Outcome, Phase};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Lets one side wait for the other.
fn turns() -> (Sender<()>, Mutex<Receiver<()>>) {
    let (turn, wait) = channel();
    (turn, Mutex::new(wait))
}

fn wait(turn: &Mutex<Receiver<()>>) {
    turn.lock().unwrap().recv_timeout(PATIENCE).unwrap();
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn each_event_of_a_stream_is_at_the_client_before_the_next_is_sent() {
    let (got, turn) = turns();
    let peer = Peer::new(move |wire, _| {
        wire.message();
        wire.say(EVENTS);
        for n in 0..20 {
            wait(&turn);
            let event = format!("data: {{\"n\":{n}}}\n\n");
            wire.say(format!("{:x}\r\n{event}\r\n", event.len()));
        }
        wait(&turn);
        wire.say("0\r\n\r\n");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say("GET /events HTTP/1.1\r\nhost: gateway\r\naccept: text/event-stream\r\n\r\n");
    let head = client.until("\r\n\r\n");
    assert!(head.contains("transfer-encoding: chunked") && head.contains("text/event-stream"), "{head}");
    for n in 0..20 {
        pause(10);
        got.send(()).unwrap();
        let event = client.until("\n\n\r\n");
        assert!(event.ends_with(&format!("data: {{\"n\":{n}}}\n\n\r\n")), "{event}");
    }
    got.send(()).unwrap();
    client.until("0\r\n\r\n");
    drop(client);
    let told = through.finish();
    let hop = told.hop().ok(200).last(Phase::Stream);
    assert_eq!(hop.call().stream, Some(true));
    assert!(hop.phase(Phase::FirstToken) > 0.0 && hop.phase(Phase::Stream) >= 190.0, "{hop:?}");
    assert!(hop.call().gap.is_some_and(|gap| gap >= 10_000_000), "{hop:?}");
}

#[test]
fn an_answer_in_single_bytes_arrives_whole() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\nx-one: 1\r\n\r\n0123456789abcdefghij";
    let peer = Peer::new(move |wire, _| {
        wire.message();
        pause(100);
        for byte in answer.bytes() {
            wire.say([byte]);
            pause(2);
        }
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    assert_eq!(client.get("/").text(), "0123456789abcdefghij");
    assert_eq!(String::from_utf8_lossy(&client.heard), answer);
    drop(client);
    let told = through.finish();
    // The head took as long as the rest: the wait is until it is there.
    told.hop().ok(200).took(Phase::Wait, 190.0).took(Phase::Stream, 38.0);
}

#[test]
fn a_request_in_single_bytes_arrives_whole_and_its_time_is_that_of_sending() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let through = Through::to(peer.address());
    let mut client = through.client();
    let body = "{\"model\":\"m\"}";
    let request = format!("POST /v1 HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for byte in request.bytes() {
        client.say([byte]);
        pause(2);
    }
    assert_eq!(client.message().status(), 200);
    drop(client);
    let told = through.finish();
    assert!(peer.heard(0).ends_with(body), "{}", peer.heard(0));
    let hop = told.hop().ok(200).took(Phase::Send, 2.0 * (request.len() - 1) as f64);
    assert_eq!(hop.phase(Phase::Pool), 0.0, "{hop:?}");
}

#[test]
fn a_slow_head_of_an_answer_is_waited_for() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        for part in ["HTTP/1.1 200 OK\r\n", "content-type: text/event-stream\r\n", "content-length: 9\r\n\r\n"] {
            pause(100);
            wire.say(part);
        }
        pause(300);
        wire.say("data: x\n\n");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    assert_eq!(client.get("/").text(), "data: x\n\n");
    drop(client);
    let told = through.finish();
    told.hop().ok(200).took(Phase::Wait, 100.0).took(Phase::FirstToken, 480.0);
}

#[test]
fn a_body_goes_up_as_it_comes() {
    for chunked in [false, true] {
        let (got, turn) = turns();
        let peer = Peer::new(move |wire, _| {
            wire.until("\r\n\r\n");
            for n in 0..5 {
                wire.until(&format!("piece {n}"));
                got.send(()).unwrap();
            }
            if chunked {
                wire.until("0\r\n\r\n");
            }
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            wire.rest();
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        let framing = if chunked { "transfer-encoding: chunked" } else { "content-length: 35" };
        client.say(format!("POST /up HTTP/1.1\r\nhost: gateway\r\n{framing}\r\n\r\n"));
        for n in 0..5 {
            let piece = format!("piece {n}");
            client.say(if chunked { format!("7\r\n{piece}\r\n") } else { piece });
            wait(&turn);
        }
        if chunked {
            client.say("0\r\n\r\n");
        }
        assert_eq!(client.message().status(), 200);
        drop(client);
        through.finish().hop().ok(200);
    }
}

#[test]
fn an_answer_that_begins_before_the_request_has_ended_goes_both_ways_at_once() {
    let peer = Peer::new(|wire, _| {
        wire.until("\r\n\r\n");
        wire.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for n in 0..5 {
            wire.until(&format!("piece {n}"));
            wire.say(format!("6\r\necho {n}\r\n"));
        }
        wire.until("0\r\n\r\n");
        wire.say("0\r\n\r\n");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say("POST /both HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n");
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
    for n in 0..5 {
        client.say(format!("7\r\npiece {n}\r\n"));
        client.until(&format!("echo {n}"));
    }
    client.say("0\r\n\r\n");
    client.until("0\r\n\r\n");
    // The connection can be used again.
    assert_eq!(peer.open(), 1);
    drop(client);
    let told = through.finish();
    told.hop().ok(200);
    assert_eq!(told.hop().call().outcome, Some(Outcome::Ok));
}
