//! Requests as a scripted server reads them.

use std::io::{self, Read};

use serde_json::Value;

/// One request, whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The connection it came on, counted from 0 in the order of their acceptance.
    pub(crate) connection: usize,
    /// How many requests to the same path came before it, over all connections.
    pub(crate) number: usize,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Every byte of it as it came (inside TLS when there is TLS).
    pub(crate) bytes: Vec<u8>,
    body: usize,
}

impl Request {
    /// Reads the next request. `None` when the peer left between two requests; an error when it left inside one.
    pub(crate) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            if more(stream, &mut bytes)? == 0 {
                return if bytes.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let header = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        if header("transfer-encoding").is_some() {
            while find(&bytes[head..], b"0\r\n\r\n").is_none() && more(stream, &mut bytes)? > 0 {}
        } else if let Some(length) = header("content-length") {
            let length: usize = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            while bytes.len() < head + length && more(stream, &mut bytes)? > 0 {}
        }
        let target = text.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Some(Self { connection: 0, number: 0, path: path.to_owned(), query: query.to_owned(), bytes, body: head }))
    }

    /// The value of a query parameter, as it came.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes[self.body..]).unwrap_or(Value::Null)
    }

    /// What the user asked: the content of the last message of a chat completion.
    pub(crate) fn question(&self) -> String {
        let body = self.json();
        let last = body["messages"].as_array().and_then(|messages| messages.last());
        last.and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned()
    }
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut part = [0; 8192];
    let read = stream.read(&mut part)?;
    bytes.extend_from_slice(&part[..read]);
    Ok(read)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
