//! Clients that leave, in each phase: what was done for them is undone at once, and told as theirs.

use crate::peer::Peer;
use crate::support::peers::{Mute, Unanswered};
use crate::through::{Through, leading_to, pause, route, settings, wait_until};
use crate::wire::{End, Wire};
use hopwatch::gateway::{Limits, Routes, Settings};
use hopwatch::model::{FailedBy, Outcome, Phase, Span};

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Closing,
    Resetting,
}

impl Leaves {
    const BOTH: [Self; 2] = [Self::Closing, Self::Resetting];

    fn leave(self, client: Wire) {
        match self {
            Self::Closing => drop(client),
            Self::Resetting => client.reset(),
        }
    }
}

const GET: &str = "GET /thing HTTP/1.1\r\nhost: gateway\r\n\r\n";
const POST: &str = "POST /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 12\r\n\r\nhello, there";

fn phase(span: &Span) -> Option<Phase> {
    span.call.as_ref()?.timeline.last_phase()
}

/// Asks, leaves once the call is in a phase, and has a look at what was told.
#[track_caller]
fn leaves_in(through: Through, request: impl AsRef<[u8]>, last: Phase, leaves: Leaves) {
    let mut client = through.client();
    client.say(request);
    through.open("in its phase", |span| phase(span) == Some(last));
    pause(300);
    leaves.leave(client);
    let told = through.finish();
    let hop = told.hop().ended(Outcome::Timeout, FailedBy::Caller).last(last).status(None);
    let gave_up = hop.call().gave_up_after.unwrap();
    // Where only a look at the client's socket tells, it takes some rounds.
    assert!((300_000_000..3_000_000_000).contains(&gave_up), "gave up after {gave_up}: {hop:?}");
    assert!(hop.phase(last) < 3_000.0, "{hop:?}");
}

#[test]
fn while_a_connect_is_not_answered() {
    for (request, leaves) in
        [(GET, Leaves::Closing), (POST, Leaves::Closing), (GET, Leaves::Resetting), (POST, Leaves::Resetting)]
    {
        let peer = Unanswered::new();
        leaves_in(Through::to(peer.address()), request, Phase::Connect, leaves);
    }
}

#[test]
fn while_a_handshake_stalls() {
    for (request, leaves) in
        [(GET, Leaves::Closing), (POST, Leaves::Closing), (GET, Leaves::Resetting), (POST, Leaves::Resetting)]
    {
        let peer = Mute::new();
        let routes = Routes::new([route("/", &format!("https://{}", peer.address()))]);
        leaves_in(Through::with(Settings { routes, ..settings() }), request, Phase::Tls, leaves);
    }
}

#[test]
fn while_it_waits_for_an_answer() {
    for (request, leaves) in
        [(GET, Leaves::Closing), (POST, Leaves::Closing), (GET, Leaves::Resetting), (POST, Leaves::Resetting)]
    {
        let peer = Peer::new(|wire, _| {
            wire.message();
            assert_eq!(wire.rest(), End::Closed(Vec::new()));
        });
        leaves_in(Through::to(peer.address()), request, Phase::Wait, leaves);
        wait_until("its upstream connection is closed", || peer.open() == 0);
    }
}

#[test]
fn while_it_waits_for_a_connection() {
    for request in [GET, POST] {
        for leaves in Leaves::BOTH {
            let peer = Peer::new(|wire, _| {
                wire.message();
                wire.rest();
            });
            let limits = Limits { max_upstream_connections: 1, ..Limits::default() };
            let through = Through::with(Settings { limits, ..leading_to(peer.address()) });
            let mut first = through.client();
            first.say("GET /first HTTP/1.1\r\nhost: gateway\r\n\r\n");
            through.open("the first one is sent", |span| phase(span) == Some(Phase::Wait));
            let mut second = through.client();
            second.say(request);
            through.open("the second one waits", |span| phase(span) == Some(Phase::Pool));
            pause(300);
            leaves.leave(second);
            wait_until("the second one is over", || through.view.losses().open == 1);
            assert_eq!(peer.connections(), 1);
            drop(first);
            let told = through.finish();
            let hop = told.hops()[1].ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Pool).took(Phase::Pool, 300.0);
            assert!(hop.call().attempts[0].connection.is_none(), "{hop:?}");
        }
    }
}

