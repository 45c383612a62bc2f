//! TLS that is ended in the gateway, by a client that was told to trust it.

use crate::hop::{Hop, Told};
use crate::peer::Peer;
use crate::support::authority::Authority;
use crate::support::peers::Mute;
use crate::support::server::reset_on_close;
use crate::through::{Through, pause, settings, wait_until};
use crate::tunnel::{hello, leave, led, local, opaque, secured, trusting};
use crate::wire::{End, Wire};
use hopwatch::gateway::{Connecting, Intercept, LeftAlone, Settings, Why};
use hopwatch::model::clock::Anchor;
use hopwatch::model::{ConnectionState, FailedBy, Outcome, Phase};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What was told of hosts that are left alone, by all tests here.
static SAID: Mutex<Vec<LeftAlone>> = Mutex::new(Vec::new());

/// A gateway that ends TLS.
struct Opening {
    through: Through,
    intercept: Arc<Intercept>,
}

impl Opening {
    /// It trusts this authority, or none but the system's.
    fn trusting(authority: Option<&Authority>) -> Self {
        let intercept = Arc::new(Intercept::new(Anchor::new(0), Some(|left| SAID.lock().unwrap().push(left.clone()))).unwrap());
        let authorities = authority.map(Authority::file).into_iter().collect();
        let connecting = Connecting { authorities, ..Connecting::default() };
        let through = Through::with(Settings { connecting, intercept: Some(Arc::clone(&intercept)), ..settings() });
        Self { through, intercept }
    }

    /// A client that was told to trust it, in a tunnel to an address.
    fn client(&self, address: SocketAddr, protocols: &[&str]) -> Wire {
        let authority = CertificateDer::from(self.intercept.certificate().to_vec());
        trusting(led(&self.through, &local(address)), Some(authority), protocols)
    }
}

/// The reasons for which a place is left alone: what is remembered is what was told, once.
#[track_caller]
fn left_alone(intercept: &Intercept, address: SocketAddr) -> Vec<Why> {
    let of = |left: &&LeftAlone| *left.place == *local(address);
    let remembered = intercept.left_alone();
    let remembered: Vec<Why> = remembered.iter().filter(of).map(|left| left.why.clone()).collect();
    let told: Vec<Why> = SAID.lock().unwrap().iter().filter(of).map(|left| left.why.clone()).collect();
    assert_eq!(remembered, told);
    told
}

/// A hop of which all was seen.
#[track_caller]
fn seen<'a>(hop: Hop<'a>, address: SocketAddr) -> Hop<'a> {
    assert!(!hop.call().opaque && !hop.span().inferred, "{hop:?}");
    assert_eq!(hop.span().dependency.as_deref(), Some(&*local(address)), "{hop:?}");
    hop
}

#[track_caller]
fn two(told: &Told) -> [Hop<'_>; 2] {
    told.hops()[..].try_into().unwrap_or_else(|_| panic!("{:?}", told.hops()))
}

