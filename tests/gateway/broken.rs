//! Upstreams that close or reset, at every point of an exchange.

use crate::hop::Hop;
use crate::peer::Peer;
use crate::through::{Through, leading_to, wait_until};
use crate::wire::{End, PATIENCE};
use hopwatch::gateway::{Settings, UpstreamFailure};
use hopwatch::model::{FailedBy, Outcome, Phase};
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// What came of an exchange.
struct Broken {
    end: End,
    told: crate::hop::Told,
}

/// The upstream sends `first` of its answer, and once the client has `seen` of it, closes or resets.
#[track_caller]
fn broken(first: &'static str, seen: &str, resets: bool, failure: UpstreamFailure) -> Broken {
    let (got, turn) = channel::<()>();
    let turn = Mutex::new(turn);
    let peer = Peer::new(move |wire, _| {
        wire.message();
        wire.say(first);
        turn.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        if resets {
            crate::support::server::reset_on_close(wire.socket()).unwrap();
        }
    });
    let through = Through::with(Settings { failure, ..leading_to(peer.address()) });
    let mut client = through.client();
    client.say("POST /thing HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi");
    if !seen.is_empty() {
        client.until(seen);
    } else if !first.is_empty() {
        through.open("something of the answer is there", |span| span.call.as_ref().unwrap().bytes.received == first.len() as u64);
    } else {
        through.open("the request is sent", |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Wait));
    }
    got.send(()).unwrap();
    let end = client.rest();
    drop(client);
    Broken { end, told: through.finish() }
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
const CHUNK: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
const IN_CHUNK: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nhello";
const EVENT: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: hello\n\n";

#[test]
fn a_close_before_an_answer_is_a_close_for_the_client() {
    let Broken { end, told } = broken("", "", false, UpstreamFailure::Close);
    assert_eq!(end, End::Closed(Vec::new()));
    told.hop().ended(Outcome::Reset, FailedBy::Peer).status(None).last(Phase::Wait);
}

#[test]
fn a_reset_before_an_answer_is_a_reset_for_the_client() {
    let Broken { end, told } = broken("", "", true, UpstreamFailure::Close);
    assert_eq!(end, End::Reset(Vec::new()));
    let hop = told.hop().ended(Outcome::Reset, FailedBy::Peer).status(None).last(Phase::Wait);
    assert_eq!(hop.call().errno, Some(libc::ECONNRESET), "{hop:?}");
}

#[test]
fn an_end_within_the_head_is_an_end_for_the_client() {
    let head = "HTTP/1.1 200 OK\r\ncontent-le";
    let Broken { end, told } = broken(head, "", false, UpstreamFailure::Close);
    assert_eq!(end, End::Closed(Vec::new()));
    told.hop().ended(Outcome::Body, FailedBy::Peer).status(None);
    let Broken { end, told } = broken(head, "", true, UpstreamFailure::Close);
    assert_eq!(end, End::Reset(Vec::new()));
    told.hop().ended(Outcome::Reset, FailedBy::Peer).status(None);
}

#[test]
fn where_it_is_asked_for_an_end_before_an_answer_is_a_502_that_says_why() {
    for (first, resets) in [("", false), ("", true), ("HTTP/1.1 200 OK\r\ncontent-le", false)] {
        let Broken { end, told } = broken(first, "", resets, UpstreamFailure::Answer);
        let End::Closed(bytes) = end else { panic!("{end:?}") };
        let answer = String::from_utf8(bytes).unwrap();
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhopwatch: the upstream closed the connection before an answer\n"), "{answer}");
        let hop = told.hop().status(None);
        assert_eq!(hop.call().failed_by, Some(FailedBy::Peer), "{hop:?}");
    }
}

/// All that came before the end arrives, and then the same end.
#[track_caller]
fn within_the_body(first: &'static str, seen: &str, check: impl Fn(Hop<'_>)) {
    for resets in [false, true] {
        let Broken { end, told } = broken(first, seen, resets, UpstreamFailure::Close);
        assert_eq!(end, if resets { End::Reset(Vec::new()) } else { End::Closed(Vec::new()) }, "{first}");
        let outcome = if resets { Outcome::Reset } else { Outcome::Body };
        check(told.hop().ended(outcome, FailedBy::Peer).status(Some(200)));
    }
}

