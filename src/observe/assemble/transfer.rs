//! Bytes on a connection: which layer they belong to, and what their end means.

use super::connection::{Connection, Layer};
use super::exchange::{LATE_MIN, Moved};
use super::process::Process;
use super::tls::{self, Opaque};
use super::{MILLI, Seen, Shared, facts, failure, turn};
use crate::hops::How;
use crate::model::Nanos;
use crate::observer::layout::{AGE_UNKNOWN, flag};
use crate::wire::http1::{Fact, ResponseBody};
use crate::wire::{Chunk, Direction};

/// Session tickets come as late as this after a handshake, round trips not counted: Linux delays acknowledgements so long.
const TICKETS: Nanos = 50 * MILLI;
/// Most stretches of a set-up that are kept.
const LATE_STRETCHES: usize = 16;

/// Bytes were written or read, or that failed.
pub(super) fn moved(process: &mut Process, shared: &mut Shared, connection: &mut Connection, seen: Seen<'_>, is_write: bool) {
    let record = &seen.entry.record;
    if record.rc < 0 || record.errno != 0 {
        let again = matches!(record.errno, 0 | libc::EAGAIN | libc::EINTR | libc::EINPROGRESS | libc::EALREADY | libc::ENOTCONN);
        if !again {
            broke(process, shared, connection, seen.end, record.errno, is_write);
        }
        return;
    }
    if record.rc == 0 {
        if !is_write {
            broke(process, shared, connection, seen.end, 0, false);
        }
        return;
    }
    if !is_write {
        connection.unread = None;
    }
    if connection.connecting {
        // Bytes went, so it was there.
        connection.connecting = false;
        connection.connected = true;
        let began = connection.setup.connect.map_or(seen.start, |(start, _)| start);
        connection.setup.connect = Some((began, seen.start));
    }
    let asked = record.age_ms != AGE_UNKNOWN;
    let age = if asked { Nanos::from(record.age_ms).saturating_mul(MILLI) } else { 0 };
    let mut moved = Moved {
        start: seen.start,
        end: seen.end,
        arrived: if age >= LATE_MIN { seen.end.saturating_sub(age) } else { seen.end },
        tid: record.tid,
        is_loop: record.flags & flag::LOOP != 0,
    };
    if record.flags & flag::PLAINTEXT != 0 {
        if !connection.has_plaintext {
            connection.has_plaintext = true;
            connection.opaque = None;
            forget_turn(shared, &mut connection.raw);
        }
        if !is_write
            && !asked
            && let Some((_, arrived)) = connection.last_cipher.take_if(|(end, _)| *end <= seen.end)
        {
            moved.arrived = if seen.end.saturating_sub(arrived) >= LATE_MIN { arrived } else { seen.end };
        }
        feed(process, shared, connection, seen, moved, is_write);
        return;
    }
    let is_cipher = record.flags & flag::CIPHERTEXT != 0 || connection.handshake.is_some() || connection.has_plaintext;
    if is_cipher {
        if !is_write {
            connection.last_cipher = Some((moved.end, moved.arrived));
            let shaking = connection.handshake.as_ref().is_some_and(|handshake| handshake.end.is_none());
            if shaking && moved.arrived < moved.end && connection.setup.late.len() < LATE_STRETCHES {
                connection.setup.late.push((moved.arrived, moved.end));
            }
        }
        return;
    }
    let (head, _) = seen.entry.parts();
    let fresh = connection.raw.position == [None, None] || connection.raw.http.is_upgraded();
    if connection.opaque.is_none()
        && is_write != connection.accepted
        && tls::is_client_hello(head)
        && fresh_or_turn(connection, fresh)
    {
        connection.opaque = Some(Opaque::new(seen.start));
        connection.setup.tls = Some((seen.start, seen.end));
        connection.sni = tls::server_name(head).or(connection.sni.take());
        forget_turn(shared, &mut connection.raw);
        return;
    }
    if connection.opaque.is_some() {
        opaque(process, shared, connection, seen, moved, is_write);
    } else {
        feed(process, shared, connection, seen, moved, is_write);
    }
}

/// A ClientHello comes first, or after a preface of another protocol (PostgreSQL).
fn fresh_or_turn(connection: &Connection, fresh: bool) -> bool {
    fresh || (connection.raw.http.is_http() == Some(false) && !connection.raw.was_http)
}

fn forget_turn(shared: &mut Shared, layer: &mut Layer) {
    if layer.turn.take().is_some() {
        shared.hops.forget();
    }
}

/// Bytes of TLS that is linked into the program.
fn opaque(process: &mut Process, shared: &mut Shared, connection: &mut Connection, seen: Seen<'_>, moved: Moved, is_write: bool) {
    let Some(opaque) = connection.opaque.as_mut() else { return };
    let bytes = seen.entry.record.rc.unsigned_abs();
    if is_write == connection.accepted {
        opaque.heard(moved.end);
        if opaque.ended.is_some() && !connection.accepted {
            turn::read(connection, moved, bytes);
        }
        return;
    }
    let was_over = opaque.ended.is_some();
    let asks = opaque.sent(seen.entry.parts().0, moved.end);
    if !was_over && let Some(ended) = opaque.ended {
        connection.setup.tls = Some((opaque.start, ended));
    }
    if asks && !connection.accepted {
        // Tickets come within a round trip of the handshake's end, the second one after an acknowledgement.
        let tickets_until = opaque.ended.map_or(0, |ended| ended + opaque.round_trip() * 3 / 2 + TICKETS);
        turn::write(process, shared, connection, moved, bytes, tickets_until);
    }
}

