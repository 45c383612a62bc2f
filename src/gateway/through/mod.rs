//! Connections that are led through: their bytes pass as they are, and are read for facts on the way.
//!
//! [`upgrade`]: a request over HTTP/1.1 made another protocol of its connection. [`tunnel`]: a client asked to be led on by `CONNECT`, or
//! came in by a TCP route ([`tcp`]). [`pump`] copies, in [`buffer`]s that connections have only while something is on its way; what
//! passes in tunnels goes by a [`reader`], which makes exchanges of it ([`turns`], each [`held`] while it is recorded) by what it is:
//! [`tls`], [`http`], [`postgres`], or nothing that is read ([`unread`]).

mod backends;
mod buffer;
mod held;
mod http;
mod postgres;
mod pump;
mod reader;
mod tcp;
mod tls;
mod tunnel;
mod turns;
mod unread;
mod upgrade;

pub(crate) use backends::Backends;
pub(crate) use pump::Socket;
pub(crate) use reader::Reader;
pub(crate) use tcp::{gone, lead};
pub(crate) use tls::{HANDSHAKE, TURNED_DOWN};
pub(crate) use tunnel::Tunnel;
pub(crate) use turns::SETUP_IDLE;
pub(crate) use upgrade::Upgrade;

use super::connect::{Stream, keep_alive};
use super::downstream::DownstreamIo;
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What becomes of a client's connection by HTTP/1.1 once it was answered that it speaks something else from here on.
#[derive(Debug)]
pub(crate) enum Switch {
    /// What both sides agreed on.
    Upgrade(Box<Upgrade>),
    /// What its client asked for.
    Tunnel(Box<Tunnel>),
}

/// Where one request leaves that for the task that has the connection.
#[derive(Debug, Default)]
pub(crate) struct Handover(Mutex<Option<Switch>>);

impl Handover {
    pub(crate) fn put(&self, switch: Switch) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(switch);
    }

    pub(crate) fn take(&self) -> Option<Switch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Switch {
    /// Carries bytes until both sides have ended. `early` was read of the client already.
    ///
    /// # Cancel safety
    /// Dropped midway, both connections are closed and what is under way is recorded as ended by the client.
    pub(crate) async fn carry(self, client: impl Socket, early: Bytes) {
        // Nothing but the system notices that one has vanished. One that has is noticed anyway.
        let _vanished = keep_alive(client.tcp());
        match self {
            Self::Upgrade(upgrade) => upgrade.carry(client, early).await,
            Self::Tunnel(tunnel) => tunnel.carry(client, [early, Bytes::new()]).await,
        }
    }
}

/// A connection of whatever kind.
pub(crate) type AnySocket = Box<dyn Socket + Send>;

impl Socket for AnySocket {
    fn tcp(&self) -> &TcpStream {
        (**self).tcp()
    }

    fn is_gone(&self) -> bool {
        (**self).is_gone()
    }
}

impl Socket for DownstreamIo {
    fn tcp(&self) -> &TcpStream {
        Self::tcp(self)
    }

    fn is_gone(&self) -> bool {
        self.shared().is_abandoned()
    }
}

impl Socket for Stream {
    fn tcp(&self) -> &TcpStream {
        Self::tcp(self)
    }
}

impl<S: Socket> Socket for Box<TlsStream<S>> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0.tcp()
    }

    fn is_gone(&self) -> bool {
        self.get_ref().0.is_gone()
    }
}

/// The upstream is to see what the gateway saw of its client: a reset. Where that cannot be set, it sees a close.
fn reset(upstream: &Stream) {
    let _close = upstream.tcp().set_zero_linger();
}
