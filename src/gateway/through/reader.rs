//! Reads what passes: which protocol it is, and what its exchanges are.

use super::pump::{Over, Passing};
use super::turns::Turns;
use super::{http, postgres, tls, unread};
use crate::gateway::Shared;
use crate::gateway::connect::{ConnectError, Connected, Scheme};
use crate::gateway::record::{Ends, Line};
use crate::hops::How;
use crate::model::{Name, Nanos, Outcome};
use crate::wire::Direction;
use crate::wire::http1;
use crate::wire::postgres as database;
use crate::wire::tls::is_client_hello;
use std::sync::Arc;

/// A client that leaves within this time, before there is an upstream, is no call.
const WANTED_NOTHING: Nanos = 100_000_000;

/// A connection that is led through, and what is read of it.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    turns: Turns,
    reading: Reading,
    is_over: bool,
}

/// What is spoken, as the client's first byte says: no two that are read begin alike.
#[derive(Debug)]
enum Reading {
    /// Nothing was said yet.
    Nothing,
    Http(Box<http1::Connection>),
    Tls(Box<tls::Opaque>),
    Postgres(Box<database::Connection>),
    /// One that is not read.
    Other,
}

impl Reader {
    /// A connection is asked for.
    pub(super) fn new(shared: &Arc<Shared>, line: Line) -> Self {
        let turns = Turns::new(Arc::clone(&shared.recorder), Arc::new(line));
        Self { shared: Arc::clone(shared), turns, reading: Reading::Nothing, is_over: false }
    }

    pub(crate) const fn line(&self) -> &Arc<Line> {
        &self.turns.line
    }

    fn now(&self) -> Nanos {
        self.shared.recorder.anchor().now()
    }

    /// The upstream is there: what follows is up to its client.
    pub(super) fn connected(&mut self, connected: &Connected) {
        let Connected { local, remote, .. } = *connected;
        self.turns.line.connected(Ends { number: self.shared.pool.number(), local, remote });
        let now = self.now();
        self.turns.is_ready(now);
        self.turns.line.rests(now);
    }

    /// A client's hello came at `at`, and TLS is ended here: what is inside will be read. What follows is a step of the set-up.
    pub(crate) fn opens(&mut self, server_name: Option<Name>, at: Nanos) {
        self.reading = self.secured(at);
        self.turns.line.is_tls(server_name);
        self.turns.line.opens();
    }

    /// Both ends speak TLS with the gateway: what passes from here on is what is inside.
    pub(crate) fn opened(&mut self, at: Nanos) {
        self.turns.step_ends(at);
        self.turns.is_ready(at);
        self.reading = Reading::Nothing;
    }

    /// Nothing passes that would be read here.
    pub(crate) fn release(mut self) {
        self.turns.is_none();
        self.is_over = true;
    }

    /// The upstream is not to be had.
    pub(crate) fn unconnected(&mut self, error: &ConnectError) {
        let now = self.now();
        self.turns.unconnected(error, now);
        self.is_over = true;
    }

    /// The connection ended.
    pub(super) fn over(&mut self, Over { by, at, errno }: Over) {
        self.is_over = true;
        let how = match (by, errno) {
            (Direction::Request, _) => How::CallerLeft,
            (Direction::Response, errno) => How::PeerClosed(errno),
        };
        let turns = &mut self.turns;
        match &mut self.reading {
            Reading::Http(reader) => http::over(reader, turns, how, at),
            Reading::Tls(opaque) => {
                if let Some((how, why)) = opaque.over(turns, how, at) {
                    turns.stopped(how, at, Outcome::Tls, why);
                }
            }
            Reading::Postgres(reader) => {
                postgres::over(reader, turns);
                if reader.is_postgres() == Some(true) {
                    turns.stopped(how, at, Outcome::Reset, None);
                }
            }
            // It was cut off while it was connected to. A client of a TCP route waits for nothing as yet, and may have wanted nothing.
            Reading::Nothing if !turns.line.is_connected() => {
                let is_tcp = turns.line.destination.origin.scheme == Scheme::Tcp;
                let soon = at.saturating_sub(turns.line.start) <= WANTED_NOTHING;
                if !(is_tcp && soon && how == How::CallerLeft) {
                    turns.stopped(how, at, Outcome::Connect, None);
                }
            }
            Reading::Nothing | Reading::Other => {}
        }
        turns.over(how, at);
        if let Some(backend) = turns.line.backend() {
            self.shared.backends.remove(backend, &turns.line);
        }
    }

