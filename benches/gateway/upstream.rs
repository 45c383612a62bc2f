//! What is asked: nginx for answers at once, and servers in this process for streams and bytes.

use crate::sides::{LOAD_CORE, Side, free};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An answer of some two hundred bytes.
const ANSWER: &str = r#"{"answer":"a body of some two hundred bytes, as a vector store gives one for a small question: no more and no less","documents":[{"id":"1","score":0.75},{"id":"2","score":0.5}]}"#;
/// An event of a model's answer.
const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";

/// nginx, which answers at once.
pub(crate) fn answers() -> Side {
    let address = free();
    let config = format!(
        "worker_processes 1; master_process off; daemon off; pid nginx.pid; error_log stderr crit; events {{ worker_connections 8192; }}
        http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
        keepalive_requests 1000000000; server {{ listen {address}; location / {{ default_type application/json; return 200 '{ANSWER}'; }} }} }}"
    );
    Side::started("nginx", address, LOAD_CORE, "nginx.conf", &config, |folder, file| {
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(file);
        command
    })
}

/// Streams events: as many as the path asks for (`/200`), with a pause of so many milliseconds between two (`/200/5`).
pub(crate) fn streams() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(stream_events(stream));
            }
        });
    });
    address
}

async fn stream_events(mut stream: tokio::net::TcpStream) {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{EVENT}\r\n", EVENT.len());
    let mut buffer = vec![0; 4096];
    let mut filled = 0;
    loop {
        let end = loop {
            if let Some(end) = find(&buffer[..filled], b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut buffer[filled..]).await {
                Ok(count @ 1..) => filled += count,
                _ => return,
            }
        };
        let line = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.copy_within(end..filled, 0);
        filled -= end;
        let mut words = line.split(' ').nth(1).unwrap_or_default().split('/').skip(1);
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (events, pause) = (number().unwrap_or(1), number().unwrap_or(0));
        if stream.write_all(HEAD).await.is_err() {
            return;
        }
        for _ in 0..events {
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            } else {
                // Each event by itself, as a model's server sends them.
                tokio::task::yield_now().await;
            }
        }
        if stream.write_all(b"0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// A connection by TLS as it looks from outside, taken from a real one.
pub(crate) struct Secured {
    /// What each side says in turn until the request is sent, the client first.
    turns: [Vec<u8>; 3],
}

impl Secured {
    /// Has two ends shake hands in memory, and asks for something.
    pub(crate) fn new() -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let of_server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let of_server = of_server.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key.into()).unwrap();
        let of_client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let of_client = of_client.with_root_certificates(roots).with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(of_client), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(of_server)).unwrap();
        let mut turns = [Vec::new(), Vec::new(), Vec::new()];
        client.write_tls(&mut turns[0]).unwrap();
        server.read_tls(&mut turns[0].as_slice()).unwrap();
        server.process_new_packets().unwrap();
        while server.wants_write() {
            server.write_tls(&mut turns[1]).unwrap();
        }
        let mut rest = turns[1].as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
        client.writer().write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        while client.wants_write() {
            client.write_tls(&mut turns[2]).unwrap();
        }
        Self { turns }
    }

    /// Says what a client says, and has the answer come.
    pub(crate) fn ask(&self, stream: &mut TcpStream) {
        let [hello, answer, rest] = &self.turns;
        stream.write_all(hello).unwrap();
        stream.read_exact(&mut vec![0; answer.len()]).unwrap();
        stream.write_all(rest).unwrap();
    }

    /// Says what a server says, until the client has asked.
    fn answer(&self, stream: &mut TcpStream) -> io::Result<()> {
        let [hello, answer, rest] = &self.turns;
        stream.read_exact(&mut vec![0; hello.len()])?;
        stream.write_all(answer)?;
        stream.read_exact(&mut vec![0; rest.len()])
    }
}

/// Sends answers without an end, in records of 16 KiB, to whoever asks by TLS.
pub(crate) fn bytes(secured: &Arc<Secured>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let secured = Arc::clone(secured);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let secured = Arc::clone(&secured);
            std::thread::spawn(move || {
                let record = [&[23, 3, 3, 0x40, 0][..], &[0x5a; 0x4000]].concat();
                let block = record.repeat(16);
                if secured.answer(&mut stream).is_ok() {
                    while stream.write_all(&block).is_ok() {}
                }
            });
        }
    });
    address
}

/// Where one text begins in another.
pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
