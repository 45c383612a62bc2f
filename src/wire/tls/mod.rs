//! TLS (RFC 8446, RFC 5246) on one connection, read from its record heads alone, both directions at once.
//!
//! [`Connection`] takes the bytes that the client sent and those that the server sent. It tells what the two hellos say, when
//! the handshake ended, alerts, and the exchanges inside: which of the encrypted records ask and which answer, as far as their
//! order, sizes and times tell. Exchanges that overlap (HTTP/2: [`ClientHello::offers_h2`]) blur into one another.
//! What is said before the client's hello (STARTTLS and its like) is not fed.

mod exchange;
mod handshake;
mod hello;
#[cfg(any(test, fuzzing))]
pub mod order;
mod record;

use std::sync::Arc;

use super::{Chunk, Direction};
#[cfg(feature = "cli")]
use crate::model::error_type;
use exchange::Exchanges;
use handshake::{Handshake, Means};
use record::{Kind, Piece, Records};

/// What may be session tickets is taken for an answer for so long, in nanoseconds.
pub const DOUBT: u64 = 250_000_000;

/// What the reader learned. `exchange` counts the exchanges of a connection from 0; `at` is the time of the chunk that held
/// the deciding byte; `bytes` counts the contents of application records, encrypted as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the same everywhere and explained above")]
pub enum Fact {
    /// The client's hello is complete (or was cut: [`ClientHello::cut`]); its first byte went at `started`.
    ClientHello { started: u64, at: u64, hello: Box<ClientHello> },
    /// The server's hello is complete.
    ServerHello { at: u64, hello: Box<ServerHello> },
    /// The handshake ended. `resumed`: a session of before was taken up, so that no certificate went; `None` = not seen.
    HandshakeEnded { at: u64, resumed: Option<bool> },
    /// `direction` sent an alert; `None` = it is encrypted, and known as one by its length.
    Alert { direction: Direction, at: u64, alert: Option<Alert> },
    /// The first byte of a request.
    RequestStarted { exchange: u64, at: u64 },
    /// The last byte of a request, told when the answer begins or the client ends its direction.
    RequestEnded { exchange: u64, at: u64, bytes: u64 },
    /// The first byte of an answer. What comes soon after the handshake may be session tickets, which are no answer: then this,
    /// and the end of the request, are told anew, and what is told last holds.
    ResponseStarted { exchange: u64, at: u64 },
    /// A later piece of an answer, `gap` after the one before.
    Content { exchange: u64, at: u64, gap: u64 },
    /// The last byte of an answer, told when the next request begins or the server ends its direction.
    ResponseEnded { exchange: u64, at: u64, bytes: u64 },
    /// These bytes are no TLS; nothing more is told.
    NotTls { direction: Direction, at: u64 },
}

/// What a client's hello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The name it asks for (SNI), lower case.
    pub server_name: Option<Arc<str>>,
    /// The protocols it offers (ALPN), the first eight.
    pub protocols: Vec<Arc<str>>,
    /// It was not seen to its end.
    pub cut: bool,
}

impl ClientHello {
    /// Whether HTTP/2 may be spoken, in which exchanges overlap.
    #[must_use]
    pub fn offers_h2(&self) -> bool {
        self.protocols.iter().any(|protocol| &**protocol == "h2")
    }
}

/// What a server's hello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// The version chosen.
    pub version: Option<Version>,
    /// The protocol chosen (ALPN), where it goes in the clear: before TLS 1.3.
    pub protocol: Option<Arc<str>>,
    /// It was not seen to its end.
    pub cut: bool,
}

/// A version of TLS, as the protocol counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16);

impl Version {
    /// TLS 1.2.
    pub const TLS12: Self = Self(0x0303);
    /// TLS 1.3.
    pub const TLS13: Self = Self(0x0304);
}

impl std::fmt::Display for Version {
    /// As people write it: `1.3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0x0301..=0x0304 => write!(f, "1.{}", self.0 - 0x0301),
            number => write!(f, "{number:#06x}"),
        }
    }
}

/// An alert in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// 1 = warning, 2 = fatal.
    pub level: u8,
    /// What it is about.
    pub description: u8,
}

impl Alert {
    /// Its name in RFC 8446, section 6 (and RFC 5246, 7.2); `None` = it has none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.description {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => return None,
        })
    }

    /// Whether it ends a connection in good order.
    #[must_use]
    pub const fn is_goodbye(self) -> bool {
        matches!(self.description, 0 | 90)
    }

    /// Whether a client said by it that it does not trust the certificate it was shown, as one does that pins.
    #[must_use]
    pub const fn is_distrust(self) -> bool {
        matches!(self.description, 42..=46 | 48)
    }
}

/// The short code of a handshake that an alert ended (`error.type`).
#[cfg(feature = "cli")]
pub(crate) fn failure(direction: Direction, alert: Option<Alert>) -> &'static str {
    match (direction, alert) {
        (Direction::Request, Some(Alert { description: 45, .. })) => error_type::CERTIFICATE_EXPIRED,
        (Direction::Request, Some(Alert { description: 48, .. })) => error_type::CERTIFICATE_UNKNOWN_ISSUER,
        (Direction::Request, Some(alert)) if alert.is_distrust() => error_type::CERTIFICATE,
        _ => error_type::TLS_ALERT,
    }
}

/// Whether bytes begin a client's hello.
#[must_use]
pub const fn is_client_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [22, 3, 0..=4, _, _, hello::CLIENT_HELLO, ..])
}

