//! Protocols that are not read: turns from asking to answering.

use super::turns::Turns;
use crate::gateway::record::Protocol;
use crate::hops::How;
use crate::model::Nanos;
use crate::wire::Direction;

/// Bytes passed. The first of the client after those of the server begin a turn.
pub(super) fn passed(turns: &mut Turns, direction: Direction, at: Nanos, bytes: u64) {
    match direction {
        Direction::Request => {
            let answered = turns.newest().and_then(|turn| turn.answered);
            if let Some((_, last)) = answered {
                turns.end(0, How::Complete, last);
            }
            if turns.newest().is_none() {
                turns.begin(0, at, Protocol::Other);
            }
            if let Some(mut turn) = turns.newest() {
                turn.wrote(at, bytes);
            }
        }
        Direction::Response => {
            if let Some(mut turn) = turns.newest() {
                turn.read(at, bytes);
                turns.line.rests(at);
            }
        }
    }
}
