//! HTTP/1.1: any bytes in any calls are read orderly and in bounded memory.

#![no_main]

use hopwatch::wire::http1::order::check_order;
use hopwatch::wire::http1::{Connection, Fact};
use hopwatch_fuzz::{Input, calls};
use libfuzzer_sys::fuzz_target;

/// Most memory that a connection may hold, in bytes: a head and a body's readers a direction, and the outstanding requests.
const MEMORY_LIMIT: usize = 512 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for call in calls(&mut Input(bytes)) {
        connection.feed(call.direction, call.chunk, &mut |fact| facts.push(fact));
        assert!(connection.retained_bytes() < MEMORY_LIMIT);
        if call.ends {
            connection.end(call.direction, call.chunk.at, &mut |fact| facts.push(fact));
        }
    }
    check_order(&facts);
});
