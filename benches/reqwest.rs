//! What the `reqwest` door costs a call, beside the bare client: keep-alive requests to a server in this process over loopback.
//!
//! The cases take turns in short blocks of calls. What is printed is the tenth of a case's blocks that had least company on the
//! machine (their first decile), so that other work on the machine does not count.
//!
//! `cargo bench --bench reqwest`

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench may panic and reads the clock")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use hopwatch::instrument::hop::Hop;
use hopwatch::instrument::reqwest::watch;
use hopwatch::{Hopwatch, Kind};
use reqwest::Client;

const ROUNDS: usize = 300;
const CALLS: u32 = 100;

const CASES: [(&str, Case); 4] = [
    ("bare client", Case { watched: false, sent: false }),
    ("watched client, without a hop", Case { watched: true, sent: false }),
    ("watched client, hop.send", Case { watched: true, sent: true }),
    ("bare client, hop.send", Case { watched: false, sent: true }),
];

#[derive(Clone, Copy)]
struct Case {
    watched: bool,
    sent: bool,
}

/// Answers each request at once, a thread a connection.
fn server() -> SocketAddr {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"text\":\"ok\"}";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut request = [0; 4096];
                while matches!(stream.read(&mut request), Ok(1..)) && stream.write_all(ANSWER).is_ok() {}
            });
        }
    });
    address
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{}/", server());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hopwatch = Hopwatch::builder().build().unwrap();
    let hop = hopwatch.hop(Kind::Tool, "bench");
    let clients = CASES.map(|(_, case)| {
        let builder = Client::builder().no_proxy();
        if case.watched { watch(builder) } else { builder }.build().unwrap()
    });
    let mut micros = vec![Vec::new(); CASES.len()];
    for round in 0..=ROUNDS {
        for (index, (_, case)) in CASES.iter().enumerate() {
            let taken = runtime.block_on(block(*case, &clients[index], &hop, &url));
            // The first round warms up.
            if round > 0 {
                micros[index].push(taken);
            }
        }
    }
    println!("{:<32} {:>12} {:>26}", "case", "us a call", "beyond the bare client");
    let bare = undisturbed(&micros[0]);
    for (index, (name, _)) in CASES.iter().enumerate() {
        let own = undisturbed(&micros[index]);
        println!("{name:<32} {own:>12.2} {:>26.2}", own - bare);
    }
}

async fn block(case: Case, client: &Client, hop: &Hop, url: &str) -> f64 {
    let start = Instant::now();
    for _ in 0..CALLS {
        let request = client.get(url);
        let response = if case.sent { hop.send(request).await } else { request.send().await };
        response.unwrap().bytes().await.unwrap();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

/// The first decile.
fn undisturbed(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 10]
}
