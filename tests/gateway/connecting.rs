//! Upstreams that cannot be connected to.

use crate::hop::Told;
use crate::peer::Peer;
use crate::support::authority::Authority;
use crate::support::peers::{Mute, Unanswered, refused};
use crate::through::{Through, route, settings};
use crate::wire::End;
use hopwatch::gateway::{Connecting, Routes, Settings, UpstreamFailure};
use hopwatch::model::{FailedBy, Outcome, Phase};
use std::time::Duration;

/// Settings that lead everything to this base URL.
fn leading(upstream: &str) -> Settings {
    Settings { routes: Routes::new([route("/", upstream)]), ..settings() }
}

/// Asks once and says how it ended for the client.
#[track_caller]
fn asked(settings: Settings) -> (End, Told) {
    let through = Through::with(settings);
    let mut client = through.client();
    client.say("POST /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
    let end = client.rest();
    drop(client);
    (end, through.finish())
}

/// Without an answer the client's connection is closed; where it is asked for, a 502 says why.
#[track_caller]
fn fails(settings: &Settings, outcome: Outcome, code: &str, last: Phase, says: &str) {
    let (end, told) = asked(settings.clone());
    assert_eq!(end, End::Closed(Vec::new()));
    told.hop().ended(outcome, FailedBy::Peer).error(code).status(None).last(last);
    let (end, told) = asked(Settings { failure: UpstreamFailure::Answer, ..settings.clone() });
    let End::Closed(bytes) = end else { panic!("{end:?}") };
    let answer = String::from_utf8(bytes).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && answer.contains("text/plain"), "{answer}");
    assert!(answer.split_once("\r\n\r\n").unwrap().1.starts_with(&format!("hopwatch: {says}")), "{answer}");
    told.hop().ended(outcome, FailedBy::Peer).error(code).status(None).last(last);
}

#[test]
fn nobody_listens() {
    let address = refused();
    let says = format!("cannot connect to `{address}` at {address}: Connection refused");
    fails(&leading(&format!("http://{address}")), Outcome::Connect, "connection_refused", Phase::Connect, &says);
}

#[test]
fn a_name_that_does_not_resolve() {
    let settings = leading("http://no-such-host.invalid:8080");
    let through = Through::with(settings);
    let mut client = through.client();
    client.say("GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n");
    assert_eq!(client.rest(), End::Closed(Vec::new()));
    drop(client);
    through.finish().hop().ended(Outcome::Dns, FailedBy::Peer).status(None).last(Phase::Dns);
}

#[test]
fn a_connect_that_is_never_answered() {
    let peer = Unanswered::new();
    let connecting = Connecting { timeout: Some(Duration::from_millis(400)), ..Connecting::default() };
    let settings = Settings { connecting, ..leading(&format!("http://{}", peer.address())) };
    let says = format!("cannot connect to `{0}` at {0}: no answer within 0.4 s", peer.address());
    fails(&settings, Outcome::Connect, "timeout", Phase::Connect, &says);
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| drop(wire.try_message(false)));
    let port = peer.address().port();
    let says = format!("no TLS with `localhost:{port}` at 127.0.0.1:{port}: the certificate's issuer is not trusted here");
    fails(&leading(&format!("https://localhost:{port}")), Outcome::Tls, "certificate_unknown_issuer", Phase::Tls, &says);
}

#[test]
fn what_answers_does_not_speak_tls() {
    let peer = Peer::new(|wire, _| {
        drop(wire.try_exactly(5));
        drop(wire.try_say("HTTP/1.1 400 Bad Request\r\n\r\n"));
        drop(wire.try_until(b"never"));
    });
    let port = peer.address().port();
    let says = format!("no TLS with `localhost:{port}` at 127.0.0.1:{port}: what answers does not speak TLS");
    fails(&leading(&format!("https://localhost:{port}")), Outcome::Tls, "not_tls", Phase::Tls, &says);
}

#[test]
fn a_peer_that_closes_within_the_handshake() {
    let peer = Peer::new(|wire, _| drop(wire.try_exactly(100)));
    let port = peer.address().port();
    fails(&leading(&format!("https://localhost:{port}")), Outcome::Tls, "connection_closed", Phase::Tls, "no TLS with");
}

#[test]
fn a_handshake_that_stalls_until_the_client_leaves() {
    let peer = Mute::new();
    let through = Through::with(leading(&format!("https://localhost:{}", peer.address().port())));
    let mut client = through.client();
    client.say("GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n");
    through.open("in the handshake", |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Tls));
    crate::through::pause(200);
    drop(client);
    through.finish().hop().ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Tls).took(Phase::Tls, 200.0);
}

#[test]
fn over_tls_a_call_has_its_handshake_once() {
    let authority = Authority::new();
    let peer = Peer::tls(&authority, |wire, _| {
        while wire.try_message(false).is_ok() {
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let connecting = Connecting { authorities: vec![authority.file()], ..Connecting::default() };
    let through = Through::with(Settings { connecting, ..leading(&format!("https://localhost:{}", peer.address().port())) });
    let mut client = through.client();
    for _ in 0..3 {
        assert_eq!(client.get("/thing").text(), "ok");
    }
    drop(client);
    let told = through.finish();
    assert_eq!((told.hops().len(), peer.connections()), (3, 1));
    let handshakes: Vec<bool> = told.hops().iter().map(|hop| hop.ok(200).phase(Phase::Tls) > 0.0).collect();
    assert_eq!(handshakes, [true, false, false]);
    assert!(told.hops()[0].phase(Phase::Dns) > 0.0);
}