    /// Chooses a reader by the first byte.
    fn choose(&mut self, direction: Direction, at: Nanos, bytes: &[u8]) {
        self.reading = match (direction, bytes) {
            (Direction::Request, [0, ..]) => Reading::Postgres(Box::default()),
            (Direction::Request, [tls::HANDSHAKE, ..]) => self.secured(at),
            (Direction::Request, [b'A'..=b'Z', ..]) => Reading::Http(Box::default()),
            (Direction::Request | Direction::Response, _) => Reading::Other,
        };
    }

    /// TLS begins.
    fn secured(&mut self, at: Nanos) -> Reading {
        Reading::Tls(Box::new(tls::Opaque::new(&mut self.turns, at)))
    }
}

impl Passing for Reader {
    fn passed(&mut self, direction: Direction, at: Nanos, bytes: &[u8]) {
        match &self.reading {
            Reading::Nothing => self.choose(direction, at, bytes),
            // A protocol that is not read may have agreed on it, as mail servers and databases do.
            Reading::Other if direction == Direction::Request && is_client_hello(bytes) => {
                self.turns.forget();
                self.reading = self.secured(at);
            }
            _ => {}
        }
        let turns = &mut self.turns;
        let next = match &mut self.reading {
            Reading::Http(reader) => {
                let is_http = http::passed(reader, turns, direction, at, bytes);
                (!is_http).then_some(Reading::Other)
            }
            Reading::Tls(opaque) => {
                let is_tls = opaque.passed(turns, direction, at, bytes);
                (!is_tls).then_some(Reading::Other)
            }
            Reading::Postgres(reader) => {
                postgres::passed(reader, turns, &self.shared.backends, direction, at, bytes);
                match reader.is_postgres() {
                    Some(false) => Some(Reading::Other),
                    Some(true) if reader.is_encrypted() => Some(Reading::Nothing),
                    Some(true) | None => None,
                }
            }
            Reading::Nothing | Reading::Other => None,
        };
        if let Some(next) = next {
            self.reading = next;
        }
        // What turns out to be nothing that is read passes as such from these bytes on.
        if matches!(self.reading, Reading::Other) {
            unread::passed(&mut self.turns, direction, at, bytes.len() as u64);
        }
    }

    fn ended(&mut self, direction: Direction, at: Nanos) {
        match direction {
            Direction::Request => _ = self.turns.left.get_or_insert(at),
            Direction::Response => self.turns.is_ended = true,
        }
        match &mut self.reading {
            Reading::Http(reader) => http::ended(reader, &mut self.turns, direction, at),
            Reading::Tls(opaque) => opaque.ended(&mut self.turns, direction, at),
            Reading::Nothing | Reading::Postgres(_) | Reading::Other => {}
        }
    }
}

impl Drop for Reader {
    /// Cut off midway: by the end of it all, or as if its client had left.
    fn drop(&mut self) {
        let recorder = &self.shared.recorder;
        if self.is_over || recorder.is_stopped() {
            return;
        }
        match self.turns.line.downstream.has_left() {
            None if recorder.is_closing() => self.turns.cut(self.now()),
            left => self.over(Over { by: Direction::Request, at: left.map_or_else(|| self.now(), |(at, _)| at), errno: 0 }),
        }
    }
}
