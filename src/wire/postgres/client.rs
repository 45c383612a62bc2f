//! The client's direction.

use memchr::memchr;

use super::message::{Messages, Piece};
use super::operation::{Digest, Names, Scanner};
use super::query::{Message, Queries};
use super::server::Server;
use super::{Connection, Direction, Fact, Stage};

/// What the first message asks for, by the number in the place of its version.
const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSSAPI: u32 = 80_877_104;
/// Major version of the protocol.
const VERSION: u32 = 3;
/// Least and greatest length of a first message; the server takes no longer ones either.
const GREETING: std::ops::RangeInclusive<u32> = 8..=10_000;

/// Where the client's direction stands.
#[derive(Debug)]
pub(super) struct Client {
    greeting: Greeting,
    pub(super) messages: Messages,
    asks: Asks,
}

impl Default for Client {
    fn default() -> Self {
        Self { greeting: Greeting::default(), messages: Messages::new(Direction::Request), asks: Asks::default() }
    }
}

/// What the client asks for, once it introduced itself.
#[derive(Debug, Default)]
struct Asks {
    /// Kind of the message under way.
    kind: u8,
    reading: Reading,
    statements: Names,
    portals: Names,
}

/// What is read of the message under way.
#[derive(Clone, Debug, Default)]
enum Reading {
    #[default]
    Nothing,
    /// A statement alone.
    Statement(Scanner),
    /// A statement's name, then the statement, then other things.
    Parse { field: u8, name: Digest, scanner: Scanner },
    /// A portal's name, then a statement's name, then other things.
    Bind { field: u8, portal: Digest, statement: Digest },
    /// A portal's name, then other things.
    Execute { field: u8, portal: Digest },
}

impl Reading {
    fn of(kind: u8) -> Self {
        match kind {
            b'Q' => Self::Statement(Scanner::default()),
            b'P' => Self::Parse { field: 0, name: Digest::default(), scanner: Scanner::default() },
            b'B' => Self::Bind { field: 0, portal: Digest::default(), statement: Digest::default() },
            b'E' => Self::Execute { field: 0, portal: Digest::default() },
            _ => Self::Nothing,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Statement(scanner) => scanner.feed(bytes),
            Self::Parse { field, name, scanner } => fields(bytes, field, 2, |field, bytes| match field {
                0 => name.push(bytes),
                _ => scanner.feed(bytes),
            }),
            Self::Bind { field, portal, statement } => fields(bytes, field, 2, |field, bytes| match field {
                0 => portal.push(bytes),
                _ => statement.push(bytes),
            }),
            Self::Execute { field, portal } => fields(bytes, field, 1, |_, bytes| portal.push(bytes)),
        }
    }

    /// Bytes of the message were not kept.
    fn gap(&mut self) {
        match self {
            Self::Statement(scanner) => scanner.gap(),
            Self::Parse { field: 1, scanner, .. } => scanner.gap(),
            // A name that was not seen whole is none.
            Self::Parse { field: 0, .. } | Self::Bind { field: 0 | 1, .. } | Self::Execute { field: 0, .. } => {
                *self = Self::Nothing
            }
            Self::Nothing | Self::Parse { .. } | Self::Bind { .. } | Self::Execute { .. } => {}
        }
        if let Self::Parse { field, .. } = self {
            *field = u8::MAX;
        }
    }
}

/// Gives each of the first `count` strings, which end with zero, its bytes.
fn fields(bytes: &[u8], field: &mut u8, count: u8, mut give: impl FnMut(u8, &[u8])) {
    let mut rest = bytes;
    while *field < count && !rest.is_empty() {
        let end = memchr(0, rest);
        give(*field, &rest[..end.unwrap_or(rest.len())]);
        let Some(end) = end else { return };
        *field += 1;
        rest = &rest[end + 1..];
    }
}