#[test]
fn requests_inside_are_seen_in_full_and_the_first_has_the_set_up() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        for wait in [200, 150] {
            wire.message();
            pause(wait);
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nabcd");
            pause(100);
            wire.say("efgh");
        }
        leave(wire);
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &["http/1.1"]);
    assert_eq!(client.get("/first?key=secret").text(), "abcdefgh");
    pause(300);
    assert_eq!(client.get("/second").text(), "abcdefgh");
    drop(client);
    wait_until("what was opened for a client goes with it", || peer.open() == 0);
    let told = opening.through.finish();
    let [first, second] = two(&told);
    let first = seen(first, peer.address()).ok(200).operation("GET /first").took(Phase::Wait, 190.0).took(Phase::Stream, 90.0);
    first.connections(&[ConnectionState::New]).under(Phase::Own, 100.0);
    for phase in [Phase::Dns, Phase::Connect, Phase::Tls] {
        assert!(first.phase(phase) > 0.0, "{phase}: {first:?}");
    }
    let second = seen(second, peer.address()).ok(200).operation("GET /second").took(Phase::Wait, 140.0);
    second.connections(&[ConnectionState::Reused]).under(Phase::Tls, 0.001);
    assert!(second.call().attempts[0].idle.is_some_and(|idle| (280_000_000..3_000_000_000).contains(&idle)), "{second:?}");
    told.connected_for(2);
    let heard = peer.heard(0);
    assert!(heard.starts_with("GET /first?key=secret HTTP/1.1\r\n") && !heard.contains("proxy"), "{heard}");
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_stream_of_events_has_its_first_token_and_its_gap() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        wire.message();
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            pause(200);
            wire.say(format!("{:x}\r\n{event}\r\n", event.len()));
        }
        wire.say("0\r\n\r\n");
        leave(wire);
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &["http/1.1"]);
    assert_eq!(client.get("/events").text(), "data: 1\n\ndata: 2\n\n");
    drop(client);
    let told = opening.through.finish();
    let hop = seen(told.hop(), peer.address()).ok(200).took(Phase::FirstToken, 180.0).took(Phase::Stream, 180.0);
    assert!(hop.call().gap.is_some_and(|gap| gap >= 150_000_000), "{hop:?}");
}

#[test]
fn a_request_that_follows_long_after_the_set_up_does_not_have_it() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        wire.message();
        wire.say(ANSWER);
        leave(wire);
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &["http/1.1"]);
    client.shake();
    pause(1_500);
    assert_eq!(client.get("/").text(), "ok");
    drop(client);
    let told = opening.through.finish();
    let hop = seen(told.hop(), peer.address()).ok(200).connections(&[ConnectionState::Reused]).under(Phase::Tls, 0.001);
    assert!(hop.call().attempts[0].idle.is_some_and(|idle| idle >= 1_400_000_000), "{hop:?}");
    assert!(opening.intercept.left_alone().is_empty());
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_told_once_and_led_through_from_then_on() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        if wire.try_message(false).is_ok() {
            wire.say(ANSWER);
        }
        leave(wire);
    });
    let opening = Opening::trusting(Some(&authority));
    // It trusts the authority of its host and no other.
    let mut client = secured(led(&opening.through, &local(peer.address())), Some(&authority), &["http/1.1"]);
    assert!(client.try_say("GET / HTTP/1.1\r\n\r\n").is_err());
    drop(client);
    wait_until("it is noted", || !opening.intercept.left_alone().is_empty());
    for _ in 0..2 {
        let mut client = secured(led(&opening.through, &local(peer.address())), Some(&authority), &["http/1.1"]);
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(left_alone(&opening.intercept, peer.address()), [Why::Pins]);
    let told = opening.through.finish();
    for hop in two(&told) {
        opaque(hop, &peer).ok_unseen();
    }
    assert_eq!(told.0.connections.iter().filter(|fact| fact.failed.is_some()).count(), 0, "{:?}", told.0.connections);
}

#[test]
fn a_client_that_leaves_at_once_after_the_handshake_pins() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| leave(wire));
    for protocols in [&["http/1.1"][..], &[]] {
        let opening = Opening::trusting(Some(&authority));
        SAID.lock().unwrap().retain(|left| *left.place != *local(peer.address()));
        let mut client = opening.client(peer.address(), protocols);
        client.shake();
        drop(client);
        wait_until("it is noted", || !opening.intercept.left_alone().is_empty());
        assert_eq!(left_alone(&opening.intercept, peer.address()), [Why::Pins]);
        opening.through.finish().nothing();
    }
}

