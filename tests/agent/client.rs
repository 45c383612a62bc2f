//! Clients: `curl`, and connections that a test holds.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Output};

use crate::ask::PATIENCE;

/// `curl` that says nothing but what it was answered, and nothing of the tests' own environment.
pub(crate) fn curl(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(name);
    }
    command.args(["--silent", "--show-error", "--max-time", "60"]).args(arguments);
    command
}

/// What it was answered; it must have gone well.
#[track_caller]
pub(crate) fn curled(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = curl(arguments).output().unwrap();
    assert!(status.success(), "{arguments:?}: {status} {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The head and body of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A client whose connection stays.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Asks, and reads the whole answer; an error = there is none.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.get_with(path, "")
    }

    /// The same with further lines in the head.
    pub(crate) fn get_with(&mut self, path: &str, lines: &str) -> io::Result<Answer> {
        self.0.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nhost: hopwatch.test\r\n{lines}\r\n").as_bytes())?;
        let (status, length) = self.head()?;
        let mut body = vec![0; length.unwrap()];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, body: String::from_utf8(body).unwrap() })
    }

    /// Reads the head of an answer: its status, and how long its body is where it says so.
    pub(crate) fn head(&mut self) -> io::Result<(u16, Option<usize>)> {
        let (mut status, mut length) = (None, None);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status.unwrap(), length));
            }
            status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
            length = length.or_else(|| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        }
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// All that comes until the other end closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _end = self.0.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// It says no more.
    pub(crate) fn leave(&self) {
        drop(self.0.get_ref().shutdown(Shutdown::Both));
    }
}