/// One connection, read from both directions.
///
/// Feed each direction's bytes in stream order; the two directions may interleave as their calls did. Where all heads are
/// seen, the facts do not depend on how the bytes of one time are cut into chunks, nor on what was kept of the contents.
/// Memory is bounded (a hello of at most 16 KiB a direction). A record of application data costs a look at its head, whatever
/// its length, and no allocation.
#[derive(Debug, Default)]
pub struct Connection {
    /// Whether it is TLS, once that is known.
    tls: Option<bool>,
    /// The client's, the server's.
    records: [Records; 2],
    handshake: Handshake,
    exchanges: Exchanges,
    /// What the bytes of the record under way mean, of each direction.
    means: [Means; 2],
}

impl Connection {
    /// A connection of which nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds the bytes of one call in one direction, and tells facts in their order through `tell`.
    pub fn feed(&mut self, direction: Direction, chunk: Chunk<'_>, tell: &mut impl FnMut(Fact)) {
        if chunk.is_empty() || self.tls == Some(false) {
            return;
        }
        let Self { tls, records, handshake, exchanges, means } = self;
        let (records, means) = (&mut records[direction as usize], &mut means[direction as usize]);
        let mut step = Step { direction, at: chunk.at, tls, handshake, exchanges, means };
        if direction == Direction::Response {
            step.handshake.hear(chunk.at);
        }
        records.begin();
        for (bytes, skipped) in [(chunk.head, chunk.skipped), (chunk.tail, 0)] {
            records.feed(bytes, &mut |piece| step.take(piece, tell));
            if skipped > 0 {
                records.gap(skipped, &mut |piece| step.take(piece, tell));
            }
        }
    }

    /// The direction ended (FIN, close) at `at`.
    pub fn end(&mut self, direction: Direction, at: u64, tell: &mut impl FnMut(Fact)) {
        if self.tls != Some(true) {
            return;
        }
        self.handshake.finish_flight(&mut self.exchanges, tell);
        self.handshake.cut(direction, at, tell);
        self.exchanges.end(direction, tell);
    }

    /// Whether this is TLS; `None` until the client's first bytes decided it.
    #[must_use]
    pub const fn is_tls(&self) -> Option<bool> {
        self.tls
    }

    /// Whether what came as an answer to the last request may be session tickets alone. Where nothing else has come [`DOUBT`] later, it
    /// was no answer: who is answered goes on, or leaves, sooner than that as a rule.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.exchanges.is_doubtful()
    }

    /// When the handshake ended; `None` while it is under way.
    #[must_use]
    pub const fn handshake_ended(&self) -> Option<u64> {
        self.handshake.ended()
    }

    /// Bytes held on the heap.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.handshake.retained_bytes()
    }
}

/// One chunk on its way through the reader.
struct Step<'a> {
    direction: Direction,
    at: u64,
    tls: &'a mut Option<bool>,
    handshake: &'a mut Handshake,
    exchanges: &'a mut Exchanges,
    means: &'a mut Means,
}

impl Step<'_> {
    #[inline(always)]
    fn take(&mut self, piece: Piece<'_>, tell: &mut impl FnMut(Fact)) {
        let (direction, at) = (self.direction, self.at);
        match piece {
            _ if *self.tls == Some(false) => {}
            Piece::Head { kind: Kind::Application, length } if self.handshake.is_data(length) => {
                *self.means = Means::Data;
                self.exchanges.record(direction, at, Some(length), tell);
            }
            Piece::Head { kind, length } => *self.means = self.head(kind, length, tell),
            Piece::Body(bytes) => match *self.means {
                Means::Data => self.exchanges.moved(direction, at, bytes.len() as u64, tell),
                Means::Nothing => {}
                Means::Hello if self.tls.is_none() && bytes[0] != hello::CLIENT_HELLO => self.is_not_tls(tell),
                Means::Hello => {
                    self.is_tls();
                    self.handshake.hello(direction, at, bytes, tell);
                }
                Means::Alert => self.handshake.alert(direction, at, bytes, tell),
            },
            Piece::Skipped(count) => match *self.means {
                Means::Data => self.exchanges.moved(direction, at, count, tell),
                Means::Hello if self.tls.is_none() => self.is_not_tls(tell),
                Means::Hello | Means::Alert => self.handshake.cut(direction, at, tell),
                Means::Nothing => {}
            },
            Piece::NoHead if !self.handshake.has_begun(direction) => self.is_not_tls(tell),
            Piece::NoHead => {}
            Piece::Unknown(_) if self.tls.is_none() => self.is_not_tls(tell),
            Piece::Unknown(count) => {
                *self.means = Means::Nothing;
                self.handshake.cut(direction, at, tell);
                if self.handshake.ended().is_some() {
                    // Nearly all that goes by then is application data.
                    self.exchanges.record(direction, at, None, tell);
                    self.exchanges.moved(direction, at, count, tell);
                }
            }
        }
    }

    fn head(&mut self, kind: Kind, length: u16, tell: &mut impl FnMut(Fact)) -> Means {
        let (direction, at) = (self.direction, self.at);
        if self.handshake.ended().is_some() {
            return handshake::after_end(direction, at, kind, length, tell);
        }
        if self.tls.is_none() && (kind != Kind::Handshake || direction == Direction::Response) {
            self.is_not_tls(tell);
            return Means::Nothing;
        }
        match direction {
            Direction::Request => self.handshake.client(at, kind, length, self.exchanges, tell),
            Direction::Response => self.handshake.server(at, kind, length, self.exchanges, tell),
        }
    }

    fn is_tls(&mut self) {
        self.tls.get_or_insert(true);
    }

    fn is_not_tls(&mut self, tell: &mut impl FnMut(Fact)) {
        *self.tls = Some(false);
        tell(Fact::NotTls { direction: self.direction, at: self.at });
    }
}

#[cfg(test)]
mod tests;