#[test]
fn a_host_that_is_not_trusted_here_is_for_its_client_to_judge() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        if wire.try_message(false).is_ok() {
            wire.say(ANSWER);
        }
        leave(wire);
    });
    let opening = Opening::trusting(None);
    // The first one finds out that the gateway does not trust it.
    let mut doubting = opening.client(peer.address(), &["http/1.1"]);
    assert!(doubting.try_say("GET / HTTP/1.1\r\n\r\n").is_err());
    drop(doubting);
    let mut trusting = secured(led(&opening.through, &local(peer.address())), Some(&authority), &["http/1.1"]);
    assert_eq!(trusting.get("/").text(), "ok");
    drop(trusting);
    let [Why::Host(reason)] = &left_alone(&opening.intercept, peer.address())[..] else {
        panic!("left alone for what is wrong there")
    };
    assert!(reason.contains("issuer is not trusted"), "{reason}");
    let told = opening.through.finish();
    let [failed, passed] = two(&told);
    failed.ended(Outcome::Tls, FailedBy::Peer).last(Phase::Tls).operation("connect");
    opaque(passed, &peer).ok_unseen();
}

#[test]
fn what_is_no_tls_passes_as_ever() {
    let peer = Peer::answering(ANSWER);
    let opening = Opening::trusting(None);
    let mut client = led(&opening.through, &peer.address().to_string());
    client.say(format!("GET /docs HTTP/1.1\r\nhost: {}\r\n\r\n", peer.address()));
    assert_eq!(client.message().status(), 200);
    drop(client);
    let greeting = Peer::new(|wire, _| {
        wire.say("+greeting\r\n");
        wire.until("\n");
        wire.say("+1\r\n");
        wire.rest();
    });
    let mut client = led(&opening.through, &greeting.address().to_string());
    client.until("\n");
    client.say("*1\r\n");
    client.exactly(4);
    drop(client);
    let told = opening.through.finish();
    let [plain, other] = two(&told);
    plain.ok(200).operation("GET /docs");
    other.ok_unseen().operation("tcp");
}

#[test]
fn what_is_no_http_inside_is_told_in_turns() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        wire.say("+greeting\r\n");
        wire.until("\n");
        pause(100);
        wire.say("+1\r\n");
        leave(wire);
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &[]);
    client.until("\n");
    client.say("*1\r\n");
    client.exactly(4);
    drop(client);
    let told = opening.through.finish();
    let hop = told.hop().ok_unseen().operation("tcp").took(Phase::Wait, 90.0).bytes(4, 4);
    assert!(hop.span().inferred && !hop.call().opaque, "{hop:?}");
    assert!(opening.intercept.left_alone().is_empty());
}

#[test]
fn a_client_that_offers_no_http_is_led_through() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        wire.message();
        wire.say(ANSWER);
        leave(wire);
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = secured(led(&opening.through, &local(peer.address())), Some(&authority), &["postgresql"]);
    assert_eq!(client.get("/").text(), "ok");
    drop(client);
    opaque(opening.through.finish().hop(), &peer).ok_unseen();
}

#[test]
fn a_request_without_a_word_of_its_protocol_in_the_handshake_is_served() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        wire.message();
        wire.say(ANSWER);
        leave(wire);
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &[]);
    assert_eq!(client.get("/plain").text(), "ok");
    drop(client);
    seen(opening.through.finish().hop(), peer.address()).ok(200).operation("GET /plain").connections(&[ConnectionState::New]);
}

#[test]
fn a_web_socket_inside_is_one_hop_to_its_close() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        assert_eq!(wire.message().field("upgrade").as_deref(), Some("websocket"));
        wire.say("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\nhello");
        assert_eq!(wire.exactly(4), b"ping");
        pause(200);
        wire.say("pong");
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &["http/1.1"]);
    client.say("GET /socket HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    client.until("\r\n\r\n");
    assert_eq!(client.exactly(5), b"hello");
    client.say("ping");
    assert_eq!(client.exactly(4), b"pong");
    leave(&mut client);
    drop(client);
    seen(opening.through.finish().hop(), peer.address()).ok(101).operation("GET /socket").took(Phase::Stream, 180.0);
}

#[test]
fn no_tunnel_leads_from_within_one() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| leave(wire));
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &["http/1.1"]);
    client.say("CONNECT other.example:443 HTTP/1.1\r\nhost: other.example:443\r\n\r\n");
    assert_eq!(client.message().status(), 501);
    drop(client);
    opening.through.finish().nothing();
}

