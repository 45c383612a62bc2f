//! Answers that have come and that nobody reads: seen from outside, while the hop is open.

use super::connection::Connection;
use super::exchange::LATE_MIN;
use super::process::Process;
use super::{MILLI, stall};
use crate::model::{Nanos, Phase, StallCause, Timeline};
use crate::observe::ring::Thread;
use crate::observer::layout::Call;
use crate::sock_diag::Queue;
use std::net::SocketAddr;

/// An exchange is looked at when nothing was moved on it for so long.
const STILL: Nanos = 100 * MILLI;
/// Most connections of a process that are looked at in one round.
const MOST: usize = 256;
/// Session tickets come without being asked for, and wait until the first answer is read. They are shorter.
const TICKETS: u32 = 2_048;

/// Bytes lie in the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    since: Nanos,
    /// What keeps the caller; `None` = its event loop waits, so that nothing does.
    cause: Option<StallCause>,
}

/// What keeps a thread from reading a connection; `None` = it is about to.
fn keeps(thread: Option<&Thread>, conn: u32) -> Option<Option<StallCause>> {
    let Some(thread) = thread.filter(|thread| thread.since != 0) else { return Some(Some(StallCause::Unknown)) };
    match Call::from_u16(thread.call as u16) {
        _ if thread.conn == conn => None,
        Call::Epoll => Some(None),
        Call::Poll | Call::Select if thread.is_loop => Some(None),
        call => Some(Some(stall::cause_of(call))),
    }
}

impl Process {
    /// Asks of the open exchanges whether their answers lie unread. `ask` tells a connection's queue, given its own and its
    /// peer's address.
    pub(super) fn settle(
        &mut self,
        now: Nanos,
        threads: &dyn Fn() -> Vec<Thread>,
        ask: &mut dyn FnMut(SocketAddr, SocketAddr) -> Option<Queue>,
    ) {
        if self.end.is_some() {
            return;
        }
        let mut slots = None;
        let open = self.connections.iter_mut().filter(|(_, connection)| !connection.accepted && connection.is_busy());
        for (&conn, connection) in open.take(MOST) {
            let (Some(own), Some(peer), Some((tid, sent_at, is_answered))) =
                (connection.own, connection.peer, still(connection, now))
            else {
                continue;
            };
            let Some(queue) = ask(own, peer) else { continue };
            let may_be_tickets = connection.is_tls() && !is_answered && queue.bytes < TICKETS;
            let came = now.saturating_sub(queue.age);
            if queue.bytes == 0 || may_be_tickets || came < sent_at {
                continue;
            }
            let slots = slots.get_or_insert_with(threads);
            let Some(cause) = keeps(slots.iter().find(|thread| thread.tid == tid), conn) else { continue };
            let since = connection.unread.map_or(came, |unread| unread.since.min(came));
            connection.unread = Some(Unread { since, cause });
        }
    }
}

/// The exchange that a connection's answers belong to, when nothing moves: its thread, when its request went, whether any of its
/// answer was read.
fn still(connection: &Connection, now: Nanos) -> Option<(u32, Nanos, bool)> {
    let layer = connection.layer();
    let exchange = layer.exchanges.front().or(layer.turn.as_ref())?;
    let is_still = now.saturating_sub(exchange.last_move()) >= STILL;
    is_still.then_some((exchange.tid, exchange.sent_at, exchange.is_answered()))
}

/// The times of an exchange whose answer lies unread up to its end.
pub(super) fn lay(line: Timeline, unread: Option<Unread>) -> Timeline {
    let end = line.end();
    let Some(unread) = unread.filter(|unread| unread.since.saturating_add(LATE_MIN) <= end) else { return line };
    let mut out = Timeline::new(line.start());
    for part in line.stretches().filter(|part| part.start < unread.since) {
        let until = part.end.min(unread.since);
        match part.cause {
            Some(cause) => out.push_stall(cause, until),
            None => out.push(part.phase, until),
        }
    }
    match unread.cause {
        Some(cause) => out.push_stall(cause, end),
        None => out.push(Phase::Own, end),
    }
    out
}
