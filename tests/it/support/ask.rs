//! What is asked over HTTP, and waited for.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Far above what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until there is an answer.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = hopwatch::model::clock::monotonic();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) => assert!(start.elapsed() < PATIENCE, "in vain: {what}: {last}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The whole answer to a GET, head and body.
pub(crate) fn get(address: &str, path: &str) -> io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((head.to_owned(), body.to_owned()))
}
