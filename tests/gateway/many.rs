//! Many requests: each is counted once.

use crate::peer::Peer;
use crate::through::{Through, leading_to, wait_until};
use crate::wire::{PATIENCE, Wire};
use hopwatch::gateway::{Gateway, Keep, Options};
use hopwatch::model::ConnectionState::{New, Reused};
use hopwatch::model::clock::Anchor;
use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[test]
fn ten_thousand_one_after_the_other() {
    const MANY: usize = 10_000;
    let peer = Peer::new(|wire, _| {
        while let Ok(message) = wire.try_message(false) {
            let target = message.start().split(' ').nth(1).unwrap().to_owned();
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len()));
        }
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    for n in 0..MANY {
        let target = format!("/thing?n={n}");
        assert_eq!(client.get(&target).text(), target);
    }
    drop(client);
    let told = through.finish();
    let losses = &told.0.losses;
    assert_eq!((losses.started, losses.recorded), (MANY as u64, MANY as u64), "{losses:?}");
    assert_eq!((told.hops().len(), peer.connections()), (MANY, 1));
    let new = told.hops().iter().filter(|hop| hop.ok(200).call().attempts[0].connection == Some(New)).count();
    assert_eq!(new, 1);
    assert!(told.hops().is_sorted_by_key(|hop| hop.span().start));
}

#[test]
fn five_hundred_at_once() {
    const MANY: usize = 500;
    for workers in [1, 2] {
        let asked = AtomicUsize::new(0);
        let peer = Peer::new(move |wire, _| {
            wire.message();
            asked.fetch_add(1, Ordering::SeqCst);
            // None is answered before all are there.
            wait_until("all have asked", || asked.load(Ordering::SeqCst) >= MANY);
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            while wire.try_message(false).is_ok() {
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        let through = Through::on(workers, leading_to(peer.address()));
        let mut clients: Vec<Wire> = (0..MANY).map(|_| through.client()).collect();
        for client in &mut clients {
            client.say("GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.message().text(), "ok");
        }
        // Their connections are free, and taken again.
        for client in &mut clients {
            assert_eq!(client.get("/thing").text(), "ok");
        }
        assert_eq!((through.view.clients(), peer.connections()), (MANY, MANY));
        drop(clients);
        let told = through.finish();
        let states: Vec<_> = told.hops().iter().map(|hop| hop.ok(200).call().attempts[0].connection.unwrap()).collect();
        let count = |state| states.iter().filter(|known| **known == state).count();
        assert_eq!((count(New), count(Reused)), (MANY, MANY));
        wait_until("all connections are closed with it", || peer.open() == 0);
    }
}

#[test]
fn what_ended_is_taken_in_batches_and_each_is_told_once() {
    const MANY: usize = 1_000;
    let peer = Peer::new(|wire, _| {
        while wire.try_message(false).is_ok() {
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (anchor, settings) = (Anchor::new(0), leading_to(peer.address()));
    let options = Options { anchor, keep: Keep::Open, workers: 1, listeners: vec![listener], settings };
    let gateway = Gateway::start(options).unwrap();
    let view = gateway.view();
    let over = Arc::new(AtomicBool::new(false));
    let taker = thread::spawn({
        let (view, over) = (view.clone(), Arc::clone(&over));
        move || {
            let mut taken = Vec::new();
            while !over.load(Ordering::SeqCst) {
                view.wait_for_batch(PATIENCE * 10);
                taken.extend(view.take());
            }
            taken
        }
    });
    let mut client = Wire::to(address);
    for _ in 0..MANY {
        assert_eq!(client.get("/thing").text(), "ok");
    }
    drop(client);
    over.store(true, Ordering::SeqCst);
    // Whoever waits for another batch is woken.
    gateway.close();
    let mut told = taker.join().unwrap();
    assert!(told.len() > MANY / 2, "only what fills no batch is left: {}", told.len());
    told.extend(view.look().ended);
    let ids: HashSet<_> = told.iter().map(|span| span.id).collect();
    let losses = view.losses();
    assert_eq!((told.len(), ids.len(), losses.recorded, losses.open), (MANY, MANY, MANY as u64, 0));
}
