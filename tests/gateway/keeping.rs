//! Connections that are kept: reuse, idle age, and those that turn out to be stale.

use crate::peer::Peer;
use crate::through::{Through, leading_to, pause, wait_until};
use crate::wire::{End, Wire};
use hopwatch::gateway::{Limits, Settings};
use hopwatch::model::ConnectionState::{New, Reused};
use hopwatch::model::{FailedBy, Outcome, Phase};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const POST: &str = "POST /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2\r\n\r\nhi";

#[test]
fn requests_of_one_client_go_one_way_and_tell_how_long_it_was_idle() {
    let peer = Peer::answering(OK);
    let through = Through::to(peer.address());
    let mut client = through.client();
    for pauses in [0, 0, 300] {
        pause(pauses);
        client.get("/thing");
    }
    drop(client);
    let told = through.finish();
    let hops = told.hops();
    assert_eq!((hops.len(), peer.connections()), (3, 1));
    let used: Vec<_> = hops.iter().map(|hop| (hop.call().client.connection, hop.call().attempts[0].connection)).collect();
    assert_eq!(used, [(Some(New), Some(New)), (Some(Reused), Some(Reused)), (Some(Reused), Some(Reused))]);
    let idle: Vec<_> = hops.iter().map(|hop| hop.call().attempts[0].idle).collect();
    assert_eq!(idle[0], None);
    assert!(idle[1].is_some_and(|idle| idle < 300_000_000), "{idle:?}");
    assert!(idle[2].is_some_and(|idle| (300_000_000..3_000_000_000).contains(&idle)), "{idle:?}");
    let number = hops[0].call().client.connection_id;
    assert!(number.is_some() && hops.iter().all(|hop| hop.call().client.connection_id == number));
    for reused in &hops[1..] {
        assert_eq!((reused.phase(Phase::Connect), reused.phase(Phase::Pool)), (0.0, 0.0), "{reused:?}");
    }
}

#[test]
fn clients_that_follow_each_other_share_a_connection() {
    let peer = Peer::answering(OK);
    let through = Through::to(peer.address());
    for _ in 0..5 {
        let mut client = through.client();
        client.get("/thing");
    }
    let told = through.finish();
    assert_eq!((told.hops().len(), peer.connections()), (5, 1));
    let states: Vec<_> = told.hops().iter().map(|hop| hop.ok(200).call().attempts[0].connection.unwrap()).collect();
    assert_eq!(states, [New, Reused, Reused, Reused, Reused]);
    // Of one process, which opened each of its own.
    assert!(told.0.connections.iter().all(|fact| fact.calls == 1 && fact.closed_by_caller), "{:?}", told.0.connections);
}

#[test]
fn a_close_that_is_announced_ends_its_own_side_alone() {
    let peer = Peer::answering(OK);
    let through = Through::to(peer.address());
    for _ in 0..2 {
        let mut client = through.client();
        client.say("GET /thing HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
        let answer = client.message();
        assert_eq!((answer.text().as_str(), answer.field("connection").as_deref()), ("ok", Some("close")));
        assert_eq!(client.rest(), End::Closed(Vec::new()));
    }
    let told = through.finish();
    assert_eq!((told.hops().len(), peer.connections()), (2, 1), "the upstream's was kept");
    assert!(!peer.heard(0).contains("connection: close"), "{}", peer.heard(0));

    let peer = Peer::answering(OK.replace("content-length", "connection: close\r\ncontent-length"));
    let through = Through::to(peer.address());
    let mut client = through.client();
    for _ in 0..3 {
        assert_eq!(client.get("/thing").field("connection"), None);
    }
    drop(client);
    let told = through.finish();
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200).connections(&[New]));
    assert_eq!((told.hops().len(), peer.connections()), (3, 3), "the client's was kept");
}

#[test]
fn idle_connections_to_upstreams_are_closed_in_time() {
    let peer = Peer::answering(OK);
    let limits = Limits { upstream_idle_timeout: Duration::from_millis(300), ..Limits::default() };
    let through = Through::with(Settings { limits, ..leading_to(peer.address()) });
    let mut client = through.client();
    client.get("/thing");
    assert_eq!(peer.open(), 1);
    wait_until("the idle connection is closed", || peer.open() == 0);
    client.get("/thing");
    drop(client);
    let told = through.finish();
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200).connections(&[New]));
}

