//! HTTP/1.1: any bytes in any calls are read orderly and in bounded memory.

#![no_main]

use hopwatch::wire::http1::{Connection, Fact};
use hopwatch_fuzz::{Input, calls};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;

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

/// Each exchange runs through its stages at most once, and in order.
fn check_order(facts: &[Fact]) {
    let (mut begun, mut ended, mut head_told, mut request_ended) = (0, 0, 0, HashSet::new());
    for fact in facts {
        match fact {
            Fact::RequestStarted { exchange, .. } => {
                assert_eq!(*exchange, begun);
                begun += 1;
            }
            Fact::RequestHead { exchange, head, .. } => assert!(*exchange < begun && !head.path.contains('?')),
            Fact::RequestEnded { exchange, .. } => assert!(*exchange < begun && request_ended.insert(*exchange)),
            Fact::ResponseStarted { exchange, .. } | Fact::Interim { exchange, .. } => {
                assert!(*exchange == ended && *exchange < begun);
            }
            Fact::ResponseHead { exchange, .. } => {
                assert!(*exchange == ended && *exchange == head_told);
                head_told += 1;
            }
            Fact::FirstContent { exchange, .. } | Fact::Content { exchange, .. } => {
                assert!(*exchange == ended && head_told == ended + 1);
            }
            Fact::ResponseEnded { exchange, .. } | Fact::Upgraded { exchange, .. } => {
                assert!(*exchange == ended && head_told == ended + 1);
                ended += 1;
            }
            Fact::NotHttp { .. } => {}
        }
    }
}
