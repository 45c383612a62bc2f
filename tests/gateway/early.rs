//! Answers that come while their request is still on its way.

use crate::peer::Peer;
use crate::through::Through;
use hopwatch::model::{FailedBy, Outcome};

const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 9\r\n\r\ntoo large";
const LENGTH: usize = 20 << 20;

/// A client that sends all of its body and only then reads.
#[track_caller]
fn uploads_then_reads(peer: &Peer) {
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(format!("POST /up HTTP/1.1\r\nhost: gateway\r\ncontent-length: {LENGTH}\r\n\r\n"));
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..LENGTH / piece.len() {
        // An upstream that closes may end it.
        if client.try_say(&piece).is_err() {
            break;
        }
    }
    let answer = client.message();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "too large"));
    drop(client);
    let told = through.finish();
    told.hop().ended(Outcome::ClientError, FailedBy::Peer).status(Some(413));
}

#[test]
fn an_upstream_that_answers_early_and_reads_on() {
    let peer = Peer::new(|wire, _| {
        wire.until("\r\n\r\n");
        wire.say(TOO_LARGE);
        // As servers do that want their answer to arrive.
        drop(wire.try_exactly(LENGTH));
    });
    uploads_then_reads(&peer);
}

#[test]
fn an_upstream_that_answers_early_and_closes_its_side() {
    let peer = Peer::new(|wire, _| {
        wire.until("\r\n\r\n");
        wire.say(TOO_LARGE);
        wire.half_close();
        drop(wire.try_exactly(LENGTH));
    });
    uploads_then_reads(&peer);
}

#[test]
fn an_upstream_that_answers_early_and_goes() {
    let peer = Peer::new(|wire, _| {
        wire.until("\r\n\r\n");
        wire.say(TOO_LARGE);
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(format!("POST /up HTTP/1.1\r\nhost: gateway\r\ncontent-length: {LENGTH}\r\n\r\n"));
    client.say(vec![b'x'; 64 << 10]);
    let answer = client.message();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "too large"));
    drop(client);
    through.finish().hop().ended(Outcome::ClientError, FailedBy::Peer).status(Some(413));
}
