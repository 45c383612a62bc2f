//! What a client says first.

use crate::gateway::connect::{Origin, Protocols, Stream};
use crate::gateway::through::{AnySocket, HANDSHAKE};
use crate::model::clock::Anchor;
use crate::model::{Name, Nanos};
use crate::wire::tls::{self, ClientHello, Fact, is_client_hello};
use crate::wire::{Chunk, Direction};
use bytes::{Bytes, BytesMut};
use std::future::pending;
use tokio::io::AsyncReadExt;

/// Most bytes that are waited for: a hello is shorter.
const MOST: usize = 32 << 10;
/// First bytes that tell a hello from what is none.
const TELLING: usize = 6;

/// What a client said first.
#[derive(Debug)]
pub(super) struct Said {
    /// As it came.
    pub(super) bytes: Bytes,
    /// The whole hello; `None` = it is none, or nothing was said before the other side spoke or left.
    pub(super) hello: Option<Hello>,
}

/// A client's hello.
#[derive(Debug)]
pub(super) struct Hello {
    /// When its first byte came.
    pub(super) at: Nanos,
    /// The host that it asks for; `None` = the place that it is connected to.
    pub(super) host: Option<Name>,
    /// HTTP that it offers to speak; `None` = it says nothing of that.
    pub(super) protocols: Option<Protocols>,
}

/// Waits for what a client says first, `early` being a part of it. What its upstream says is left unread.
///
/// # Cancel safety
/// Dropped midway, what was read is lost.
pub(super) async fn wait(client: &mut AnySocket, early: Bytes, upstream: &Stream, anchor: Anchor) -> Said {
    let mut bytes = BytesMut::from(&early[..]);
    let mut at = anchor.now();
    loop {
        match read(&bytes) {
            Read::Partly if bytes.len() < MOST => {}
            Read::Hello(hello) => {
                let hello = Some(Hello { at, ..hello });
                return Said { bytes: bytes.freeze(), hello };
            }
            Read::Partly | Read::Other => return Said { bytes: bytes.freeze(), hello: None },
        }
        let is_first = bytes.is_empty();
        let ended = tokio::select! {
            biased;
            read = client.read_buf(&mut bytes) => !matches!(read, Ok(1..)),
            () = speaks(upstream), if is_first => true,
        };
        if ended {
            return Said { bytes: bytes.freeze(), hello: None };
        }
        if is_first {
            at = anchor.now();
        }
    }
}

/// Ends when the upstream has something to say, or has left.
async fn speaks(upstream: &Stream) {
    match upstream {
        // Whatever comes of it, whoever reads it sees.
        Stream::Plain(stream) => drop(stream.peek(&mut [0]).await),
        // What its TLS says for itself looks no different.
        Stream::Tls(_) => pending().await,
    }
}

enum Read {
    Partly,
    Hello(Hello),
    Other,
}

fn read(bytes: &[u8]) -> Read {
    match bytes {
        [] => return Read::Partly,
        [HANDSHAKE, ..] if bytes.len() < TELLING => return Read::Partly,
        bytes if !is_client_hello(bytes) => return Read::Other,
        _ => {}
    }
    let mut found = None;
    let mut reader = tls::Connection::new();
    reader.feed(Direction::Request, Chunk::whole(0, bytes), &mut |fact| {
        if let Fact::ClientHello { hello, .. } = fact {
            found = Some(hello);
        }
    });
    match found {
        None => Read::Partly,
        Some(hello) if hello.cut => Read::Other,
        Some(hello) => {
            let ClientHello { server_name, protocols, .. } = *hello;
            let offers = |name: &str| protocols.iter().any(|protocol| &**protocol == name);
            let protocols = match (offers("h2"), offers("http/1.1")) {
                (true, true) => Some(Protocols::H1OrH2),
                (true, false) => Some(Protocols::H2),
                (false, true) => Some(Protocols::H1),
                (false, false) if protocols.is_empty() => None,
                // Another protocol than HTTP.
                (false, false) => return Read::Other,
            };
            Read::Hello(Hello { at: 0, host: server_name.map(|name| (*name).into()), protocols })
        }
    }
}

impl Hello {
    /// Whether it asks for the host that its client is connected to.
    pub(super) fn is_for(&self, origin: &Origin) -> bool {
        self.host.as_deref().is_none_or(|host| host.eq_ignore_ascii_case(origin.host.trim_end_matches('.')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::connect::Scheme;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, RootCertStore};
    use std::sync::Arc;

    fn hello(host: &str, offered: &[&str]) -> Vec<u8> {
        let config = crate::gateway::connect::trust::client(RootCertStore::empty()).unwrap();
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let host = ServerName::try_from(host.to_owned()).unwrap();
        let mut bytes = Vec::new();
        ClientConnection::new(Arc::new(config), host).unwrap().write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_hello_is_read_once_it_is_whole() {
        let bytes = hello("api.example.com", &["h2", "http/1.1"]);
        for length in 0..bytes.len() {
            assert!(matches!(read(&bytes[..length]), Read::Partly), "{length}");
        }
        let Read::Hello(hello) = read(&bytes) else { panic!("a whole hello") };
        assert_eq!((hello.host.as_deref(), hello.protocols), (Some("api.example.com"), Some(Protocols::H1OrH2)));
        let origin = |host| Origin::new(Scheme::Tunnel, host, 443);
        assert!(["API.example.com", "api.example.com."].iter().all(|host| hello.is_for(&origin(host))));
        assert!(!hello.is_for(&origin("10.0.0.7")));
    }

    #[test]
    fn hellos_that_offer_no_http_and_what_is_no_hello_are_left_alone() {
        let protocols = |offered: &[&str]| match read(&hello("a.example", offered)) {
            Read::Hello(hello) => Some(hello.protocols),
            _ => None,
        };
        assert_eq!(protocols(&[]), Some(None));
        assert_eq!(protocols(&["http/1.1"]), Some(Some(Protocols::H1)));
        assert_eq!(protocols(&["h2"]), Some(Some(Protocols::H2)));
        assert_eq!(protocols(&["postgresql"]), None);
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"\0\0\0\x08\x04\xd2\x16\x2f", b"\x16\x03\x01\x00\x05\x02\0\0\0\0"] {
            assert!(matches!(read(other), Read::Other), "{other:?}");
        }
        let Read::Hello(hello) = read(&hello("127.0.0.1", &[])) else { panic!("a whole hello") };
        assert!(hello.host.is_none() && hello.is_for(&Origin::new(Scheme::Tunnel, "127.0.0.1", 443)));
    }
}
