//! Turns from writing to reading, where the protocol is not read: other protocols, and TLS linked into the program.

use super::connection::Connection;
use super::exchange::{Exchange, Moved, Protocol};
use super::process::Process;
use super::{MILLI, Shared, facts};
use crate::hops::How;
use crate::model::{ConnectionState, Nanos};

/// What is written last and never answered (a goodbye) is no call when the close follows within this time.
const GOODBYE: Nanos = 100 * MILLI;

/// Bytes went. The first after a read begin a turn.
pub(super) fn write(process: &mut Process, shared: &mut Shared, connection: &mut Connection, moved: Moved, bytes: u64) {
    if connection.layer().turn.as_ref().is_some_and(|turn| turn.is_answered()) {
        end(process, shared, connection, How::Complete, moved.start);
    }
    if connection.layer().turn.is_none() {
        begin(process, shared, connection, moved);
    }
    wrote(connection, moved, bytes);
}

/// A turn begins.
pub(super) fn begin(process: &mut Process, shared: &mut Shared, connection: &mut Connection, moved: Moved) {
    let mut turn = facts::begin(process, shared, connection, connection.calls, moved);
    turn.protocol = Protocol::Turn;
    turn.request_ended = true;
    connection.layer_mut().turn = Some(turn);
}

/// Bytes of the turn under way went.
pub(super) fn wrote(connection: &mut Connection, moved: Moved, bytes: u64) {
    if let Some(turn) = &mut connection.layer_mut().turn {
        turn.sent = turn.sent.saturating_add(bytes);
        turn.sent_at = turn.sent_at.max(moved.end);
    }
}

/// Bytes came.
pub(super) fn read(connection: &mut Connection, moved: Moved, bytes: u64) {
    if let Some(turn) = &mut connection.layer_mut().turn {
        turn.read(moved, bytes);
    }
}

/// The turn under way ended.
pub(super) fn end(process: &mut Process, shared: &mut Shared, connection: &mut Connection, how: How, at: Nanos) {
    let Some(mut turn) = connection.layer_mut().turn.take() else { return };
    if turn.is_doubted(at) {
        turn.is_unanswered();
        turn.last_read = None;
    }
    let is_ended = connection.opaque.as_ref().is_some_and(|opaque| opaque.is_ended);
    match turn.last_read {
        Some(_) if !is_ended && turn.movement().breaks_off(how, at) => facts::finish(process, shared, connection, turn, how, at),
        Some(last) => facts::finish(process, shared, connection, turn, How::Complete, last),
        None if is_goodbye(&turn, how, at) => {
            connection.calls = connection.calls.saturating_sub(1);
            shared.hops.forget();
        }
        None => facts::finish(process, shared, connection, turn, how, at),
    }
}

fn is_goodbye(turn: &Exchange, how: How, at: Nanos) -> bool {
    let soon = at.saturating_sub(turn.sent_at) <= GOODBYE;
    how == How::Complete || (soon && (how == How::CallerLeft || turn.state == ConnectionState::Reused))
}
