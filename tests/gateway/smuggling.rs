//! Requests whose end two readers would see in two places: one unambiguous request reaches the upstream, or nothing.

use crate::peer::Peer;
use crate::through::Through;
use crate::wire::{End, Wire};

/// What the upstream got, as a strict reader takes it: its requests, each with its body.
#[track_caller]
pub(crate) fn strict(up: &str) -> Vec<(String, String)> {
    let mut rest = up;
    let mut requests = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("half a head: {rest:?} in {up:?}"));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap();
        assert_eq!(start.split(' ').count(), 3, "{up:?}");
        let (mut length, mut chunked, mut hosts) = (None, false, 0);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?} in {up:?}"));
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{up:?}");
            assert!(!value.contains(['\r', '\n', '\0']), "{up:?}");
            match name.to_ascii_lowercase().as_str() {
                "content-length" => assert!(length.replace(value.parse::<usize>().unwrap()).is_none(), "two lengths: {up:?}"),
                "transfer-encoding" => {
                    assert!(value == "chunked" && !chunked, "{up:?}");
                    chunked = true;
                }
                "host" => hosts += 1,
                _ => {}
            }
        }
        assert!(hosts == 1 && !(chunked && length.is_some()), "{up:?}");
        let (body, next) = if chunked { unchunked(after) } else { after.split_at(length.unwrap_or(0)).owned() };
        requests.push((start.to_owned(), body));
        rest = &after[after.len() - next..];
    }
    requests
}

trait Owned {
    fn owned(self) -> (String, usize);
}

impl Owned for (&str, &str) {
    /// The first part, and the length of the second.
    fn owned(self) -> (String, usize) {
        (self.0.to_owned(), self.1.len())
    }
}

/// A chunked body, and how much follows it.
#[track_caller]
fn unchunked(mut rest: &str) -> (String, usize) {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap_or_else(|| panic!("no size: {rest:?}"));
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no size: {size:?}"));
        let (chunk, after) = after.split_at(size);
        rest = after.strip_prefix("\r\n").unwrap_or_else(|| panic!("no end of a chunk: {after:?}"));
        if size == 0 {
            return (body, rest.len());
        }
        body.push_str(chunk);
    }
}