#[test]
fn an_end_within_a_body_of_known_length_is_an_end_for_the_client() {
    within_the_body(LENGTH, "hello", |hop| _ = hop.last(Phase::Stream));
}

#[test]
fn an_end_between_chunks_is_an_end_for_the_client() {
    within_the_body(CHUNK, "5\r\nhello\r\n", |hop| _ = hop.last(Phase::Stream));
}

#[test]
fn an_end_within_a_chunk_is_an_end_for_the_client() {
    within_the_body(IN_CHUNK, "5\r\nhello\r\n", |hop| _ = hop.last(Phase::Stream));
}

#[test]
fn a_body_without_a_length_ends_with_its_connection_and_may_be_reset() {
    let Broken { end, told } = broken(EVENT, "data: hello\n\n\r\n", false, UpstreamFailure::Close);
    // To the client it is chunked, and whole.
    assert_eq!(end, End::Closed(b"0\r\n\r\n".to_vec()));
    told.hop().ok(200);
    let Broken { end, told } = broken(EVENT, "data: hello\n\n\r\n", true, UpstreamFailure::Close);
    assert_eq!(end, End::Reset(Vec::new()));
    told.hop().ended(Outcome::Reset, FailedBy::Peer).status(Some(200));
}

#[test]
fn what_came_together_with_the_end_is_not_lost() {
    for (first, body) in [(LENGTH, "hello"), (CHUNK, "5\r\nhello\r\n"), (IN_CHUNK, "5\r\nhello\r\n")] {
        let peer = Peer::new(move |wire, _| {
            wire.message();
            wire.say(first);
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        client.say("GET / HTTP/1.1\r\nhost: gateway\r\n\r\n");
        let End::Closed(bytes) = client.rest() else { panic!("a reset") };
        let answer = String::from_utf8(bytes).unwrap();
        assert!(answer.ends_with(body), "{first:?} became {answer:?}");
        drop(client);
        through.finish().hop().ended(Outcome::Body, FailedBy::Peer).status(Some(200));
    }
}

#[test]
fn a_long_body_that_is_cut_arrives_up_to_the_cut_at_a_client_that_reads_slowly() {
    const SENT: usize = 12 << 20;
    for resets in [false, true] {
        let peer = Peer::new(move |wire, _| {
            wire.message();
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", SENT + 1));
            wire.say(vec![b'x'; SENT]);
            if resets {
                // What is still on its way would be lost with it.
                wait_until("all has arrived", || wire.unsent() == 0);
                crate::support::server::reset_on_close(wire.socket()).unwrap();
            }
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        // So that most of what is on its way is the gateway's.
        socket2::SockRef::from(client.socket()).set_recv_buffer_size(32 << 10).unwrap();
        client.say("GET / HTTP/1.1\r\nhost: gateway\r\n\r\n");
        client.until("\r\n\r\n");
        crate::through::pause(500);
        let rest = match client.rest() {
            End::Closed(rest) if !resets => rest,
            End::Reset(rest) if resets => rest,
            End::Closed(rest) | End::Reset(rest) => panic!("another end after {} bytes; reset: {resets}", rest.len()),
        };
        assert_eq!(rest.len(), SENT, "reset: {resets}");
        drop(client);
        let outcome = if resets { Outcome::Reset } else { Outcome::Body };
        through.finish().hop().ended(outcome, FailedBy::Peer).status(Some(200));
    }
}

#[test]
fn a_broken_chunk_is_no_whole_body() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nnonsense");
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say("GET / HTTP/1.1\r\nhost: gateway\r\n\r\n");
    let End::Closed(bytes) = client.rest() else { panic!("a reset") };
    assert!(String::from_utf8(bytes).unwrap().ends_with("5\r\nhello\r\n"));
    drop(client);
    through.finish().hop().ended(Outcome::Body, FailedBy::Peer).status(Some(200));
}

#[test]
fn what_is_no_http_is_a_502_that_says_so_whatever_is_asked_for() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let peer = Peer::new(move |wire, _| {
            wire.message();
            wire.say(garbage);
            wire.rest();
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        let answer = client.get("/");
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (502, "hopwatch: the upstream's answer is no HTTP\n"),
            "{garbage:?}"
        );
        drop(client);
        let told = through.finish();
        told.hop().ended(Outcome::Error, FailedBy::Peer).error("invalid_response").status(None);
    }
}
