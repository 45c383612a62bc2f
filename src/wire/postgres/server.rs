//! The server's direction.

use super::message::{Messages, Piece};
use super::query::Queries;
use super::{Connection, Direction, Fact, SqlState, Stage};

/// Where the server's direction stands.
#[derive(Debug)]
pub(super) struct Server {
    /// It was asked to encrypt, so often, and answers with a byte.
    asked: u8,
    pub(super) messages: Messages,
    answer: Answer,
}

impl Default for Server {
    fn default() -> Self {
        Self { asked: 0, messages: Messages::new(Direction::Response), answer: Answer::default() }
    }
}

/// The message under way, and what was learned of those before.
#[derive(Debug, Default)]
struct Answer {
    kind: u8,
    reading: Reading,
    /// The server's process.
    backend: Option<u32>,
    /// A message was understood, or something was missing.
    understood: bool,
}

/// What is read of the message under way.
#[derive(Clone, Copy, Debug, Default)]
enum Reading {
    #[default]
    Nothing,
    /// Its first four bytes, and how many came.
    Number(u32, u8),
    Error(Failure),
}

/// An error's fields: each a letter and a string, which ends with zero.
#[derive(Clone, Copy, Debug, Default)]
struct Failure {
    field: Field,
    code: [u8; 5],
    length: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    /// Before a field's letter.
    #[default]
    Letter,
    /// In the code.
    Code,
    Other,
}

impl Failure {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match (self.field, byte) {
                (Field::Letter, b'C') => self.field = Field::Code,
                (Field::Letter, letter) if letter != 0 => self.field = Field::Other,
                (Field::Code | Field::Other, 0) => self.field = Field::Letter,
                (Field::Code, _) => {
                    if let Some(place) = self.code.get_mut(self.length) {
                        *place = byte;
                    }
                    self.length = self.length.saturating_add(1);
                }
                (Field::Letter | Field::Other, _) => {}
            }
        }
    }

    fn code(&self) -> SqlState {
        if self.length == self.code.len() { SqlState::new(self.code) } else { SqlState::UNKNOWN }
    }
}

impl Reading {
    const fn of(kind: u8) -> Self {
        match kind {
            b'E' => Self::Error(Failure { field: Field::Letter, code: [0; 5], length: 0 }),
            b'K' | b'R' => Self::Number(0, 0),
            _ => Self::Nothing,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Error(failure) => failure.feed(bytes),
            Self::Number(number, have) => {
                for &byte in bytes.iter().take(usize::from(4 - *have)) {
                    (*number, *have) = (*number << 8 | u32::from(byte), *have + 1);
                }
            }
        }
    }

    /// Bytes of the message were not kept.
    fn gap(&mut self) {
        match self {
            // Its code stands near the start, before what may be long.
            Self::Error(failure) if failure.field == Field::Code => {
                *self = Self::Error(Failure { field: Field::Other, ..Failure::default() })
            }
            Self::Error(failure) => failure.field = Field::Other,
            Self::Number(_, 4) => {}
            Self::Number(..) | Self::Nothing => *self = Self::Nothing,
        }
    }
}

/// Whether a message is part of an answer: the others may come at any time.
const fn is_answer(kind: u8) -> bool {
    !matches!(kind, b'A' | b'K' | b'N' | b'R' | b'S' | b'Z' | b'v')
}

impl Server {
    /// The client asked whether the connection may be encrypted.
    pub(super) const fn is_asked_to_encrypt(&mut self) {
        self.asked = self.asked.saturating_add(1);
    }

    /// The connection is set up.
    pub(super) const fn ready(&self, at: u64) -> Fact {
        Fact::Ready { at, backend: self.answer.backend }
    }
}