#[test]
fn with_a_body_that_the_upstream_does_not_read() {
    for leaves in Leaves::BOTH {
        let peer = Peer::new(|wire, _| {
            wire.until("\r\n\r\n");
            pause(5_000);
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        client.say("POST /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 100000000\r\n\r\n");
        // As much as goes: then all buffers on the way are full.
        client.socket().set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while client.try_say([b'x'; 64 << 10]).is_ok() {
            sent += 64 << 10;
            assert!(sent < 90_000_000, "it is not held back");
        }
        through.open("in its phase", |span| phase(span) == Some(Phase::Send));
        leaves.leave(client);
        let told = through.finish();
        let hop = told.hop().ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Send).status(None);
        assert!(hop.phase(Phase::Send) < 4_000.0, "it was not noticed before the upstream ended: {hop:?}");
    }
}

#[test]
fn in_mid_body() {
    for leaves in Leaves::BOTH {
        for part in ["hel", ""] {
            let peer = Peer::new(|wire, _| {
                wire.until("\r\n\r\n");
                assert_eq!(wire.rest(), End::Closed(part.into()));
            });
            let through = Through::to(peer.address());
            let mut client = through.client();
            client.say(format!("POST /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 12\r\n\r\n{part}"));
            through.open("a part is sent", |span| phase(span) == Some(Phase::Send) && span.call.as_ref().unwrap().bytes.sent > 0);
            pause(300);
            leaves.leave(client);
            wait_until("its upstream connection is closed", || peer.open() == 0);
            through.finish().hop().ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Send).status(None);
        }
    }
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENT: &str = "9\r\ndata: a\n\n\r\n";

#[test]
fn between_the_head_of_a_stream_and_its_first_content() {
    for leaves in Leaves::BOTH {
        let peer = Peer::new(|wire, _| {
            wire.message();
            wire.say(EVENTS);
            wire.rest();
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        client.say(GET);
        client.until("\r\n\r\n");
        pause(1_300);
        leaves.leave(client);
        let told = through.finish();
        let hop = told.hop().ended(Outcome::Timeout, FailedBy::Caller).status(Some(200)).last(Phase::FirstToken);
        hop.took(Phase::FirstToken, 1_300.0);
        wait_until("its upstream connection is closed", || peer.open() == 0);
    }
}

#[test]
fn in_a_stream_that_stands_still() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say(EVENTS);
        for _ in 0..5 {
            wire.say(EVENT);
            pause(20);
        }
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(GET);
    for _ in 0..5 {
        client.until("\n\n\r\n");
    }
    pause(1_500);
    drop(client);
    through.finish().hop().ended(Outcome::Timeout, FailedBy::Caller).status(Some(200)).took(Phase::Stream, 1_400.0);
}

#[test]
fn in_a_stream_that_moves() {
    for leaves in Leaves::BOTH {
        let peer = Peer::new(|wire, _| {
            wire.message();
            drop(wire.try_say(EVENTS));
            while wire.try_say(EVENT).is_ok() {
                pause(20);
            }
        });
        let through = Through::to(peer.address());
        let mut client = through.client();
        client.say(GET);
        for _ in 0..10 {
            client.until("\n\n\r\n");
        }
        leaves.leave(client);
        through.finish().hop().ended(Outcome::Cancelled, FailedBy::Caller).status(Some(200)).last(Phase::Stream);
        wait_until("its upstream connection is closed", || peer.open() == 0);
    }
}

#[test]
fn by_a_half_close_which_cannot_be_told_from_leaving() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.rest();
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(GET);
    through.open("it is sent", |span| phase(span) == Some(Phase::Wait));
    client.half_close();
    assert_eq!(client.rest(), End::Closed(Vec::new()));
    drop(client);
    through.finish().hop().ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Wait);
}

#[test]
fn with_something_unread_a_client_that_closes_resets() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        drop(wire.try_say(EVENTS));
        while wire.try_say(EVENT).is_ok() {
            pause(5);
        }
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(GET);
    through.open("a stream", |span| phase(span) == Some(Phase::Stream));
    pause(100);
    drop(client);
    let told = through.finish();
    let hop = told.hop().status(Some(200));
    assert_eq!(hop.call().failed_by, Some(FailedBy::Caller), "{hop:?}");
    wait_until("its upstream connection is closed", || peer.open() == 0);
}
