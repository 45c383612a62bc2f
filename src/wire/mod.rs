//! Sans-I/O protocol readers: bytes with their times in, facts out.
//!
//! A reader is fed [`Chunk`]s in stream order and tells facts ([`http1::Fact`] and its like). It keeps a bounded amount of
//! memory whatever comes, never panics, and copes with bytes that were not copied ([`Chunk::skipped`]): body bytes are only
//! counted then, and a head that is cut is told as far as it was seen. Everything that reads traffic uses these: observer,
//! gateway, tunnels.
//!
//! One folder or file a protocol: [`http1`] (heads, bodies, pairing of requests and answers), [`sse`] (server-sent events),
//! [`tls`] (handshake and exchanges by record heads), [`postgres`] (set-up and queries), [`usage`] (model, stream flag, tokens
//! in JSON), [`encoding`] (compressed bodies), [`headers`] (the header fields that are facts), [`provider`] (what a known host
//! and path mean), [`peer`] (what a peer is called). HTTP/2 follows here, in the same shape.

#[cfg(test)]
mod calls;
pub mod encoding;
pub mod headers;
pub mod http1;
pub mod peer;
pub mod postgres;
pub mod provider;
pub mod sse;
pub mod tls;
pub mod usage;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Response,
}

/// Bytes of one direction of a connection as one call moved them, complete or cut.
///
/// The call moved `head.len() + skipped + tail.len()` bytes; `skipped` of them, between `head` and `tail`, were not kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunk<'a> {
    /// When the bytes left, or when they arrived (nanoseconds on the caller's clock).
    pub at: u64,
    /// The first bytes.
    pub head: &'a [u8],
    /// Bytes that were not kept.
    pub skipped: u64,
    /// The last bytes.
    pub tail: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// A chunk of which everything was kept.
    #[must_use]
    pub const fn whole(at: u64, bytes: &'a [u8]) -> Self {
        Self { at, head: bytes, skipped: 0, tail: &[] }
    }

    /// How many bytes the call moved.
    #[must_use]
    pub const fn len(&self) -> u64 {
        (self.head.len() as u64).saturating_add(self.skipped).saturating_add(self.tail.len() as u64)
    }

    /// Whether the call moved nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
