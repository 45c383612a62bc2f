//! Clients that do not read what is there for them: their own time, never their peer's.

use crate::peer::Peer;
use crate::through::{Through, pause};
use hopwatch::model::{Outcome, Phase};

#[test]
fn a_long_answer_that_lies_unread_is_the_clients_own_time() {
    const LENGTH: usize = 16 << 20;
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"));
        wire.say(vec![b'x'; LENGTH]);
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say("GET / HTTP/1.1\r\nhost: gateway\r\n\r\n");
    client.until("\r\n\r\n");
    pause(2_000);
    client.exactly(LENGTH);
    drop(client);
    let told = through.finish();
    let hop = told.hop().ok(200);
    assert!(hop.phase(Phase::Own) >= 800.0, "{hop:?}");
    assert!(hop.phase(Phase::Wait) < 1_000.0, "{hop:?}");
}

#[test]
fn a_short_answer_that_lies_unread_is_the_clients_own_time() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say("GET / HTTP/1.1\r\nhost: gateway\r\n\r\n");
    pause(2_000);
    assert_eq!(client.message().text(), "hello");
    pause(400);
    drop(client);
    let told = through.finish();
    let hop = told.hop().ok(200);
    assert!((1_500.0..2_300.0).contains(&hop.phase(Phase::Own)), "{hop:?}");
    assert!(hop.phase(Phase::Wait) < 500.0, "{hop:?}");
    assert_eq!(hop.call().outcome, Some(Outcome::Ok));
}

#[test]
fn who_reads_at_once_has_no_such_time() {
    let peer = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let through = Through::to(peer.address());
    let mut client = through.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "hello");
        pause(20);
    }
    drop(client);
    for hop in through.finish().hops() {
        assert_eq!(hop.ok(200).phase(Phase::Own), 0.0, "{hop:?}");
    }
}
