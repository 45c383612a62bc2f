//! Tunnels that clients ask for by CONNECT.

use crate::hop::{Hop, Told};
use crate::peer::Peer;
use crate::support::authority::Authority;
use crate::support::peers::{Mute, Unanswered, refused};
use crate::support::server::reset_on_close;
use crate::through::{Through, pause, settings, wait_until};
use crate::wire::{End, Wire};
use hopwatch::gateway::{Settings, UpstreamFailure};
use hopwatch::model::{ConnectionState, FailedBy, Outcome, Phase};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::SocketAddr;
use std::sync::Arc;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Asks for a tunnel to a place, and is led there.
pub(crate) fn led(through: &Through, place: &str) -> Wire {
    let mut client = through.client();
    client.say(format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\nproxy-authorization: Basic c2VjcmV0\r\n\r\n"));
    let answer = client.until("\r\n\r\n");
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\n");
    client
}

/// The place of an address, by the name that certificates are for.
pub(crate) fn local(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

/// Speaks TLS inside of a tunnel, trusting this authority, or nobody.
pub(crate) fn secured(client: Wire, authority: Option<&Authority>, protocols: &[&str]) -> Wire {
    trusting(client, authority.map(|authority| CertificateDer::from_pem_file(authority.file()).unwrap()), protocols)
}

/// The same, trusting this certificate of an authority, or nobody.
pub(crate) fn trusting(client: Wire, authority: Option<CertificateDer<'static>>, protocols: &[&str]) -> Wire {
    let mut roots = RootCertStore::empty();
    authority.into_iter().for_each(|authority| roots.add(authority).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let socket = client.socket().try_clone().unwrap();
    Wire::over(StreamOwned::new(session, socket.try_clone().unwrap()), socket)
}

/// Waits for the client to leave, with or without a word.
pub(crate) fn leave(wire: &mut Wire) {
    let _left = wire.try_until(b"\0");
}

/// A hop that was seen by record heads alone.
#[track_caller]
pub(crate) fn opaque<'a>(hop: Hop<'a>, peer: &Peer) -> Hop<'a> {
    assert!(hop.call().opaque && hop.span().inferred, "{hop:?}");
    assert_eq!(hop.span().dependency.as_deref(), Some(&*local(peer.address())), "{hop:?}");
    hop.operation("tls").status(None)
}

fn nothing_but<'a>(told: &'a Told, operation: &str) -> Hop<'a> {
    told.hop().operation(operation)
}

#[test]
fn exchanges_inside_of_tls_are_told_apart_and_the_first_has_the_set_up() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        for wait in [200, 150] {
            wire.message();
            pause(wait);
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nabcd");
            // Twice what it is to take: its first half may arrive late.
            pause(200);
            wire.say("efgh");
        }
        leave(wire);
    });
    let through = Through::with(settings());
    let mut client = secured(led(&through, &local(peer.address())), Some(&authority), &["http/1.1"]);
    assert_eq!(client.get("/first?key=secret").text(), "abcdefgh");
    pause(300);
    assert_eq!(client.get("/second").text(), "abcdefgh");
    drop(client);
    let told = through.finish();
    let [first, second] = told.hops()[..] else { panic!("{:?}", told.hops()) };
    let first = opaque(first, &peer).ok_unseen().took(Phase::Wait, 200.0).took(Phase::Stream, 100.0);
    first.connections(&[ConnectionState::New]);
    for phase in [Phase::Dns, Phase::Connect, Phase::Tls] {
        assert!(first.phase(phase) > 0.0, "{phase}: {first:?}");
    }
    first.under(Phase::Own, 100.0);
    assert!(first.call().gap.is_some_and(|gap| gap >= 100_000_000), "{first:?}");
    let second = opaque(second, &peer).ok_unseen().took(Phase::Wait, 150.0).took(Phase::Stream, 100.0);
    second.connections(&[ConnectionState::Reused]);
    assert!(second.call().attempts[0].idle.is_some_and(|idle| (300_000_000..3_000_000_000).contains(&idle)), "{second:?}");
    assert_eq!(second.call().timeline.total(Phase::Tls), None, "{second:?}");
    told.connected_for(2);
}

