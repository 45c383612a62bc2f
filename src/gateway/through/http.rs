//! HTTP/1.1 in the clear inside of a connection that is led through.

use super::turns::Turns;
use crate::gateway::record::{Http, Protocol};
use crate::hops::How;
use crate::model::Nanos;
use crate::wire::http1::{Connection, Fact, ResponseBody};
use crate::wire::{Chunk, Direction};
use std::hash::{Hash, Hasher};

/// Bytes passed; whether they are HTTP, as far as is known.
pub(super) fn passed(reader: &mut Connection, turns: &mut Turns, direction: Direction, at: Nanos, bytes: &[u8]) -> bool {
    let count = bytes.len() as u64;
    let mut noted = false;
    match direction {
        Direction::Request => {
            if let Some(mut turn) = turns.newest().filter(|turn| !turn.request_ended) {
                turn.wrote(at, count);
                noted = true;
            }
        }
        Direction::Response => {
            turns.went_on |= turns.left.is_some();
            if let Some(mut turn) = turns.oldest() {
                turn.read(at, count);
            }
        }
    }
    reader.feed(direction, Chunk::whole(at, bytes), &mut |fact| apply(turns, bytes, fact));
    if direction == Direction::Request
        && !noted
        && let Some(mut turn) = turns.newest()
    {
        turn.wrote(at, count);
    }
    reader.is_http() != Some(false)
}

/// A direction ended.
pub(super) fn ended(reader: &mut Connection, turns: &mut Turns, direction: Direction, at: Nanos) {
    // A client that said that it is done may have left; if it took more since then, it has not.
    if direction == Direction::Request || turns.left.is_none() || turns.went_on {
        reader.end(direction, at, &mut |fact| apply(turns, &[], fact));
    }
}

/// The connection ended like this.
pub(super) fn over(reader: &mut Connection, turns: &mut Turns, how: How, at: Nanos) {
    if how != How::CallerLeft {
        return;
    }
    let (framed, last) = turns.oldest().map_or((false, at), |turn| {
        let response = turn.http().and_then(|http| http.response.as_ref());
        let framed = response.is_some_and(|head| {
            let message = &head.fields.message;
            message.chunked || message.content_length.is_some()
        });
        (framed, turn.answered.map_or(at, |(_, last)| last))
    });
    reader.end(Direction::Response, at, &mut |fact| match fact {
        // A stream that said it is done is whole, though its client leaves without the end of its framing, as some do.
        Fact::ResponseEnded { exchange, bytes, body, .. } if body.done || (body.complete && framed) => {
            let body = ResponseBody { complete: true, ..body };
            apply(turns, &[], Fact::ResponseEnded { exchange, at: last, bytes, body });
        }
        // What it said up to there is known all the same.
        Fact::ResponseEnded { exchange, body, .. } => with(turns, exchange, |http| http.answer = Some(body)),
        fact => apply(turns, &[], fact),
    });
}

/// Applies a fact that the bytes told, which begin with `first`.
fn apply(turns: &mut Turns, first: &[u8], fact: Fact) {
    match fact {
        Fact::RequestStarted { exchange, at } => {
            let http = Http { target: line_digest(first), ..Http::default() };
            turns.begin(exchange, at, Protocol::Http(Box::new(http)));
        }
        Fact::RequestHead { exchange, head, .. } => {
            if head.fields.message.close {
                turns.line.downstream.announce_close();
            }
            with(turns, exchange, |http| http.head = Some(head));
        }
        Fact::RequestEnded { exchange, body, .. } => {
            with(turns, exchange, |http| http.body = body);
            if let Some(mut turn) = turns.find(exchange) {
                turn.request_ended = true;
            }
        }
        Fact::ResponseHead { exchange, at, head } => {
            if head.fields.message.close {
                turns.line.downstream.announce_close();
            }
            with(turns, exchange, |http| (http.head_at, http.response) = (Some(at), Some(head)));
        }
        Fact::FirstContent { exchange, at } => with(turns, exchange, |http| http.first_content = Some(at)),
        Fact::ResponseEnded { exchange, at, body, .. } => {
            with(turns, exchange, |http| http.answer = Some(body));
            turns.end(exchange, How::Complete, at);
        }
        Fact::Upgraded { exchange, .. } => with(turns, exchange, |http| {
            http.upgraded = true;
            http.answer = Some(ResponseBody { complete: true, ..ResponseBody::default() });
        }),
        Fact::ResponseStarted { .. } | Fact::Interim { .. } | Fact::Content { .. } | Fact::NotHttp { .. } => {}
    }
}

fn with(turns: &Turns, exchange: u64, change: impl FnOnce(&mut Http)) {
    if let Some(mut turn) = turns.find(exchange)
        && let Some(http) = turn.http_mut()
    {
        change(http);
    }
}

/// Digest of a request's first line, query included: nothing else of it is kept.
fn line_digest(bytes: &[u8]) -> u64 {
    let Some(end) = memchr::memchr(b'\r', bytes) else { return 0 };
    let mut hasher = rustc_hash::FxHasher::default();
    bytes[..end].hash(&mut hasher);
    hasher.finish().max(1)
}
