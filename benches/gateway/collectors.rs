//! What a collector does to the calls: one that is well, and those that are away, mute or refuse.

use crate::load::ask_at;
use crate::requests::in_turns;
use crate::sides::{Side, free};
use crate::spread::{ratios, shown};
use crate::upstream;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1_500);
/// Calls a second.
const RATE: f64 = 2_000.0;

/// The time of calls with each kind of collector beside that without one.
pub(crate) fn collectors() {
    let upstream = upstream::answers();
    let with = |name, collector| Side::hopwatch_exporting(upstream.address, collector).named(name);
    let sides = [
        with("none", None),
        with("well", Some(answering("200 OK"))),
        with("away", Some(free())),
        with("mute", Some(mute())),
        with("refusing", Some(answering("503 Service Unavailable"))),
    ];
    let all = in_turns(&sides, ROUNDS, |side| ask_at(side.address, "/", RATE, 32, ROUND));
    println!("\nsmall answers at {RATE:.0} a second, 32 connections, by what becomes of the spans");
    for (side, rounds) in sides.iter().zip(&all) {
        println!(
            "  {:<9} p50 {} us   p99 {} us   CPU {} us each   p99 by none's {}",
            side.name,
            shown(&rounds.medians, 0),
            shown(&rounds.tails, 0),
            shown(&rounds.cpu, 1),
            shown(&ratios(&rounds.tails, &all[0].tails), 2),
        );
    }
}

/// Takes connections, and reads nothing.
fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().collect::<Vec<_>>());
    address
}

/// Answers like this to whatever is sent, and then closes.
fn answering(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut seen, mut block) = (Vec::new(), vec![0; 256 << 10]);
                let mut whole = usize::MAX;
                while seen.len() < whole {
                    match stream.read(&mut block) {
                        Ok(count @ 1..) => seen.extend_from_slice(&block[..count]),
                        _ => return,
                    }
                    if let Some(end) = upstream::find(&seen, b"\r\n\r\n") {
                        let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
                        let length =
                            head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
                        whole = end + 4 + length.unwrap_or(0);
                    }
                }
                let _gone = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            });
        }
    });
    address
}