/// The messages before the connection is set up, which have no kind.
#[derive(Debug, Default)]
struct Greeting {
    /// Length, and the number that says what it is.
    head: [u8; 8],
    have: usize,
    /// Bytes that follow these.
    left: u64,
    /// The server's process that is to be cancelled, and how many of its bytes came.
    backend: (u32, u8),
}

/// What a greeting came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeted {
    /// More is needed.
    More,
    /// It is complete.
    Done(u32),
    /// It is none.
    Other,
}

impl Greeting {
    /// Takes bytes of one greeting, and says how many and what came of it.
    fn feed(&mut self, bytes: &[u8]) -> (usize, Greeted) {
        let (head, rest) = bytes.split_at(bytes.len().min(self.head.len() - self.have));
        self.head[self.have..self.have + head.len()].copy_from_slice(head);
        self.have += head.len();
        let [a, b, c, d, code @ ..] = self.head;
        let (length, code) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(code));
        if self.have >= 4 && !GREETING.contains(&length) {
            return (bytes.len(), Greeted::Other);
        }
        if self.have < self.head.len() {
            return (bytes.len(), Greeted::More);
        }
        if !head.is_empty() {
            if !is_greeting(length, code) {
                return (bytes.len(), Greeted::Other);
            }
            self.left = u64::from(length - GREETING.start());
        }
        let body = &rest[..rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
        for &byte in body.iter().take(usize::from(4 - self.backend.1)) {
            self.backend = (self.backend.0 << 8 | u32::from(byte), self.backend.1 + 1);
        }
        (head.len() + body.len(), self.moved(body.len() as u64, code))
    }

    /// Bytes are missing here; how many of them belong to it, and what came of it.
    fn gap(&mut self, count: u64) -> (u64, Greeted) {
        if self.have < self.head.len() {
            return (count, Greeted::Other);
        }
        let of_it = count.min(self.left);
        let [.., a, b, c, d] = self.head;
        (of_it, self.moved(of_it, u32::from_be_bytes([a, b, c, d])))
    }

    fn moved(&mut self, count: u64, code: u32) -> Greeted {
        self.left -= count;
        if self.left == 0 { Greeted::Done(code) } else { Greeted::More }
    }
}

fn is_greeting(length: u32, code: u32) -> bool {
    match code {
        TLS | GSSAPI => length == 8,
        // The process and a key of four bytes at least.
        CANCEL => length >= 16,
        _ => code >> 16 == VERSION && length > 8,
    }
}

impl Connection {
    pub(super) fn client_bytes(&mut self, at: u64, bytes: &[u8], tell: &mut impl FnMut(Fact)) {
        let mut rest = bytes;
        while self.stage == Stage::Greeting && !rest.is_empty() {
            let (taken, greeted) = self.client.greeting.feed(rest);
            self.greeted(at, greeted, tell);
            rest = &rest[taken..];
        }
        let Self { stage, client: Client { messages, asks, .. }, server, queries, .. } = self;
        if *stage != Stage::Over {
            let mut step = Step { at, stage, asks, server, queries };
            messages.feed(rest, &mut |piece| step.take(piece, tell));
        }
    }

    pub(super) fn client_gap(&mut self, at: u64, count: u64, tell: &mut impl FnMut(Fact)) {
        let mut left = count;
        while self.stage == Stage::Greeting && left > 0 {
            let (taken, greeted) = self.client.greeting.gap(left);
            self.greeted(at, greeted, tell);
            left -= taken;
        }
        let Self { stage, client: Client { messages, asks, .. }, server, queries, .. } = self;
        if *stage != Stage::Over && left > 0 {
            let mut step = Step { at, stage, asks, server, queries };
            messages.gap(left, &mut |piece| step.take(piece, tell));
        }
    }

