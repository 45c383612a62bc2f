//! Blanks secrets in the copies of HTTP heads: credentials, cookies, and query strings.
//!
//! A byte at a time and with a state of two words, so that a head may come in any number of pieces.

use super::ring::Payload;

/// Bytes looked at for the end of a head; beyond, the rest counts as body.
const HEAD_MAX: usize = 65_536;

/// Where in a message the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// In no head.
    #[default]
    Body = 0,
    /// In the first line.
    First = 1,
    /// In the first line's query string.
    Query = 2,
    /// At the start of a line.
    LineStart = 3,
    /// In a header's name.
    Name = 4,
    /// In the name of a header that holds a secret.
    SecretName = 5,
    /// In a harmless value.
    Value = 6,
    /// In a secret value.
    Secret = 7,
}

/// The state of one direction of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    phase: Phase,
    /// The last eight bytes of the name, in lower case.
    name: u64,
}

const fn word(text: &[u8; 8]) -> u64 {
    u64::from_be_bytes(*text)
}

/// Headers whose values are blanked: those with one of these in their name.
const SECRETS: [(u64, u64); 4] = [
    // Ends of `authorization` and `proxy-authorization`.
    (word(b"rization"), u64::MAX),
    // `api-key`, `x-api-key`, `x-goog-api-key`.
    (word(b"\0api-key"), u64::MAX >> 8),
    (word(b"\0\0apikey"), u64::MAX >> 16),
    // `cookie`, `set-cookie`.
    (word(b"\0\0cookie"), u64::MAX >> 16),
];

impl Scan {
    /// The state as one word, for a table.
    pub(crate) fn pack(self) -> (u32, u64) {
        (self.phase as u32, self.name)
    }

    /// The state of a table's words.
    pub(crate) fn unpack(phase: u32, name: u64) -> Self {
        let phase = match phase {
            1 => Phase::First,
            2 => Phase::Query,
            3 => Phase::LineStart,
            4 => Phase::Name,
            5 => Phase::SecretName,
            6 => Phase::Value,
            7 => Phase::Secret,
            _ => Phase::Body,
        };
        Self { phase, name }
    }

    /// Takes the next bytes of the direction, and calls `blank` with the position of each one that must not be kept.
    ///
    /// # Safety
    /// The pieces must be readable for `payload.total` bytes in all.
    pub(crate) unsafe fn run(&mut self, payload: Payload, mut blank: impl FnMut(usize)) {
        let mut position = 0;
        for index in 0..payload.count {
            // SAFETY: within the pieces.
            let piece = unsafe { *payload.pieces.add(index) };
            let len = piece.len.min(payload.total - position);
            if position == 0 && self.phase == Phase::Body && len > 0 {
                // SAFETY: within the piece.
                if !unsafe { starts_head(piece.base, len) } {
                    return;
                }
                self.phase = Phase::First;
            }
            for at in 0..len {
                if position + at >= HEAD_MAX {
                    self.phase = Phase::Body;
                    return;
                }
                // SAFETY: within the piece.
                if self.step(unsafe { *piece.base.add(at) }) {
                    blank(position + at);
                }
                if self.phase == Phase::Body {
                    return;
                }
            }
            position += len;
            if position >= payload.total {
                return;
            }
        }
    }

    /// Whether the byte is part of a secret.
    fn step(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            // An empty line ends the head.
            self.phase = if self.phase == Phase::LineStart { Phase::Body } else { Phase::LineStart };
            return false;
        }
        match self.phase {
            Phase::Body | Phase::Value => false,
            Phase::First => {
                if byte == b'?' {
                    self.phase = Phase::Query;
                }
                false
            }
            Phase::Query => {
                if byte == b' ' {
                    self.phase = Phase::Value;
                }
                byte != b' ' && byte != b'\r'
            }
            Phase::LineStart => {
                match byte {
                    b'\r' => {}
                    // A folded line goes on with the value before; nobody needs it.
                    b' ' | b'\t' => self.phase = Phase::Secret,
                    _ => {
                        self.name = u64::from(byte.to_ascii_lowercase());
                        self.phase = Phase::Name;
                    }
                }
                false
            }
            Phase::Name | Phase::SecretName => {
                if byte == b':' {
                    self.phase = if self.phase == Phase::SecretName { Phase::Secret } else { Phase::Value };
                    return false;
                }
                self.name = self.name << 8 | u64::from(byte.to_ascii_lowercase());
                if SECRETS.iter().any(|&(text, mask)| self.name & mask == text) {
                    self.phase = Phase::SecretName;
                }
                false
            }
            Phase::Secret => byte != b' ' && byte != b'\r',
        }
    }
}

/// Whether bytes begin with an HTTP/1 request's method or an answer's version.
unsafe fn starts_head(bytes: *const u8, len: usize) -> bool {
    // SAFETY: within `len`.
    let byte = |at: usize| unsafe { *bytes.add(at) };
    if len >= 5 && (0..5).all(|at| byte(at) == b"HTTP/"[at]) {
        return true;
    }
    let mut at = 0;
    while at < len && at < 10 {
        match byte(at) {
            b'A'..=b'Z' => at += 1,
            b' ' => return at >= 3,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests;
