//! Records: where each begins, and what it carries (RFC 8446, section 5.1).

use memchr::memchr_iter;

/// Bytes of a record's head: type, version, length.
const HEAD: usize = 5;
/// Most bytes that a record carries (RFC 5246, 6.2.3).
const LENGTH_MAX: u16 = (1 << 14) + 2048;
/// So many heads in a row are no accident.
const CHAIN: usize = 8;

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ChangeCipherSpec = 20,
    Alert = 21,
    Handshake = 22,
    Application = 23,
    Heartbeat = 24,
}

/// What a direction consists of, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A record begins, and carries so many bytes.
    Head { kind: Kind, length: u16 },
    /// Bytes that the record under way carries; never empty.
    Body(&'a [u8]),
    /// The same, not kept.
    Skipped(u64),
    /// What should be a record's head is none.
    NoHead,
    /// So many bytes of which nobody can tell the records.
    Unknown(u64),
}

/// One direction, cut into records.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// A head of which not all bytes came yet, and how many did.
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the record under way that are still to come.
    left: u64,
    /// A head was missed: where the next one begins is not known.
    lost: bool,
    /// The next byte is the first one of a call.
    fresh: bool,
}

impl Records {
    /// A call begins.
    pub(super) const fn begin(&mut self) {
        self.fresh = true;
    }

    /// Takes the next bytes.
    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left > 0 {
                let (body, after) = rest.split_at(rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX)));
                self.left -= body.len() as u64;
                take(Piece::Body(body));
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
        let of_record = count.min(self.left);
        if of_record > 0 {
            self.left -= of_record;
            take(Piece::Skipped(of_record));
        }
        let beyond = count - of_record;
        if beyond > 0 {
            self.lose(beyond, take);
        }
        self.fresh = false;
    }

    fn head_seen(&mut self, head: [u8; HEAD], take: &mut impl FnMut(Piece<'_>)) {
        match read(head) {
            Some((kind, length)) => {
                self.left = u64::from(length);
                take(Piece::Head { kind, length });
            }
            None => {
                take(Piece::NoHead);
                self.lose(HEAD as u64, take);
            }
        }
    }

    fn lose(&mut self, count: u64, take: &mut impl FnMut(Piece<'_>)) {
        let before = std::mem::take(&mut self.have) as u64;
        self.lost = true;
        take(Piece::Unknown(before.saturating_add(count)));
    }

    /// Looks for the next head. What is written at once begins with one, as a rule.
    fn search<'a>(&mut self, bytes: &'a [u8], take: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        let found = if self.fresh && chains(bytes) {
            Some(0)
        } else {
            memchr_iter(Kind::Application as u8, bytes).find(|&at| chains(&bytes[at..]))
        };
        self.lost = found.is_none();
        let (unknown, rest) = bytes.split_at(found.unwrap_or(bytes.len()));
        if !unknown.is_empty() {
            take(Piece::Unknown(unknown.len() as u64));
        }
        rest
    }
}

/// Reads a head. `None` = it is none.
fn read([kind, major, minor, high, low]: [u8; HEAD]) -> Option<(Kind, u16)> {
    let kind = match kind {
        20 => Kind::ChangeCipherSpec,
        21 => Kind::Alert,
        22 => Kind::Handshake,
        23 => Kind::Application,
        24 => Kind::Heartbeat,
        _ => return None,
    };
    let length = u16::from_be_bytes([high, low]);
    (major == 3 && minor <= 4 && length <= LENGTH_MAX).then_some((kind, length))
}

/// Whether a record begins here, and one where it ends, and so on as far as the bytes reach, or far enough.
fn chains(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for _ in 0..CHAIN {
        let Some((head, body)) = rest.split_first_chunk() else { return rest.len() < bytes.len() };
        let Some((_, length)) = read(*head) else { return false };
        match body.get(usize::from(length)..) {
            Some(next) if !next.is_empty() => rest = next,
            _ => return true,
        }
    }
    true
}
