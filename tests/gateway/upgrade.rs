//! Connections that become something else: WebSocket and its like.

use crate::peer::Peer;
use crate::through::{Through, pause, wait_until};
use crate::wire::{End, Wire};
use hopwatch::model::{FailedBy, Outcome, Phase};

const ASK: &str = "GET /socket?token=secret HTTP/1.1\r\nhost: h\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Agrees to what is asked for and says something at once, then goes on like this.
fn agreeing(talk: impl Fn(&mut Wire) + Send + Sync + 'static) -> Peer {
    Peer::new(move |wire, _| {
        let asked = wire.message();
        assert_eq!(asked.field("upgrade").as_deref(), Some("websocket"), "{asked:?}");
        assert_eq!(asked.field("connection").as_deref(), Some("upgrade"), "{asked:?}");
        wire.say(format!("{AGREED}hello"));
        talk(wire);
    })
}

/// A client that asked and was answered.
fn upgraded(through: &Through) -> Wire {
    let mut client = through.client();
    client.say(ASK);
    let answer = client.until("\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    for field in ["upgrade: websocket\r\n", "connection: upgrade\r\n", "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"] {
        assert!(answer.contains(field), "{answer}");
    }
    assert_eq!(client.exactly(5), b"hello");
    client
}

#[test]
fn an_upgraded_connection_passes_bytes_both_ways_and_is_one_hop_to_its_close() {
    let peer = agreeing(|wire| {
        assert_eq!(wire.exactly(4), b"ping");
        pause(300);
        wire.say("pong");
        assert_eq!(wire.rest(), End::Closed(b"last words".to_vec()));
        // Its client has closed one half alone.
        wire.say("farewell");
    });
    let through = Through::to(peer.address());
    let mut client = upgraded(&through);
    client.say("ping");
    let open = through.open("the connection is one open hop", |span| {
        span.call.as_ref().is_some_and(|call| call.timeline.last_phase() == Some(Phase::Stream))
    });
    assert_eq!(open.call.as_ref().and_then(|call| call.status), Some(101));
    assert_eq!(client.exactly(4), b"pong");
    client.say("last words");
    client.half_close();
    assert_eq!(client.rest(), End::Closed(b"farewell".to_vec()));
    drop(client);
    let told = through.finish();
    let hop = told.hop().ok(101).operation("GET /socket").last(Phase::Stream).took(Phase::Stream, 300.0);
    assert!(hop.call().gap.is_some_and(|gap| gap >= 300_000_000), "{hop:?}");
    let received = AGREED.len() + "hello".len() + "pong".len() + "farewell".len();
    assert_eq!(hop.call().bytes.received, received as u64, "{hop:?}");
}

#[test]
fn whoever_closes_in_order_ends_it_well() {
    let peer = agreeing(|wire| wire.say("done"));
    let through = Through::to(peer.address());
    let mut client = upgraded(&through);
    assert_eq!(client.rest(), End::Closed(b"done".to_vec()));
    drop(client);
    through.finish().hop().ok(101);
}

#[test]
fn a_reset_by_the_upstream_is_a_reset_for_its_client() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say(AGREED);
        assert_eq!(wire.exactly(2), b"go");
        crate::support::server::reset_on_close(wire.socket()).unwrap();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(ASK);
    client.until("\r\n\r\n");
    client.say("go");
    assert!(matches!(client.rest(), End::Reset(_)));
    let told = through.finish();
    told.hop().ended(Outcome::Reset, FailedBy::Peer).status(Some(101)).last(Phase::Stream);
}

#[test]
fn a_reset_by_the_client_is_a_reset_for_its_upstream() {
    let peer = agreeing(|wire| assert!(matches!(wire.rest(), End::Reset(_))));
    let through = Through::to(peer.address());
    upgraded(&through).reset();
    let told = through.finish();
    told.hop().ended(Outcome::Reset, FailedBy::Caller).status(Some(101));
    wait_until("the upstream is left", || peer.open() == 0);
}

#[test]
fn what_the_client_says_before_the_answer_is_not_lost() {
    let peer = agreeing(|wire| {
        assert_eq!(wire.exactly(5), b"early");
        wire.say("heard");
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(format!("{ASK}early"));
    client.until("\r\n\r\n");
    assert_eq!(client.rest(), End::Closed(b"helloheard".to_vec()));
    drop(client);
    through.finish().hop().ok(101);
}

#[test]
fn a_refused_upgrade_is_an_answer_like_any_other() {
    let peer =
        Peer::answering("HTTP/1.1 426 Upgrade Required\r\nupgrade: h3\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nno");
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(ASK);
    let refused = client.message();
    assert_eq!((refused.status(), refused.text()), (426, "no".to_owned()));
    assert_eq!(client.get("/plain").status(), 426, "the connection goes on");
    drop(client);
    let told = through.finish();
    assert_eq!(told.hops().len(), 2);
    for hop in told.hops() {
        hop.ended(Outcome::ClientError, FailedBy::Peer);
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn an_answer_that_switches_without_being_asked_is_no_answer() {
    let peer = Peer::answering(AGREED);
    let through = Through::to(peer.address());
    let mut client = through.client();
    assert_eq!(client.get("/plain").status(), 502);
    drop(client);
    let told = through.finish();
    told.hop().ended(Outcome::Error, FailedBy::Peer).error("invalid_response");
}

#[test]
fn only_http_1_1_can_be_upgraded() {
    let peer = Peer::new(|wire, _| {
        let asked = wire.message();
        assert_eq!(asked.field("upgrade"), None, "{asked:?}");
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(ASK.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.message().status(), 200);
    drop(client);
    through.finish().hop().ok(200);
}

#[test]
fn a_client_that_leaves_before_the_answer_has_left() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        assert_eq!(wire.rest(), End::Closed(Vec::new()));
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(ASK);
    pause(100);
    drop(client);
    let told = through.finish();
    told.hop().ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Wait).took(Phase::Wait, 80.0);
}
