//! The two hellos, which go in the clear (RFC 8446, section 4.1).

use std::sync::Arc;

use super::{ClientHello, ServerHello, Version};
use crate::model::redact;

/// First byte of a client's hello.
pub(super) const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Bytes of a handshake message's head: type, length.
const HEAD: usize = 4;
/// Longest hello that is read, in bytes.
const HELLO_MAX: usize = 16 * 1024;
/// Most protocols that are kept of an offer.
const PROTOCOLS_MAX: usize = 8;

/// Extensions.
const SERVER_NAME: usize = 0;
const PROTOCOLS: usize = 16;
const PRE_SHARED_KEY: usize = 41;
const SUPPORTED_VERSIONS: usize = 43;

/// What stands in place of the random bytes when the server asks for another hello (RFC 8446, 4.1.3).
pub(super) const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a,
    0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Collects a hello, which may come in several records.
#[derive(Debug, Default)]
pub(super) struct Collector {
    bytes: Vec<u8>,
    done: bool,
}

/// A hello as far as it was seen.
#[derive(Debug)]
pub(super) struct Seen {
    bytes: Vec<u8>,
    cut: bool,
}

impl Collector {
    /// Whether anything of it is known.
    pub(super) const fn has_begun(&self) -> bool {
        self.done || !self.bytes.is_empty()
    }

