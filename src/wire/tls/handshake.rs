//! The handshake, as far as it shows.

use super::exchange::Exchanges;
use super::hello::{self, Collector, Suite};
use super::record::Kind;
use super::{Alert, Direction, Fact, Version};

/// Bytes of an alert.
const ALERT: u16 = 2;

/// What the bytes of a record are to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Means {
    #[default]
    Nothing,
    /// They belong to the direction's hello.
    Hello,
    /// They are an alert in the clear.
    Alert,
    /// They are part of an exchange.
    Data,
}

/// What is known of one side's part in it.
#[derive(Debug, Default)]
struct Side {
    hello: Collector,
    /// It changed ciphers.
    changed: bool,
    /// It sent its encrypted `Finished` as a handshake record, as it is before TLS 1.3.
    finished: bool,
    /// The first byte of an alert.
    level: Option<u8>,
}

/// Where the handshake stands.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    client: Side,
    server: Side,
    /// First byte of the client's hello.
    started: u64,
    /// When the server was last heard before the end.
    heard: Option<u64>,
    ended: Option<u64>,
    version: Option<Version>,
    suite: Suite,
    /// The server took up a session of before, as TLS 1.3 says it; `None` = that was not seen.
    resumed: Option<bool>,
    /// The server changed ciphers before the client did, as when a session is taken up before TLS 1.3.
    server_first: bool,
    /// Bytes that the client sent before the server answered (TLS 1.3 early data).
    early: u64,
    flight: Option<Flight>,
}

/// The client's last flight in TLS 1.3, when its first record is none of a `Finished` alone: with the end of early data or the
/// client's certificate, in one record or in several. That no request is among them is known when a `Finished` closes it; that
/// the rest is one, when the server goes on.
#[derive(Clone, Copy, Debug)]
struct Flight {
    at: u64,
    rest: Option<Rest>,
}

/// What followed the first record of a flight.
#[derive(Clone, Copy, Debug)]
struct Rest {
    started: u64,
    at: u64,
    bytes: u64,
}

impl Handshake {
    /// When it ended.
    pub(super) const fn ended(&self) -> Option<u64> {
        self.ended
    }

    /// Whether a side began its hello, or was not seen to.
    pub(super) fn has_begun(&self, direction: Direction) -> bool {
        self.side(direction).hello.has_begun()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.client.hello.retained_bytes() + self.server.hello.retained_bytes()
    }