impl Connection {
    pub(super) fn server_bytes(&mut self, at: u64, bytes: &[u8], tell: &mut impl FnMut(Fact)) {
        let mut rest = bytes;
        if self.postgres.is_none() && !rest.is_empty() {
            return self.is_not_postgres(Direction::Response, at, tell);
        }
        while let (1.., [first, after @ ..]) = (self.server.asked, rest) {
            match first {
                b'S' | b'G' => {
                    self.encrypted = true;
                    self.stage = Stage::Over;
                    return tell(Fact::Encrypted { at });
                }
                b'N' => {
                    self.server.asked -= 1;
                    rest = after;
                    tell(Fact::EncryptionRefused { at });
                }
                // Why it will not even answer.
                b'E' => self.server.asked = 0,
                _ => return self.is_not_postgres(Direction::Response, at, tell),
            }
        }
        let mut other = false;
        let Self { stage, server: Server { messages, answer, .. }, queries, .. } = self;
        messages.feed(rest, &mut |piece| other |= answer.take(at, piece, stage, queries, tell));
        if other {
            self.is_not_postgres(Direction::Response, at, tell);
        }
    }

    pub(super) fn server_gap(&mut self, at: u64, count: u64, tell: &mut impl FnMut(Fact)) {
        let Self { stage, server: Server { messages, answer, asked }, queries, .. } = self;
        *asked = 0;
        answer.understood = true;
        messages.gap(count, &mut |piece| {
            answer.take(at, piece, stage, queries, tell);
        });
    }
}

impl Answer {
    /// Takes a piece; whether it shows that this is another protocol.
    fn take(&mut self, at: u64, piece: Piece<'_>, stage: &mut Stage, queries: &mut Queries, tell: &mut impl FnMut(Fact)) -> bool {
        let is_answer = *stage == Stage::Ready && is_answer(self.kind);
        match piece {
            Piece::Head(kind) => {
                self.understood = true;
                self.kind = kind;
                self.reading = Reading::of(kind);
                if *stage == Stage::Ready && self::is_answer(kind) {
                    queries.answers(at, tell);
                }
            }
            Piece::Body(bytes) => {
                self.reading.feed(bytes);
                if is_answer {
                    queries.answers(at, tell);
                }
            }
            Piece::Skipped(_) => {
                self.reading.gap();
                if is_answer {
                    queries.answers(at, tell);
                }
            }
            Piece::End(bytes) => self.ends(at, bytes, stage, queries, tell),
            Piece::NoHead => return !self.understood,
            Piece::Unknown(bytes) => {
                self.reading = Reading::Nothing;
                if *stage == Stage::Ready {
                    queries.answers(at, tell);
                    queries.received(bytes);
                }
            }
        }
        false
    }

    fn ends(&mut self, at: u64, bytes: u64, stage: &mut Stage, queries: &mut Queries, tell: &mut impl FnMut(Fact)) {
        let reading = std::mem::take(&mut self.reading);
        if *stage != Stage::Ready {
            match (self.kind, reading) {
                (b'R', Reading::Number(0, 4)) => tell(Fact::Authenticated { at }),
                (b'K', Reading::Number(backend, 4)) => self.backend = Some(backend),
                (b'E', Reading::Error(failure)) => tell(Fact::Error { at, error: failure.code() }),
                (b'Z', _) => {
                    *stage = Stage::Ready;
                    tell(Fact::Ready { at, backend: self.backend });
                }
                _ => {}
            }
            return;
        }
        if is_answer(self.kind) || self.kind == b'Z' {
            queries.received(bytes);
        }
        match (self.kind, reading) {
            (b'1' | b'2' | b'3' | b'C' | b'I' | b'T' | b'n' | b's', _) => queries.stepped(tell),
            (b'G', _) => queries.copies(),
            (b'Z', _) => queries.ready(at, tell),
            (b'E', Reading::Error(failure)) if queries.is_empty() => tell(Fact::Error { at, error: failure.code() }),
            (b'E', Reading::Error(failure)) => queries.failed(at, failure.code(), tell),
            _ => {}
        }
    }
}
