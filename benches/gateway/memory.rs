//! Memory that open streams take.

use crate::sides::Side;
use crate::spread::shown;
use crate::upstream;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const STREAMS: usize = 1_000;
const ROUNDS: usize = 5;

/// Memory at 1,000 open streams. Each round has processes of its own, since memory that was used once is rarely given back.
pub(crate) fn memory() {
    let upstream = upstream::streams();
    let kinds: [fn(std::net::SocketAddr) -> Side; 3] = [Side::nginx, Side::haproxy, Side::hopwatch];
    let mut all: [(Vec<f64>, Vec<f64>); 3] = Default::default();
    let mut names = [""; 3];
    for _ in 0..ROUNDS {
        for ((start, (idle, each)), name) in kinds.iter().zip(&mut all).zip(&mut names) {
            let side = start(upstream);
            *name = side.name;
            // What is made once at the first request is no stream's.
            drop(open(&side, 1));
            std::thread::sleep(Duration::from_millis(300));
            let before = side.resident();
            let streams = open(&side, STREAMS);
            std::thread::sleep(Duration::from_millis(1_000));
            let with = side.resident();
            drop(streams);
            idle.push(before as f64 / 1e6);
            each.push(with.saturating_sub(before) as f64 / STREAMS as f64 / 1024.0);
        }
    }
    println!("\nmemory at {STREAMS} open streams, {ROUNDS} rounds");
    for (name, (idle, each)) in names.iter().zip(&all) {
        println!("  {name:<9} {} KiB a stream   idle {} MB", shown(each, 1), shown(idle, 1));
    }
}

/// Streams that have begun and go on slowly.
fn open(side: &Side, count: usize) -> Vec<TcpStream> {
    let asked = |_| {
        let mut stream = TcpStream::connect(side.address).unwrap();
        write!(stream, "GET /1000000/200 HTTP/1.1\r\nHost: {}\r\n\r\n", side.address).unwrap();
        stream
    };
    let mut streams: Vec<TcpStream> = (0..count).map(asked).collect();
    for stream in &mut streams {
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    }
    streams
}
