//! Heads: collecting them in bounded memory, and what they say.

use std::sync::Arc;

use memchr::{memchr, memrchr};

use super::{RequestHead, ResponseHead};

/// Longest head that is read, in bytes. A longer one is told as cut.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;
/// Most fields that are read of one head.
const FIELD_LIMIT: usize = 256;
/// Longest method, path and host that are kept, in bytes.
const METHOD_LIMIT: usize = 32;
const PATH_LIMIT: usize = 1024;
const HOST_LIMIT: usize = 260;

/// Collects a head's bytes until its blank line.
#[derive(Debug, Default)]
pub(super) struct Collector {
    bytes: Vec<u8>,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Bytes are missing: only whole lines are trusted from here on.
    cut: bool,
    /// The rest of the line that was cut is still to come.
    in_cut_line: bool,
}

/// What became of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is needed.
    More,
    /// It ended with the bytes taken.
    Complete,
    /// Its end will not be found: it is too long, or what follows a gap is no head.
    Hopeless,
}

impl Collector {
    /// What was seen so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether bytes of it are missing.
    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > HEAD_LIMIT / 8 {
            self.bytes = Vec::new();
        }
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
    }

    /// Takes bytes up to the end of the head and says how many.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut at = 0;
        while at < bytes.len() {
            let end = memchr(b'\n', &bytes[at..]).map(|end| at + end + 1);
            let piece = &bytes[at..end.unwrap_or(bytes.len())];
            at += piece.len();
            if self.in_cut_line {
                self.in_cut_line = end.is_none();
                continue;
            }
            if self.bytes.len() + piece.len() > HEAD_LIMIT {
                return (at, Progress::Hopeless);
            }
            self.bytes.extend_from_slice(piece);
            if end.is_none() {
                break;
            }
            let line = &self.bytes[self.line..];
            if matches!(line, b"\n" | b"\r\n") {
                return (at, Progress::Complete);
            }
            if self.cut && !is_field(line) {
                self.bytes.truncate(self.line);
                return (at, Progress::Hopeless);
            }
            self.line = self.bytes.len();
        }
        (at, Progress::More)
    }

    /// Bytes are missing here.
    pub(super) fn gap(&mut self) {
        // The first line says what the message is: it is kept even when it is cut itself.
        let keep = memrchr(b'\n', &self.bytes).map_or(self.bytes.len(), |end| end + 1);
        self.bytes.truncate(keep);
        if !self.bytes.is_empty() && !self.bytes.ends_with(b"\n") {
            self.bytes.push(b'\n');
        }
        self.line = self.bytes.len();
        self.cut = true;
        self.in_cut_line = true;
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Whether a line has the form `name: value`.
fn is_field(line: &[u8]) -> bool {
    let name = memchr(b':', line).map_or(&[][..], |end| &line[..end]);
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_')
}

/// What a message's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Too few to say.
    Unknown,
    /// The message looked for.
    Message,
    /// Something else.
    Other,
}

/// Whether bytes begin a request. Decided on the method and the first byte of the target, so that other protocols' words
/// are not taken for requests.
pub(super) fn request_start(bytes: &[u8]) -> Start {
    let end = bytes.iter().position(|byte| !byte.is_ascii_uppercase() && *byte != b'-').unwrap_or(bytes.len());
    if end > METHOD_LIMIT {
        return Start::Other;
    }
    match (&bytes[..end], &bytes[end..]) {
        (_, []) => Start::Unknown,
        // The preface of HTTP/2.
        ([] | b"PRI", _) => Start::Other,
        (_, [b' ']) => Start::Unknown,
        (b"CONNECT", [b' ', target, ..]) if target.is_ascii_graphic() => Start::Message,
        (_, [b' ', b'/' | b'*' | b'h' | b'H', ..]) => Start::Message,
        _ => Start::Other,
    }
}