/// Feeds bytes to the reader of their layer.
fn feed(process: &mut Process, shared: &mut Shared, connection: &mut Connection, seen: Seen<'_>, moved: Moved, is_write: bool) {
    let record = &seen.entry.record;
    let bytes = record.rc.unsigned_abs();
    let is_request = is_write != connection.accepted;
    let direction = if is_request { Direction::Request } else { Direction::Response };
    let (head, tail) = seen.entry.parts();
    let skipped = bytes.saturating_sub(head.len() as u64 + tail.len() as u64);
    let chunk = Chunk { at: moved.end, head, skipped, tail };
    let accepted = connection.accepted;
    let layer = connection.layer_mut();
    let place = &mut layer.position[usize::from(!is_write)];
    let missing = place.map_or(0, |position| record.offset.saturating_sub(position));
    *place = Some(record.offset.saturating_add(bytes));
    let mut told = Vec::new();
    let mut wrote = false;
    if !accepted {
        if !is_request {
            if let Some(exchange) = layer.exchanges.front_mut() {
                exchange.read(moved, bytes);
            }
        } else if let Some(exchange) = layer.exchanges.back_mut().filter(|exchange| !exchange.request_ended) {
            exchange.wrote(moved, bytes);
            wrote = true;
        }
    }
    if missing > 0 {
        let gap = Chunk { at: moved.start, head: &[], skipped: missing, tail: &[] };
        layer.http.feed(direction, gap, &mut |fact| told.push(fact));
    }
    layer.http.feed(direction, chunk, &mut |fact| told.push(fact));
    for fact in told {
        facts::apply(process, shared, connection, moved, head, fact);
    }
    let layer = connection.layer_mut();
    if is_request
        && !wrote
        && !accepted
        && let Some(exchange) = layer.exchanges.back_mut()
    {
        exchange.wrote(moved, bytes);
    }
    let unread = layer.http.is_http() == Some(false) && !layer.was_http && !layer.http.is_upgraded();
    if unread && !accepted && !connection.unix && connection.connected {
        if !is_request {
            turn::read(connection, moved, bytes);
        } else if !turn::is_preface(head) {
            turn::write(process, shared, connection, moved, bytes, 0);
        }
    }
}

/// The peer closed (`errno` 0) or the connection failed.
fn broke(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos, errno: i32, is_write: bool) {
    Process::peer_closed(connection, at, errno);
    if connection.accepted {
        facts::stop_serving(process, shared, connection, at);
        return;
    }
    if is_write {
        // An answer may still be there to be read; the end is judged when the caller closes.
        return;
    }
    if errno == 0 {
        end_of_answers(process, shared, connection, at, |_| true);
    }
    facts::finish_all(process, shared, connection, How::PeerClosed(errno), at);
    turn::end(process, shared, connection, How::PeerClosed(errno), at);
}

/// The caller closed the connection, or its process ended.
pub(super) fn caller_left(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos) {
    if connection.accepted {
        facts::stop_serving(process, shared, connection, at);
        return;
    }
    failure::left_in_handshake(process, shared, connection, at);
    let (how, at) = match connection.peer_closed {
        Some(closed) => (How::PeerClosed(closed.errno), closed.at),
        None => (How::CallerLeft, at),
    };
    // Where framing was lost in bytes that were not kept, the close is the only sign of the end.
    end_of_answers(process, shared, connection, at, |framed| framed);
    facts::finish_all(process, shared, connection, how, at);
    turn::end(process, shared, connection, how, at);
}

/// Tells the reader that no answer follows. Answers that end with it well are taken if `takes` says so, given whether they
/// had a framing of their own.
fn end_of_answers(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos, takes: fn(bool) -> bool) {
    let layer = connection.layer_mut();
    let mut told = Vec::new();
    layer.http.end(Direction::Response, at, &mut |fact| told.push(fact));
    let framed = layer.exchanges.front().and_then(|exchange| exchange.response.as_ref()).is_some_and(|response| {
        let message = &response.fields.message;
        message.chunked || message.content_length.is_some()
    });
    let last = layer.exchanges.front().and_then(|exchange| exchange.last_read).unwrap_or(at);
    for fact in told {
        let moved = Moved { start: at, end: at, arrived: at, tid: 0, is_loop: false };
        match fact {
            // A stream that said it is done is whole, though its client leaves without the end of its framing, as some do.
            Fact::ResponseEnded { exchange, bytes, body, .. } if body.done || (body.complete && takes(framed)) => {
                // What came last ended it, not the close that showed it.
                let at = if framed { last } else { at };
                let body = ResponseBody { complete: true, ..body };
                facts::apply(process, shared, connection, moved, &[], Fact::ResponseEnded { exchange, at, bytes, body });
            }
            // The peer cut it.
            Fact::ResponseEnded { .. } if takes(false) => facts::apply(process, shared, connection, moved, &[], fact),
            // What it said up to there is known all the same.
            Fact::ResponseEnded { exchange, .. } => {
                let mut exchanges = connection.layer_mut().exchanges.iter_mut();
                if let Some(asked) = exchanges.find(|asked| asked.number == exchange) {
                    asked.learn(fact);
                }
            }
            fact => facts::apply(process, shared, connection, moved, &[], fact),
        }
    }
}
