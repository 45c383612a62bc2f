//! One connection of a process.

use super::exchange::Exchange;
use super::tls::Opaque;
use super::unread::Unread;
use crate::model::{ConnectionFact, Kind, Name, Nanos, Outcome};
use crate::wire::{http1, postgres};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU64;

/// What was done before the first request could be sent. Its steps are in time order.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    /// The first thing done.
    pub(super) start: Nanos,
    /// Thread that connected.
    pub(super) tid: u32,
    /// Name look-up.
    pub(super) dns: Option<(Nanos, Nanos)>,
    /// Connect, until it was noticed.
    pub(super) connect: Option<(Nanos, Nanos)>,
    /// Stretches in which the peer had done its part and nobody noticed.
    pub(super) late: Vec<(Nanos, Nanos)>,
    /// `CONNECT` exchange with a forward proxy.
    pub(super) proxy: Option<(Nanos, Nanos)>,
    /// TLS handshake.
    pub(super) tls: Option<(Nanos, Nanos)>,
    /// A database let the client in.
    pub(super) login: Option<(Nanos, Nanos)>,
}

impl Setup {
    /// When its last step ended.
    pub(super) fn end(&self) -> Nanos {
        let ends = [self.dns, self.connect, self.proxy, self.tls, self.login];
        ends.into_iter().flatten().map(|(_, end)| end).max().unwrap_or(self.start)
    }

    /// What connecting, handshaking and being let in took.
    fn cost(&self) -> Nanos {
        [self.connect, self.tls, self.login].into_iter().flatten().map(|(start, end)| end.saturating_sub(start)).sum()
    }
}

/// Where a TLS handshake stands.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    pub(super) start: Nanos,
    /// When it ended, and whether well.
    pub(super) end: Option<(Nanos, bool)>,
}

/// One layer of a connection: the bytes as they are on the wire, or the plaintext inside TLS.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) http: http1::Connection,
    pub(super) postgres: postgres::Connection,
    /// Exchanges whose answer has not ended, oldest first.
    pub(super) exchanges: VecDeque<Exchange>,
    /// The turn under way, where the protocol is not known.
    pub(super) turn: Option<Exchange>,
    /// Bytes seen of each direction: written, read.
    pub(super) position: [Option<u64>; 2],
    /// It spoke HTTP at some time.
    pub(super) was_http: bool,
}

/// The peer or the caller ended it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) at: Nanos,
    /// Error number; 0 = an orderly end.
    pub(super) errno: i32,
}

/// The last exchange of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastCall {
    /// What set the connection up for it included.
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    /// Thread that sent the request.
    pub(super) tid: u32,
}

/// One connection of a process.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Unique in the run.
    pub(super) number: Option<NonZeroU64>,
    /// The process accepted it.
    pub(super) accepted: bool,
    /// Of the Unix domain.
    pub(super) unix: bool,
    /// The process did not open it itself, or its opening was not seen.
    pub(super) borrowed: bool,
    /// It connects without blocking.
    pub(super) nonblocking: bool,
    pub(super) peer: Option<SocketAddr>,
    pub(super) own: Option<SocketAddr>,
    /// A forward proxy leads to this port of `name`.
    pub(super) tunnel: Option<u16>,
    /// Name that was looked up for it.
    pub(super) name: Option<Name>,
    /// Name it asks for in TLS.
    pub(super) sni: Option<Name>,
    /// Number of the look-up that gave the address.
    pub(super) resolve: Option<u64>,
    pub(super) setup: Setup,
    pub(super) connecting: bool,
    pub(super) connected: bool,
    pub(super) handshake: Option<Handshake>,
    /// A ClientHello went by that no session of the process claimed (so far).
    pub(super) opaque: Option<Box<Opaque>>,
    /// The process of a database's server that serves it.
    pub(super) backend: Option<u32>,
    /// It carried ciphertext whose plaintext is had.
    pub(super) has_plaintext: bool,
    pub(super) raw: Layer,
    pub(super) plain: Layer,
    /// Last read below TLS: its end, and when its bytes had arrived.
    pub(super) last_cipher: Option<(Nanos, Nanos)>,
    /// Bytes lie in it that nobody reads.
    pub(super) unread: Option<Unread>,
    pub(super) calls: u64,
    /// The last exchange.
    pub(super) last_call: Option<LastCall>,
    pub(super) peer_closed: Option<Closed>,
    pub(super) close_announced: bool,
    pub(super) dependency: Option<(Kind, Name)>,
    /// A failed hop was made of it.
    pub(super) failed: Option<Outcome>,
}

impl Connection {
    /// What a forked process knows of a connection that its parent opened.
    pub(super) fn inherited(&self) -> Self {
        Self {
            number: self.number,
            accepted: self.accepted,
            unix: self.unix,
            borrowed: true,
            peer: self.peer,
            own: self.own,
            name: self.name.clone(),
            sni: self.sni.clone(),
            connected: true,
            has_plaintext: self.has_plaintext,
            calls: self.calls.max(1),
            dependency: self.dependency.clone(),
            ..Self::default()
        }
    }

    /// Name that TLS was asked for.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.sni.as_deref()
    }

    /// Whether TLS is spoken on it.
    pub(super) const fn is_tls(&self) -> bool {
        self.handshake.is_some() || self.opaque.is_some() || self.has_plaintext
    }

    /// Whether only record heads are seen of its TLS.
    pub(super) const fn is_opaque(&self) -> bool {
        self.opaque.is_some() && !self.has_plaintext && self.handshake.is_none()
    }

    /// When the handshake under way began.
    pub(super) fn handshake_since(&self) -> Option<Nanos> {
        match (&self.handshake, &self.opaque) {
            (Some(handshake), _) => handshake.end.is_none().then_some(handshake.start),
            (None, Some(opaque)) => opaque.is_shaking().then_some(opaque.start),
            (None, None) => None,
        }
    }

    /// Since when a database has been asked to let the client in.
    pub(super) fn login_since(&self) -> Option<Nanos> {
        let (start, _) = self.setup.login?;
        (!self.layer().postgres.is_ready()).then_some(start)
    }

    /// The layer that carries the protocol.
    pub(super) const fn layer(&self) -> &Layer {
        if self.has_plaintext { &self.plain } else { &self.raw }
    }

    /// As [`Self::layer`].
    pub(super) const fn layer_mut(&mut self) -> &mut Layer {
        if self.has_plaintext { &mut self.plain } else { &mut self.raw }
    }

    /// Whether an exchange or turn is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.raw.exchanges.is_empty()
            || !self.plain.exchanges.is_empty()
            || self.layer().turn.as_ref().is_some_and(|turn| !turn.is_answered())
    }

    /// The fact of its life, at its close or at the end of the run. `None` = the process did not open it.
    pub(super) fn fact(&self, pid: u32, closed: Option<Nanos>) -> Option<ConnectionFact> {
        if self.accepted || self.borrowed {
            return None;
        }
        let (kind, dependency) = self.dependency.clone()?;
        let closed = match (closed, self.peer_closed) {
            (Some(closed), Some(peer)) => Some(closed.min(peer.at)),
            (closed, peer) => closed.or(peer.map(|peer| peer.at)),
        };
        Some(ConnectionFact {
            pid,
            kind,
            dependency,
            peer: self.peer,
            opened: self.setup.connect.map_or(self.setup.start, |(start, _)| start),
            closed,
            closed_by_caller: closed.is_some() && self.peer_closed.is_none(),
            calls: self.calls,
            setup: self.setup.cost(),
            failed: self.failed,
            close_announced: self.close_announced,
        })
    }
}