/// Sends bytes and reads whatever comes back; what reached the upstream, request by request.
#[track_caller]
fn reached(bytes: &str) -> Vec<(String, String)> {
    let peer = Peer::new(|wire: &mut Wire, _| {
        // Takes all that comes, as it comes.
        while wire.try_message(false).is_ok() {
            if wire.try_say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(bytes);
    crate::through::pause(100);
    client.half_close();
    let (End::Closed(_) | End::Reset(_)) = client.rest();
    drop(client);
    through.finish();
    (0..peer.connections()).flat_map(|number| strict(&peer.heard(number))).collect()
}

/// The only request that may come of it, with its body; it need not.
#[track_caller]
fn at_most(bytes: &str, start: &str, body: &str) {
    let reached = reached(bytes);
    let may = [(start.to_owned(), body.to_owned())];
    assert!(reached.is_empty() || reached == may, "{bytes:?} became {reached:?}");
}

/// Nothing may come of it.
#[track_caller]
fn refused(bytes: &str) {
    let reached = reached(bytes);
    assert!(reached.is_empty(), "{bytes:?} became {reached:?}");
}

const POST: &str = "POST / HTTP/1.1\r\nhost: gateway\r\n";
const START: &str = "POST / HTTP/1.1";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: gateway\r\n\r\n";

#[test]
fn a_length_beside_chunks_does_not_count() {
    let length = 5 + SMUGGLED.len();
    // CL.TE: who goes by the length takes what follows for the body.
    at_most(&format!("{POST}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"), START, "");
    // TE.CL: who goes by the length takes the end of the chunks for a request.
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    at_most(&format!("{POST}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n{chunk}"), START, SMUGGLED);
    at_most(&format!("{POST}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"), START, SMUGGLED);
}

#[test]
fn encodings_that_are_not_plainly_chunked_are_refused() {
    for encoding in [
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding:\u{a0}chunked",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        " transfer-encoding: chunked",
        "x: y\r\n transfer-encoding: chunked",
        "transfer-encoding:\r\n chunked",
        "transfer\0-encoding: chunked",
    ] {
        refused(&format!("{POST}content-length: 4\r\n{encoding}\r\n\r\n0\r\n\r\n{SMUGGLED}"));
        refused(&format!("{POST}{encoding}\r\n\r\n0\r\n\r\n{SMUGGLED}"));
    }
    // Chunks of a version that knows none.
    refused(&format!("POST / HTTP/1.0\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"));
}

#[test]
fn lengths_that_are_no_one_number_are_refused() {
    for length in [
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2, 3",
        "content-length: 2,2",
        "content-length: +2",
        "content-length: -2",
        "content-length: 0x2",
        "content-length: 2 2",
        "content-length: 2_0",
        "content-length:",
        "content-length: two",
        "content-length: 99999999999999999999999999",
        "content-length : 2",
        "content-length\t: 2",
        " content-length: 2",
    ] {
        refused(&format!("{POST}{length}\r\n\r\nhi{SMUGGLED}"));
    }
    // Said twice alike it is one number.
    let twice = reached(&format!("{POST}content-length: 2\r\ncontent-length: 2\r\n\r\nhi"));
    assert!(twice.is_empty() || twice == [(START.to_owned(), "hi".to_owned())], "{twice:?}");
}

#[test]
fn sizes_of_chunks_that_are_no_numbers_end_the_request() {
    for chunk in ["0x5\r\nhello\r\n", "-5\r\nhello\r\n", "+5\r\nhello\r\n", "5 5\r\nhello\r\n", "\r\nhello\r\n", "g\r\nhello\r\n"]
    {
        broken_off(chunk);
    }
    broken_off("fffffffffffffffff\r\nhello\r\n");
    // Ends that are none.
    broken_off("5\r\nhelloX\r\n");
    broken_off("5\r\nhello\n");
    broken_off("5\nhello\r\n");
    broken_off("5\rhello\r\n");
    broken_off("5;a=\"\n\"\r\nhello\r\n");
}

/// A chunk by which no whole request reaches the upstream, and nothing of what follows.
#[track_caller]
fn broken_off(chunk: &str) {
    let peer = Peer::new(|wire: &mut Wire, _| {
        if wire.try_message(false).is_ok() {
            drop(wire.try_say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
        }
        drop(wire.try_until(b"never"));
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(format!("{POST}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n{SMUGGLED}"));
    let (End::Closed(answer) | End::Reset(answer)) = client.rest();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
    drop(client);
    let told = through.finish();
    told.hop().ended(hopwatch::model::Outcome::Error, hopwatch::model::FailedBy::Caller).error("invalid_request");
    for number in 0..peer.connections() {
        let up = peer.heard(number);
        assert!(!up.contains("smuggled") && !up.ends_with("0\r\n\r\n"), "{chunk:?} became {up:?}");
    }
}

#[test]
fn extensions_of_chunks_do_not_pass() {
    at_most(&format!("{POST}transfer-encoding: chunked\r\n\r\n5;x=\"a b\"\r\nhello\r\n0;y\r\n\r\n"), START, "hello");
}

#[test]
fn bare_line_feeds_and_folds_make_no_second_meaning() {
    at_most("GET / HTTP/1.1\nhost: gateway\nx-one: 1\n\n", "GET / HTTP/1.1", "");
    at_most("GET / HTTP/1.1\r\nhost: gateway\r\nx-one: 1\n\r\n", "GET / HTTP/1.1", "");
    for field in ["x-one: a\r\n b", "x-one: a\rb: c", "x-one: a\0b", "x one: a", "x-one\r\n: a", ": a", "x-one", "x(one): a"] {
        refused(&format!("GET / HTTP/1.1\r\nhost: gateway\r\n{field}\r\n\r\n"));
    }
    refused("GET / HTTP/1.1\r\n x-one: a\r\nhost: gateway\r\n\r\n");
    refused("GET /a b HTTP/1.1\r\nhost: gateway\r\n\r\n");
    refused("GET /a\tb HTTP/1.1\r\nhost: gateway\r\n\r\n");
    refused("GE(T / HTTP/1.1\r\nhost: gateway\r\n\r\n");
}

#[test]
fn a_field_that_the_connection_names_cannot_take_the_framing_away() {
    for named in ["content-length", "transfer-encoding", "host", "content-length, transfer-encoding, host"] {
        at_most(&format!("{POST}connection: {named}\r\ncontent-length: 2\r\n\r\nhi"), START, "hi");
        at_most(&format!("{POST}connection: {named}\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), START, "hi");
    }
}

#[test]
fn a_body_where_none_is_usual_stays_a_body() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let start = format!("{method} / HTTP/1.1");
        let length = SMUGGLED.len();
        at_most(&format!("{start}\r\nhost: gateway\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"), &start, SMUGGLED);
    }
}

#[test]
fn two_hosts_do_not_pass() {
    refused("GET / HTTP/1.1\r\nhost: one\r\nhost: two\r\n\r\n");
    refused("GET / HTTP/1.1\r\nhost: one\r\nhost: one\r\n\r\n");
}

/// What a client gets of this answer, and of the next request on its connection.
#[track_caller]
fn answered(answer: &'static str) -> Vec<u8> {
    let peer = Peer::new(move |wire: &mut Wire, number| {
        let answer = if number == 0 { answer } else { "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext" };
        while wire.try_message(false).is_ok() {
            if wire.try_say(answer).is_err() {
                return;
            }
        }
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    // Whatever comes for the first, the second is answered by another connection, or not at all.
    client.say("GET /first HTTP/1.1\r\nhost: gateway\r\n\r\nGET /second HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    let (End::Closed(bytes) | End::Reset(bytes)) = client.rest();
    drop(client);
    through.finish();
    bytes
}

#[test]
fn an_answer_whose_end_is_in_doubt_becomes_one_whose_end_is_not() {
    const SECOND: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let leak = |text: String| -> &'static str { text.leak() };
    let chunk = format!("{:x}\r\n{SECOND}\r\n0\r\n\r\n", SECOND.len());
    for answer in [
        leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n{chunk}")),
        leak(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n{chunk}")),
        leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok{SECOND}")),
        leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok{SECOND}")),
        leak(format!("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok{SECOND}")),
        leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{SECOND}")),
        leak(format!("HTTP/1.1 204 No Content\r\ncontent-length: {}\r\n\r\n{SECOND}", SECOND.len())),
        leak(format!("HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n{chunk}")),
        leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-one: a\r\n b\r\n\r\nok{SECOND}")),
        leak(format!("HTTP/1.1 200 OK\r\nx-one: a\nx-two: b\r\ncontent-length: 2\r\n\r\nok{SECOND}")),
        leak(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n{chunk}")),
    ] {
        let got = answered(answer);
        let text = String::from_utf8_lossy(&got).into_owned();
        // As a strict client reads it: the answers, one by one.
        let mut wire = Read(&text);
        let first = wire.answer();
        assert!(first.is_some() || text.is_empty(), "{answer:?} became {text:?}");
        if let Some(second) = wire.answer() {
            assert!(matches!(second.as_str(), "next" | "ok" | "") || second.contains("hopwatch"), "{answer:?} became {text:?}");
        }
        assert!(wire.0.is_empty(), "{answer:?} became {text:?}");
    }
}

/// Reads answers strictly.
struct Read<'a>(&'a str);

impl Read<'_> {
    /// The next one's body; `None` = there is none, or not all of it.
    #[track_caller]
    fn answer(&mut self) -> Option<String> {
        let (head, after) = self.0.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 "), "{:?}", self.0);
        let fields: Vec<(&str, &str)> = head.split("\r\n").skip(1).map(|line| line.split_once(": ").unwrap()).collect();
        let of = |name: &str| fields.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value).collect::<Vec<_>>();
        let (lengths, codings) = (of("content-length"), of("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1 && !head.contains(['\0']), "{head:?}");
        assert!(fields.iter().all(|(_, value)| !value.contains(['\r', '\n'])), "{head:?}");
        if head.starts_with("HTTP/1.1 204") || head.starts_with("HTTP/1.1 304") {
            self.0 = after;
            return Some(String::new());
        }
        let (body, rest) = match (lengths.first(), codings.first()) {
            (Some(length), _) => after.split_at_checked(length.parse().unwrap())?,
            (None, Some(coding)) => {
                assert_eq!(*coding, "chunked", "{head:?}");
                let (body, rest) = unchunked(after);
                self.0 = &after[after.len() - rest..];
                return Some(body);
            }
            (None, None) => (after, ""),
        };
        self.0 = rest;
        Some(body.to_owned())
    }
}