#[test]
fn http_in_the_clear_is_seen_in_full() {
    let peer = Peer::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
    let through = Through::with(settings());
    let mut client = led(&through, &peer.address().to_string());
    for path in ["/docs?key=secret", "/more"] {
        client.say(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", peer.address()));
        assert_eq!(client.message().status(), 404);
    }
    drop(client);
    let told = through.finish();
    let [first, second] = told.hops()[..] else { panic!("{:?}", told.hops()) };
    first.ended(Outcome::ClientError, FailedBy::Peer).status(Some(404)).operation("GET /docs");
    second.ended(Outcome::ClientError, FailedBy::Peer).operation("GET /more").connections(&[ConnectionState::Reused]);
    assert!(!first.call().opaque && !first.span().inferred);
    assert!(first.phase(Phase::Connect) > 0.0 && second.phase(Phase::Connect) == 0.0);
    assert_eq!(first.span().dependency.as_deref(), Some(&*peer.address().to_string()));
}

#[test]
fn a_protocol_that_is_not_read_is_told_in_turns() {
    let peer = Peer::new(|wire, _| {
        wire.say("+greeting\r\n");
        for _ in 0..2 {
            wire.until("\n");
            pause(100);
            wire.say("+1\r\n");
            pause(50);
            wire.say("+2\r\n");
        }
        wire.rest();
    });
    let through = Through::with(settings());
    let mut client = led(&through, &peer.address().to_string());
    client.until("\n");
    for _ in 0..2 {
        client.say("*1\r\n");
        client.exactly(4);
        client.exactly(4);
    }
    // A goodbye that nobody answers is no exchange.
    client.say("*quit\r\n");
    drop(client);
    let told = through.finish();
    assert_eq!(told.hops().len(), 2, "{:?}", told.hops());
    for hop in told.hops() {
        hop.ok_unseen().operation("tcp").took(Phase::Wait, 90.0).took(Phase::Stream, 40.0).bytes(4, 8);
        assert!(hop.span().inferred && !hop.call().opaque, "{hop:?}");
    }
}

#[test]
fn tls_that_another_protocol_agrees_on_first_is_tls() {
    let authority = Authority::new();
    let config = authority.config();
    let peer = Peer::new(move |wire, _| {
        wire.say("220 mail\r\n");
        wire.until("STARTTLS\r\n");
        wire.say("220 go\r\n");
        let socket = wire.socket().try_clone().unwrap();
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut inside = Wire::over(StreamOwned::new(session, socket.try_clone().unwrap()), socket);
        inside.message();
        inside.say(ANSWER);
        leave(&mut inside);
    });
    let through = Through::with(settings());
    let mut client = led(&through, &local(peer.address()));
    client.until("\n");
    client.say("STARTTLS\r\n");
    client.until("\n");
    let mut client = secured(client, Some(&authority), &[]);
    assert_eq!(client.get("/").text(), "ok");
    drop(client);
    let told = through.finish();
    opaque(told.hop(), &peer).ok_unseen();
}

#[test]
fn an_upstream_that_refuses_ends_the_client_without_an_answer() {
    let through = Through::with(settings());
    let mut client = through.client();
    let place = refused();
    client.say(format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n\r\n"));
    assert_eq!(client.rest(), End::Closed(Vec::new()));
    drop(client);
    let told = through.finish();
    nothing_but(&told, "connect").ended(Outcome::Connect, FailedBy::Peer).error("connection_refused").last(Phase::Connect);
}

#[test]
fn where_it_is_wanted_the_client_is_told_and_may_go_on() {
    let through = Through::with(Settings { failure: UpstreamFailure::Answer, ..settings() });
    let mut client = through.client();
    for _ in 0..2 {
        client.say("CONNECT no-such-host.invalid:443 HTTP/1.1\r\nhost: h\r\n\r\n");
        let answer = client.message();
        assert_eq!(answer.status(), 502);
        assert!(answer.text().contains("no-such-host.invalid"), "{answer:?}");
    }
    drop(client);
    let told = through.finish();
    for hop in told.hops() {
        hop.ended(Outcome::Dns, FailedBy::Peer).error("name_not_found").last(Phase::Dns);
    }
}

#[test]
fn a_client_that_leaves_while_nobody_answers_the_connect_has_left_in_it() {
    let peer = Unanswered::new();
    let through = Through::with(settings());
    let mut client = through.client();
    client.say(format!("CONNECT {} HTTP/1.1\r\nhost: h\r\n\r\n", peer.address()));
    through.open("the connect is open", |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Connect));
    pause(200);
    drop(client);
    let told = through.finish();
    nothing_but(&told, "connect").ended(Outcome::Timeout, FailedBy::Caller).took(Phase::Connect, 200.0);
    assert_eq!(told.0.connections[0].failed, Some(Outcome::Timeout));
}

#[test]
fn a_client_that_leaves_a_silent_handshake_has_left_in_it() {
    let peer = Mute::new();
    let through = Through::with(settings());
    let mut client = led(&through, &local(peer.address()));
    client.say(hello());
    through.open("the handshake is open", |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Tls));
    pause(200);
    drop(client);
    let told = through.finish();
    nothing_but(&told, "connect").ended(Outcome::Timeout, FailedBy::Caller).took(Phase::Tls, 200.0);
}

