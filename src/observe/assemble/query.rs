//! PostgreSQL: how a connection was set up, and its queries.

use super::connection::Connection;
use super::exchange::{Moved, Protocol};
use super::process::Process;
use super::transfer::{Bytes, forget_turn, note_late};
use super::{Shared, facts, failure};
use crate::hops::How;
use crate::model::Nanos;
use crate::wire::Direction;
use crate::wire::postgres::{Fact, SqlState};

/// Feeds bytes of a connection that the process opened to the reader of their layer. Whether they are PostgreSQL's.
pub(super) fn feed(
    process: &mut Process,
    shared: &mut Shared,
    connection: &mut Connection,
    moved: Moved,
    bytes: &Bytes<'_>,
) -> bool {
    let layer = connection.layer_mut();
    let mut told = Vec::new();
    for chunk in [bytes.missing, bytes.chunk] {
        layer.postgres.feed(bytes.direction, chunk, &mut |fact| told.push(fact));
    }
    if layer.postgres.is_postgres() != Some(true) {
        return false;
    }
    // Before enough bytes came to say so it was a protocol that is not read.
    forget_turn(shared, layer);
    let is_read = bytes.direction == Direction::Response;
    let mut noted = false;
    for fact in told {
        noted |= matches!(fact, Fact::AnswerStarted { .. });
        apply(process, shared, connection, moved, fact);
    }
    // What was told says it better; this is what is known in between.
    let exchanges = &mut connection.layer_mut().exchanges;
    if !is_read {
        if let Some(query) = exchanges.back_mut().filter(|query| !query.request_ended) {
            query.wrote(moved, bytes.chunk.len());
        }
    } else if !noted && let Some(query) = exchanges.front_mut().filter(|query| query.is_answered()) {
        query.read(moved, bytes.chunk.len());
    }
    true
}

/// No answer follows: a query that failed ended with it.
pub(super) fn end(process: &mut Process, shared: &mut Shared, connection: &mut Connection) {
    let mut told = Vec::new();
    connection.layer_mut().postgres.end(Direction::Response, &mut |fact| told.push(fact));
    for fact in told {
        if let Fact::AnswerEnded { query, at, bytes, error } = fact {
            finish(process, shared, connection, query, at, bytes, error);
        }
    }
}

fn apply(process: &mut Process, shared: &mut Shared, connection: &mut Connection, moved: Moved, fact: Fact) {
    match fact {
        Fact::Encrypted { at } | Fact::EncryptionRefused { at } => {
            // Asking for it is part of connecting.
            connection.setup.connect = connection.setup.connect.map(|(start, _)| (start, at));
            note_late(connection, moved);
        }
        Fact::Startup { at } => connection.setup.login = Some((moved.start, at)),
        Fact::Authenticated { at } | Fact::Ready { at, .. } => {
            connection.setup.login = connection.setup.login.map(|(start, _)| (start, at));
            note_late(connection, moved);
            if let Fact::Ready { backend, .. } = fact {
                connection.backend = backend;
            }
        }
        Fact::Error { at, error } if !connection.layer().postgres.is_ready() => {
            failure::not_let_in(process, shared, connection, at, error);
        }
        Fact::CancelAsked { at, backend } => stop(process, connection, backend, at),
        Fact::QueryStarted { query, .. } => {
            let mut new = facts::begin(process, shared, connection, query, moved);
            new.protocol = Protocol::Query { operation: "query", error: None };
            connection.layer_mut().exchanges.push_back(new);
        }
        Fact::QuerySent { query, at, bytes, operation } => {
            let Some(asked) = facts::find(connection, query) else { return };
            (asked.sent_at, asked.sent, asked.request_ended) = (at, bytes, true);
            asked.protocol = Protocol::Query { operation, error: None };
            facts::join(process, shared, connection, query);
        }
        Fact::AnswerStarted { query, .. } => {
            if let Some(asked) = facts::find(connection, query) {
                asked.is_unanswered();
                asked.read(moved, 0);
            }
        }
        Fact::AnswerEnded { query, at, bytes, error } => finish(process, shared, connection, query, at, bytes, error),
        Fact::Error { .. } | Fact::EncryptionAsked { .. } | Fact::Terminated { .. } | Fact::NotPostgres { .. } => {}
    }
}

fn finish(
    process: &mut Process,
    shared: &mut Shared,
    connection: &mut Connection,
    query: u64,
    at: Nanos,
    bytes: u64,
    error: Option<SqlState>,
) {
    let Some(mut ended) = facts::remove(connection, query) else { return };
    ended.received = bytes;
    if let Protocol::Query { operation, .. } = ended.protocol {
        ended.protocol = Protocol::Query { operation, error };
    }
    facts::finish(process, shared, connection, ended, How::Complete, at);
    // The server takes them one after the other: only now is the next one waited for.
    if let Some(next) = connection.layer_mut().exchanges.front_mut() {
        next.started = next.started.max(at);
    }
}

/// The caller asks by another connection that what is done for one of its own be stopped.
fn stop(process: &mut Process, by: &Connection, backend: u32, at: Nanos) {
    let served = process.connections.values_mut().filter(|other| other.peer == by.peer && other.backend == Some(backend));
    for query in served.filter_map(|other| other.layer_mut().exchanges.front_mut()) {
        let judged = query.movement().judge(How::CallerLeft, at);
        query.stopped.get_or_insert(judged);
    }
}
