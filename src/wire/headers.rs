//! The header fields that are facts.
//!
//! Every field is read into a typed value or dropped: credentials, cookies and anything that is not named here never get a place.

use std::sync::Arc;

/// Longest product name (`user-agent`, `server`) that is kept, in bytes.
const PRODUCT_LIMIT: usize = 64;

/// What a body is, by `content-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentType {
    /// No `content-type`.
    #[default]
    Absent,
    /// `application/json` and `+json` types.
    Json,
    /// `text/event-stream`.
    EventStream,
    /// One JSON document a line (`application/x-ndjson`, `application/jsonl`).
    JsonLines,
    /// Anything else.
    Other,
}

/// How a body is compressed, by `content-encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentEncoding {
    /// Not compressed.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
    /// Something else, or several at once: the body stays opaque.
    Other,
}

/// The fields that say how long a message is and what becomes of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `content-length`, when it is one valid number.
    pub content_length: Option<u64>,
    /// `transfer-encoding` ends in `chunked`.
    pub chunked: bool,
    /// There is a `content-length` or `transfer-encoding` that says nothing valid.
    pub unframed: bool,
    /// `content-type`.
    pub content_type: ContentType,
    /// `content-encoding`.
    pub content_encoding: ContentEncoding,
    /// `connection: close`.
    pub close: bool,
    /// `connection: keep-alive`.
    pub keep_alive: bool,
    /// An `upgrade` field.
    pub upgrade: bool,
}

/// `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Trace id, not all zero.
    pub trace_id: [u8; 16],
    /// Id of the span that sent the request, not all zero.
    pub parent_id: [u8; 8],
    /// The sampled flag.
    pub sampled: bool,
}

/// What the fields of a request say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFields {
    /// Length, kind and connection.
    pub message: Message,
    /// `traceparent`, when valid.
    pub traceparent: Option<TraceParent>,
    /// `x-stainless-retry-count`: 0 for the first attempt.
    pub retry_count: Option<u32>,
    /// `x-stainless-read-timeout`, in milliseconds: the client's own read timeout.
    pub read_timeout_ms: Option<u64>,
    /// First product of `user-agent`, such as `OpenAI/Python`.
    pub user_agent: Option<Arc<str>>,
    /// `expect: 100-continue`.
    pub expect_continue: bool,
    /// `accept` names `text/event-stream`.
    pub accepts_events: bool,
}

/// What a server says about its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests allowed in the window.
    pub limit_requests: Option<u64>,
    /// Requests left.
    pub remaining_requests: Option<u64>,
    /// Until the requests are full again, in milliseconds.
    pub reset_requests_ms: Option<u64>,
    /// Tokens allowed in the window.
    pub limit_tokens: Option<u64>,
    /// Tokens left.
    pub remaining_tokens: Option<u64>,
    /// Until the tokens are full again, in milliseconds.
    pub reset_tokens_ms: Option<u64>,
}

/// What the fields of an answer say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFields {
    /// Length, kind and connection.
    pub message: Message,
    /// `retry-after-ms`, else `retry-after` in seconds, in milliseconds. A date is not read: it needs a wall clock.
    pub retry_after_ms: Option<u64>,
    /// Limits of this client at the server.
    pub rate_limit: RateLimit,
    /// First product of `server`.
    pub server: Option<Arc<str>>,
    /// `openai-processing-ms`: how long the server says it took, in milliseconds.
    pub processing_ms: Option<u64>,
    /// `x-envoy-upstream-service-time`: how long the server's upstream took, in milliseconds.
    pub upstream_ms: Option<u64>,
}

impl Message {
    /// Whether `name` is one of these fields; its value is then read.
    fn set(&mut self, name: &str, value: &[u8]) -> bool {
        match name {
            "content-length" => match content_length(value) {
                Some(length) if self.content_length.is_none_or(|known| known == length) && !self.unframed => {
                    self.content_length = Some(length);
                }
                _ => {
                    self.content_length = None;
                    self.unframed = true;
                }
            },
            "transfer-encoding" => {
                self.chunked = list(value).last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
                self.unframed |= !self.chunked;
            }
            "content-type" => self.content_type = content_type(value),
            "content-encoding" => {
                self.content_encoding = match self.content_encoding {
                    ContentEncoding::Identity => content_encoding(value),
                    _ => ContentEncoding::Other,
                };
            }
            "connection" => {
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            "upgrade" => self.upgrade = true,
            _ => return false,
        }
        true
    }
}

impl RequestFields {
    /// Reads one field; `name` in any case. Fields that are no facts are ignored.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let mut lower = [0; NAME_LIMIT];
        if let Some(name) = lower_case(name, &mut lower) {
            self.set_lower(name, value);
        }
    }

