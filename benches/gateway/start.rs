//! From the start of the process until it serves, and what an idle one takes.

use crate::sides::Side;
use crate::spread::shown;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ROUNDS: usize = 21;

/// Time until the first connection is accepted, and memory then.
pub(crate) fn start() {
    let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
    let kinds: [fn(SocketAddr) -> Side; 3] = [Side::nginx, Side::haproxy, Side::hopwatch];
    let mut all: [(Vec<f64>, Vec<f64>); 3] = Default::default();
    let mut names = [""; 3];
    for _ in 0..ROUNDS {
        for ((start, (ready, idle)), name) in kinds.iter().zip(&mut all).zip(&mut names) {
            let started = Instant::now();
            let side = start(nowhere);
            ready.push(started.elapsed().as_secs_f64() * 1e3);
            std::thread::sleep(Duration::from_millis(200));
            idle.push(side.resident() as f64 / 1e6);
            *name = side.name;
        }
    }
    println!("\nstart, {ROUNDS} rounds; asked every millisecond");
    for (name, (ready, idle)) in names.iter().zip(&all) {
        println!("  {name:<9} serves after {} ms   idle {} MB", shown(ready, 1), shown(idle, 1));
    }
}
