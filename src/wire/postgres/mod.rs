//! PostgreSQL's protocol 3 (<https://www.postgresql.org/docs/current/protocol.html>) on one connection, both directions at once.
//!
//! [`Connection`] takes the bytes that the client sent and those that the server sent. It tells how the connection was set up,
//! and of each query when it went, when its answer came and with which error it failed. Of what is said only few-valued words
//! are kept: the statement's first keyword and the error's code. Users, passwords, databases, statements, values, rows and
//! messages are stepped over.

mod client;
mod message;
mod operation;
#[cfg(any(test, fuzzing))]
pub mod order;
mod query;
mod server;

use super::{Chunk, Direction};
use crate::model::error_type;
use client::Client;
use query::Queries;
use server::Server;

/// What the reader learned. `query` counts the queries of a connection from 0; `at` is the time of the chunk that held the
/// deciding byte; `bytes` counts whole messages.
///
/// A query is what the client waits for at once: a simple query, or the messages of the extended protocol up to the next
/// `Sync`, `Flush` or other statement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the same everywhere and explained above")]
pub enum Fact {
    /// The client asked to encrypt the connection (TLS or GSSAPI).
    EncryptionAsked { at: u64 },
    /// The server will: nothing more of this connection can be read here.
    Encrypted { at: u64 },
    /// The server will not.
    EncryptionRefused { at: u64 },
    /// The client introduced itself.
    Startup { at: u64 },
    /// The server let the client in.
    Authenticated { at: u64 },
    /// The connection is set up. `backend` is the server's process, by which a query is cancelled.
    Ready { at: u64, backend: Option<u32> },
    /// An error of no query: why the connection is not set up, or will be closed.
    Error { at: u64, error: SqlState },
    /// The connection was made to cancel what this server process does.
    CancelAsked { at: u64, backend: u32 },
    /// The first byte of a query.
    QueryStarted { query: u64, at: u64 },
    /// The last byte of a query. Told anew when data that is copied in has followed; what is told last holds.
    QuerySent { query: u64, at: u64, bytes: u64, operation: &'static str },
    /// The first byte of an answer. Told anew like [`Fact::QuerySent`].
    AnswerStarted { query: u64, at: u64 },
    /// The last byte of an answer, or its error: the server may be ready for more much later.
    AnswerEnded { query: u64, at: u64, bytes: u64, error: Option<SqlState> },
    /// The client said goodbye.
    Terminated { at: u64 },
    /// These bytes are no PostgreSQL; nothing more is told.
    NotPostgres { direction: Direction, at: u64 },
}

/// An error's code (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): five digits and capital letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// An error whose code was not seen.
    pub const UNKNOWN: Self = Self([0; 5]);
    /// No more connections are let in (`too_many_connections`).
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    /// The query was stopped: by a timeout of the server, or since the client asked for it (`query_canceled`).
    pub const QUERY_CANCELED: Self = Self(*b"57014");

    fn new(bytes: [u8; 5]) -> Self {
        let is_code = bytes.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        if is_code { Self(bytes) } else { Self::UNKNOWN }
    }

    /// As it is written; `_OTHER` where it is not known, as OpenTelemetry spells that.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.0) {
            Ok(text) if self.0[0] != 0 => text,
            _ => error_type::OTHER,
        }
    }
}

impl std::fmt::Display for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Debug for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqlState({self})")
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The client has not introduced itself yet.
    #[default]
    Greeting,
    /// The server has not said yet that it is ready.
    Setup,
    Ready,
    /// Nothing more is read: it is encrypted, only cancels, or is no PostgreSQL.
    Over,
}

/// One connection, read from both directions.
///
/// Feed each direction's bytes in stream order; the two directions may interleave as their calls did. Where all heads of
/// messages are seen, the facts do not depend on how the bytes of one time are cut into chunks. Memory is bounded: a limited
/// number of queries without an answer, and of names of prepared statements.
#[derive(Debug, Default)]
pub struct Connection {
    /// Whether it is PostgreSQL, once that is known.
    postgres: Option<bool>,
    encrypted: bool,
    stage: Stage,
    client: Client,
    server: Server,
    queries: Queries,
}

impl Connection {
    /// A connection of which nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds the bytes of one call in one direction, and tells facts in their order through `tell`.
    pub fn feed(&mut self, direction: Direction, chunk: Chunk<'_>, tell: &mut impl FnMut(Fact)) {
        if chunk.is_empty() || self.stage == Stage::Over {
            return;
        }
        let at = chunk.at;
        match direction {
            Direction::Request => {
                self.client.messages.begin();
                self.client_bytes(at, chunk.head, tell);
                if chunk.skipped > 0 {
                    self.client_gap(at, chunk.skipped, tell);
                }
                self.client_bytes(at, chunk.tail, tell);
            }
            Direction::Response => {
                self.server.messages.begin();
                self.server_bytes(at, chunk.head, tell);
                if chunk.skipped > 0 {
                    self.server_gap(at, chunk.skipped, tell);
                }
                self.server_bytes(at, chunk.tail, tell);
            }
        }
    }

    /// The direction ended (FIN, close). A query that failed ends with it.
    pub fn end(&mut self, direction: Direction, tell: &mut impl FnMut(Fact)) {
        if direction == Direction::Response && self.stage == Stage::Ready {
            self.queries.end(tell);
        }
    }

    /// Whether this is PostgreSQL; `None` until the client's first message decided it.
    #[must_use]
    pub const fn is_postgres(&self) -> Option<bool> {
        self.postgres
    }

    /// Whether it is encrypted from here on.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether it is set up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Bytes held on the heap.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.client.retained_bytes() + self.queries.retained_bytes()
    }

    fn is_not_postgres(&mut self, direction: Direction, at: u64, tell: &mut impl FnMut(Fact)) {
        self.postgres = Some(false);
        self.stage = Stage::Over;
        tell(Fact::NotPostgres { direction, at });
    }
}

#[cfg(test)]
mod tests;
