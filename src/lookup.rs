//! The system's resolver, with its reason for a failure, which the standard library drops. Every floor may use it.

use crate::model::error_type;
use std::error::Error;
use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// Why `getaddrinfo` gave no address. The standard library drops this code; the resolver of the `reqwest` door keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError {
    code: i32,
    reason: Reason,
    text: Box<str>,
}

/// What a resolver's code means, whatever number the system gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// There is no such name, or it has no address.
    NotFound,
    /// The servers did not answer, or not usefully.
    Temporary,
    /// Anything else.
    Other,
}

impl LookupError {
    /// The error of a code of `getaddrinfo`.
    pub(crate) fn of_code(code: i32) -> Self {
        // SAFETY: gives a static text for any code.
        let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) }.to_string_lossy();
        Self { code, reason: Reason::of(code), text: text.into() }
    }

    /// The `EAI_` code as the system numbers it.
    #[must_use]
    pub const fn code(&self) -> i32 {
        self.code
    }

    /// Whether there is no such name, or it has no address.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self.reason, Reason::NotFound)
    }

    /// Whether another try may help: the name servers did not answer, or failed.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self.reason, Reason::Temporary)
    }

    /// The reason as the system words it: `Name or service not known`.
    #[must_use]
    pub const fn reason(&self) -> &str {
        &self.text
    }

    /// The code for `error.type`.
    pub(crate) const fn error_type(&self) -> &'static str {
        match self.reason {
            Reason::NotFound => error_type::NAME_NOT_FOUND,
            Reason::Temporary => error_type::NAME_SERVER_FAILURE,
            Reason::Other => error_type::NAME_RESOLUTION,
        }
    }
}

impl fmt::Display for LookupError {
    /// As the standard library words it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to lookup address information: {}", self.text)
    }
}

impl Error for LookupError {}

impl Reason {
    const fn of(code: i32) -> Self {
        // glibc's and the BSDs' code for a name without an address; musl has none.
        #[cfg(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple", target_os = "android"))]
        if code == NO_DATA {
            return Self::NotFound;
        }
        match code {
            libc::EAI_NONAME => Self::NotFound,
            libc::EAI_AGAIN => Self::Temporary,
            _ => Self::Other,
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
const NO_DATA: i32 = -5;
#[cfg(any(target_vendor = "apple", target_os = "android"))]
const NO_DATA: i32 = 7;

/// The addresses of a name, in the system's order, port 0. Blocks.
///
/// `family` is `AF_UNSPEC` for all, or the one that is asked for.
///
/// # Errors
/// With a [`LookupError`] inside where the resolver says why, else the system's own error.
pub(crate) fn addresses(host: &str, family: libc::c_int) -> io::Result<Vec<SocketAddr>> {
    let host = CString::new(host)?;
    // SAFETY: all zero is a valid `addrinfo`: no flags, any family and protocol, null pointers.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family;
    // One answer per address, not one per kind of socket; as the standard library asks.
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut found = ptr::null_mut();
    // SAFETY: host is terminated, hints is whole, and `found` takes the list on success.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut found) };
    match code {
        0 => {}
        // The system's own error is behind it, as the standard library has it.
        libc::EAI_SYSTEM => return Err(io::Error::last_os_error()),
        code => return Err(io::Error::other(LookupError::of_code(code))),
    }
    let list = List(found);
    let mut addresses = Vec::new();
    let mut next = list.0;
    // SAFETY: `next` is null or an entry of the list, which lives as long as `list`.
    while let Some(entry) = unsafe { next.as_ref() } {
        addresses.extend(address(entry));
        next = entry.ai_next;
    }
    Ok(addresses)
}

struct List(*mut libc::addrinfo);

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the list came from `getaddrinfo` and is freed once.
        unsafe { libc::freeaddrinfo(self.0) };
    }
}

fn address(entry: &libc::addrinfo) -> Option<SocketAddr> {
    let length = entry.ai_addrlen as usize;
    match entry.ai_family {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family says what lies there and the length that all of it does; read without assuming alignment.
            let address = unsafe { ptr::read_unaligned(entry.ai_addr.cast::<libc::sockaddr_in>()) };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let address = unsafe { ptr::read_unaligned(entry.ai_addr.cast::<libc::sockaddr_in6>()) };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::ToSocketAddrs;

    #[test]
    fn it_finds_what_the_standard_library_finds() {
        let own = addresses("localhost", libc::AF_UNSPEC).unwrap();
        let std: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
        assert_eq!(own, std);
    }

    #[test]
    fn one_family_alone_can_be_asked_for() {
        let own = addresses("localhost", libc::AF_INET).unwrap();
        assert!(!own.is_empty() && own.iter().all(SocketAddr::is_ipv4), "{own:?}");
    }

    #[test]
    fn a_failure_reads_as_the_standard_librarys_and_keeps_its_reason() {
        // `.invalid` is never delegated (RFC 6761); without a network it is the name server that fails.
        let own = addresses("hopwatch.invalid", libc::AF_UNSPEC).unwrap_err();
        let std = ("hopwatch.invalid", 0).to_socket_addrs().unwrap_err();
        assert_eq!(own.to_string(), std.to_string());
        let lookup = own.get_ref().and_then(|error| error.downcast_ref::<LookupError>()).unwrap();
        assert!(lookup.is_not_found() || lookup.is_temporary(), "{lookup:?}");
    }

    #[test]
    fn a_name_with_a_zero_byte_is_refused() {
        assert_eq!(addresses("a\0b", libc::AF_UNSPEC).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
