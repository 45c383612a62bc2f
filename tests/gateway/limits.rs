//! Limits: connections to an upstream, clients, times, and the ways in which a gateway ends or is told otherwise.

use crate::peer::Peer;
use crate::through::{Through, leading_to, pause, wait_until};
use crate::wire::{End, Wire};
use hopwatch::gateway::{Limits, Settings};
use hopwatch::model::clock::monotonic;
use hopwatch::model::{Phase, Span};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &str = "GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n";

fn limited(upstream: SocketAddr, limits: Limits) -> Settings {
    Settings { limits, ..leading_to(upstream) }
}

fn is_in(phase: Phase) -> impl Fn(&Span) -> bool {
    move |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(phase)
}

#[test]
fn a_full_upstream_is_waited_for_in_the_order_of_arrival() {
    for most in [1, 2] {
        let order = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&order);
        let peer = Peer::new(move |wire, _| {
            while let Ok(message) = wire.try_message(false) {
                seen.lock().unwrap().push(message.start());
                pause(200);
                wire.say(OK);
            }
        });
        let through = Through::with(limited(peer.address(), Limits { max_upstream_connections: most, ..Limits::default() }));
        let mut clients = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            let mut client = through.client();
            client.say(format!("GET /{name} HTTP/1.1\r\nhost: gateway\r\n\r\n"));
            let started = clients.len() as u64 + 1;
            wait_until("it has begun", || through.view.losses().started == started);
            clients.push(client);
        }
        for client in &mut clients {
            assert_eq!(client.message().text(), "ok");
        }
        drop(clients);
        let told = through.finish();
        let first: Vec<String> = order.lock().unwrap().iter().map(|start| start[4..6].to_owned()).collect();
        if most == 1 {
            assert_eq!(first, ["/a", "/b", "/c", "/d", "/e"]);
        }
        assert_eq!(peer.connections(), most, "what is free is used");
        let waits: Vec<f64> = told.hops().iter().map(|hop| hop.ok(200).phase(Phase::Pool)).collect();
        assert!(waits[..most].iter().all(|wait| *wait == 0.0), "{waits:?}");
        assert!(waits[4] >= 200.0 * (4 / most - 1) as f64 && waits[4] >= waits[most], "{waits:?}");
        assert!(waits[most..].iter().all(|wait| *wait > 50.0), "{waits:?}");
    }
}

#[test]
fn a_place_that_its_client_left_is_given_on() {
    let peer = Peer::new(|wire, _| {
        while let Ok(message) = wire.try_message(false) {
            if message.start().contains("/stuck") {
                wire.rest();
                return;
            }
            wire.say(OK);
        }
    });
    let through = Through::with(limited(peer.address(), Limits { max_upstream_connections: 1, ..Limits::default() }));
    let mut stuck = through.client();
    stuck.say("GET /stuck HTTP/1.1\r\nhost: gateway\r\n\r\n");
    through.open("it is sent", is_in(Phase::Wait));
    let mut next = through.client();
    next.say(GET);
    through.open("it waits", is_in(Phase::Pool));
    drop(stuck);
    assert_eq!(next.message().text(), "ok");
    drop(next);
    assert_eq!(through.finish().hops().len(), 2);
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_not_waited_for_for_ever() {
    let peer = Peer::answering(OK);
    let limits = Limits { header_timeout: Duration::from_millis(600), ..Limits::default() };
    let through = Through::with(limited(peer.address(), limits));
    for beginning in ["G", "GET / HTTP/1.1\r\nhost: gate", "PRI * HT", "P"] {
        let mut client = through.client();
        let start = monotonic();
        client.say(beginning);
        let (End::Closed(bytes) | End::Reset(bytes)) = client.rest();
        assert!(bytes.is_empty(), "{beginning:?}: {}", String::from_utf8_lossy(&bytes));
        let took = start.elapsed();
        assert!((Duration::from_millis(600)..Duration::from_secs(6)).contains(&took), "{beginning:?}: {took:?}");
    }
    through.finish().nothing();
    assert_eq!(peer.connections(), 0);
}

#[test]
fn bytes_that_trickle_in_do_not_prolong_the_time_for_a_head() {
    let peer = Peer::answering(OK);
    let limits = Limits { header_timeout: Duration::from_millis(600), ..Limits::default() };
    let through = Through::with(limited(peer.address(), limits));
    let mut client = through.client();
    client.say("GET / HTTP/1.1\r\nx-long: ");
    let start = monotonic();
    while client.try_say("x").is_ok() {
        pause(20);
        assert!(start.elapsed() < Duration::from_secs(6), "it goes on");
    }
    drop(client);
    through.finish().nothing();
}

#[test]
fn an_idle_client_is_let_go_and_one_that_is_served_is_not() {
    let peer = Peer::new(|wire, _| {
        while wire.try_message(false).is_ok() {
            pause(1_500);
            wire.say(OK);
        }
    });
    let limits =
        Limits { idle_timeout: Duration::from_millis(300), header_timeout: Duration::from_millis(300), ..Limits::default() };
    let through = Through::with(limited(peer.address(), limits));
    let mut silent = through.client();
    let mut client = through.client();
    assert_eq!(client.get("/thing").text(), "ok", "a slow answer is no idle client");
    assert_eq!(client.rest(), End::Closed(Vec::new()));
    assert_eq!(silent.rest(), End::Closed(Vec::new()));
    drop((client, silent));
    through.finish().hop().ok(200);
}

#[test]
fn clients_beyond_the_most_are_turned_away_and_others_are_served() {
    let peer = Peer::answering(OK);
    let through = Through::with(limited(peer.address(), Limits { max_clients: 3, ..Limits::default() }));
    let mut clients: Vec<Wire> = (0..3).map(|_| through.client()).collect();
    wait_until("they are there", || through.view.clients() == 3);
    for _ in 0..5 {
        let (End::Closed(bytes) | End::Reset(bytes)) = through.client().rest();
        assert!(bytes.is_empty());
    }
    for client in &mut clients {
        assert_eq!(client.get("/thing").text(), "ok");
    }
    clients.pop();
    wait_until("one has left", || through.view.clients() == 2);
    assert_eq!(through.client().get("/thing").text(), "ok");
    drop(clients);
    assert_eq!(through.finish().hops().len(), 4);
}

#[test]
fn draining_serves_what_is_there_and_takes_in_no_more() {
    let peer = Peer::new(|wire, _| {
        while wire.try_message(false).is_ok() {
            pause(600);
            wire.say(OK);
        }
    });
    let through = Through::to(peer.address());
    let (mut busy, mut idle, mut silent) = (through.client(), through.client(), through.client());
    idle.get("/thing");
    busy.say(GET);
    through.open("it is sent", is_in(Phase::Wait));
    wait_until("all are there", || through.view.clients() == 3);
    through.drain();
    assert_eq!(idle.rest(), End::Closed(Vec::new()), "who is idle is let go");
    assert_eq!(silent.rest(), End::Closed(Vec::new()));
    wait_until("new ones are refused", || TcpStream::connect(through.address()).is_err());
    assert!(!through.is_drained());
    let answer = busy.message();
    assert_eq!((answer.text().as_str(), answer.field("connection").as_deref()), ("ok", Some("close")));
    assert_eq!(busy.rest(), End::Closed(Vec::new()));
    wait_until("it is drained", || through.is_drained());
    assert_eq!(through.finish().hops().len(), 2);
}

#[test]
fn what_does_not_end_in_time_is_cut_off_and_told_as_open() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(GET);
    through.open("it is sent", is_in(Phase::Wait));
    through.drain();
    pause(200);
    assert!(!through.is_drained());
    let told = through.stop();
    let (End::Closed(bytes) | End::Reset(bytes)) = client.rest();
    assert!(bytes.is_empty());
    let hop = told.hop().last(Phase::Wait);
    assert!(hop.span().is_open() && hop.call().outcome.is_none() && hop.call().failed_by.is_none(), "{hop:?}");
}

