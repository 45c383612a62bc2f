//! Fields behind a body.

use crate::peer::Peer;
use crate::through::Through;

#[test]
fn trailers_that_a_client_takes_reach_it() {
    let answer = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n";
    for (te, trailers) in [("te: trailers\r\n", "x-sum: 42\r\n"), ("", "")] {
        let peer = Peer::answering(answer);
        let through = Through::to(peer.address());
        let mut client = through.client();
        client.say(format!("GET / HTTP/1.1\r\nhost: gateway\r\n{te}\r\n"));
        let message = client.message();
        assert_eq!((message.text().as_str(), message.trailers.as_str()), ("hello", trailers));
        assert_eq!(message.field("trailer").as_deref(), Some("x-sum"));
        drop(client);
        through.finish().hop().ok(200);
        assert_eq!(peer.heard(0).contains("\r\nte: trailers\r\n"), !te.is_empty(), "{}", peer.heard(0));
    }
}

#[test]
fn trailers_that_a_client_sends_reach_the_upstream() {
    let peer = Peer::new(|wire, _| {
        let message = wire.message();
        assert_eq!((message.text().as_str(), message.trailers.as_str()), ("hello", "x-sum: 42\r\n"));
        assert_eq!(message.field("trailer").as_deref(), Some("x-sum"));
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(
        "POST / HTTP/1.1\r\nhost: gateway\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n",
    );
    assert_eq!(client.message().status(), 200);
    drop(client);
    through.finish().hop().ok(200);
}

#[test]
fn a_trailer_that_would_change_the_framing_does_not_pass() {
    let peer = Peer::new(|wire, _| {
        let message = wire.message();
        assert_eq!(message.text(), "hello");
        assert!(!message.trailers.contains("content-length") && !message.trailers.contains("transfer-encoding"), "{message:?}");
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(
        "POST / HTTP/1.1\r\nhost: gateway\r\ntrailer: content-length, transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    assert_eq!(client.message().status(), 200);
    drop(client);
    through.finish().hop().ok(200);
}