    const fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Request => &self.client,
            Direction::Response => &self.server,
        }
    }

    const fn side_mut(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.client,
            Direction::Response => &mut self.server,
        }
    }

    const fn is_tls13(&self) -> bool {
        matches!(self.version, Some(Version::TLS13))
    }

    /// Whether an application record of so many bytes is an encrypted alert. In TLS 1.3 there is no other sign of it, and
    /// nothing else is as short.
    const fn is_alert(&self, length: u16) -> bool {
        matches!(self.version, None | Some(Version::TLS13)) && length == self.suite.alert()
    }

    /// Whether an application record of so many bytes is part of an exchange.
    pub(super) const fn is_data(&self, length: u16) -> bool {
        self.ended.is_some() && !self.is_alert(length)
    }

    /// Bytes of the server came.
    pub(super) const fn hear(&mut self, at: u64) {
        if self.ended.is_none() {
            self.heard = Some(at);
        }
    }

    /// A record of the client begins, before the end.
    pub(super) fn client(
        &mut self,
        at: u64,
        kind: Kind,
        length: u16,
        exchanges: &mut Exchanges,
        tell: &mut impl FnMut(Fact),
    ) -> Means {
        match kind {
            Kind::Alert => return alert_means(Direction::Request, at, length, tell),
            Kind::ChangeCipherSpec => self.client.changed = true,
            Kind::Handshake if !self.client.hello.is_done() => return Means::Hello,
            Kind::Handshake => {
                // A second hello may follow a change of ciphers in TLS 1.3.
                self.client.finished |= self.client.changed && !self.is_tls13();
                if self.client.finished && self.server.finished {
                    self.end(at, exchanges, tell);
                }
            }
            Kind::Application if self.is_alert(length) => tell(Fact::Alert { direction: Direction::Request, at, alert: None }),
            Kind::Application => return self.client_data(at, length, exchanges, tell),
            Kind::Heartbeat => {}
        }
        Means::Nothing
    }

    fn client_data(&mut self, at: u64, length: u16, exchanges: &mut Exchanges, tell: &mut impl FnMut(Fact)) -> Means {
        let bytes = u64::from(length);
        let Some(heard) = self.heard else {
            self.early = self.early.saturating_add(bytes);
            return Means::Nothing;
        };
        if self.client.finished {
            // The server's `Finished` was not seen, or the client does not wait for it.
            self.end(heard, exchanges, tell);
            exchanges.record(Direction::Request, at, Some(length), tell);
            return Means::Data;
        }
        let is_finished = self.suite.finished().is_none_or(|finished| finished == length);
        match &mut self.flight {
            _ if is_finished => self.end(at, exchanges, tell),
            None => self.flight = Some(Flight { at, rest: None }),
            Some(Flight { rest: Some(rest), .. }) => (rest.at, rest.bytes) = (at, rest.bytes.saturating_add(bytes)),
            Some(flight) => flight.rest = Some(Rest { started: at, at, bytes }),
        }
        Means::Nothing
    }

    /// A record of the server begins, before the end.
    pub(super) fn server(
        &mut self,
        at: u64,
        kind: Kind,
        length: u16,
        exchanges: &mut Exchanges,
        tell: &mut impl FnMut(Fact),
    ) -> Means {
        match kind {
            Kind::Alert => return alert_means(Direction::Response, at, length, tell),
            Kind::ChangeCipherSpec => {
                self.server_first |= !self.client.changed;
                self.server.changed = true;
            }
            Kind::Handshake if !self.server.hello.is_done() => return Means::Hello,
            Kind::Handshake => {
                self.server.finished |= self.server.changed && !self.is_tls13();
                if self.client.finished && self.server.finished {
                    self.end(at, exchanges, tell);
                }
            }
            Kind::Application if self.is_alert(length) => tell(Fact::Alert { direction: Direction::Response, at, alert: None }),
            Kind::Application if self.flight.is_some() => {
                self.finish_flight(exchanges, tell);
                exchanges.record(Direction::Response, at, Some(length), tell);
                return Means::Data;
            }
            // In TLS 1.3 the rest of its handshake.
            Kind::Application | Kind::Heartbeat => {}
        }
        Means::Nothing
    }

    /// Bytes of a hello.
    pub(super) fn hello(&mut self, direction: Direction, at: u64, bytes: &[u8], tell: &mut impl FnMut(Fact)) {
        if direction == Direction::Request && !self.client.hello.has_begun() {
            self.started = at;
        }
        let mut rest = bytes;
        while !rest.is_empty() && !self.side(direction).hello.is_done() {
            let (taken, is_complete) = self.side_mut(direction).hello.push(rest);
            rest = &rest[taken..];
            if is_complete {
                self.hello_seen(direction, at, tell);
            }
        }
    }

    /// Bytes of a direction are missing: what it was in the middle of is told as far as it was seen.
    pub(super) fn cut(&mut self, direction: Direction, at: u64, tell: &mut impl FnMut(Fact)) {
        let side = self.side_mut(direction);
        side.level = None;
        if side.hello.cut() {
            self.hello_seen(direction, at, tell);
        }
    }

    fn hello_seen(&mut self, direction: Direction, at: u64, tell: &mut impl FnMut(Fact)) {
        let seen = self.side_mut(direction).hello.take();
        if direction == Direction::Request {
            let hello = Box::new(hello::client(&seen));
            tell(Fact::ClientHello { started: self.started, at, hello });
            return;
        }
        let Some(read) = hello::server(&seen) else { return };
        self.version = read.hello.version;
        if read.is_retry {
            self.server.hello = Collector::default();
            return;
        }
        (self.suite, self.resumed) = (read.suite, read.resumed);
        tell(Fact::ServerHello { at, hello: Box::new(read.hello) });
    }

    /// Bytes of an alert in the clear.
    pub(super) fn alert(&mut self, direction: Direction, at: u64, bytes: &[u8], tell: &mut impl FnMut(Fact)) {
        let side = self.side_mut(direction);
        for &byte in bytes {
            match side.level.take() {
                None => side.level = Some(byte),
                Some(level) => tell(Fact::Alert { direction, at, alert: Some(Alert { level, description: byte }) }),
            }
        }
    }

    /// Nothing more will say what the client's last flight was: it ended with its first record.
    pub(super) fn finish_flight(&mut self, exchanges: &mut Exchanges, tell: &mut impl FnMut(Fact)) {
        let Some(flight) = self.flight.take() else { return };
        self.end(flight.at, exchanges, tell);
        if let Some(rest) = flight.rest {
            exchanges.record(Direction::Request, rest.started, None, tell);
            exchanges.moved(Direction::Request, rest.at, rest.bytes, tell);
        }
    }

    fn end(&mut self, at: u64, exchanges: &mut Exchanges, tell: &mut impl FnMut(Fact)) {
        self.ended = Some(at);
        self.flight = None;
        let is_older = self.version.is_some_and(|version| version < Version::TLS13);
        let resumed = if is_older { Some(self.server_first) } else { self.resumed };
        tell(Fact::HandshakeEnded { at, resumed });
        let round_trip = self.heard.map_or(0, |heard| heard.saturating_sub(self.started));
        exchanges.open(if is_older { None } else { Some(at.saturating_add(round_trip.saturating_mul(3) / 2)) });
        if self.early > 0 {
            exchanges.record(Direction::Request, at, None, tell);
            exchanges.moved(Direction::Request, at, self.early, tell);
        }
    }
}

/// A record that is no part of an exchange begins, after the end.
pub(super) fn after_end(direction: Direction, at: u64, kind: Kind, length: u16, tell: &mut impl FnMut(Fact)) -> Means {
    match kind {
        Kind::Application => tell(Fact::Alert { direction, at, alert: None }),
        Kind::Alert => return alert_means(direction, at, length, tell),
        Kind::ChangeCipherSpec | Kind::Handshake | Kind::Heartbeat => {}
    }
    Means::Nothing
}

/// An alert begins: in the clear, or encrypted, which makes it longer.
fn alert_means(direction: Direction, at: u64, length: u16, tell: &mut impl FnMut(Fact)) -> Means {
    if length == ALERT {
        return Means::Alert;
    }
    tell(Fact::Alert { direction, at, alert: None });
    Means::Nothing
}
