//! Bytes on a connection: which layer they belong to, and what their end means.

use super::connection::{Connection, Layer};
use super::exchange::{LATE_MIN, Moved};
use super::process::Process;
use super::tls::{self, Opaque};
use super::{MILLI, Seen, Shared, facts, failure, query, turn};
use crate::hops::How;
use crate::model::Nanos;
use crate::observer::layout::{AGE_UNKNOWN, flag};
use crate::wire::http1::{Fact, ResponseBody};
use crate::wire::tls::is_client_hello;
use crate::wire::{Chunk, Direction};

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
            if connection.handshake.as_ref().is_some_and(|handshake| handshake.end.is_none()) {
                note_late(connection, moved);
            }
        }
        return;
    }
    let (head, _) = seen.entry.parts();
    if connection.opaque.is_none() && is_write != connection.accepted && is_client_hello(head) && may_begin_tls(connection) {
        connection.opaque = Some(Box::new(Opaque::new(seen.start)));
        connection.setup.tls = Some((seen.start, seen.end));
        forget_turn(shared, &mut connection.raw);
    }
    if connection.opaque.is_none() {
        feed(process, shared, connection, seen, moved, is_write);
    } else if !connection.accepted {
        let bytes = Bytes::of(&mut connection.raw, seen, moved, is_write, false);
        tls::feed(process, shared, connection, moved, &bytes);
    }
}

/// Notes that what the peer did for a set-up lay unread, if it did.
pub(super) fn note_late(connection: &mut Connection, moved: Moved) {
    if moved.arrived < moved.end && connection.setup.late.len() < LATE_STRETCHES {
        connection.setup.late.push((moved.arrived, moved.end));
    }
}

/// A ClientHello comes first, or after what another protocol says before.
fn may_begin_tls(connection: &Connection) -> bool {
    let raw = &connection.raw;
    let is_other = raw.postgres.is_encrypted() || (raw.http.is_http() == Some(false) && !raw.was_http);
    raw.position == [None, None] || raw.http.is_upgraded() || is_other
}

pub(super) fn forget_turn(shared: &mut Shared, layer: &mut Layer) {
    if layer.turn.take().is_some() {
        shared.hops.forget();
    }
}

/// What a call moved, for a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    pub(super) direction: Direction,
    /// Bytes before it that were not recorded.
    pub(super) missing: Chunk<'static>,
    pub(super) chunk: Chunk<'a>,
}

impl<'a> Bytes<'a> {
    /// Reads them off a record, and notes how far the layer's direction came.
    fn of(layer: &mut Layer, seen: Seen<'a>, moved: Moved, is_write: bool, accepted: bool) -> Self {
        let record = &seen.entry.record;
        let count = record.rc.unsigned_abs();
        let direction = if is_write != accepted { Direction::Request } else { Direction::Response };
        let (head, tail) = seen.entry.parts();
        let skipped = count.saturating_sub(head.len() as u64 + tail.len() as u64);
        let place = &mut layer.position[usize::from(!is_write)];
        let missing = place.map_or(0, |position| record.offset.saturating_sub(position));
        *place = Some(record.offset.saturating_add(count));
        Self {
            direction,
            missing: Chunk { at: moved.start, skipped: missing, ..Chunk::default() },
            chunk: Chunk { at: moved.end, head, skipped, tail },
        }
    }
}

/// Feeds bytes to the reader of their layer.
fn feed(process: &mut Process, shared: &mut Shared, connection: &mut Connection, seen: Seen<'_>, moved: Moved, is_write: bool) {
    let accepted = connection.accepted;
    let bytes = Bytes::of(connection.layer_mut(), seen, moved, is_write, accepted);
    if !accepted && query::feed(process, shared, connection, moved, &bytes) {
        return;
    }
    let (count, first) = (bytes.chunk.len(), bytes.chunk.head);
    let is_request = bytes.direction == Direction::Request;
    let layer = connection.layer_mut();
    let mut told = Vec::new();
    let mut wrote = false;
    if !accepted {
        if !is_request {
            if let Some(exchange) = layer.exchanges.front_mut() {
                exchange.read(moved, count);
            }
        } else if let Some(exchange) = layer.exchanges.back_mut().filter(|exchange| !exchange.request_ended) {
            exchange.wrote(moved, count);
            wrote = true;
        }
    }
    for chunk in [bytes.missing, bytes.chunk] {
        layer.http.feed(bytes.direction, chunk, &mut |fact| told.push(fact));
    }
    for fact in told {
        facts::apply(process, shared, connection, moved, first, fact);
    }
    let layer = connection.layer_mut();
    if is_request
        && !wrote
        && !accepted
        && let Some(exchange) = layer.exchanges.back_mut()
    {
        exchange.wrote(moved, count);
    }
    let unread = layer.http.is_http() == Some(false) && !layer.was_http && !layer.http.is_upgraded();
    if unread && !accepted && !connection.unix && connection.connected {
        if is_request {
            turn::write(process, shared, connection, moved, count);
        } else {
            turn::read(connection, moved, count);
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
    query::end(process, shared, connection);
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
    failure::left_in_login(process, shared, connection, at);
    let (how, at) = match connection.peer_closed {
        Some(closed) => (How::PeerClosed(closed.errno), closed.at),
        None => (How::CallerLeft, at),
    };
    // Where framing was lost in bytes that were not kept, the close is the only sign of the end.
    end_of_answers(process, shared, connection, at, |framed| framed);
    query::end(process, shared, connection);
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
