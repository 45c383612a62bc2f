//! Messages: where each begins, and what kind it is (chapter "Message Formats").

use super::Direction;

/// Bytes of a message's head: kind, length.
const HEAD: usize = 5;
/// Longest message, its length included; the server has no longer ones either.
const LENGTH_MAX: u32 = 1 << 30;
/// So many heads in a row are no accident.
const CHAIN: usize = 8;

/// What a direction consists of, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A message of this kind begins.
    Head(u8),
    /// Bytes that the message under way carries; never empty.
    Body(&'a [u8]),
    /// The same, not kept.
    Skipped(u64),
    /// The message under way is complete; so many bytes, its head included.
    End(u64),
    /// What should be a message's head is none.
    NoHead,
    /// So many bytes of which nobody can tell the messages.
    Unknown(u64),
}

/// One direction, cut into messages.
#[derive(Debug)]
pub(super) struct Messages {
    direction: Direction,
    /// A head of which not all bytes came yet, and how many did.
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the message under way: in all, and still to come.
    length: u64,
    left: u64,
    /// A head was missed: where the next one begins is not known.
    lost: bool,
    /// The next byte is the first one of a call.
    fresh: bool,
}

impl Messages {
    pub(super) const fn new(direction: Direction) -> Self {
        Self { direction, head: [0; HEAD], have: 0, length: 0, left: 0, lost: false, fresh: false }
    }

    /// A call begins.
    pub(super) const fn begin(&mut self) {
        self.fresh = true;
    }

    /// Whether nobody knows where the next message begins.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// The next byte begins a message.
    pub(super) const fn find(&mut self) {
        *self = Self::new(self.direction);
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left > 0 {
                let (body, after) = rest.split_at(rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX)));
                take(Piece::Body(body));
                self.moved(body.len() as u64, take);
                rest = after;
            } else if self.lost {
                rest = self.search(rest, take);
            } else if self.have == 0
                && let Some((head, after)) = rest.split_first_chunk()
            {
                self.head_seen(*head, take);
                rest = after;
            } else {
                let (part, after) = rest.split_at(rest.len().min(HEAD - self.have));
                self.head[self.have..self.have + part.len()].copy_from_slice(part);
                self.have += part.len();
                if self.have == HEAD {
                    self.have = 0;
                    self.head_seen(self.head, take);
                }
                rest = after;
            }
            self.fresh = false;
        }
    }

    /// Bytes are missing here.
    pub(super) fn gap(&mut self, count: u64, take: &mut impl FnMut(Piece<'_>)) {
        let of_message = count.min(self.left);
        if of_message > 0 {
            take(Piece::Skipped(of_message));
            self.moved(of_message, take);
        }
        if count > of_message {
            self.lose(count - of_message, take);
        }
        self.fresh = false;
    }

    fn moved(&mut self, count: u64, take: &mut impl FnMut(Piece<'_>)) {
        self.left -= count;
        if self.left == 0 {
            take(Piece::End(self.length));
        }
    }

    fn head_seen(&mut self, head: [u8; HEAD], take: &mut impl FnMut(Piece<'_>)) {
        let Some((kind, length)) = read(self.direction, head) else {
            take(Piece::NoHead);
            self.lose(HEAD as u64, take);
            return;
        };
        take(Piece::Head(kind));
        self.length = 1 + u64::from(length);
        self.left = u64::from(length);
        // The length counts itself.
        self.moved(4, take);
    }

    fn lose(&mut self, count: u64, take: &mut impl FnMut(Piece<'_>)) {
        let before = std::mem::take(&mut self.have) as u64;
        self.lost = true;
        take(Piece::Unknown(before.saturating_add(count)));
    }

    /// Looks for the next message.
    fn search<'a>(&mut self, bytes: &'a [u8], take: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        // What a client writes at once begins with a message, as a rule.
        let is_start = self.fresh && self.direction == Direction::Request;
        let begins = |at: usize| match chain(self.direction, &bytes[at..]) {
            Chain::None => false,
            Chain::Open { heads } => heads > 1 || (is_start && at == 0),
            Chain::Whole => true,
        };
        let found = (0..bytes.len()).find(|&at| begins(at));
        self.lost = found.is_none();
        let (unknown, rest) = bytes.split_at(found.unwrap_or(bytes.len()));
        if !unknown.is_empty() {
            take(Piece::Unknown(unknown.len() as u64));
        }
        rest
    }
}

/// Messages that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    /// Here is none.
    None,
    /// So many heads were seen; what follows is not.
    Open { heads: usize },
    /// The last one ends where the bytes end, or there is no end to them.
    Whole,
}

fn chain(direction: Direction, bytes: &[u8]) -> Chain {
    let mut rest = bytes;
    for heads in 0..CHAIN {
        let Some((head, body)) = rest.split_first_chunk() else {
            return if heads == 0 { Chain::None } else { Chain::Open { heads } };
        };
        let Some((_, length)) = read(direction, *head) else { return Chain::None };
        match body.get(length as usize - 4..) {
            None => return Chain::Open { heads: heads + 1 },
            Some([]) => return Chain::Whole,
            Some(next) => rest = next,
        }
    }
    Chain::Whole
}

/// Reads a head. `None` = it is none.
fn read(direction: Direction, [kind, length @ ..]: [u8; HEAD]) -> Option<(u8, u32)> {
    let length = u32::from_be_bytes(length);
    let (least, most) = match direction {
        Direction::Request => client_lengths(kind)?,
        Direction::Response => server_lengths(kind)?,
    };
    (least..=most).contains(&length).then_some((kind, length))
}

/// Least and greatest length of a client's message of this kind.
const fn client_lengths(kind: u8) -> Option<(u32, u32)> {
    Some(match kind {
        b'H' | b'S' | b'X' | b'c' => (4, 4),
        b'Q' | b'd' | b'f' | b'p' => (4, LENGTH_MAX),
        b'C' | b'D' => (6, LENGTH_MAX),
        b'P' => (8, LENGTH_MAX),
        b'E' => (9, LENGTH_MAX),
        b'B' | b'F' => (12, LENGTH_MAX),
        _ => return None,
    })
}

/// The same of a server's.
const fn server_lengths(kind: u8) -> Option<(u32, u32)> {
    Some(match kind {
        b'1' | b'2' | b'3' | b'I' | b'c' | b'n' | b's' => (4, 4),
        b'Z' => (5, 5),
        b'd' => (4, LENGTH_MAX),
        b'C' | b'E' | b'N' => (5, LENGTH_MAX),
        b'D' | b'S' | b'T' | b't' => (6, LENGTH_MAX),
        b'G' | b'H' | b'W' => (7, LENGTH_MAX),
        b'R' | b'V' => (8, LENGTH_MAX),
        b'A' => (10, LENGTH_MAX),
        b'K' | b'v' => (12, LENGTH_MAX),
        _ => return None,
    })
}
