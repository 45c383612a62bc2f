//! TLS: sessions of OpenSSL, and what can be told of TLS that is linked into the program.

use super::connection::Handshake;
use crate::model::{Name, Nanos, redact};

/// Record types.
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Bytes of a record's head.
const HEAD: usize = 5;

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
    /// When the ClientHello went.
    pub(super) start: Nanos,
    /// When the handshake ended, as far as record heads tell.
    pub(super) ended: Option<Nanos>,
    /// The client changed ciphers.
    changed: bool,
    /// The client sent its encrypted `Finished` as a handshake record: TLS 1.2.
    finished: bool,
    /// When the server was last heard.
    heard: Nanos,
}

impl Opaque {
    /// A ClientHello went by.
    pub(super) const fn new(start: Nanos) -> Self {
        Self { start, ended: None, changed: false, finished: false, heard: start }
    }

    /// The server sent something.
    pub(super) fn heard(&mut self, at: Nanos) {
        if self.ended.is_none() {
            self.heard = at;
        }
    }

    /// The client sent something; whether application data is among it that is no part of the handshake.
    pub(super) fn sent(&mut self, bytes: &[u8], at: Nanos) -> bool {
        if self.ended.is_some() {
            return true;
        }
        for kind in record_types(bytes) {
            match kind {
                CHANGE_CIPHER_SPEC => self.changed = true,
                HANDSHAKE if self.changed => self.finished = true,
                APPLICATION_DATA if self.ended.is_some() => return true,
                APPLICATION_DATA if self.finished => {
                    self.ended = Some(self.heard);
                    return true;
                }
                // TLS 1.3: the first one is the client's `Finished`.
                APPLICATION_DATA => self.ended = Some(at),
                _ => {}
            }
        }
        false
    }

    /// How long a round trip took at most, as the handshake shows.
    pub(super) fn round_trip(&self) -> Nanos {
        self.heard.saturating_sub(self.start)
    }
}

/// Whether these are the first bytes of a ClientHello.
pub(super) fn is_client_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [HANDSHAKE, 3, 0..=4, _, _, 1, ..])
}

/// Types of the records that begin in these bytes, as far as their heads lie within.
fn record_types(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, body) = rest.split_at_checked(HEAD)?;
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        rest = body.get(length..).unwrap_or_default();
        (matches!(head[0], 20..=23) && head[1] == 3).then_some(head[0])
    })
}

/// The server name in a ClientHello.
pub(super) fn server_name(hello: &[u8]) -> Option<Name> {
    // Record and handshake heads, version, random.
    let mut at = Reader(hello.get(HEAD + 4 + 2 + 32..)?);
    at.vector(1)?;
    at.vector(2)?;
    at.vector(1)?;
    at.take(2)?;
    loop {
        let kind = at.number(2)?;
        let body = at.vector(2)?;
        if kind == 0 {
            let mut names = Reader(body);
            names.take(2)?;
            if names.number(1)? != 0 {
                return None;
            }
            let name = std::str::from_utf8(names.vector(2)?).ok()?;
            let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
            return valid.then(|| redact::name(&name.to_ascii_lowercase()).into());
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    fn vector(&mut self, length_bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(length_bytes)?;
        self.take(length)
    }
}
