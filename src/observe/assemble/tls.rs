//! TLS: sessions of OpenSSL, and what can be told of TLS that is linked into the program.

use super::connection::{Connection, Handshake};
use super::exchange::Moved;
use super::process::Process;
use super::transfer::Bytes;
use super::{Shared, turn};
use crate::hops::How;
use crate::model::{Name, Nanos, error_type};
use crate::wire::Direction;
use crate::wire::tls::{self, Fact};

/// An `SSL*`.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Its connection; 0 = not known.
    pub(super) conn: u32,
    /// Name it asks for.
    pub(super) name: Option<Name>,
    pub(super) handshake: Option<Handshake>,
}

/// TLS of which only record heads are seen.
#[derive(Debug)]
pub(super) struct Opaque {
    reader: tls::Connection,
    /// When the ClientHello went.
    pub(super) start: Nanos,
    /// Why the handshake cannot end well.
    pub(super) failed: Option<&'static str>,
    /// The server said that nothing more comes of it: however the connection ends, that breaks nothing off.
    pub(super) is_ended: bool,
}

impl Opaque {
    /// A ClientHello goes by.
    pub(super) fn new(start: Nanos) -> Self {
        Self { reader: tls::Connection::new(), start, failed: None, is_ended: false }
    }

    /// Whether the handshake is under way.
    pub(super) const fn is_shaking(&self) -> bool {
        self.reader.handshake_ended().is_none()
    }

    fn read(&mut self, bytes: &Bytes<'_>) -> Vec<Fact> {
        let mut told = Vec::new();
        for chunk in [bytes.missing, bytes.chunk] {
            self.reader.feed(bytes.direction, chunk, &mut |fact| told.push(fact));
        }
        told
    }
}

/// Feeds bytes of a connection that the process opened to the reader of its records.
pub(super) fn feed(process: &mut Process, shared: &mut Shared, connection: &mut Connection, moved: Moved, bytes: &Bytes<'_>) {
    let Some(opaque) = &mut connection.opaque else { return };
    let mut answered = false;
    for fact in opaque.read(bytes) {
        answered |= matches!(fact, Fact::ResponseStarted { .. } | Fact::Content { .. });
        apply(process, shared, connection, moved, fact);
    }
    match bytes.direction {
        Direction::Request if connection.layer().turn.as_ref().is_some_and(|turn| !turn.is_answered()) => {
            turn::wrote(connection, moved, bytes.chunk.len());
        }
        Direction::Response if answered => {
            turn::read(connection, moved, bytes.chunk.len());
            let doubtful = connection.opaque.as_ref().is_some_and(|opaque| opaque.reader.is_doubtful());
            if let Some(turn) = &mut connection.layer_mut().turn {
                turn.doubtful = doubtful;
            }
        }
        Direction::Request | Direction::Response => {}
    }
}

fn apply(process: &mut Process, shared: &mut Shared, connection: &mut Connection, moved: Moved, fact: Fact) {
    match fact {
        Fact::ClientHello { hello, .. } => connection.sni = hello.server_name.or(connection.sni.take()),
        Fact::HandshakeEnded { at, .. } => connection.setup.tls = connection.setup.tls.map(|(start, _)| (start, at)),
        Fact::Alert { direction, alert: Some(alert), .. } if alert.is_goodbye() => {
            if let Some(opaque) = &mut connection.opaque {
                opaque.is_ended |= direction == Direction::Response;
            }
        }
        Fact::Alert { direction, alert, .. } => fails(connection, tls::failure(direction, alert)),
        Fact::NotTls { .. } => fails(connection, error_type::NOT_TLS),
        Fact::RequestStarted { at, .. } => {
            // What the server says may show what the client had said before.
            let moved = if at < moved.end { Moved { start: at, end: at, ..moved } } else { moved };
            turn::begin(process, shared, connection, moved);
        }
        Fact::ResponseStarted { .. } => {
            if let Some(turn) = &mut connection.layer_mut().turn {
                turn.is_unanswered();
            }
        }
        Fact::ResponseEnded { at, .. } => turn::end(process, shared, connection, How::Complete, at),
        Fact::ServerHello { .. } | Fact::RequestEnded { .. } | Fact::Content { .. } => {}
    }
}

fn fails(connection: &mut Connection, why: &'static str) {
    if let Some(opaque) = connection.opaque.as_mut().filter(|opaque| opaque.is_shaking()) {
        opaque.failed.get_or_insert(why);
    }
}