/// The first flight of a client of TLS.
pub(crate) fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut session = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_server_that_ends_the_handshake_failed_it() {
    type Ending = (&'static str, fn(&mut Wire), Option<&'static str>);
    let endings: [Ending; 4] = [
        ("close", |_| {}, None),
        ("reset", |wire| reset_on_close(wire.socket()).unwrap(), None),
        ("alert", |wire| wire.say([21, 3, 3, 0, 2, 2, 40]), Some("tls_alert")),
        ("other", |wire| wire.say("HTTP/1.1 400 Bad Request\r\n\r\n"), Some("not_tls")),
    ];
    for (name, ending, code) in endings {
        let peer = Peer::new(move |wire, _| {
            wire.exactly(hello().len());
            ending(wire);
        });
        let through = Through::with(settings());
        let mut client = led(&through, &local(peer.address()));
        client.say(hello());
        client.rest();
        drop(client);
        let told = through.finish();
        let hop = nothing_but(&told, "connect").ended(Outcome::Tls, FailedBy::Peer).last(Phase::Tls);
        assert_eq!(hop.call().error_type.as_deref(), code, "{name}: {hop:?}");
        assert_eq!(hop.span().dependency.as_deref(), Some(&*local(peer.address())));
    }
}

#[test]
fn a_client_that_turns_the_certificate_down_ends_the_handshake_by_its_peer() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| _ = wire.try_message(false));
    let through = Through::with(settings());
    let mut client = secured(led(&through, &local(peer.address())), None, &[]);
    assert!(client.try_say("GET / HTTP/1.1\r\n\r\n").is_err());
    drop(client);
    let told = through.finish();
    let hop = nothing_but(&told, "connect").ended(Outcome::Tls, FailedBy::Peer).last(Phase::Tls);
    assert!(hop.call().error_type.is_some(), "{hop:?}");
}

#[test]
fn a_client_that_leaves_in_the_wait_or_in_the_stream_has_left() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, number| {
        wire.message();
        if number == 1 {
            wire.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while wire.try_say("1\r\na\r\n").is_ok() {
                pause(20);
            }
        }
        leave(wire);
    });
    let through = Through::with(settings());
    let mut client = secured(led(&through, &local(peer.address())), Some(&authority), &[]);
    // What the server says of sessions to come, late, would look like an answer.
    pause(200);
    client.say("GET / HTTP/1.1\r\n\r\n");
    pause(300);
    drop(client);
    let mut client = secured(led(&through, &local(peer.address())), Some(&authority), &[]);
    pause(200);
    client.say("GET / HTTP/1.1\r\n\r\n");
    client.until("a\r\n1\r\na\r\n1\r\na\r\n");
    drop(client);
    wait_until("the upstream is left", || peer.open() == 0);
    let told = through.finish();
    let [waited, streamed] = told.hops()[..] else { panic!("{:?}", told.hops()) };
    opaque(waited, &peer).ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Wait).took(Phase::Wait, 250.0);
    opaque(streamed, &peer).ended(Outcome::Cancelled, FailedBy::Caller).last(Phase::Stream);
}

