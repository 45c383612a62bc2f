//! TLS, of which only record heads are seen: its handshake, and exchanges as far as they show.

use super::turns::Turns;
use crate::gateway::record::Protocol;
use crate::hops::How;
use crate::model::{Nanos, Phase, error_type};
use crate::wire::tls::{self, Fact};
use crate::wire::{Chunk, Direction};

/// First byte of a record of the handshake.
pub(crate) const HANDSHAKE: u8 = 22;
/// A client that closes within this time of what the server said in the handshake did not wait for more: it turned that down.
pub(crate) const TURNED_DOWN: Nanos = 250_000_000;

/// A connection's TLS.
#[derive(Debug)]
pub(super) struct Opaque {
    reader: tls::Connection,
    /// Why the handshake cannot end well.
    failed: Option<&'static str>,
}

impl Opaque {
    /// A client's hello begins.
    pub(super) fn new(turns: &mut Turns, at: Nanos) -> Self {
        turns.line.is_tls(None);
        turns.step(Phase::Tls, at);
        Self { reader: tls::Connection::new(), failed: None }
    }

    const fn is_shaking(&self) -> bool {
        self.reader.handshake_ended().is_none()
    }

    /// Bytes passed; whether they are TLS at all.
    pub(super) fn passed(&mut self, turns: &mut Turns, direction: Direction, at: Nanos, bytes: &[u8]) -> bool {
        let mut told = Told::default();
        let Self { reader, failed } = self;
        if direction == Direction::Response && reader.handshake_ended().is_none() {
            turns.heard = at;
        }
        reader.feed(direction, Chunk::whole(at, bytes), &mut |fact| told.apply(turns, failed, fact));
        let count = bytes.len() as u64;
        match direction {
            Direction::Request => {
                if let Some(mut turn) = turns.newest().filter(|turn| turn.answered.is_none()) {
                    turn.wrote(at, count);
                }
            }
            // What comes when its client has said goodbye is for nobody.
            Direction::Response if told.answered && turns.left.is_some() => turns.went_on = true,
            Direction::Response if told.answered => {
                if let Some(mut turn) = turns.newest() {
                    turn.read(at, count);
                    turn.doubtful = self.reader.is_doubtful();
                    if !turn.doubtful {
                        turns.line.rests(at);
                    }
                }
            }
            Direction::Response => {}
        }
        self.reader.is_tls() != Some(false) || direction == Direction::Response
    }

    /// A direction ended.
    pub(super) fn ended(&mut self, turns: &mut Turns, direction: Direction, at: Nanos) {
        let is_answered = turns.newest().is_none_or(|turn| turn.answered_at(at).is_some());
        // A client that closes ends no answer.
        if direction == Direction::Request || (turns.left.is_none() && is_answered) {
            let mut told = Told::default();
            let Self { reader, failed } = self;
            reader.end(direction, at, &mut |fact| told.apply(turns, failed, fact));
        }
    }

    /// The connection ended like this: how that ended a handshake that goes on, and why.
    pub(super) fn over(&self, turns: &Turns, how: How, at: Nanos) -> Option<(How, Option<&'static str>)> {
        if !self.is_shaking() {
            return None;
        }
        let turned_down = turns.heard > 0 && at.saturating_sub(turns.heard) < TURNED_DOWN;
        match (how, self.failed) {
            (How::CallerLeft, None) if turned_down => Some((How::Complete, Some(error_type::TLS))),
            (How::CallerLeft, None) => Some((how, None)),
            (How::CallerLeft, Some(why)) => Some((How::Complete, Some(why))),
            (how, why) => Some((how, why)),
        }
    }
}

/// What the facts of some bytes were about.
#[derive(Default)]
struct Told {
    /// The answer goes on.
    answered: bool,
}

impl Told {
    fn apply(&mut self, turns: &mut Turns, failed: &mut Option<&'static str>, fact: Fact) {
        match fact {
            Fact::ClientHello { hello, .. } => turns.line.is_tls(hello.server_name),
            Fact::HandshakeEnded { at, .. } => {
                turns.step_ends(at);
                turns.is_ready(at);
            }
            Fact::Alert { direction, alert: Some(alert), .. } if alert.is_goodbye() => {
                turns.is_ended |= direction == Direction::Response;
            }
            Fact::Alert { direction, alert, .. } => _ = failed.get_or_insert(tls::failure(direction, alert)),
            Fact::NotTls { .. } => _ = failed.get_or_insert(error_type::NOT_TLS),
            Fact::RequestStarted { exchange, at } => {
                turns.begin(exchange, at, Protocol::Other);
            }
            Fact::RequestEnded { exchange, at, .. } => {
                if let Some(mut turn) = turns.find(exchange) {
                    turn.asked = turn.asked.map(|(first, _)| (first, at));
                }
            }
            Fact::ResponseStarted { exchange, .. } => {
                self.answered = true;
                if let Some(mut turn) = turns.find(exchange).filter(|_| turns.left.is_none()) {
                    turn.is_unanswered();
                }
            }
            Fact::Content { .. } => self.answered = true,
            Fact::ResponseEnded { exchange, at, .. } => turns.end(exchange, How::Complete, at),
            Fact::ServerHello { .. } => {}
        }
    }
}
