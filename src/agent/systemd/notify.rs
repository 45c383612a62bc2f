//! What the manager is told: readiness, reloads, the end, and that the agent lives.

use crate::model::redact;
use sd_notify::NotifyState;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells the manager. Nothing of it waits; under no manager it does nothing.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

/// Why the manager cannot be told anything.
#[derive(Debug, thiserror::Error)]
#[error("NOTIFY_SOCKET: `{}` cannot be written to", socket.display())]
pub struct NotifierError {
    socket: OsString,
    source: io::Error,
}

impl Notifier {
    /// The manager that the environment names, if one does.
    pub(super) fn of_environment() -> Result<Self, NotifierError> {
        let watchdog = sd_notify::watchdog_enabled();
        match std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
            Some(name) => Self::to(&name, watchdog),
            None => Ok(Self::default()),
        }
    }

    /// The manager that listens at this path, or abstract name behind `@`.
    pub(super) fn to(name: &OsStr, watchdog: Option<Duration>) -> Result<Self, NotifierError> {
        let open = || {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                _ => SocketAddr::from_pathname(name)?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect_addr(&address)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| NotifierError { socket: name.to_owned(), source })?;
        Ok(Self { socket: Some(socket), watchdog })
    }

    /// The agent serves; after a reload: it serves by its settings as they are on the disk. `status` is for people.
    ///
    /// # Errors
    /// When the manager did not take it.
    pub fn ready(&self, status: &str) -> io::Result<()> {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&redact::printable(status))])
    }

    /// The agent reads its settings again; [`Notifier::ready`] follows, also where they are refused.
    ///
    /// # Errors
    /// When the manager did not take it.
    pub fn reloading(&self) -> io::Result<()> {
        // Managers from 253 on match it by its time with the reload that they asked for.
        self.tell(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
    }

    /// The agent takes nothing new and finishes what is in flight.
    ///
    /// # Errors
    /// When the manager did not take it.
    pub fn stopping(&self, status: &str) -> io::Result<()> {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(&redact::printable(status))])
    }

    /// A line for people: `systemctl status` shows it.
    ///
    /// # Errors
    /// When the manager did not take it.
    pub fn status(&self, status: &str) -> io::Result<()> {
        self.tell(&[NotifyState::Status(&redact::printable(status))])
    }

    /// The agent lives: to be told every [`Notifier::watchdog_period`], by whoever would notice if it did not.
    ///
    /// # Errors
    /// When the manager did not take it.
    pub fn alive(&self) -> io::Result<()> {
        self.tell(&[NotifyState::Watchdog])
    }

    /// How often [`Notifier::alive`] is expected: half of what the manager waits; `None` = never.
    #[must_use]
    pub fn watchdog_period(&self) -> Option<Duration> {
        self.watchdog.filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
    }

    fn tell(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        // Datagrams go whole or not at all.
        socket.send(message.as_bytes()).map(drop)
    }
}