/// Whether bytes begin an answer.
pub(super) fn response_start(bytes: &[u8]) -> Start {
    const PREFIX: &[u8] = b"HTTP/1.";
    let seen = bytes.len().min(PREFIX.len());
    match bytes[..seen] == PREFIX[..seen] {
        false => Start::Other,
        true if seen == PREFIX.len() => Start::Message,
        true => Start::Unknown,
    }
}

/// Reads a request's head; `None` when it is none. A cut one is read as far as it was seen.
pub(super) fn request(bytes: &[u8], cut: bool) -> Option<RequestHead> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let completed;
    let bytes = match cut {
        false => bytes,
        true => {
            completed = complete(bytes, b" HTTP/1.1");
            &completed
        }
    };
    let mut parsed = httparse::Request::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.ignore_invalid_headers_in_requests(true);
    match config.parse_request(&mut parsed, bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) if !cut => return request(bytes, true),
        _ => return None,
    }
    let method = parsed.method?;
    let (path, authority) = target(method, parsed.path?);
    let mut head = RequestHead {
        method: Arc::from(method),
        path: Arc::from(bounded(path, PATH_LIMIT)),
        host: authority.and_then(|host| host_name(host.as_bytes())),
        absolute: method != "CONNECT" && authority.is_some(),
        cut,
        ..RequestHead::default()
    };
    for field in parsed.headers.iter() {
        // The authority of an absolute target goes before the field (RFC 9112, 3.2.2).
        if field.name.eq_ignore_ascii_case("host") {
            head.host = head.host.or_else(|| host_name(field.value));
        } else {
            head.fields.set(field.name, field.value);
        }
    }
    Some(head)
}

/// Reads an answer's head; `None` when it is none. A cut one is read as far as it was seen.
pub(super) fn response(bytes: &[u8], cut: bool) -> Option<ResponseHead> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let completed;
    let bytes = match cut {
        false => bytes,
        true => {
            completed = complete(bytes, b"");
            &completed
        }
    };
    let mut parsed = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    match config.parse_response(&mut parsed, bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) if !cut => return response(bytes, true),
        _ => return None,
    }
    let mut head = ResponseHead { status: parsed.code?, cut, ..ResponseHead::default() };
    for field in parsed.headers.iter() {
        head.fields.set(field.name, field.value);
    }
    Some(head)
}

/// The whole lines of a cut head, as many as are read, with a blank line after them. A first line that is cut itself gets
/// `rest`.
fn complete(bytes: &[u8], rest: &[u8]) -> Vec<u8> {
    let end = memchr::memchr_iter(b'\n', bytes).take(FIELD_LIMIT).last();
    let first = memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]).trim_ascii_end();
    let mut whole = Vec::with_capacity(bytes.len() + 16);
    whole.extend_from_slice(first);
    if !rest.is_empty() && !first.ends_with(b" HTTP/1.1") && !first.ends_with(b" HTTP/1.0") {
        whole.extend_from_slice(rest);
    }
    whole.extend_from_slice(b"\r\n");
    if let (Some(start), Some(end)) = (memchr(b'\n', bytes), end) {
        whole.extend_from_slice(&bytes[start + 1..=end]);
    }
    if !whole.ends_with(b"\n\r\n") && !whole.ends_with(b"\n\n") {
        whole.extend_from_slice(b"\r\n");
    }
    whole
}

/// Path without its query, and the authority where the target has one.
fn target<'a>(method: &str, target: &'a str) -> (&'a str, Option<&'a str>) {
    if method == "CONNECT" {
        return ("", Some(target));
    }
    let (rest, authority) = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (&rest[end..], Some(&rest[..end]))
        }
        _ => (target, None),
    };
    let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    (if path.is_empty() { "/" } else { path }, authority)
}

/// A host in lower case, without the user's part of an authority.
fn host_name(value: &[u8]) -> Option<Arc<str>> {
    let value = std::str::from_utf8(value.trim_ascii()).ok()?;
    let host = value.rsplit('@').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
    (!host.is_empty() && host.len() <= HOST_LIMIT && host.bytes().all(plain)).then(|| host.to_ascii_lowercase().into())
}

fn bounded(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests;
