//! Bytes that are passed on as they are: tunnels, and TCP routes, with TLS inside.

use crate::sides::Side;
use crate::spread::{ratios, shown};
use crate::upstream::{self, Secured};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1_500);

/// Tunnels through hopwatch beside HAProxy in TCP mode.
pub(crate) fn tunnels() {
    compare("CONNECT tunnel", |side, upstream| {
        let mut stream = TcpStream::connect(side.address).unwrap();
        if side.name == "hopwatch" {
            write!(stream, "CONNECT {upstream} HTTP/1.1\r\nHost: {upstream}\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        }
        stream
    });
}

/// A TCP route of hopwatch beside HAProxy in TCP mode.
pub(crate) fn tcp() {
    compare("TCP route", |side, _| TcpStream::connect(side.tcp_route.unwrap_or(side.address)).unwrap());
}

fn compare(what: &str, open: impl Fn(&Side, SocketAddr) -> TcpStream) {
    let secured = Arc::new(Secured::new());
    let upstream = upstream::bytes(&secured);
    let sides = [Side::direct(upstream), Side::haproxy_tcp(upstream), Side::hopwatch(upstream)];
    let mut rates: [Vec<f64>; 3] = Default::default();
    let mut cpu: [Vec<f64>; 3] = Default::default();
    for nth in 0..=ROUNDS {
        for ((side, rates), cpu) in sides.iter().zip(&mut rates).zip(&mut cpu) {
            let before = side.cpu();
            let (bytes, took) = read_for(open(side, upstream), &secured, ROUND);
            let used = side.cpu() - before;
            if nth > 0 {
                rates.push(bytes as f64 / took.as_secs_f64() / 1e6);
                cpu.push(used.as_secs_f64() * 1e9 / bytes as f64 * 1.024);
            }
        }
    }
    println!("\n{what}, one connection, {ROUNDS} rounds of {ROUND:?}");
    for ((side, rates), cpu) in sides.iter().zip(&rates).zip(&cpu) {
        println!("  {:<9} {} MB a second   CPU {} us a KiB", side.name, shown(rates, 0), shown(cpu, 3));
    }
    let [_, haproxy, hopwatch] = &rates;
    println!("  hopwatch / HAProxy: {}", shown(&ratios(hopwatch, haproxy), 3));
}

fn read_for(mut stream: TcpStream, secured: &Secured, time: Duration) -> (u64, Duration) {
    secured.ask(&mut stream);
    let mut block = vec![0; 256 << 10];
    let (started, mut bytes) = (Instant::now(), 0);
    while started.elapsed() < time {
        bytes += stream.read(&mut block).unwrap() as u64;
    }
    (bytes, started.elapsed())
}
