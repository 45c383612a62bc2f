//! The system's resolver with its reason for a failure, which the standard library drops.

use reqwest::dns::{Name, Resolving};

/// Looks a name up as the standard library does, on a blocking thread.
#[cfg(unix)]
pub(super) fn resolve(name: Name) -> Resolving {
    let host = name.as_str().to_owned();
    let lookup = Blocking(tokio::task::spawn_blocking(move || unix::addresses(&host)));
    Box::pin(async move { Ok(Box::new(lookup.await?.into_iter()) as reqwest::dns::Addrs) })
}

/// Looks a name up by hyper-util's resolver, reqwest's default.
#[cfg(not(unix))]
pub(super) fn resolve(name: Name) -> Resolving {
    use hyper_util::client::legacy::connect::dns::GaiResolver;
    use tower_service::Service;
    let host = name.as_str().to_owned();
    Box::pin(async move {
        let addresses = GaiResolver::new().call(host.parse()?).await?;
        Ok(Box::new(addresses) as reqwest::dns::Addrs)
    })
}

/// Work on a blocking thread that is not begun any more when nobody waits for it.
#[cfg(unix)]
struct Blocking<T>(tokio::task::JoinHandle<T>);

#[cfg(unix)]
impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(unix)]
impl<T> Future for Blocking<std::io::Result<T>> {
    type Output = std::io::Result<T>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|joined| match joined {
            Ok(result) => result,
            // The runtime is going down, or the look-up panicked.
            Err(error) => Err(std::io::Error::new(std::io::ErrorKind::Interrupted, error)),
        })
    }
}

#[cfg(unix)]
mod unix {
    use crate::instrument::failure::{LookupError, Reason};
    use std::ffi::{CStr, CString};
    use std::io;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::ptr;

    /// The addresses of a name, in the system's order. Blocks.
    pub(super) fn addresses(host: &str) -> io::Result<Vec<SocketAddr>> {
        let host = CString::new(host)?;
        // SAFETY: all zero is a valid `addrinfo`: no flags, any family and protocol, null pointers.
        let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
        // One answer per address, not one per kind of socket; as the standard library asks.
        hints.ai_socktype = libc::SOCK_STREAM;
        let mut found = ptr::null_mut();
        // SAFETY: host is terminated, hints is whole, and `found` takes the list on success.
        let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut found) };
        if code != 0 {
            return Err(failed(code));
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

    /// The error of a code: the system's own where that is behind it, as the standard library has it.
    fn failed(code: i32) -> io::Error {
        if code == libc::EAI_SYSTEM {
            return io::Error::last_os_error();
        }
        // SAFETY: gives a static text for any code.
        let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) }.to_string_lossy();
        io::Error::other(LookupError::new(code, reason(code), text.as_ref()))
    }

    fn reason(code: i32) -> Reason {
        // glibc's and the BSDs' code for a name without an address; musl has none.
        #[cfg(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple", target_os = "android"))]
        if code == NO_DATA {
            return Reason::NotFound;
        }
        match code {
            libc::EAI_NONAME => Reason::NotFound,
            libc::EAI_AGAIN => Reason::Temporary,
            _ => Reason::Other,
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    const NO_DATA: i32 = -5;
    #[cfg(any(target_vendor = "apple", target_os = "android"))]
    const NO_DATA: i32 = 7;

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::ToSocketAddrs;

        #[test]
        fn it_finds_what_the_standard_library_finds() {
            let own = addresses("localhost").unwrap();
            let std: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
            assert_eq!(own, std);
        }

        #[test]
        fn a_failure_reads_as_the_standard_librarys_and_keeps_its_reason() {
            // `.invalid` is never delegated (RFC 6761); without a network it is the name server that fails.
            let own = addresses("hopwatch.invalid").unwrap_err();
            let std = ("hopwatch.invalid", 0).to_socket_addrs().unwrap_err();
            assert_eq!(own.to_string(), std.to_string());
            let lookup = own.get_ref().and_then(|error| error.downcast_ref::<LookupError>()).unwrap();
            assert!(lookup.is_not_found() || lookup.is_temporary(), "{lookup:?}");
        }

        #[test]
        fn a_name_with_a_zero_byte_is_refused() {
            assert_eq!(addresses("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
