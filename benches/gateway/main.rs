//! What the gateway costs beside direct calls, HAProxy and nginx: all of its tracing on, the same machine, in turns.
//!
//! Each proxy has the first core to itself; the upstream and the load share the second. A round asks each side in turn, so that what the
//! machine does meanwhile meets all of them. Printed are medians of the rounds with their quartiles, and ratios paired within a round:
//! CPU time a request, throughput, and what is added to a call at half of the gateway's own maximum; the same for streamed answers;
//! memory a stream; bytes a second through tunnels and TCP routes; the time to be ready, and what an idle one takes; what a collector that is
//! away or unwell does to the calls.
//!
//! Needs `haproxy` and `nginx` (Debian packages of those names), which answer for themselves alone: their versions are printed.
//!
//! `cargo bench --bench gateway`, or with the names of parts: `cargo bench --bench gateway -- requests memory`

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark may panic, and reads the clock")]

mod bytes;
mod collectors;
mod load;
mod memory;
mod requests;
mod sides;
mod spread;
mod start;
mod streams;
mod upstream;

use sides::{LOAD_CORE, pin, version};

fn main() {
    let missing: Vec<&str> = ["haproxy", "nginx"].into_iter().filter(|name| version(name).is_none()).collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{missing:?} cannot be started");
        println!("skipped: {missing:?} cannot be started (Debian packages of these names)");
        return;
    }
    for name in ["haproxy", "nginx"] {
        println!("{}", version(name).unwrap_or_default());
    }
    pin(LOAD_CORE);
    let parts: [(&str, fn()); 7] = [
        ("start", start::start),
        ("requests", requests::requests),
        ("streams", streams::streams),
        ("memory", memory::memory),
        ("tunnels", bytes::tunnels),
        ("tcp", bytes::tcp),
        ("collectors", collectors::collectors),
    ];
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, part) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            part();
        }
    }
}
