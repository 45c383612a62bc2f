//! What peers do with their connections, and what is seen of sockets from outside.

use super::peer::Peer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// A peer that reads until a blank line, answers with this, and holds the connection until the client leaves.
pub(super) fn answering(answer: &'static [u8]) -> Peer {
    Peer::new(move |mut stream| {
        head(&mut stream);
        stream.write_all(answer).unwrap();
        until_left(&mut stream);
    })
}

/// The server's side of TLS on a connection.
pub(super) fn inside_tls<S: Read + Write>(config: &Arc<ServerConfig>, stream: S) -> StreamOwned<ServerConnection, S> {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
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
