//! PostgreSQL in the clear: how the connection is set up, and its queries.

use super::backends::Backends;
use super::turns::Turns;
use crate::gateway::record::Protocol;
use crate::hops::{How, peer_failed};
use crate::model::{Nanos, Outcome, Phase};
use crate::wire::postgres::{Connection, Fact, SqlState};
use crate::wire::{Chunk, Direction};

/// Bytes passed.
pub(super) fn passed(
    reader: &mut Connection,
    turns: &mut Turns,
    backends: &Backends,
    direction: Direction,
    at: Nanos,
    bytes: &[u8],
) {
    let was_ready = reader.is_ready();
    let mut noted = false;
    reader.feed(direction, Chunk::whole(at, bytes), &mut |fact| {
        noted |= matches!(fact, Fact::AnswerStarted { .. });
        apply(turns, backends, was_ready, fact);
    });
    // What was told says it better; this is what is known in between.
    let count = bytes.len() as u64;
    match direction {
        Direction::Request => {
            if let Some(mut query) = turns.newest().filter(|query| !query.request_ended) {
                query.wrote(at, count);
            }
        }
        Direction::Response if noted => {}
        Direction::Response => {
            if let Some(mut query) = turns.oldest().filter(|query| query.answered.is_some()) {
                query.read(at, count);
            }
        }
    }
}

/// The connection ended: so did a query that failed.
pub(super) fn over(reader: &mut Connection, turns: &mut Turns) {
    reader.end(Direction::Response, &mut |fact| {
        if let Fact::AnswerEnded { query, at, bytes, error } = fact {
            ended(turns, query, at, bytes, error);
        }
    });
}

fn apply(turns: &mut Turns, backends: &Backends, was_ready: bool, fact: Fact) {
    match fact {
        // Authentication counts as connecting, and so does to ask for TLS.
        Fact::EncryptionAsked { at } | Fact::Startup { at } => turns.step(Phase::Connect, at),
        Fact::Encrypted { at } | Fact::EncryptionRefused { at } | Fact::Authenticated { at } => turns.step_ends(at),
        Fact::Ready { at, backend } => {
            turns.step_ends(at);
            turns.is_ready(at);
            if let Some(backend) = backend {
                turns.line.served_by(backend);
                backends.put(backend, &turns.line);
            }
        }
        Fact::Error { at, error } if !was_ready => {
            let outcome = if error == SqlState::TOO_MANY_CONNECTIONS { Outcome::Shed } else { Outcome::Error };
            turns.step_ends(at);
            turns.failed(peer_failed(outcome, None), Some(error.as_str().into()), at);
        }
        Fact::CancelAsked { at, backend } => {
            backends.stop(backend, &turns.line, at);
            turns.is_none();
        }
        Fact::QueryStarted { query, at } => turns.begin(query, at, Protocol::Query { operation: "query", error: None }),
        Fact::QuerySent { query, at, bytes, operation } => {
            if let Some(mut asked) = turns.find(query) {
                asked.asked = asked.asked.map(|(first, _)| (first, at));
                asked.bytes.sent = bytes;
                asked.request_ended = true;
                asked.protocol = Protocol::Query { operation, error: None };
            }
        }
        Fact::AnswerStarted { query, at } => {
            if let Some(mut asked) = turns.find(query) {
                asked.is_unanswered();
                asked.read(at, 0);
            }
        }
        Fact::AnswerEnded { query, at, bytes, error } => ended(turns, query, at, bytes, error),
        Fact::Error { .. } | Fact::Terminated { .. } | Fact::NotPostgres { .. } => {}
    }
}

fn ended(turns: &mut Turns, query: u64, at: Nanos, bytes: u64, code: Option<SqlState>) {
    if let Some(mut asked) = turns.find(query) {
        asked.bytes.received = bytes;
        if let Protocol::Query { error, .. } = &mut asked.protocol {
            *error = code;
        }
    }
    turns.end(query, How::Complete, at);
}
