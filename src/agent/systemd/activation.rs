//! Socket activation: descriptors that are listened on already.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What a socket is for, by its `FileDescriptorName=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Gateway,
    Admin,
}

/// Why sockets cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The variables do not say what they should, or a descriptor is none.
    #[error("the sockets in LISTEN_FDS cannot be taken over")]
    Unusable(#[source] io::Error),
    /// One has another name.
    #[error("a socket in LISTEN_FDS is named `{0}`, and not `gateway` or `admin`")]
    Unknown(String),
    /// One is no TCP socket, or is not listened on.
    #[error("the socket `{0}` in LISTEN_FDS is no TCP socket that listens")]
    NotListening(String),
}

impl ActivationError {
    /// What to do about it.
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "start it by a socket unit, or without LISTEN_FDS",
            Self::Unknown(_) => "write `FileDescriptorName=gateway` into the socket unit",
            Self::NotListening(_) => "write `ListenStream=ADDRESS:PORT` and `Accept=no` into the socket unit",
        }
    }
}

/// The sockets that were handed to this process, closed on exec and non-blocking.
///
/// # Safety
/// Nobody may have the descriptors that `LISTEN_FDS` names.
pub(super) unsafe fn sockets() -> Result<Vec<(Named, TcpListener)>, ActivationError> {
    // Of what is meant for another process it takes none, and then finds the names too many.
    if sd_notify::listen_fds().map_err(ActivationError::Unusable)?.len() == 0 {
        return Ok(Vec::new());
    }
    let handed = sd_notify::listen_fds_with_names().map_err(ActivationError::Unusable)?;
    let handed = handed.map(|(descriptor, name)| {
        // SAFETY: it is open, since its flags were just set, and the caller promises that it is nobody's.
        (unsafe { OwnedFd::from_raw_fd(descriptor) }, name)
    });
    // All are owned first, so that all are closed where one is of no use.
    let handed: Vec<_> = handed.collect();
    handed.into_iter().map(|(descriptor, name)| socket(descriptor, name)).collect()
}

fn socket(descriptor: OwnedFd, name: String) -> Result<(Named, TcpListener), ActivationError> {
    let named = match name.as_str() {
        "gateway" => Named::Gateway,
        "admin" => Named::Admin,
        _ => return Err(ActivationError::Unknown(crate::model::redact::name(&name))),
    };
    let listens = listens(&descriptor);
    let listener = TcpListener::from(descriptor);
    // Addresses of other families are no addresses to it.
    if !listens || listener.local_addr().is_err() {
        return Err(ActivationError::NotListening(name));
    }
    listener.set_nonblocking(true).map_err(ActivationError::Unusable)?;
    Ok((named, listener))
}

fn listens(descriptor: &OwnedFd) -> bool {
    let mut answer: libc::c_int = 0;
    let mut length = size_of_val(&answer) as libc::socklen_t;
    // SAFETY: `answer` has room for the answer, and `length` says how much.
    let done = unsafe {
        libc::getsockopt(descriptor.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN, (&raw mut answer).cast(), &raw mut length)
    };
    done == 0 && answer == 1
}
