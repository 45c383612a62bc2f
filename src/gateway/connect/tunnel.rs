//! A tunnel through a forward proxy: the CONNECT exchange (RFC 9110, 9.3.6).

use super::{Origin, Stream};
use http::HeaderValue;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest head of an answer that is read, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Most fields of it.
const FIELDS_MAX: usize = 64;
const BLANK_LINE: &[u8] = b"\r\n\r\n";
const START: &[u8] = b"HTTP/1.";

/// How a proxy did not lead on.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It answered with this status.
    Status(u16),
    /// Its answer is no HTTP.
    Garbage,
    /// It closed.
    Closed,
    /// The connection to it failed.
    Broken(io::Error),
    /// It said nothing for so long.
    Silent(Duration),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Broken(error),
        }
    }
}

/// Asks for a tunnel to an origin. What the origin says first is left in the stream.
pub(super) async fn open(stream: &mut Stream, origin: &Origin, authorization: Option<&HeaderValue>) -> Result<(), Refusal> {
    stream.write_all(&request(origin, authorization)).await?;
    stream.flush().await?;
    loop {
        match status(&head(stream).await?) {
            // An interim answer.
            Some(100..=199) => {}
            Some(200..=299) => return Ok(()),
            Some(status) => return Err(Refusal::Status(status)),
            None => return Err(Refusal::Garbage),
        }
    }
}

fn request(origin: &Origin, authorization: Option<&HeaderValue>) -> Vec<u8> {
    let agent = concat!("hopwatch/", env!("CARGO_PKG_VERSION"));
    let mut head = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: {agent}\r\n").into_bytes();
    if let Some(value) = authorization {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Reads a head and not a byte more: what follows belongs to the tunnel.
async fn head(stream: &mut Stream) -> Result<Vec<u8>, Refusal> {
    let mut head = Vec::with_capacity(256);
    loop {
        // At least so many bytes of it are still to come.
        let missing = BLANK_LINE.len() - matched(&head);
        if missing == 0 {
            return Ok(head);
        }
        let read = (&mut *stream).take(missing as u64).read_buf(&mut head).await?;
        let known = head.len().min(START.len());
        if read == 0 {
            return Err(Refusal::Closed);
        }
        if head[..known] != START[..known] || head.len() > HEAD_MAX {
            return Err(Refusal::Garbage);
        }
    }
}

/// How much of the blank line the bytes end with.
fn matched(head: &[u8]) -> usize {
    (0..=BLANK_LINE.len()).rev().find(|&length| head.ends_with(&BLANK_LINE[..length])).unwrap_or(0)
}

fn status(head: &[u8]) -> Option<u16> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head).ok().filter(httparse::Status::is_complete)?;
    response.code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::connect::Scheme;

    #[test]
    fn the_request_names_the_origin_twice_and_carries_credentials() {
        let origin = Origin::new(Scheme::Https, "FD00::1", 443);
        let value = HeaderValue::from_static("Basic eA==");
        let text = String::from_utf8(request(&origin, Some(&value))).unwrap();
        assert!(text.starts_with("CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\n"), "{text}");
        assert!(text.ends_with("\r\nProxy-Authorization: Basic eA==\r\n\r\n"), "{text}");
        assert!(!request(&origin, None).windows(5).any(|part| part == b"Proxy"));
    }

    #[test]
    fn as_much_is_read_as_is_certain_to_be_missing() {
        for (head, length) in
            [("", 0), ("HTTP/1.1 200", 0), ("a\r", 1), ("a\r\n", 2), ("a\r\n\r", 3), ("a\r\n\r\n", 4), ("\r\r", 1)]
        {
            assert_eq!(matched(head.as_bytes()), length, "{head:?}");
        }
    }

    #[test]
    fn the_status_is_read_where_there_is_one() {
        assert_eq!(status(b"HTTP/1.0 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"), Some(407));
        assert_eq!(status(b"HTTP/1.1 abc\r\n\r\n"), None);
    }
}
