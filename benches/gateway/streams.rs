//! Streamed answers, event by event.

use crate::load::ask;
use crate::requests::{in_turns, of_http, print};
use crate::upstream;
use std::time::Duration;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1_500);

/// Streamed answers of 200 events: those of a model that is as fast as can be.
pub(crate) fn streams() {
    let sides = of_http(upstream::streams());
    for connections in [1, 32] {
        let all = in_turns(&sides, ROUNDS, |side| ask(side.address, "/200", connections, ROUND));
        println!("\nstreamed answers of 200 events, {connections} connection(s), {ROUNDS} rounds of {ROUND:?}");
        print(&sides, &all);
    }
}
