//! Connections of other processes, as the kernel tells anyone who asks (`sock_diag(7)`): what waits in them to be read, and whose they are.

use crate::model::Nanos;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_INFO` as a bit of the extensions that are asked for, and as the type of an attribute.
const INFO: (u8, u16) = (1 << 1, 2);
/// Size of `struct nlmsghdr`.
const HEAD: usize = 16;
/// Size of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// Size of `struct inet_diag_msg`.
const MESSAGE: usize = 72;
/// `TCP_CLOSE_WAIT`: the peer's end counts as a byte of the queue.
const CLOSE_WAIT: u8 = 8;
/// `TCP_LISTEN`: asked for a connection that is gone, the kernel tells of the listener that it came to.
const LISTEN: u8 = 10;
/// Where `tcpi_last_data_recv` is in `struct tcp_info`.
const LAST_DATA: usize = 52;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Bytes that came and were not read.
    pub(crate) bytes: u32,
    /// Time since data last came.
    pub(crate) age: Nanos,
    /// Its inode, by which its process has it open; 0 = no process has.
    pub(crate) inode: u32,
    /// The peer has ended its side.
    pub(crate) ended: bool,
}

/// A way to ask.
#[derive(Debug)]
pub(crate) struct Queues(OwnedFd);

impl Queues {
    /// Opens a way to ask; fails where the kernel or a sandbox has none.
    pub(crate) fn open() -> io::Result<Self> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: makes a descriptor, which is ours alone.
        unsafe {
            let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(OwnedFd::from_raw_fd(fd))) }
        }
    }

    /// The queue of the connection from `own` to `peer`; `None` = there is no such connection in this network namespace.
    pub(crate) fn of(&self, own: SocketAddr, peer: SocketAddr) -> Option<Queue> {
        let asked = request(own, peer)?;
        let mut answer = [0u8; 1024];
        // SAFETY: both buffers are as long as told. The kernel answers before `send` returns.
        let length = unsafe {
            let sent = libc::send(self.0.as_raw_fd(), asked.as_ptr().cast(), asked.len(), 0);
            if sent < 0 {
                return None;
            }
            libc::recv(self.0.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
        };
        read(answer.get(..usize::try_from(length).ok()?)?)
    }
}

/// The question for one connection.
fn request(own: SocketAddr, peer: SocketAddr) -> Option<[u8; HEAD + REQUEST]> {
    let mut bytes = [0u8; HEAD + REQUEST];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    put(0, &u32::try_from(HEAD + REQUEST).ok()?.to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &u16::try_from(libc::NLM_F_REQUEST).ok()?.to_ne_bytes());
    let family = if own.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    put(HEAD, &[u8::try_from(family).ok()?, u8::try_from(libc::IPPROTO_TCP).ok()?, INFO.0, 0]);
    put(HEAD + 4, &u32::MAX.to_ne_bytes());
    put(HEAD + 8, &own.port().to_be_bytes());
    put(HEAD + 10, &peer.port().to_be_bytes());
    for (at, place) in [(HEAD + 12, own), (HEAD + 28, peer)] {
        match place.ip() {
            IpAddr::V4(address) => put(at, &address.octets()),
            IpAddr::V6(address) => put(at, &address.octets()),
        }
    }
    // No cookie: the addresses say which.
    put(HEAD + 48, &[0xff; 8]);
    Some(bytes)
}

/// Reads the answer.
fn read(bytes: &[u8]) -> Option<Queue> {
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if half(4)? != BY_FAMILY {
        return None;
    }
    let end = (word(0)? as usize).min(bytes.len());
    let state = *bytes.get(HEAD + 1)?;
    if state == LISTEN {
        return None;
    }
    let ended = state == CLOSE_WAIT;
    let waiting = word(HEAD + 56)?.saturating_sub(ended.into());
    let inode = word(HEAD + 68)?;
    let mut at = HEAD + MESSAGE;
    while at + 4 <= end {
        let (length, kind) = (usize::from(half(at)?), half(at + 2)?);
        if kind == INFO.1 && length >= 4 + LAST_DATA + 4 {
            let age = Nanos::from(word(at + 4 + LAST_DATA)?) * 1_000_000;
            return Some(Queue { bytes: waiting, age, inode, ended });
        }
        at += length.max(4).next_multiple_of(4);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn what_waits_in_a_connection_is_told_until_it_is_read() {
        let Ok(queues) = Queues::open() else {
            println!("skipped: no sock_diag here");
            return;
        };
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                println!("skipped: no {host}");
                continue;
            };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let (own, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            assert_eq!(queues.of(own, peer).unwrap().bytes, 0);
            server.write_all(b"hello").unwrap();
            std::thread::sleep(Duration::from_millis(300));
            let queue = queues.of(own, peer).unwrap();
            assert!(queue.bytes == 5 && queue.age >= 200_000_000, "{queue:?}");
            client.read_exact(&mut [0; 5]).unwrap();
            drop(server);
            // The peer's end is no byte.
            let queue = queues.of(own, peer).unwrap();
            assert!(queue.bytes == 0 && queue.ended, "{queue:?}");
            drop(client);
            assert_eq!(queues.of(own, SocketAddr::new(peer.ip(), 1)), None);
            assert_eq!(queues.of(peer, own), None, "not the listener");
            drop(listener);
        }
    }

    #[test]
    fn broken_answers_tell_nothing() {
        for length in 0..200 {
            assert_eq!(read(&vec![0; length]), None);
            let mut bytes = vec![0xff; length];
            if let Some(place) = bytes.get_mut(4..6) {
                place.copy_from_slice(&BY_FAMILY.to_ne_bytes());
            }
            let _anything = read(&bytes);
        }
    }
}
