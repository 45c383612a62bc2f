//! The service manager: the sockets that it hands over, and what it is told of the agent's state.
//!
//! The protocols are those of `sd_notify(3)`, `sd_listen_fds(3)` and `sd_watchdog_enabled(3)`. Under no manager all of this is nothing.

mod activation;
mod notify;
#[cfg(test)]
mod tests;

pub use activation::ActivationError;
pub use notify::{Notifier, NotifierError};

use std::net::TcpListener;

/// What the manager sets for its service, and not for what that starts.
const VARIABLES: [&str; 6] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// What a manager gives to its service.
#[derive(Debug, Default)]
pub struct Handover {
    /// How the manager is told.
    pub notifier: Notifier,
    /// Sockets named `gateway`: listening, non-blocking, closed on exec.
    pub gateway: Vec<TcpListener>,
    /// Sockets named `admin`, likewise.
    pub admin: Vec<TcpListener>,
}

/// Why what a manager gives cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// It cannot be told anything.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
    /// Its sockets are of no use.
    #[error(transparent)]
    Activation(#[from] ActivationError),
}

impl HandoverError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Notifier(_) => "start it by a unit of `Type=notify`, or without NOTIFY_SOCKET",
            Self::Activation(error) => error.hint(),
        }
    }
}

impl Handover {
    /// Takes what the environment says a manager gave to this process, and takes the variables away, so that no child mistakes itself
    /// for the service. What was meant for another process is left alone.
    ///
    /// # Errors
    /// When a variable holds nonsense, or a socket is none that hopwatch can use. The variables are gone all the same.
    ///
    /// # Safety
    /// No other thread may run: the environment is written, and the descriptors that it names must be nobody's yet.
    pub unsafe fn take() -> Result<Self, HandoverError> {
        let notifier = Notifier::of_environment();
        // SAFETY: the caller promises that nobody has these descriptors.
        let sockets = unsafe { activation::sockets() };
        for name in VARIABLES {
            // SAFETY: the caller promises that no other thread reads the environment meanwhile.
            unsafe { std::env::remove_var(name) };
        }
        let mut handover = Self { notifier: notifier?, ..Self::default() };
        for (name, socket) in sockets? {
            match name {
                activation::Named::Gateway => handover.gateway.push(socket),
                activation::Named::Admin => handover.admin.push(socket),
            }
        }
        Ok(handover)
    }
}
