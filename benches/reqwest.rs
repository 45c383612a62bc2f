//! What the `reqwest` door costs a call, beside the bare client: keep-alive requests to a server in this process over loopback.
//!
//! The cases take turns in blocks of calls; what is printed are medians over the blocks, and differences paired within a round.
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

const ROUNDS: usize = 41;
const CALLS: u32 = 500;

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
    for (index, (name, _)) in CASES.iter().enumerate() {
        let beyond: Vec<f64> = micros[index].iter().zip(&micros[0]).map(|(own, bare)| own - bare).collect();
        println!("{name:<32} {:>12.2} {:>26.2}", median(&micros[index]), median(&beyond));
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

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