    fn greeted(&mut self, at: u64, greeted: Greeted, tell: &mut impl FnMut(Fact)) {
        let code = match greeted {
            Greeted::More => return,
            Greeted::Other => return self.is_not_postgres(Direction::Request, at, tell),
            Greeted::Done(code) => code,
        };
        self.postgres = Some(true);
        let greeting = std::mem::take(&mut self.client.greeting);
        match code {
            TLS | GSSAPI => {
                self.server.is_asked_to_encrypt();
                tell(Fact::EncryptionAsked { at });
            }
            CANCEL => {
                self.stage = Stage::Over;
                tell(Fact::CancelAsked { at, backend: greeting.backend.0 });
            }
            _ => {
                self.stage = Stage::Setup;
                tell(Fact::Startup { at });
            }
        }
    }
}

impl Client {
    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.asks.statements.retained_bytes() + self.asks.portals.retained_bytes()
    }
}

/// A call's bytes on their way through the reader.
struct Step<'a> {
    at: u64,
    stage: &'a mut Stage,
    asks: &'a mut Asks,
    server: &'a mut Server,
    queries: &'a mut Queries,
}

impl Step<'_> {
    fn take(&mut self, piece: Piece<'_>, tell: &mut impl FnMut(Fact)) {
        match piece {
            Piece::Head(kind) => self.begins(kind, tell),
            Piece::Body(bytes) => self.asks.reading.feed(bytes),
            Piece::Skipped(_) => self.asks.reading.gap(),
            Piece::End(bytes) => self.ends(bytes, tell),
            Piece::NoHead => {}
            Piece::Unknown(bytes) => {
                self.asks.reading = Reading::Nothing;
                if *self.stage == Stage::Ready {
                    self.queries.blur(self.at, bytes, tell);
                }
            }
        }
    }

    fn begins(&mut self, kind: u8, tell: &mut impl FnMut(Fact)) {
        self.asks.kind = kind;
        self.asks.reading = Reading::of(kind);
        if matches!(kind, b'B' | b'C' | b'D' | b'E' | b'F' | b'P' | b'Q' | b'S') {
            if *self.stage == Stage::Setup {
                // Nobody asks before the server said so.
                *self.stage = Stage::Ready;
                tell(self.server.ready(self.at));
            }
            if self.server.messages.is_lost() && self.queries.finish_answered(tell) {
                self.server.messages.find();
            }
        }
        match kind {
            b'Q' | b'F' => self.queries.simple(self.at, tell),
            b'P' => self.queries.step(Message::Parse, self.at, tell),
            b'B' | b'D' => self.queries.step(Message::Other, self.at, tell),
            b'E' => self.queries.step(Message::Execute, self.at, tell),
            b'C' => self.queries.step(Message::Close, self.at, tell),
            _ => {}
        }
    }

    fn ends(&mut self, bytes: u64, tell: &mut impl FnMut(Fact)) {
        let Self { at, queries, .. } = self;
        let at = *at;
        let Asks { statements, portals, reading, kind } = &mut *self.asks;
        match std::mem::take(reading) {
            Reading::Nothing => {}
            Reading::Statement(scanner) => queries.does(scanner.operation()),
            Reading::Parse { name, scanner, .. } => {
                let operation = scanner.operation();
                statements.put(&name, operation);
                queries.does(operation);
            }
            Reading::Bind { portal, statement, .. } => {
                let operation = statements.get(&statement);
                portals.put(&portal, operation);
                queries.does(operation);
            }
            Reading::Execute { portal, .. } => queries.does(portals.get(&portal)),
        }
        match *kind {
            b'Q' | b'F' | b'S' => queries.sync(at, bytes, tell),
            b'B' | b'C' | b'D' | b'E' | b'P' => queries.sent(at, bytes),
            b'H' => {
                queries.sent(at, bytes);
                queries.close(tell);
            }
            b'd' => queries.copied(at, bytes, false, tell),
            b'c' | b'f' => queries.copied(at, bytes, true, tell),
            b'X' => tell(Fact::Terminated { at }),
            _ => {}
        }
    }
}
