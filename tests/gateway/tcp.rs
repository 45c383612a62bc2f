//! TCP routes: databases, and whatever else is led by an address of its own.

use crate::hop::Hop;
use crate::peer::Peer;
use crate::support::peers::{Unanswered, refused};
use crate::through::{Through, pause, settings, wait_until};
use crate::wire::{End, Wire};
use hopwatch::model::{ConnectionState, FailedBy, Kind, Outcome, Phase};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A message of PostgreSQL: its kind, and what it carries.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &length(body), body].concat()
}

/// The length of a message as it is told: with its own four bytes.
fn length(body: &[u8]) -> [u8; 4] {
    let [.., a, b, c, d] = (body.len() + 4).to_be_bytes();
    [a, b, c, d]
}

/// What a client of PostgreSQL says first.
fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0someone\0database\0secret\0\0";
    [&length(body)[..], body].concat()
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Asks for a connection to be cancelled.
fn cancel(backend: u32) -> Vec<u8> {
    [&16u32.to_be_bytes()[..], &80_877_102u32.to_be_bytes(), &backend.to_be_bytes(), &[0; 4]].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// Lets a client in, as this server process.
fn let_in(wire: &mut Wire, backend: u32) {
    wire.exactly(startup().len());
    pause(100);
    wire.say(message(b'R', &[0, 0, 0, 0]));
    wire.say(message(b'K', &[backend.to_be_bytes(), [0; 4]].concat()));
    wire.say(ready());
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0C{code}\0Mthe secret is out\0\0").as_bytes())
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

#[track_caller]
fn of_store(hop: Hop<'_>) -> Hop<'_> {
    assert_eq!((hop.span().kind, hop.span().dependency.as_deref()), (Some(Kind::Retrieval), Some("store")), "{hop:?}");
    hop
}

#[test]
fn postgresql_is_told_by_its_queries() {
    let peer = Peer::new(|wire, _| {
        let_in(wire, 7);
        for _ in 0..2 {
            wire.until("secret\0");
            pause(200);
            wire.say(message(b'D', &[0; 2]));
            pause(100);
            wire.say(message(b'C', b"SELECT 1\0"));
            wire.say(ready());
        }
        wire.until("broken\0");
        wire.say(error("42601"));
        wire.say(ready());
        wire.rest();
    });
    let mut through = Through::with(settings());
    let mut client = Wire::to(through.lead(peer.address()));
    client.say(startup());
    client.until("I");
    for text in ["select 'secret", "update secret"] {
        client.say(query(text));
        client.until("SELECT 1\0Z\0\0\0\x05I");
    }
    client.say(query("select broken"));
    client.until("I");
    client.say(message(b'X', b""));
    drop(client);
    let told = through.finish();
    let [first, second, third] = told.hops()[..] else { panic!("{:?}", told.hops()) };
    of_store(first).ok_unseen().operation("SELECT").connections(&[ConnectionState::New]);
    first.took(Phase::Connect, 100.0).took(Phase::Wait, 200.0).took(Phase::Stream, 90.0);
    assert!(!first.span().inferred && !first.call().opaque, "{first:?}");
    of_store(second).ok_unseen().operation("UPDATE").connections(&[ConnectionState::Reused]).took(Phase::Wait, 200.0);
    assert_eq!(second.phase(Phase::Connect), 0.0);
    of_store(third).ended(Outcome::Error, FailedBy::Peer).error("42601").operation("SELECT");
}

#[test]
fn a_database_that_lets_nobody_in_says_why() {
    let refusals = [("53300", Outcome::Shed), ("28P01", Outcome::Error)];
    for (code, outcome) in refusals {
        let peer = Peer::new(move |wire, _| {
            wire.exactly(startup().len());
            pause(100);
            wire.say(error(code));
        });
        let mut through = Through::with(settings());
        let mut client = Wire::to(through.lead(peer.address()));
        client.say(startup());
        client.rest();
        drop(client);
        let told = through.finish();
        let hop = of_store(told.hop()).ended(outcome, FailedBy::Peer).error(code).operation("connect");
        hop.last(Phase::Connect).took(Phase::Connect, 100.0);
    }
}

#[test]
fn a_database_that_closes_or_hangs_while_it_lets_in_is_told_in_connecting() {
    let peer = Peer::new(|wire, number| {
        wire.exactly(startup().len());
        if number == 1 {
            wire.rest();
        }
    });
    let mut through = Through::with(settings());
    let entrance = through.lead(peer.address());
    let mut client = Wire::to(entrance);
    client.say(startup());
    client.rest();
    drop(client);
    let mut client = Wire::to(entrance);
    client.say(startup());
    pause(200);
    drop(client);
    let told = through.finish();
    let [closed, left] = told.hops()[..] else { panic!("{:?}", told.hops()) };
    of_store(closed).ended(Outcome::Reset, FailedBy::Peer).last(Phase::Connect);
    of_store(left).ended(Outcome::Timeout, FailedBy::Caller).took(Phase::Connect, 190.0);
}

#[test]
fn a_query_that_its_client_has_cancelled_was_left_by_it() {
    let peer = Peer::new(|wire, number| {
        if number == 1 {
            wire.exactly(cancel(7).len());
            return;
        }
        let_in(wire, 7);
        wire.until("\0\0");
        pause(500);
        wire.say(error("57014"));
        wire.say(ready());
        wire.rest();
    });
    let mut through = Through::with(settings());
    let entrance = through.lead(peer.address());
    let mut client = Wire::to(entrance);
    client.say(startup());
    client.until("I");
    client.say(query("select pg_sleep(10)\0"));
    pause(200);
    let mut other = Wire::to(entrance);
    other.say(cancel(7));
    other.rest();
    drop(other);
    client.until("57014");
    client.until("I");
    drop(client);
    let told = through.finish();
    of_store(told.hop()).ended(Outcome::Timeout, FailedBy::Caller).error("57014").operation("SELECT");
}

#[test]
fn a_database_that_agrees_to_tls_is_opaque_from_there_on() {
    let authority = crate::support::authority::Authority::new();
    let config = authority.config();
    let peer = Peer::new(move |wire, _| {
        assert_eq!(wire.exactly(8), SSL_REQUEST);
        pause(100);
        wire.say("S");
        let socket = wire.socket().try_clone().unwrap();
        let session = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
        let mut inside = Wire::over(rustls::StreamOwned::new(session, socket.try_clone().unwrap()), socket);
        let_in(&mut inside, 7);
        let _left = inside.try_until(b"\0\0\0\0\0\0\0\0\0");
    });
    let mut through = Through::with(settings());
    let mut client = Wire::to(through.lead(peer.address()));
    client.say(SSL_REQUEST);
    assert_eq!(client.exactly(1), b"S");
    let mut client = crate::tunnel::secured(client, Some(&authority), &[]);
    client.say(startup());
    client.until("I");
    drop(client);
    let told = through.finish();
    let hop = of_store(told.hop()).ok_unseen().operation("tls").took(Phase::Connect, 100.0).took(Phase::Wait, 90.0);
    assert!(hop.call().opaque && hop.phase(Phase::Tls) > 0.0, "{hop:?}");
}

#[test]
fn http_by_a_tcp_route_is_seen_in_full() {
    let peer = Peer::answering(ANSWER);
    let mut through = Through::with(settings());
    let mut client = Wire::to(through.lead(peer.address()));
    assert_eq!(client.get("/collections?key=secret").text(), "ok");
    drop(client);
    of_store(through.finish().hop()).ok(200).operation("GET /collections");
}

#[test]
fn an_upstream_that_is_not_to_be_had_resets_the_client() {
    let mut through = Through::with(settings());
    let mut client = Wire::to(through.lead(refused()));
    assert_eq!(client.rest(), End::Reset(Vec::new()));
    drop(client);
    let told = through.finish();
    of_store(told.hop()).ended(Outcome::Connect, FailedBy::Peer).error("connection_refused").operation("connect");
}

#[test]
fn a_client_that_leaves_while_its_upstream_is_connected_to_has_left() {
    let peer = Unanswered::new();
    for speaks_first in [false, true] {
        let mut through = Through::with(settings());
        let mut client = Wire::to(through.lead(peer.address()));
        if speaks_first {
            client.say(startup());
        }
        pause(300);
        drop(client);
        let told = through.finish();
        of_store(told.hop()).ended(Outcome::Timeout, FailedBy::Caller).took(Phase::Connect, 290.0);
    }
}

#[test]
fn a_half_closed_client_is_led_on() {
    let peer = Peer::new(|wire, _| {
        assert_eq!(wire.rest(), End::Closed(b"*ask\r\n".to_vec()));
        wire.say("answer");
    });
    let mut through = Through::with(settings());
    let mut client = TcpStream::connect(through.lead(peer.address())).unwrap();
    client.write_all(b"*ask\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    drop(client);
    of_store(through.finish().hop()).ok_unseen();
}

#[test]
fn a_route_that_leads_back_leads_nowhere() {
    let mut through = Through::with(settings());
    let own = through.address();
    let entrance = through.lead(own);
    assert_eq!(Wire::to(entrance).rest(), End::Reset(Vec::new()));
    let other = through.lead(entrance);
    assert_eq!(Wire::to(other).rest(), End::Reset(Vec::new()));
    let told = through.finish();
    let hops = told.hops();
    hops.iter().for_each(|hop| _ = of_store(*hop).ended(Outcome::Error, FailedBy::Own).error("blocked_address"));
    assert_eq!(hops.len(), 2);
}

#[test]
fn a_route_can_be_led_elsewhere_and_closed_without_losing_a_connection() {
    let [first, second] = ["1", "2"].map(|name| Peer::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{name}")));
    let mut through = Through::with(settings());
    let entrance = through.lead(first.address());
    let mut old = Wire::to(entrance);
    assert_eq!(old.get("/").text(), "1");
    through.reroute(entrance, second.address());
    let mut new = Wire::to(entrance);
    assert_eq!(new.get("/").text(), "2");
    through.unlisten(entrance);
    wait_until("nobody listens", || TcpStream::connect(entrance).is_err());
    assert_eq!(old.get("/").text(), "1");
    assert_eq!(new.get("/").text(), "2");
    drop((old, new));
    assert_eq!(through.finish().hops().len(), 4);
}
