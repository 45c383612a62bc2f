//! A client over HTTP/1.1, on a connection that it is given.

use crate::http1::{Body, Fields, head};
use crate::scene::{Framing, Point, Scene, Upload};
use crate::seen::{End, Seen};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a client that will leave waits before it does: long enough to get into what it leaves.
pub(crate) const BEFORE_LEAVING: Duration = Duration::from_millis(4);

/// A connection of a client.
pub(crate) struct Client {
    stream: TcpStream,
    /// Came, and was not read yet.
    ahead: Vec<u8>,
}

impl Client {
    pub(crate) async fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    /// Asks to be led to a place; how that failed.
    pub(crate) async fn led(mut self, place: SocketAddr) -> Result<Self, Seen> {
        let connect = format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n\r\n");
        let sent = self.stream.write_all(connect.as_bytes()).await;
        sent.map_err(|error| Seen::nothing(end_of(&error)))?;
        let (start, _) = self.head().await.map_err(Seen::nothing)?;
        assert_eq!(start, "HTTP/1.1 200 OK", "a tunnel to {place}");
        Ok(self)
    }

    /// Asks; what it saw, and whether the connection can be used again. `base` comes before the target.
    pub(crate) async fn ask(&mut self, scene: &Scene, base: &str, host: SocketAddr) -> (Seen, bool) {
        let request = request(scene, base, host);
        if scene.leaves_at(Point::Asking) {
            // Half of a head can be sent whatever becomes of it.
            let _sent = self.stream.write_all(&request.as_bytes()[..request.len() / 2]).await;
            sleep(BEFORE_LEAVING).await;
            return (Seen::nothing(End::Left), false);
        }
        let body = scene.request_body();
        if scene.leaves_at(Point::Uploading) || scene.leaves_at(Point::BodyUnread) {
            let part = if scene.leaves_at(Point::Uploading) { body.len() / 2 } else { body.len() };
            let framed = framed(scene.upload, &body, part);
            let send = async {
                self.stream.write_all(request.as_bytes()).await?;
                self.stream.write_all(&framed).await?;
                sleep(BEFORE_LEAVING).await;
                io::Result::Ok(())
            };
            // It may never be taken.
            let _sent = timeout(BEFORE_LEAVING * 2, send).await;
            return (Seen::nothing(End::Left), false);
        }
        let whole = [request.into_bytes(), framed(scene.upload, &body, body.len())].concat();
        // What cannot be sent may have been answered all the same.
        let sent = self.stream.write_all(&whole).await;
        let seen = self.answer(scene).await;
        let reusable = sent.is_ok() && seen.end == End::Whole && scene.framing != Framing::ToEnd && scene.parting.is_none();
        (seen, reusable)
    }

    async fn more(&mut self) -> Result<(), End> {
        self.ahead.reserve(16 << 10);
        match self.stream.read_buf(&mut self.ahead).await {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(end_of(&error)),
        }
    }

    /// Reads a head: its first line and fields.
    async fn head(&mut self) -> Result<(String, Fields), End> {
        loop {
            if let Some((start, fields, length)) = head(&self.ahead) {
                self.ahead.drain(..length);
                return if start.starts_with("HTTP/1.1 ") { Ok((start, fields)) } else { Err(End::Garbage) };
            }
            self.more().await?;
        }
    }

    async fn answer(&mut self, scene: &Scene) -> Seen {
        let leaves = scene.fault.is_some_and(|fault| scene.leaves_at(fault.at));
        if leaves && scene.fails_before_head() {
            // Nothing that could be read comes before that.
            let early = timeout(BEFORE_LEAVING, self.head()).await;
            return Seen::nothing(early.map_or(End::Left, |early| early.err().unwrap_or(End::Whole)));
        }
        let (start, fields) = match self.head().await {
            Ok(head) => head,
            Err(end) => return Seen::nothing(end),
        };
        let status: u16 = start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let is_bodiless = scene.method == "HEAD" || matches!(status, 204 | 304);
        let mut reader = Body::of_answer(&fields, is_bodiless);
        let mut seen = Seen { head: Some((status, fields)), ..Seen::nothing(End::Whole) };
        let enough = if leaves { scene.seen_before_leaving() } else { usize::MAX };
        loop {
            let taken = reader.feed(&self.ahead, &mut seen.body);
            self.ahead.drain(..taken);
            seen.end = match reader.is_over() {
                Some(true) => End::Whole,
                Some(false) => End::Garbage,
                None if seen.body.len() >= enough => {
                    sleep(BEFORE_LEAVING).await;
                    End::Left
                }
                None => match self.more().await {
                    Ok(()) => continue,
                    Err(End::Closed) if reader.is_to_end() => End::Whole,
                    Err(end) => end,
                },
            };
            seen.trailers = reader.trailers;
            return seen;
        }
    }
}

/// How a connection ended that gave this error.
pub(crate) fn end_of(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => End::Refused,
        _ => End::Reset,
    }
}

/// A request's head.
fn request(scene: &Scene, base: &str, host: SocketAddr) -> String {
    let mut head = format!("{} {base}{} HTTP/1.1\r\nhost: {host}\r\n", scene.method, scene.target());
    for (name, value) in scene.request_fields() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match scene.upload {
        Upload::None => {}
        Upload::Sized(_) => head.push_str(&format!("content-length: {}\r\n", scene.request_body().len())),
        Upload::Chunked(_) => head.push_str("transfer-encoding: chunked\r\n"),
    }
    head + "\r\n"
}

/// So many bytes of a body as they are sent.
fn framed(upload: Upload, body: &[u8], part: usize) -> Vec<u8> {
    let sent = &body[..part];
    match upload {
        Upload::None => Vec::new(),
        Upload::Sized(_) => sent.to_vec(),
        Upload::Chunked(_) => {
            let mut chunks = Vec::new();
            for chunk in sent.chunks(3_000) {
                chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
                chunks.extend_from_slice(chunk);
                chunks.extend_from_slice(b"\r\n");
            }
            if part == body.len() {
                chunks.extend_from_slice(b"0\r\n\r\n");
            }
            chunks
        }
    }
}