#[test]
fn a_connection_that_its_upstream_closed_is_not_used() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say(OK);
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    for _ in 0..3 {
        client.get("/thing");
        wait_until("the upstream has closed it", || peer.open() == 0);
        // Its end is on its way.
        pause(50);
    }
    drop(client);
    let told = through.finish();
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200).connections(&[New]));
    assert_eq!(peer.connections(), 3);
}

/// Answers the first request of each connection and closes, or resets, at the next.
fn stale(resets: bool) -> Peer {
    Peer::new(move |wire, _| {
        wire.message();
        wire.say(OK);
        if wire.try_message(false).is_ok() && resets {
            crate::support::server::reset_on_close(wire.socket()).unwrap();
        }
    })
}

#[test]
fn a_request_that_meets_a_stale_connection_is_sent_once_more_where_that_is_safe() {
    for (resets, request) in [
        (false, "GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n"),
        (true, "GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n"),
        (false, "DELETE /thing HTTP/1.1\r\nhost: gateway\r\n\r\n"),
        (true, "PUT /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n\r\n"),
    ] {
        let peer = stale(resets);
        let through = Through::to(peer.address());
        let mut client = through.client();
        for _ in 0..2 {
            client.say(request);
            assert_eq!(client.message().text(), "ok");
        }
        drop(client);
        let told = through.finish();
        let hops = told.hops();
        assert_eq!((hops.len(), peer.connections()), (2, 2), "{request:?}");
        let again = hops[1].ok(200).connections(&[Reused, New]);
        let outcomes: Vec<_> = again.call().attempts.iter().map(|attempt| (attempt.outcome, attempt.failed_by)).collect();
        assert_eq!(outcomes, [(Some(Outcome::Reset), Some(FailedBy::Peer)), (Some(Outcome::Ok), None)], "{again:?}");
    }
}

#[test]
fn a_request_that_may_have_been_done_is_not_sent_once_more() {
    for resets in [false, true] {
        let peer = stale(resets);
        let through = Through::to(peer.address());
        let mut client = through.client();
        client.get("/thing");
        client.say(POST);
        let end = client.rest();
        assert_eq!(end, if resets { End::Reset(Vec::new()) } else { End::Closed(Vec::new()) });
        drop(client);
        let told = through.finish();
        assert_eq!(peer.connections(), 1);
        told.hops()[1].ended(Outcome::Reset, FailedBy::Peer).connections(&[Reused]).status(None);
    }
}

#[test]
fn a_request_is_sent_once_more_once_alone() {
    // The first connection answers once; all later ones close at their first request.
    let peer = Peer::new(|wire, number| {
        wire.message();
        if number == 0 {
            wire.say(OK);
            wire.message();
        }
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.get("/thing");
    client.say("GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n");
    assert_eq!(client.rest(), End::Closed(Vec::new()));
    drop(client);
    let told = through.finish();
    assert_eq!(peer.connections(), 2);
    told.hops()[1].ended(Outcome::Reset, FailedBy::Peer).connections(&[Reused, New]);
}

#[test]
fn an_answer_that_began_is_not_asked_for_once_more() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say(OK);
        wire.message();
        wire.say("HTTP/1.1 200 OK\r\ncont");
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.get("/thing");
    client.say("GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n");
    assert_eq!(client.rest(), End::Closed(Vec::new()));
    drop(client);
    let told = through.finish();
    assert_eq!(peer.connections(), 1);
    told.hops()[1].ended(Outcome::Body, FailedBy::Peer).connections(&[Reused]);
}

#[test]
fn an_upstream_that_starts_anew_is_found() {
    let peer = Peer::answering(OK);
    let address = peer.address();
    let through = Through::to(address);
    let mut client = through.client();
    client.get("/thing");
    drop(peer);
    let peer = Peer::at(address, |wire: &mut Wire, _| {
        while wire.try_message(false).is_ok() {
            wire.say(OK);
        }
    });
    client.get("/thing");
    client.say(POST);
    client.message();
    drop(client);
    let told = through.finish();
    assert_eq!((told.hops().len(), peer.connections()), (3, 1));
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200));
}

#[test]
fn what_an_upstream_says_unasked_ends_its_connection() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say(OK);
        wire.say("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    for _ in 0..3 {
        assert_eq!(client.get("/thing").status(), 200);
        pause(50);
    }
    drop(client);
    let told = through.finish();
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200).connections(&[New]));
    wait_until("they are closed", || peer.open() == 0);
}
