//! Those who ask.

use crate::upstream::find;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What one round saw.
pub(crate) struct Seen {
    /// Answers.
    pub(crate) answers: u64,
    /// How long each took, in nanoseconds.
    pub(crate) times: Vec<u64>,
    /// How long it all took.
    pub(crate) took: Duration,
}

/// Asks on so many connections for so long, each as fast as it is answered.
pub(crate) fn ask(address: SocketAddr, path: &str, connections: usize, time: Duration) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = request(address, path);
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            // What is opened first is no part of it.
            exchange(&mut stream, &request, &mut Buffer::default()).await;
            streams.push(stream);
        }
        let started = Instant::now();
        let asking = streams.into_iter().map(|mut stream| {
            let request = request.clone();
            tokio::spawn(async move {
                let (mut times, mut buffer) = (Vec::new(), Buffer::default());
                while started.elapsed() < time {
                    let asked = Instant::now();
                    exchange(&mut stream, &request, &mut buffer).await;
                    times.push(asked.elapsed().as_nanos() as u64);
                }
                times
            })
        });
        let mut times = Vec::new();
        for asking in asking.collect::<Vec<_>>() {
            times.extend(asking.await.unwrap());
        }
        Seen { answers: times.len() as u64, times, took: started.elapsed() }
    })
}

/// Asks so many times a second on so many connections, whether or not it was answered: what waits for its turn has waited.
pub(crate) fn ask_at(address: SocketAddr, path: &str, rate: f64, connections: usize, time: Duration) -> Seen {
    let request = request(address, path);
    let (tell, told) = channel();
    let started = Instant::now();
    for nth in 0..connections {
        let (request, tell) = (request.clone(), tell.clone());
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = Buffer::default();
            let mut times = Vec::new();
            for turn in 0.. {
                let due = Duration::from_secs_f64((turn * connections + nth) as f64 / rate);
                if due >= time {
                    break;
                }
                std::thread::sleep(due.saturating_sub(started.elapsed()));
                stream.write_all(&request).unwrap();
                while !buffer.is_whole() {
                    let count = stream.read(buffer.room()).unwrap();
                    assert!(count > 0, "closed");
                    buffer.filled += count;
                }
                buffer.next();
                times.push((started.elapsed() - due).as_nanos() as u64);
            }
            tell.send(times).unwrap();
        });
    }
    drop(tell);
    let times: Vec<u64> = told.iter().flatten().collect();
    Seen { answers: times.len() as u64, times, took: started.elapsed() }
}

fn request(address: SocketAddr, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\
        User-Agent: python-httpx/0.28.1\r\n\r\n"
    )
    .into_bytes()
}

async fn exchange(stream: &mut tokio::net::TcpStream, request: &[u8], buffer: &mut Buffer) {
    stream.write_all(request).await.unwrap();
    while !buffer.is_whole() {
        let count = stream.read(buffer.room()).await.unwrap();
        assert!(count > 0, "closed");
        buffer.filled += count;
    }
    buffer.next();
}

/// An answer as it comes.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    pub(crate) filled: usize,
    /// How long the answer is, where its head says so.
    length: Option<usize>,
    is_chunked: bool,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { bytes: vec![0; 64 << 10], filled: 0, length: None, is_chunked: false }
    }
}

impl Buffer {
    /// Room for more of it.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.is_chunked && self.filled > self.bytes.len() / 2 {
            // Only its end is looked at.
            self.bytes.copy_within(self.filled - 8..self.filled, 0);
            self.filled = 8;
        }
        &mut self.bytes[self.filled..]
    }

    /// Whether all of it is there.
    pub(crate) fn is_whole(&mut self) -> bool {
        let there = &self.bytes[..self.filled];
        if self.length.is_none() && !self.is_chunked {
            let Some(end) = find(there, b"\r\n\r\n") else { return false };
            let head = String::from_utf8_lossy(&there[..end]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let length =
                head.split("content-length: ").nth(1).map(|rest| rest.split('\r').next().unwrap().parse::<usize>().unwrap());
            self.length = length.map(|length| end + 4 + length);
            self.is_chunked = length.is_none();
        }
        match self.length {
            Some(length) => self.filled >= length,
            None => there.ends_with(b"0\r\n\r\n"),
        }
    }

    /// The next one begins. It has the same head.
    pub(crate) fn next(&mut self) {
        self.filled = 0;
        (self.length, self.is_chunked) = (None, false);
    }
}
