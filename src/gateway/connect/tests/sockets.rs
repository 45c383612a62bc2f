//! Peers that do one thing with their first connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;

/// A peer; dropped, it waits for the end of what it does, and fails the test if that panicked.
pub(super) struct Peer {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Does this with the first connection, on a thread.
    pub(super) fn new(script: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub(super) fn of(listener: TcpListener, script: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || script(listener.accept().unwrap().0));
        Self { address, thread: Some(thread) }
    }

    /// Reads until a blank line, answers with this, and holds the connection until the client leaves.
    pub(super) fn answering(answer: &'static [u8]) -> Self {
        Self::new(move |mut stream| {
            head(&mut stream);
            stream.write_all(answer).unwrap();
            until_left(&mut stream);
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the end of what it does.
    pub(super) fn finished(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Where nobody came, this is the first connection.
            drop(TcpStream::connect(self.address));
            let result = thread.join();
            assert!(result.is_ok() || std::thread::panicking(), "the peer panicked");
        }
    }
}

/// Reads a head, byte by byte; what was read so far where the client leaves.
pub(super) fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Reads what there is at first.
pub(super) fn something(stream: &mut impl Read) {
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
}

pub(super) fn until_left(stream: &mut impl Read) {
    while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
}

/// Closes with a RST.
pub(super) fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is open while `stream` lives, and the option is read from a `linger` of its own size.
    let set = unsafe {
        let size = size_of::<libc::linger>() as libc::socklen_t;
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(set, 0);
}

/// Sockets of this machine that are on their way to this address: asked and not answered.
pub(super) fn on_the_way(address: SocketAddr) -> usize {
    /// `TCP_SYN_SENT` as the table has it.
    const SYN_SENT: &str = "02";
    let table = if address.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let port = format!(":{:04X}", address.port());
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|remote| remote.ends_with(&port)) && fields.next() == Some(SYN_SENT)
    };
    std::fs::read_to_string(table).unwrap().lines().filter(is_one).count()
}

/// A listener on either family's loopback with one port; `None` where this machine has no IPv6, which is said.
pub(super) fn both_families() -> Option<(TcpListener, TcpListener)> {
    if TcpListener::bind("[::1]:0").is_err() {
        drop(writeln!(std::io::stderr(), "skipped: this machine has no IPv6 on its loopback"));
        return None;
    }
    // The port that one family gave may be taken in the other.
    let pair = (0..100).find_map(|_| {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind(("::1", v4.local_addr().unwrap().port())).ok()?;
        Some((v4, v6))
    });
    Some(pair.unwrap())
}