    /// The same, for a name in lower case.
    pub(crate) fn set_lower(&mut self, name: &str, value: &[u8]) {
        let value = value.trim_ascii();
        if self.message.set(name, value) {
            return;
        }
        match name {
            "traceparent" => self.traceparent = TraceParent::parse(value),
            "x-stainless-retry-count" => self.retry_count = number(value).and_then(|count| u32::try_from(count).ok()),
            "x-stainless-read-timeout" => self.read_timeout_ms = seconds_to_ms(value),
            "user-agent" => self.user_agent = product(value),
            "expect" => self.expect_continue = value.eq_ignore_ascii_case(b"100-continue"),
            "accept" => {
                self.accepts_events |= list(value).any(|kind| media_type(kind).eq_ignore_ascii_case(b"text/event-stream"));
            }
            _ => {}
        }
    }
}

impl ResponseFields {
    /// Reads one field; `name` in any case. Fields that are no facts are ignored.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let mut lower = [0; NAME_LIMIT];
        if let Some(name) = lower_case(name, &mut lower) {
            self.set_lower(name, value);
        }
    }

    /// The same, for a name in lower case.
    pub(crate) fn set_lower(&mut self, name: &str, value: &[u8]) {
        let value = value.trim_ascii();
        if self.message.set(name, value) || self.rate_limit.set(name, value) {
            return;
        }
        match name {
            // The field in milliseconds is the finer one, wherever it stands.
            "retry-after-ms" => self.retry_after_ms = decimal(value).map(|ms| ms as u64).or(self.retry_after_ms),
            "retry-after" => self.retry_after_ms = self.retry_after_ms.or_else(|| seconds_to_ms(value)),
            "server" => self.server = product(value),
            "openai-processing-ms" => self.processing_ms = number(value),
            "x-envoy-upstream-service-time" => self.upstream_ms = number(value),
            _ => {}
        }
    }
}

impl RateLimit {
    fn set(&mut self, name: &str, value: &[u8]) -> bool {
        let Some(rest) = name
            .strip_prefix("x-ratelimit")
            .or_else(|| name.strip_prefix("anthropic-ratelimit"))
            .or_else(|| name.strip_prefix("ratelimit"))
        else {
            return false;
        };
        match rest {
            "" => self.set_combined(value),
            // OpenAI says `-remaining-requests`, Anthropic `-requests-remaining`.
            "-limit-requests" | "-requests-limit" | "-limit" => self.limit_requests = first_number(value),
            "-remaining-requests" | "-requests-remaining" | "-remaining" => self.remaining_requests = first_number(value),
            "-limit-tokens" | "-tokens-limit" => self.limit_tokens = first_number(value),
            "-remaining-tokens" | "-tokens-remaining" => self.remaining_tokens = first_number(value),
            "-reset-requests" | "-requests-reset" => self.reset_requests_ms = duration_ms(value),
            "-reset-tokens" | "-tokens-reset" => self.reset_tokens_ms = duration_ms(value),
            // Seconds here; GitHub's `x-ratelimit-reset` is a date, told apart by its size.
            "-reset" => self.reset_requests_ms = seconds_to_ms(value),
            _ => {}
        }
        true
    }

    /// `ratelimit: "default";r=50;t=30`, or in older drafts `limit=100, remaining=50, reset=30`.
    fn set_combined(&mut self, value: &[u8]) {
        for part in value.split(|&byte| byte == b';' || byte == b',') {
            let Some(at) = part.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let (key, value) = (part[..at].trim_ascii(), part[at + 1..].trim_ascii());
            match key {
                b"limit" | b"q" => self.limit_requests = number(value),
                b"remaining" | b"r" => self.remaining_requests = number(value),
                b"reset" | b"t" => self.reset_requests_ms = seconds_to_ms(value),
                _ => {}
            }
        }
    }
}

