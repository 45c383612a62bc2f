//! The upstream: it answers as a scene says, or fails as it says.

use crate::http1::{Fields, head};
use crate::scene::{Fault, Framing, How, Point, Scene};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How often something is looked at that nobody tells of.
const LOOK: Duration = Duration::from_millis(2);

/// How long a body is left unread whose client leaves meanwhile.
const UNREAD: Duration = Duration::from_millis(20);

/// A running upstream.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// A connection of it.
struct Connection {
    stream: TcpStream,
    /// Came, and was not read yet.
    ahead: Vec<u8>,
}

/// Counts a connection as long as it lasts.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                stream.set_nodelay(true).unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let open = Open(Arc::clone(&counted));
                tokio::spawn(async move {
                    let mut connection = Connection { stream, ahead: Vec::new() };
                    // Whoever is gone is gone.
                    let _over = connection.serve().await;
                    drop((connection, open));
                });
            }
        });
        Self { address, open, task }
    }

    /// How many of its connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Answers until the connection ends.
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            let Some((start, fields)) = self.read_head().await? else { return Ok(()) };
            let number = fields.get("x-number").and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
            let Some(number) = number else { return Ok(()) };
            let scene = Scene::of(number);
            if !self.answer(&scene, &start, &fields).await? {
                return Ok(());
            }
        }
    }

    /// Answers one request; whether the connection goes on.
    async fn answer(&mut self, scene: &Scene, start: &str, fields: &Fields) -> io::Result<bool> {
        if self.fails(scene, Point::BodyUnread).await? {
            return Ok(false);
        }
        let body = self.read_body(fields).await?;
        if self.fails(scene, Point::Unanswered).await? {
            return Ok(false);
        }
        let head = answer_head(scene, asked(start, fields, &body));
        if scene.fault.is_some_and(|fault| fault.at == Point::HalfHead) {
            self.stream.write_all(&head.as_bytes()[..head.len() / 2]).await?;
            self.fails(scene, Point::HalfHead).await?;
            return Ok(false);
        }
        if matches!(scene.framing, Framing::Events | Framing::Chunked) || scene.fault.is_some() {
            self.stream.write_all(head.as_bytes()).await?;
            if self.fails(scene, Point::Head).await? {
                return Ok(false);
            }
            self.body(scene, Vec::new()).await
        } else {
            self.body(scene, head.into_bytes()).await
        }
    }

    /// Sends the body, behind these bytes.
    async fn body(&mut self, scene: &Scene, mut out: Vec<u8>) -> io::Result<bool> {
        let chunked = matches!(scene.framing, Framing::Chunked | Framing::Trailers | Framing::Events);
        let pieces = if scene.framing == Framing::Bodiless { Vec::new() } else { scene.answer_body() };
        for piece in &pieces[..scene.pieces_sent(pieces.len())] {
            if chunked {
                out.extend(format!("{:x}\r\n", piece.len()).bytes());
            }
            out.extend_from_slice(piece);
            if chunked {
                out.extend_from_slice(b"\r\n");
            }
            // Events go one by one, and so do some of the other pieces.
            if scene.framing == Framing::Events || scene.number.is_multiple_of(5) {
                self.stream.write_all(&out).await?;
                out.clear();
                tokio::task::yield_now().await;
            }
        }
        if scene.fault.is_some_and(|fault| fault.at == Point::HalfBody) {
            self.stream.write_all(&out).await?;
            self.fails(scene, Point::HalfBody).await?;
            return Ok(false);
        }
        match scene.framing {
            Framing::Chunked | Framing::Events => out.extend_from_slice(b"0\r\n\r\n"),
            Framing::Trailers => out.extend(format!("0\r\nx-trailer: {}\r\n\r\n", scene.number).bytes()),
            Framing::Bodiless | Framing::Length | Framing::ToEnd => {}
        }
        self.stream.write_all(&out).await?;
        match scene.parting {
            Some(How::Reset) => self.reset().await?,
            Some(_) => {}
            None => return Ok(scene.framing != Framing::ToEnd),
        }
        Ok(false)
    }

    /// Fails, if it is to fail here.
    async fn fails(&mut self, scene: &Scene, point: Point) -> io::Result<bool> {
        let Some(Fault { how, .. }) = scene.fault.filter(|fault| fault.at == point) else { return Ok(false) };
        match how {
            How::Close => {}
            How::Reset => self.reset().await?,
            How::Garbage => self.stream.write_all(b"no such thing\r\n\r\n").await?,
            How::Stall => {
                if point == Point::BodyUnread {
                    tokio::time::sleep(UNREAD).await;
                }
                // An end is behind all that was sent.
                self.until_left().await;
            }
        }
        Ok(true)
    }

    /// Lets the end be a reset, once the other end has all that was sent: it takes with it what is still on its way.
    async fn reset(&self) -> io::Result<()> {
        while unsent(&self.stream)? > 0 {
            tokio::time::sleep(LOOK).await;
        }
        self.stream.set_zero_linger()
    }

    async fn until_left(&mut self) {
        let mut bytes = [0; 4096];
        while self.stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.ahead.reserve(16 << 10);
        self.stream.read_buf(&mut self.ahead).await
    }

    /// The next request's first line and fields; `None` = there is none.
    async fn read_head(&mut self) -> io::Result<Option<(String, Fields)>> {
        loop {
            if let Some((start, fields, length)) = head(&self.ahead) {
                self.ahead.drain(..length);
                return Ok(Some((start, fields)));
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn read_body(&mut self, fields: &Fields) -> io::Result<Vec<u8>> {
        let mut reader = crate::http1::Body::of_request(fields);
        let mut body = Vec::new();
        loop {
            let taken = reader.feed(&self.ahead, &mut body);
            self.ahead.drain(..taken);
            match reader.is_over() {
                Some(true) => return Ok(body),
                Some(false) => return Err(io::ErrorKind::InvalidData.into()),
                None => {}
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Bytes that the other end does not have yet.
fn unsent(stream: &TcpStream) -> io::Result<libc::c_int> {
    let mut count = 0;
    // SAFETY: writes one number, on a descriptor that is open.
    if unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } == 0 {
        Ok(count)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What came up, as far as it is the same on every way: two that differ have different numbers.
fn asked(start: &str, fields: &Fields, body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    start.hash(&mut hasher);
    fields.end_to_end().hash(&mut hasher);
    body.hash(&mut hasher);
    hasher.finish()
}

fn answer_head(scene: &Scene, asked: u64) -> String {
    let mut head = format!("HTTP/1.1 {} Whatever\r\n", scene.status);
    for (name, value) in scene.answer_fields(asked) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = || scene.answer_body().iter().map(Vec::len).sum::<usize>();
    match scene.framing {
        Framing::Length => head.push_str(&format!("content-length: {}\r\n", length())),
        Framing::Bodiless if scene.method == "HEAD" && scene.status != 204 => {
            head.push_str(&format!("content-length: {}\r\n", length()));
        }
        Framing::Chunked | Framing::Trailers | Framing::Events => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::ToEnd => head.push_str("connection: close\r\n"),
        Framing::Bodiless => {}
    }
    head + "\r\n"
}