    /// Whether nothing more of it is looked for.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// Takes bytes up to its end; how many, and whether it is complete with them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        loop {
            let needs = self.needs().unwrap_or(HEAD).min(HELLO_MAX);
            let part = &bytes[taken..(taken + needs - self.bytes.len()).min(bytes.len())];
            self.bytes.extend_from_slice(part);
            taken += part.len();
            let is_complete = self.needs().is_some_and(|needs| self.bytes.len() >= needs.min(HELLO_MAX));
            if is_complete || taken == bytes.len() {
                return (taken, is_complete);
            }
        }
    }

    /// Nothing more of it comes; whether there is something of it.
    pub(super) const fn cut(&mut self) -> bool {
        if self.done {
            return false;
        }
        self.done = true;
        !self.bytes.is_empty()
    }

    /// Takes out what was collected.
    pub(super) fn take(&mut self) -> Seen {
        self.done = true;
        let cut = self.needs().is_none_or(|length| self.bytes.len() < length);
        Seen { bytes: std::mem::take(&mut self.bytes), cut }
    }

    /// How long it is, its head included.
    fn needs(&self) -> Option<usize> {
        let [_, length @ ..] = self.bytes.first_chunk::<HEAD>()?;
        Some(HEAD + length.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    #[cfg(any(test, fuzzing))]
    pub(super) const fn retained_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Reads a client's hello.
pub(super) fn client(seen: &Seen) -> ClientHello {
    let mut hello = ClientHello { cut: seen.cut, ..ClientHello::default() };
    let Some(extensions) = client_extensions(&seen.bytes) else { return hello };
    for (kind, body) in extensions {
        match kind {
            SERVER_NAME => hello.server_name = server_name(body),
            PROTOCOLS => hello.protocols = protocols(body),
            _ => {}
        }
    }
    hello
}

fn client_extensions(bytes: &[u8]) -> Option<impl Iterator<Item = (usize, &[u8])>> {
    // Version, random bytes; session, cipher suites, compressions.
    let mut at = Reader(bytes.get(HEAD + 2 + 32..)?);
    at.vector(1)?;
    at.vector(2)?;
    at.vector(1)?;
    at.extensions()
}

/// What a server's hello is to the handshake.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) hello: ServerHello,
    /// It asks for another hello of the client.
    pub(super) is_retry: bool,
    pub(super) suite: Suite,
    /// In TLS 1.3: whether a session was taken up; `None` = not seen.
    pub(super) resumed: Option<bool>,
}

/// Reads a server's hello; `None` = it is another message.
pub(super) fn server(seen: &Seen) -> Option<Read> {
    if seen.bytes.first() != Some(&SERVER_HELLO) {
        return None;
    }
    let mut read = Read {
        hello: ServerHello { cut: seen.cut, ..ServerHello::default() },
        is_retry: false,
        suite: Suite::default(),
        resumed: None,
    };
    let mut at = Reader(seen.bytes.get(HEAD..).unwrap_or_default());
    if server_fields(&mut at, &mut read).is_some() {
        server_extensions(at, &mut read, seen.cut);
    }
    Some(read)
}

fn server_fields(at: &mut Reader<'_>, read: &mut Read) -> Option<()> {
    let legacy = u16::try_from(at.number(2)?).ok()?;
    read.is_retry = at.take(RETRY.len())? == RETRY;
    at.vector(1)?;
    read.suite = Suite::of(at.number(2)?);
    // Only TLS 1.3 has these suites, and these retries.
    let is_tls13 = read.suite != Suite::default() || read.is_retry;
    read.hello.version = Some(if is_tls13 { Version::TLS13 } else { Version(legacy) });
    at.take(1)?;
    Some(())
}

fn server_extensions(at: Reader<'_>, read: &mut Read, cut: bool) {
    let mut resumes = false;
    for (kind, body) in at.extensions().into_iter().flatten() {
        match (kind, body) {
            (SUPPORTED_VERSIONS, &[high, low]) => read.hello.version = Some(Version(u16::from_be_bytes([high, low]))),
            (PRE_SHARED_KEY, _) => resumes = true,
            (PROTOCOLS, body) => read.hello.protocol = protocols(body).pop(),
            _ => {}
        }
    }
    read.resumed = Some(resumes).filter(|&resumes| (resumes || !cut) && read.hello.version == Some(Version::TLS13));
}

fn server_name(body: &[u8]) -> Option<Arc<str>> {
    let mut names = Reader(body);
    names.take(2)?;
    if names.number(1)? != 0 {
        return None;
    }
    let name = std::str::from_utf8(names.vector(2)?).ok()?;
    let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    valid.then(|| redact::name(&name.to_ascii_lowercase()).into())
}

fn protocols(body: &[u8]) -> Vec<Arc<str>> {
    let mut names = Reader(body);
    names.take(2);
    let each = std::iter::from_fn(|| names.vector(1));
    each.take(PROTOCOLS_MAX).map(|name| redact::name(&String::from_utf8_lossy(name)).into()).collect()
}

/// What a cipher suite of TLS 1.3 adds to what it encrypts. The default is that of a suite that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Suite {
    hash: Option<u16>,
    short_tag: bool,
}

impl Suite {
    const fn of(number: usize) -> Self {
        match number {
            0x1301 | 0x1303 | 0x1304 => Self { hash: Some(32), short_tag: false },
            0x1302 => Self { hash: Some(48), short_tag: false },
            0x1305 => Self { hash: Some(32), short_tag: true },
            _ => Self { hash: None, short_tag: false },
        }
    }

    /// Length of a record that carries so many bytes: one byte more for its true type, and the tag.
    const fn record(self, bytes: u16) -> u16 {
        bytes + 1 + if self.short_tag { 8 } else { 16 }
    }

    /// Length of a record that is an alert.
    pub(super) const fn alert(self) -> u16 {
        self.record(2)
    }

    /// Length of a record that is a `Finished`; `None` = not known.
    pub(super) fn finished(self) -> Option<u16> {
        self.hash.map(|hash| self.record(HEAD as u16 + hash))
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

    /// The extensions that follow, as far as they were seen.
    fn extensions(mut self) -> Option<impl Iterator<Item = (usize, &'a [u8])>> {
        let length = self.number(2)?;
        let mut block = Reader(self.0.get(..length).unwrap_or(self.0));
        Some(std::iter::from_fn(move || Some((block.number(2)?, block.vector(2)?))))
    }
}