#[test]
fn a_reset_before_an_answer_is_a_reset_for_both() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        reset_on_close(wire.socket()).unwrap();
    });
    let through = Through::with(settings());
    let mut client = led(&through, &peer.address().to_string());
    client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.rest(), End::Reset(Vec::new()));
    drop(client);
    let told = through.finish();
    nothing_but(&told, "GET /").ended(Outcome::Reset, FailedBy::Peer).last(Phase::Wait);

    let peer = Peer::new(|wire, _| {
        wire.message();
        assert!(matches!(wire.rest(), End::Reset(_)));
    });
    let through = Through::with(settings());
    let mut client = led(&through, &peer.address().to_string());
    client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    pause(100);
    client.reset();
    wait_until("the upstream is left", || peer.open() == 0);
    let told = through.finish();
    nothing_but(&told, "GET /").ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Wait);
}

#[test]
fn a_tunnel_without_an_exchange_leaves_no_hop() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| leave(wire));
    let through = Through::with(settings());
    drop(led(&through, &peer.address().to_string()));
    let mut client = secured(led(&through, &local(peer.address())), Some(&authority), &[]);
    // The handshake, and nothing else.
    client.say("");
    pause(100);
    drop(client);
    through.finish().nothing();
}

#[test]
fn a_half_that_is_closed_is_closed_for_the_other_side_alone() {
    let peer = Peer::new(|wire, _| {
        assert_eq!(wire.rest(), End::Closed(b"*all\r\n".to_vec()));
        pause(100);
        wire.say("answer");
    });
    let through = Through::with(settings());
    let mut client = led(&through, &peer.address().to_string());
    client.say("*all\r\n");
    client.half_close();
    assert_eq!(client.rest(), End::Closed(b"answer".to_vec()));
    drop(client);
    let told = through.finish();
    nothing_but(&told, "tcp").ok_unseen().took(Phase::Wait, 100.0).bytes(6, 6);
}

#[test]
fn large_bodies_pass_unchanged_both_ways() {
    let size = 48 << 20;
    let pattern: Vec<u8> = (0..size).map(|at: usize| (at / 7 % 251) as u8).collect();
    let expected = pattern.clone();
    let peer = Peer::new(move |wire, _| {
        assert!(wire.exactly(size) == expected, "the bytes are what they were");
        wire.say(&expected);
    });
    let through = Through::with(settings());
    let mut client = led(&through, &peer.address().to_string());
    client.say(&pattern);
    assert_eq!(client.rest(), End::Closed(pattern));
    drop(client);
    let told = through.finish();
    nothing_but(&told, "tcp").ok_unseen().bytes(size, size);
}

#[test]
fn what_is_no_tunnel_is_refused() {
    let through = Through::with(settings());
    let own = through.address();
    for (place, status) in [("host", 400), (&*own.to_string(), 508)] {
        let mut client = through.client();
        client.say(format!("CONNECT {place} HTTP/1.1\r\nhost: h\r\n\r\n"));
        assert_eq!(client.message().status(), status, "{place}");
        drop(client);
    }
    through.finish().nothing();
    let through = Through::with(Settings { forward: false, ..settings() });
    let mut client = through.client();
    client.say("CONNECT a.example:443 HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.message().status(), 403);
    drop(client);
    through.finish().nothing();
}

#[test]
fn a_gateway_that_drains_ends_tunnels_at_rest_and_no_others() {
    let peer = Peer::answering(ANSWER);
    let slow = Peer::new(|wire, _| {
        wire.message();
        pause(1_500);
        wire.say(ANSWER);
    });
    let through = Through::with(settings());
    let mut resting = led(&through, &peer.address().to_string());
    assert_eq!(resting.get("/").text(), "ok");
    let mut working = led(&through, &slow.address().to_string());
    working.say("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
    through.open("the slow one is under way", |span| &*span.operation == "GET /slow");
    through.drain();
    assert_eq!(resting.rest(), End::Closed(Vec::new()));
    assert_eq!(working.message().text(), "ok");
    drop((resting, working));
    wait_until("it is drained", || through.is_drained());
    assert_eq!(through.finish().hops().len(), 2);
}
