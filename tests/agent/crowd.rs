//! Many clients that want nothing, or want it slowly: others are served all the same.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::ask::{PATIENCE, wait_for};
use crate::client::Client;
use crate::process::{descriptors, may_open, resident};
use crate::sidecar::{Sidecar, route};
use crate::support::replies::documents;
use crate::support::server::{Router, Server};

/// How many are idle.
const IDLE: usize = 10_000;
/// How many are slow.
const SLOW: usize = 1_000;
/// The most memory that one which is idle may take: 16 KB are measured without optimisation.
const EACH: u64 = 24 << 10;

fn docs() -> Server {
    Router::new().route("/search", |_| documents()).start()
}

/// Clients are served by this agent.
#[track_caller]
fn is_served(sidecar: &Sidecar, times: usize) {
    let mut client = Client::to(&sidecar.gateway[0]);
    for _ in 0..times {
        assert_eq!(client.get("/docs/search").unwrap().status, 200);
    }
}

/// Connects so many clients, of which every second has been served once.
fn idle(sidecar: &Sidecar) -> Vec<TcpStream> {
    let connect = |index: usize| {
        let mut stream = TcpStream::connect(&sidecar.gateway[0]).unwrap();
        if index.is_multiple_of(2) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET /docs/search HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"HTTP/1.1 200");
        }
        stream
    };
    (0..IDLE).map(connect).collect()
}

#[test]
fn it_never_takes_huge_pages() {
    let sidecar = Sidecar::start("");
    let status = std::fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).unwrap();
    // A system without them does not tell.
    let told = status.lines().find(|line| line.starts_with("THP_enabled:"));
    assert!(told.is_none_or(|line| line.ends_with('0')), "{told:?}");
}

#[test]
fn ten_thousand_idle_clients_cost_little_and_leave_nothing() {
    if !may_open(IDLE as u64 + 1_000) {
        return;
    }
    let docs = docs();
    let routes = format!("max_clients = {}\n{}", IDLE + 100, route("/docs", &docs.url(""), "retrieval", "docs"));
    let sidecar = Sidecar::start(&routes);
    let pid = sidecar.pid();
    is_served(&sidecar, 100);
    let (memory, open) = (resident(pid), descriptors(pid));
    let mut peaks = Vec::new();
    for _ in 0..2 {
        let clients = idle(&sidecar);
        wait_for("all are there", || {
            let held = descriptors(pid) - open;
            if held >= IDLE { Ok(()) } else { Err(format!("{held} of {IDLE}")) }
        });
        is_served(&sidecar, 100);
        peaks.push(resident(pid));
        assert!(peaks[0] < memory + IDLE as u64 * EACH, "{memory} bytes became {}", peaks[0]);
        drop(clients);
        wait_for("all have left", || {
            let held = descriptors(pid);
            // Those to the upstream may stay.
            if held <= open + 10 { Ok(()) } else { Err(format!("{held} descriptors, {open} before")) }
        });
    }
    // As many again find what the first ones left.
    assert!(peaks[1] < peaks[0] + (8 << 20), "{memory} bytes became {peaks:?}");
    sidecar.counted(300 + IDLE);
    assert_eq!(docs.requests().len(), 300 + IDLE);
}

#[test]
fn heads_that_come_slowly_are_cut_and_hold_nobody_up() {
    if !may_open(SLOW as u64 + 1_000) {
        return;
    }
    let docs = docs();
    let routes = route("/docs", &docs.url(""), "retrieval", "docs");
    let sidecar = Sidecar::start(&format!("header_timeout = \"2s\"\nidle_timeout = \"2s\"\n{routes}"));
    let (pid, open) = (sidecar.pid(), descriptors(sidecar.pid()));
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| TcpStream::connect(&sidecar.gateway[0]).unwrap()).collect();
    for (index, client) in slow.iter_mut().enumerate() {
        let beginning: &[u8] = match index % 4 {
            0 => b"G",
            1 => b"GET /docs/search HTTP/1.1\r\nx-slow: ",
            // HTTP/2: a head whose end is still to come (RFC 9113, 6.2), and not all of its preface.
            2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82",
            _ => b"PRI * HT",
        };
        client.write_all(beginning).unwrap();
        client.set_nonblocking(true).unwrap();
    }
    let mut left = slow;
    wait_for("all are cut", || {
        is_served(&sidecar, 10);
        left.retain_mut(|client| {
            // One more byte each time.
            let _gone = client.write(b"x");
            let mut bytes = [0; 256];
            loop {
                match client.read(&mut bytes) {
                    Ok(0) => return false,
                    // By HTTP/2 it says its settings and why it goes, by HTTP/1.1 nothing.
                    Ok(_) => {}
                    Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                }
            }
        });
        if left.is_empty() { Ok(()) } else { Err(format!("{} are left", left.len())) }
    });
    wait_for("nothing is held for them", || {
        let held = descriptors(pid);
        if held <= open + 10 { Ok(()) } else { Err(format!("{held} descriptors, {open} before")) }
    });
    let served = docs.requests().len();
    sidecar.counted(served);
    assert_eq!(sidecar.metric("hopwatch_hop_calls_total", &[]), served as f64, "none of theirs is a call");
}
