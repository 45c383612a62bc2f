//! What is asked: nginx for answers at once, and servers in this process for streams and bytes.

use crate::sides::{LOAD_CORE, Side, free};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
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

/// Sends bytes without an end to whoever has sent one.
pub(crate) fn bytes() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || send_bytes(stream));
        }
    });
    address
}

fn send_bytes(mut stream: TcpStream) {
    // What TLS would look like from outside: application data, in records of 16 KiB.
    let mut block = Vec::new();
    for _ in 0..16 {
        block.extend([23, 3, 3, 0x40, 0]);
        block.extend(std::iter::repeat_n(0x5a, 0x4000));
    }
    let mut first = [0];
    if stream.read_exact(&mut first).is_ok() {
        while stream.write_all(&block).is_ok() {}
    }
}

/// Where one text begins in another.
pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
