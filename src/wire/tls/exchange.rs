//! Exchanges inside TLS: what the client's and the server's application records are to one another.

use super::{Direction, Fact};

/// Session tickets come as late as this after a round trip and a half from the handshake's end, in nanoseconds: Linux delays
/// acknowledgements so long, and the second ticket waits for one.
const TICKETS: u64 = 50_000_000;
/// Longest session ticket, with what encrypts it.
const TICKET_MAX: u16 = 2_048;
/// A request goes on over tickets that came in between within this time, in nanoseconds: clients write its head and its body apart, and on a
/// busy machine something runs in between.
const GOES_ON: u64 = 5_000_000;

/// The exchanges of a connection, one after the other.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    count: u64,
    current: Option<Exchange>,
    /// What is read before then may be session tickets instead of an answer.
    tickets_until: u64,
    /// Length of the first record that may be one: a server's tickets are alike.
    ticket: Option<u16>,
}

#[derive(Debug)]
struct Exchange {
    number: u64,
    /// Last byte of the request so far.
    sent_at: u64,
    sent: u64,
    /// The end of the request as it was told.
    told: Option<(u64, u64)>,
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    /// Its last byte so far.
    at: u64,
    received: u64,
    /// It may be session tickets.
    doubtful: bool,
}

impl Exchanges {
    /// The handshake ended. `tickets`: when the first session ticket is there; `None` = none follow.
    pub(super) fn open(&mut self, tickets: Option<u64>) {
        self.tickets_until = tickets.map_or(0, |from| from.saturating_add(TICKETS));
    }

    /// An application record begins. `None` = of unknown length.
    #[inline]
    pub(super) fn record(&mut self, direction: Direction, at: u64, length: Option<u16>, tell: &mut impl FnMut(Fact)) {
        if self.goes_on(direction, at).is_none() {
            self.record_at(direction, at, length, tell);
        }
    }

    /// Bytes of an application record moved.
    #[inline]
    pub(super) fn moved(&mut self, direction: Direction, at: u64, bytes: u64, tell: &mut impl FnMut(Fact)) {
        match self.goes_on(direction, at) {
            Some(count) => *count = count.saturating_add(bytes),
            None => self.moved_at(direction, at, bytes, tell),
        }
    }

    /// Counts the bytes of a side that has moved at this moment already, so that there is nothing to be told.
    #[inline]
    fn goes_on(&mut self, direction: Direction, at: u64) -> Option<&mut u64> {
        match (direction, self.current.as_mut()?) {
            (Direction::Request, Exchange { sent_at, sent, answer: None, .. }) => (*sent_at == at).then_some(sent),
            (Direction::Response, Exchange { answer: Some(answer), .. }) => {
                (answer.at == at && !answer.doubtful).then_some(&mut answer.received)
            }
            _ => None,
        }
    }

    #[inline(never)]
    fn record_at(&mut self, direction: Direction, at: u64, length: Option<u16>, tell: &mut impl FnMut(Fact)) {
        match direction {
            Direction::Request => self.asks(at, tell),
            Direction::Response => {
                let doubtful = at < self.tickets_until && length.is_none_or(|length| self.is_ticket(length));
                self.answers(at, doubtful, tell);
            }
        }
    }

    /// Whether a record may be a session ticket, by its length.
    fn is_ticket(&mut self, length: u16) -> bool {
        length <= TICKET_MAX && *self.ticket.get_or_insert(length) == length
    }

    /// Whether what came as an answer may be session tickets alone.
    pub(super) fn is_doubtful(&self) -> bool {
        let answer = self.current.as_ref().and_then(|exchange| exchange.answer);
        answer.is_some_and(|answer| answer.doubtful)
    }

    #[inline(never)]
    fn moved_at(&mut self, direction: Direction, at: u64, bytes: u64, tell: &mut impl FnMut(Fact)) {
        let tickets_until = self.tickets_until;
        let Some(exchange) = &mut self.current else { return };
        match (direction, &mut exchange.answer) {
            (Direction::Request, _) => {
                exchange.sent_at = at;
                exchange.sent = exchange.sent.saturating_add(bytes);
            }
            (Direction::Response, Some(answer)) => {
                let doubtful = answer.doubtful && at < tickets_until;
                answer.received = answer.received.saturating_add(bytes);
                self.answers(at, doubtful, tell);
            }
            (Direction::Response, None) => {}
        }
    }

    fn asks(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        if let Some(exchange) = &mut self.current {
            let goes_on = match exchange.answer {
                None => true,
                Some(answer) => answer.doubtful && at.saturating_sub(exchange.sent_at) < GOES_ON,
            };
            if goes_on {
                exchange.sent_at = at;
                return;
            }
            exchange.end(tell);
        }
        let number = self.count;
        self.count += 1;
        self.current = Some(Exchange { number, sent_at: at, sent: 0, told: None, answer: None });
        tell(Fact::RequestStarted { exchange: number, at });
    }

    fn answers(&mut self, at: u64, doubtful: bool, tell: &mut impl FnMut(Fact)) {
        let Some(exchange) = &mut self.current else { return };
        let number = exchange.number;
        match exchange.answer {
            // More of the same moment.
            Some(before) if before.at == at => {
                exchange.answer = Some(Answer { doubtful: before.doubtful && doubtful, ..before });
                return;
            }
            Some(before) if !before.doubtful => {
                exchange.answer = Some(Answer { at, ..before });
                tell(Fact::Content { exchange: number, at, gap: at.saturating_sub(before.at) });
                return;
            }
            before => {
                let received = before.map_or(0, |before| before.received);
                exchange.answer = Some(Answer { at, received, doubtful });
            }
        }
        exchange.sent(tell);
        tell(Fact::ResponseStarted { exchange: number, at });
    }

    /// A direction ended.
    pub(super) fn end(&mut self, direction: Direction, tell: &mut impl FnMut(Fact)) {
        match direction {
            Direction::Request => {
                if let Some(exchange) = self.current.as_mut().filter(|exchange| exchange.answer.is_none()) {
                    exchange.sent(tell);
                }
            }
            Direction::Response => {
                if let Some(exchange) = self.current.take() {
                    exchange.end(tell);
                }
            }
        }
    }
}

impl Exchange {
    /// Tells the end of the request, unless it was told as it is.
    fn sent(&mut self, tell: &mut impl FnMut(Fact)) {
        let end = (self.sent_at, self.sent);
        if self.told.replace(end) != Some(end) {
            tell(Fact::RequestEnded { exchange: self.number, at: self.sent_at, bytes: self.sent });
        }
    }

    /// Tells the end of the answer, if there is one.
    fn end(&self, tell: &mut impl FnMut(Fact)) {
        if let Some(answer) = self.answer {
            tell(Fact::ResponseEnded { exchange: self.number, at: answer.at, bytes: answer.received });
        }
    }
}
