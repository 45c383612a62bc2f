//! Frames by which a client of HTTP/2 would keep the gateway busy: it is let go, and others are served.

use super::smuggling::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, field, fields, frame};
use crate::peer::Peer;
use crate::through::Through;
use crate::wire::{End, Wire};

const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// Far more than anyone bears.
const MANY: usize = 200_000;

/// Sends frames, which are told their number and the gateway's authority, until the gateway has had enough of them, or to the last one
/// where it need not.
#[track_caller]
fn floods(what: &str, ends: bool, begin: impl Fn(&str) -> Vec<u8>, next: impl Fn(usize, &str) -> Vec<u8>) {
    let peer = Peer::new(|wire: &mut Wire, _| {
        while wire.try_message(false).is_ok() {
            if wire.try_say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    });
    let through = Through::to(peer.address());
    let own = through.address().to_string();
    let mut other = through.client();
    let mut client = through.client();
    client.say([PREFACE, &frame(SETTINGS, 0, 0, &[]), &begin(&own)].concat());
    let mut ended = false;
    for batch in 0..MANY / 100 {
        let frames: Vec<u8> = (batch * 100..(batch + 1) * 100).flat_map(|number| next(number, &own)).collect();
        if client.try_say(frames).is_err() {
            ended = true;
            break;
        }
        if batch % 100 == 0 {
            assert_eq!(other.get("/other").text(), "ok", "{what}");
        }
    }
    if !ended {
        client.half_close();
        // All is answered that has an answer, or it is told why not.
        let (End::Closed(said) | End::Reset(said)) = client.rest();
        assert!(said.len() <= MANY * 17 + 1_000, "{what}: {} bytes are said", said.len());
    }
    assert_eq!(ended, ends, "{what}");
    assert_eq!(other.get("/other").text(), "ok", "{what}");
    drop((client, other));
    through.finish();
}

/// Odd numbers, as clients have them.
fn stream(number: usize) -> u32 {
    u32::try_from(number * 2 + 1).unwrap()
}

#[test]
fn streams_that_are_reset_as_fast_as_they_are_opened_end_the_connection() {
    floods(
        "rapid reset",
        true,
        |_| Vec::new(),
        |number, own| {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &fields(own, &[(":method", "GET")]));
            [open, frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes())].concat()
        },
    );
}

#[test]
fn a_head_that_goes_on_and_on_ends_the_connection() {
    let first = |own: &str| frame(HEADERS, 0, 1, &fields(own, &[]));
    floods("continuations", true, first, |number, _| frame(CONTINUATION, 0, 1, &field("x-field", &format!("{number:0100}"))));
    floods("empty continuations", true, first, |_, _| frame(CONTINUATION, 0, 1, &[]));
}

#[test]
fn a_head_that_is_small_on_the_wire_alone_is_refused() {
    // A field of 4,000 bytes goes into the dynamic table once (RFC 7541, 6.2.1), and is named a thousand times by one byte.
    let long = [&[0x40, 6][..], b"x-long", &[0x7f, 0xa1, 0x1e], &[b'x'; 4_000]].concat();
    let head = |own: &str| [fields(own, &[(":method", "GET")]), long.clone(), vec![0xbe; 1_000]].concat();
    floods(
        "one byte for a field",
        true,
        |_| Vec::new(),
        |number, own| {
            let head = if number == 0 { head(own) } else { [fields(own, &[]), vec![0xbe; 1_000]].concat() };
            frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &head)
        },
    );
}

#[test]
fn frames_that_say_nothing_are_answered_or_end_the_connection() {
    let open = |own: &str| frame(HEADERS, END_HEADERS, 1, &fields(own, &[]));
    floods("empty data", true, open, |_, _| frame(DATA, 0, 1, &[]));
    floods("settings", false, |_| Vec::new(), |_, _| frame(SETTINGS, 0, 0, &[]));
    floods("pings", false, |_| Vec::new(), |_, _| frame(PING, 0, 0, &[0; 8]));
}