impl TraceParent {
    /// Reads a `traceparent` value: `None` when it is invalid by W3C Trace Context.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (version, rest) = value.split_at_checked(2)?;
        let version = hex::<1>(version)?[0];
        // Version 00 has exactly these parts; later ones may append more.
        let fixed = match version {
            0xff => return None,
            0 if rest.len() != 53 => return None,
            _ if rest.len() > 53 && rest[53] != b'-' => return None,
            _ => rest.get(..53)?,
        };
        if fixed[0] != b'-' || fixed[33] != b'-' || fixed[50] != b'-' {
            return None;
        }
        let trace_id = hex::<16>(&fixed[1..33])?;
        let parent_id = hex::<8>(&fixed[34..50])?;
        let flags = hex::<1>(&fixed[51..53])?[0];
        (trace_id != [0; 16] && parent_id != [0; 8]).then_some(Self { trace_id, parent_id, sampled: flags & 1 == 1 })
    }
}

/// Longest field name that can be a fact.
const NAME_LIMIT: usize = 48;

fn lower_case<'a>(name: &str, buffer: &'a mut [u8; NAME_LIMIT]) -> Option<&'a str> {
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

/// Lower-case hexadecimal, as W3C asks for.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    (digits.len() == 2 * N).then_some(bytes)
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn media_type(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

fn content_type(value: &[u8]) -> ContentType {
    const LINES: [&[u8]; 4] = [b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonlines"];
    let kind = media_type(value);
    let is = |name: &[u8]| kind.eq_ignore_ascii_case(name);
    let is_of_json = || kind.last_chunk::<5>().is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"));
    match () {
        () if is(b"application/json") => ContentType::Json,
        () if is(b"text/event-stream") => ContentType::EventStream,
        () if LINES.into_iter().any(is) => ContentType::JsonLines,
        () if is_of_json() => ContentType::Json,
        () => ContentType::Other,
    }
}

fn content_encoding(value: &[u8]) -> ContentEncoding {
    match value.to_ascii_lowercase().as_slice() {
        b"" | b"identity" => ContentEncoding::Identity,
        b"gzip" | b"x-gzip" => ContentEncoding::Gzip,
        b"deflate" => ContentEncoding::Deflate,
        b"br" => ContentEncoding::Brotli,
        b"zstd" => ContentEncoding::Zstd,
        _ => ContentEncoding::Other,
    }
}

/// One length, or the same length several times (RFC 9110, 8.6).
fn content_length(value: &[u8]) -> Option<u64> {
    let mut lengths = list(value).map(number);
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

/// Decimal digits only.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// The number that a value begins with, as in `100, 100;w=60`.
fn first_number(value: &[u8]) -> Option<u64> {
    let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    number(&value[..end])
}

/// A plain decimal number that is not negative.
fn decimal(value: &[u8]) -> Option<f64> {
    if !value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Seconds, with a fraction or without, in milliseconds; `None` for words ("not given") and for dates.
fn seconds_to_ms(value: &[u8]) -> Option<u64> {
    /// A waiting time is shorter than ten years; a larger number is a date.
    const LONGEST: f64 = 3e8;
    decimal(value).filter(|seconds| *seconds < LONGEST).map(|seconds| (seconds * 1000.0).round() as u64)
}

/// `1s`, `6m0s`, `20ms`, `2m59.56s`, or plain seconds, in milliseconds; `None` for dates.
fn duration_ms(value: &[u8]) -> Option<u64> {
    if let Some(ms) = seconds_to_ms(value) {
        return Some(ms);
    }
    let mut rest = value;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let amount = decimal(&rest[..digits]).filter(|_| digits > 0)?;
        let unit = &rest[digits..];
        let unit = &unit[..unit.iter().position(u8::is_ascii_digit).unwrap_or(unit.len())];
        total += amount
            * match unit {
                b"ms" => 1.0,
                b"s" => 1e3,
                b"m" => 60e3,
                b"h" => 3600e3,
                b"d" => 86400e3,
                _ => return None,
            };
        rest = &rest[digits + unit.len()..];
    }
    (!value.is_empty()).then_some(total.round() as u64)
}

/// The first product's name, without its version (`OpenAI/Python 1.2` stays `OpenAI/Python`: a name with a slash is kept
/// unless a digit follows the slash).
fn product(value: &[u8]) -> Option<Arc<str>> {
    let first = value.split(|byte| *byte == b' ').next()?;
    let first = match first.iter().position(|&byte| byte == b'/') {
        Some(at) if first.get(at + 1).is_none_or(u8::is_ascii_digit) => &first[..at],
        _ => first,
    };
    let first = &first[..first.len().min(PRODUCT_LIMIT)];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(byte);
    if first.is_empty() || !first.iter().all(plain) {
        return None;
    }
    std::str::from_utf8(first).ok().map(Arc::from)
}

#[cfg(test)]
mod tests;
