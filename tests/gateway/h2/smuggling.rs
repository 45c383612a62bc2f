//! Requests over HTTP/2 that would become another, or two, by HTTP/1.1: one unambiguous request reaches the upstream, or nothing.

use crate::peer::Peer;
use crate::smuggling::strict;
use crate::through::{Through, pause};
use crate::wire::{End, Wire};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const SETTINGS: u8 = 4;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as it is, neither indexed nor compressed (RFC 7541, 6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127, "it fits into one byte of length");
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// The usual fields of a request to an authority, with some in other words.
pub(super) fn fields(authority: &str, changed: &[(&str, &str)]) -> Vec<u8> {
    let usual = [(":method", "POST"), (":scheme", "http"), (":authority", authority), (":path", "/")];
    let mut head = Vec::new();
    for (name, value) in usual {
        let value = changed.iter().find(|(changed, _)| *changed == name).map_or(value, |(_, value)| value);
        head.extend(field(name, value));
    }
    changed
        .iter()
        .filter(|(name, _)| !usual.iter().any(|(usual, _)| usual == name))
        .for_each(|(name, value)| head.extend(field(name, value)));
    head
}

/// Asks by these frames, given the gateway's authority; what reached the upstream, request by request.
#[track_caller]
fn reached(frames: impl Fn(&str) -> Vec<Vec<u8>>) -> Vec<(String, String)> {
    let peer = Peer::new(|wire: &mut Wire, _| {
        while wire.try_message(false).is_ok() {
            if wire.try_say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    for frame in frames(&through.address().to_string()) {
        // It may have had enough.
        let _over = client.try_say(frame);
    }
    pause(100);
    client.half_close();
    let (End::Closed(_) | End::Reset(_)) = client.rest();
    drop(client);
    through.finish();
    // What was broken off is no request.
    let whole = |up: String| if up.ends_with("\r\n\r\n") || !up.contains("transfer-encoding") { strict(&up) } else { Vec::new() };
    (0..peer.connections()).flat_map(|number| whole(peer.heard(number))).collect()
}

/// A request of this head and body.
fn posted(head: &[u8], body: &str) -> Vec<Vec<u8>> {
    vec![frame(HEADERS, END_HEADERS, 1, head), frame(DATA, END_STREAM, 1, body.as_bytes())]
}

const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// What reaches the upstream is this request with this body, or none.
#[track_caller]
fn at_most(changed: &[(&str, &str)], body: &str, start: &str) {
    let reached = reached(|own| posted(&fields(own, changed), body));
    assert!(reached.is_empty() || reached == [(start.to_owned(), body.to_owned())], "{changed:?} became {reached:?}");
}

#[track_caller]
fn refused(changed: &[(&str, &str)]) {
    let reached = reached(|own| posted(&fields(own, changed), SMUGGLED));
    assert!(reached.is_empty(), "{changed:?} became {reached:?}");
}

#[test]
fn the_frames_say_how_long_a_body_is() {
    // What passes as it is meant shows that what follows is refused for what it is.
    let plain = reached(|own| posted(&fields(own, &[]), "hi"));
    assert_eq!(plain, [("POST / HTTP/1.1".to_owned(), "hi".to_owned())]);
    at_most(&[("content-length", &SMUGGLED.len().to_string())], SMUGGLED, "POST / HTTP/1.1");
    at_most(&[], SMUGGLED, "POST / HTTP/1.1");
    // H2.CL and H2.TE.
    for length in ["0", "5", "999", "-1", "+5", "0x5", "5, 5", ""] {
        refused(&[("content-length", length)]);
    }
    refused(&[("content-length", "5"), ("content-length", "6")]);
    for coding in ["chunked", "identity", "x", "chunked, identity"] {
        refused(&[("transfer-encoding", coding)]);
        refused(&[("content-length", "0"), ("transfer-encoding", coding)]);
    }
}

#[test]
fn fields_that_would_be_others_by_http_1_1_are_refused() {
    for (name, value) in [
        ("x-one", "a\r\ntransfer-encoding: chunked"),
        ("x-one", "a\nb: c"),
        ("x-one", "a\rb"),
        ("x-one", "a\0b"),
        ("x-one\r\ntransfer-encoding", "chunked"),
        ("x-one: a\r\nx-two", "b"),
        ("x one", "a"),
        ("x-one:", "a"),
        ("Transfer-Encoding", "chunked"),
        ("X-Upper", "a"),
        ("", "a"),
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "websocket"),
        ("te", "chunked"),
        (":unknown", "a"),
        (":status", "200"),
    ] {
        refused(&[(name, value)]);
    }
}

#[test]
fn a_first_line_is_one_line() {
    for (name, value) in [
        (":method", "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET"),
        (":method", "GET /smuggled"),
        (":method", ""),
        (":path", "/ HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled"),
        (":path", "/a b"),
        (":path", "/a\tb"),
        (":path", "/a\r\nb: c"),
        (":path", ""),
        (":path", "smuggled"),
        (":authority", "a\r\nb: c"),
        (":authority", "a b"),
        (":scheme", "http://a/ HTTP/1.1\r\nhost: a\r\n\r\n"),
    ] {
        refused(&[(name, value)]);
    }
}

#[test]
fn fields_of_a_request_come_in_their_order_and_once() {
    let twice = |own: &str| posted(&[fields(own, &[]), field(":path", "/smuggled")].concat(), "hi");
    let behind = |own: &str| posted(&[field("x-one", "a"), fields(own, &[])].concat(), "hi");
    let hosts = |own: &str| posted(&[fields(own, &[]), field("host", "one"), field("host", "two")].concat(), "hi");
    for reached in [reached(twice), reached(behind), reached(hosts)] {
        assert!(reached.is_empty(), "{reached:?}");
    }
    // Trailers are none of the head's.
    let trailers = [field("content-length", "0"), field(":path", "/smuggled")].concat();
    let reached = reached(|own| {
        vec![
            frame(HEADERS, END_HEADERS, 1, &fields(own, &[])),
            frame(DATA, 0, 1, b"hi"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
        ]
    });
    assert!(reached.is_empty() || reached == [("POST / HTTP/1.1".to_owned(), "hi".to_owned())], "{reached:?}");
}