#[test]
fn a_client_that_leaves_while_its_host_says_nothing_has_left_in_the_handshake() {
    let peer = Mute::new();
    let opening = Opening::trusting(None);
    let mut client = led(&opening.through, &local(peer.address()));
    client.say(hello());
    let in_tls = |span: &hopwatch::model::Span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Tls);
    opening.through.open("the handshake is open", in_tls);
    pause(200);
    drop(client);
    let told = opening.through.finish();
    let hop = told.hop().operation("connect").ended(Outcome::Timeout, FailedBy::Caller).took(Phase::Tls, 190.0);
    assert!(!hop.call().opaque, "{hop:?}");
    assert!(opening.intercept.left_alone().is_empty());
}

#[test]
fn an_upstream_that_fails_before_an_answer_ends_the_client_without_one() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        wire.message();
        reset_on_close(wire.socket()).unwrap();
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = opening.client(peer.address(), &["http/1.1"]);
    client.say("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi");
    assert_eq!(client.rest(), End::Reset(Vec::new()));
    drop(client);
    let told = opening.through.finish();
    seen(told.hop(), peer.address()).ended(Outcome::Reset, FailedBy::Peer).last(Phase::Wait);
}

#[test]
fn a_handshake_that_the_host_fails_is_failed_before_its_client_too() {
    let peer = Peer::new(|wire, _| {
        wire.exactly(hello().len());
        wire.say([21, 3, 3, 0, 2, 2, 40]);
    });
    let opening = Opening::trusting(None);
    let mut client = led(&opening.through, &local(peer.address()));
    client.say(hello());
    assert_eq!(client.exactly(7), [21, 3, 3, 0, 2, 2, 40], "the host's own words");
    drop(client);
    let told = opening.through.finish();
    told.hop().ended(Outcome::Tls, FailedBy::Peer).error("tls_alert").last(Phase::Tls);
    assert!(matches!(left_alone(&opening.intercept, peer.address())[..], [Why::Host(_)]));
}

#[test]
fn clients_at_once_have_their_own_connections_and_leave_nothing() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        while wire.try_message(false).is_ok() {
            wire.say(ANSWER);
        }
    });
    let opening = Opening::trusting(Some(&authority));
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let mut client = opening.client(peer.address(), &["http/1.1"]);
                for _ in 0..3 {
                    assert_eq!(client.get("/").text(), "ok");
                }
            });
        }
    });
    wait_until("all that was opened is closed", || peer.open() == 0);
    let told = opening.through.finish();
    assert_eq!((told.hops().len(), peer.connections()), (72, 24));
    let new = |hop: &Hop<'_>| seen(hop.ok(200), peer.address()).call().attempts[0].connection == Some(ConnectionState::New);
    assert_eq!(told.hops().iter().filter(|hop| new(hop)).count(), 24);
    assert!(opening.intercept.left_alone().is_empty());
}

#[test]
fn a_host_that_wants_certificates_of_its_clients_is_left_to_them() {
    let authority = Authority::new();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wants = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).allow_unauthenticated().build();
    let (certificate, key) = authority.server();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(wants.unwrap());
    let config = Arc::new(config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap());
    let peer = Peer::new(move |wire, _| {
        let socket = wire.socket().try_clone().unwrap();
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut inside = Wire::over(StreamOwned::new(session, socket.try_clone().unwrap()), socket);
        if inside.try_message(false).is_ok() {
            inside.say(ANSWER);
        }
        leave(&mut inside);
    });
    let opening = Opening::trusting(Some(&authority));
    let mut client = secured(led(&opening.through, &local(peer.address())), Some(&authority), &["http/1.1"]);
    assert_eq!(client.get("/").text(), "ok");
    drop(client);
    let [Why::Host(reason)] = &left_alone(&opening.intercept, peer.address())[..] else { panic!("left alone for what it wants") };
    assert!(reason.contains("certificates of its clients"), "{reason}");
    opaque(opening.through.finish().hop(), &peer).ok_unseen();
}