#[test]
fn settings_change_under_traffic_and_no_request_is_lost() {
    let count = |answer: &'static str| {
        let served = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&served);
        let peer = Peer::new(move |wire, _| {
            while wire.try_message(false).is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
                if wire.try_say(format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{answer}")).is_err() {
                    return;
                }
            }
        });
        (peer, served)
    };
    let ((one, by_one), (two, by_two)) = (count("one"), count("two"));
    let through = Through::to(one.address());
    let asked = AtomicUsize::new(0);
    let ended = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = through.client();
                while ended.load(Ordering::SeqCst) == 0 {
                    let text = client.get("/thing").text();
                    assert!(["one", "two"].contains(&text.as_str()), "{text}");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 0..20 {
            let before = asked.load(Ordering::SeqCst);
            wait_until("requests go on", || asked.load(Ordering::SeqCst) >= before + 20);
            through.reload(leading_to(if round % 2 == 0 { two.address() } else { one.address() }));
        }
        ended.store(1, Ordering::SeqCst);
    });
    let told = through.finish();
    assert_eq!(told.hops().len(), asked.load(Ordering::SeqCst));
    assert_eq!(by_one.load(Ordering::SeqCst) + by_two.load(Ordering::SeqCst), told.hops().len());
    assert!(by_one.load(Ordering::SeqCst) > 0 && by_two.load(Ordering::SeqCst) > 0);
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200));
    wait_until("nothing stays of what was used before", || one.open() + two.open() <= 4);
}

#[test]
fn a_changed_limit_holds_from_then_on() {
    let peer = Peer::new(|wire, _| {
        while wire.try_message(false).is_ok() {
            pause(100);
            wire.say(OK);
        }
    });
    let through = Through::with(limited(peer.address(), Limits { max_upstream_connections: 1, ..Limits::default() }));
    through.client().get("/thing");
    through.reload(limited(peer.address(), Limits { max_upstream_connections: 2, ..Limits::default() }));
    let mut clients: Vec<Wire> = (0..2).map(|_| through.client()).collect();
    clients.iter_mut().for_each(|client| client.say(GET));
    clients.iter_mut().for_each(|client| assert_eq!(client.message().text(), "ok"));
    drop(clients);
    let told = through.finish();
    told.hops().into_iter().for_each(|hop| assert_eq!(hop.ok(200).phase(Phase::Pool), 0.0, "{hop:?}"));
}
