//! One end of a connection, byte for byte.

use crate::support::server::reset_on_close;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Far above what anything here takes: nothing waits longer, so that what is wrong fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes both ways, plain or inside TLS.
trait Bytes: Read + Write + Send {}

impl<T: Read + Write + Send> Bytes for T {}

/// One end of a connection.
pub(crate) struct Wire {
    bytes: Box<dyn Bytes>,
    socket: TcpStream,
    /// Came, and was not asked for yet.
    ahead: Vec<u8>,
    /// All that came.
    pub(crate) heard: Vec<u8>,
}

/// How the other end ended, and what came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Closed(Vec<u8>),
    /// By a reset.
    Reset(Vec<u8>),
}

/// A message of HTTP/1, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Up to its empty line.
    pub(crate) head: Vec<u8>,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
    /// As lines behind a chunked body.
    pub(crate) trailers: String,
}

impl Wire {
    /// Connects to an address.
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn of(stream: TcpStream) -> Self {
        let socket = stream.try_clone().unwrap();
        Self::over(stream, socket)
    }

    /// Over bytes that go through a socket.
    pub(crate) fn over(bytes: impl Read + Write + Send + 'static, socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { bytes: Box::new(bytes), socket, ahead: Vec::new(), heard: Vec::new() }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends, if there is anyone to take it.
    pub(crate) fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.bytes.write_all(bytes.as_ref())?;
        self.bytes.flush()
    }

    /// Gets through a handshake, where that is the first thing to do.
    pub(crate) fn shake(&mut self) {
        self.say("");
    }

    #[track_caller]
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_say(bytes).unwrap();
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut part = [0; 16 << 10];
        let read = self.bytes.read(&mut part)?;
        self.ahead.extend_from_slice(&part[..read]);
        self.heard.extend_from_slice(&part[..read]);
        Ok(read)
    }

    /// Reads up to and with a pattern.
    pub(crate) fn try_until(&mut self, pattern: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(pattern.len()).position(|window| window == pattern) {
                return Ok(self.ahead.drain(..at + pattern.len()).collect());
            }
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    #[track_caller]
    pub(crate) fn until(&mut self, pattern: &str) -> String {
        let found = self.try_until(pattern.as_bytes());
        let found = found.unwrap_or_else(|error| panic!("no {pattern:?}: {error}; {:?}", String::from_utf8_lossy(&self.ahead)));
        String::from_utf8_lossy(&found).into_owned()
    }

    /// Reads so many bytes.
    pub(crate) fn try_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < count {
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..count).collect())
    }

    #[track_caller]
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        self.try_exactly(count).unwrap_or_else(|error| panic!("not {count} bytes: {error}; {:?}", self.ahead))
    }

    /// Reads to the end of the connection.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> End {
        loop {
            match self.more() {
                Ok(0) => return End::Closed(std::mem::take(&mut self.ahead)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return End::Reset(std::mem::take(&mut self.ahead)),
                Err(error) => panic!("neither closed nor reset: {error}; {:?}", String::from_utf8_lossy(&self.ahead)),
            }
        }
    }

    /// A whole message; `bodiless` where its framing fields are only said (the answer to HEAD, 304).
    pub(crate) fn try_message(&mut self, bodiless: bool) -> io::Result<Message> {
        let head = self.try_until(b"\r\n\r\n")?;
        let mut message = Message { head, body: Vec::new(), trailers: String::new() };
        if bodiless {
            return Ok(message);
        }
        if message.field("transfer-encoding").is_some() {
            loop {
                let size = self.try_until(b"\r\n")?;
                let size = String::from_utf8_lossy(&size).trim().split(';').next().map(str::to_owned).unwrap_or_default();
                let size = usize::from_str_radix(&size, 16).map_err(|_| ErrorKind::InvalidData)?;
                if size == 0 {
                    break;
                }
                message.body.extend(self.try_exactly(size)?);
                self.try_exactly(2)?;
            }
            loop {
                let line = self.try_until(b"\r\n")?;
                if line.len() == 2 {
                    return Ok(message);
                }
                message.trailers.push_str(&String::from_utf8_lossy(&line));
            }
        }
        if let Some(length) = message.field("content-length") {
            let length = length.parse().map_err(|_| ErrorKind::InvalidData)?;
            message.body = self.try_exactly(length)?;
        }
        Ok(message)
    }

    #[track_caller]
    pub(crate) fn message(&mut self) -> Message {
        self.try_message(false).unwrap_or_else(|error| panic!("no message: {error}; {:?}", String::from_utf8_lossy(&self.heard)))
    }

    /// The answer to a GET of this target, on this connection.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Message {
        self.say(format!("GET {target} HTTP/1.1\r\nhost: gateway\r\n\r\n"));
        self.message()
    }

    /// Says that nothing more comes.
    pub(crate) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Bytes that the other end does not have yet.
    pub(crate) fn unsent(&self) -> libc::c_int {
        let mut count = 0;
        // SAFETY: the system writes one number to where it is pointed to.
        assert_eq!(unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) }, 0);
        count
    }

    /// RST.
    pub(crate) fn reset(self) {
        reset_on_close(&self.socket).unwrap();
    }
}

impl Message {
    /// A value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.fields(name).into_iter().next()
    }

    /// All values of a field, in order.
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// First line.
    pub(crate) fn start(&self) -> String {
        String::from_utf8_lossy(&self.head).lines().next().unwrap_or_default().to_owned()
    }

    /// The status of an answer.
    #[track_caller]
    pub(crate) fn status(&self) -> u16 {
        self.start().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
