//! How upstreams of HTTP/2 end streams and connections, told apart; what they did not begin is sent once more.

use super::client::{Client, request, reset, whole};
use super::downstream::tests;
use super::server::{Frames, Rules, Server};
use super::upstream::known;
use crate::peer::Peer;
use crate::through::Through;
use h2::Reason;
use hopwatch::model::ConnectionState::{New, Reused};
use hopwatch::model::{FailedBy, Outcome, Phase};
use http::Method;

/// What a client gets for a GET, and what is told of it.
async fn asked(through: &Through, target: &str) -> Result<u16, Reason> {
    let client = Client::to(through.address()).await;
    match client.get(target).await {
        Ok(answer) => Ok(answer.status.as_u16()),
        answer => Err(reset(answer)),
    }
}

tests! {
    async fn resets_of_a_stream_are_told_apart_and_passed_on() {
        for (path, reason, outcome, code) in [
            ("/reset/cancel", Reason::CANCEL, Outcome::Reset, "stream_reset"),
            ("/reset/internal", Reason::INTERNAL_ERROR, Outcome::Reset, "stream_reset"),
            ("/reset/calm", Reason::ENHANCE_YOUR_CALM, Outcome::RateLimited, "enhance_your_calm"),
        ] {
            let server = Server::start(Rules::default()).await;
            let through = Through::with(known(server.address));
            assert_eq!(asked(&through, path).await, Err(reason), "{path}");
            // Its connection is as good as before.
            assert_eq!(asked(&through, "/thing").await, Ok(200));
            let told = through.finish();
            told.hops()[0].ended(outcome, FailedBy::Peer).error(code).status(None).connections(&[New]);
            told.hops()[1].ok(200).connections(&[Reused]);
            assert_eq!(server.connections(), 1);
        }
    }

    async fn a_reset_within_an_answer_is_told_as_such() {
        let server = Server::start(Rules::default()).await;
        let through = Through::with(known(server.address));
        let client = Client::to(through.address()).await;
        let answer = client.begin(request(Method::GET, "/mid-body", &[]), true).await.0.await.unwrap();
        let mut body = answer.into_body();
        assert_eq!(&body.data().await.unwrap().unwrap()[..], b"half");
        assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
        drop(client);
        let told = through.finish();
        told.hop().ended(Outcome::Reset, FailedBy::Peer).error("stream_reset").status(Some(200)).last(Phase::Stream);
    }

    async fn a_refused_stream_is_asked_for_once_more_on_the_same_connection() {
        let peer = Peer::new(|wire, _| {
            let mut frames = Frames(wire);
            frames.begin();
            let first = frames.request().unwrap();
            frames.reset(first, Reason::REFUSED_STREAM);
            while let Some(stream) = frames.request() {
                frames.answer(stream);
            }
        });
        let through = Through::with(known(peer.address()));
        assert_eq!(asked(&through, "/thing").await, Ok(200));
        let told = through.finish();
        let hop = told.hop().ok(200).connections(&[New, Reused]);
        let first = &hop.call().attempts[0];
        assert_eq!((first.outcome, first.failed_by), (Some(Outcome::Shed), Some(FailedBy::Peer)), "{hop:?}");
        assert_eq!(peer.connections(), 1);
    }

    async fn streams_that_are_always_refused_are_shed() {
        let server = Server::start(Rules::default()).await;
        let through = Through::with(known(server.address));
        assert_eq!(asked(&through, "/reset/refused").await, Err(Reason::REFUSED_STREAM));
        let client = Client::to(through.address()).await;
        // A body that has gone cannot go again.
        assert_eq!(reset(client.ask(request(Method::POST, "/reset/refused", &[]), "hello").await), Reason::REFUSED_STREAM);
        drop(client);
        let told = through.finish();
        told.hops()[0].ended(Outcome::Shed, FailedBy::Peer).error("refused_stream").connections(&[New, Reused]);
        told.hops()[1].ended(Outcome::Shed, FailedBy::Peer).error("refused_stream").connections(&[Reused]);
    }

    async fn what_a_connection_that_ends_did_not_begin_is_asked_for_once_more() {
        let peer = Peer::new(|wire, number| {
            let mut frames = Frames(wire);
            frames.begin();
            while let Some(stream) = frames.request() {
                if number == 0 {
                    frames.goaway(0, Reason::NO_ERROR);
                    frames.0.rest();
                    return;
                }
                frames.answer(stream);
            }
        });
        let through = Through::with(known(peer.address()));
        assert_eq!(asked(&through, "/thing").await, Ok(200));
        let told = through.finish();
        let hop = told.hop().ok(200).connections(&[New, New]);
        assert_eq!(hop.call().attempts[0].outcome, Some(Outcome::Reset), "{hop:?}");
        assert_eq!(peer.connections(), 2);
    }

    async fn a_connection_that_ends_in_order_serves_what_it_began() {
        let server = Server::start(Rules { requests: 1, ..Rules::default() }).await;
        let through = Through::with(known(server.address));
        for _ in 0..3 {
            assert_eq!(asked(&through, "/after/100").await, Ok(200));
        }
        let told = through.finish();
        assert_eq!((told.hops().len(), server.connections()), (3, 3));
        told.hops().into_iter().for_each(|hop| _ = hop.ok(200));
    }

    async fn a_connection_that_ends_with_an_error_is_told_with_it() {
        for (path, outcome, code) in [
            ("/goaway/calm", Outcome::RateLimited, "enhance_your_calm"),
            ("/goaway/internal", Outcome::Reset, "goaway"),
        ] {
            let server = Server::start(Rules::default()).await;
            let through = Through::with(known(server.address));
            let client = Client::to(through.address()).await;
            let answer = client.ask(request(Method::POST, path, &[]), "hello").await;
            assert_eq!(reset(answer), Reason::INTERNAL_ERROR, "{path}");
            drop(client);
            let told = through.finish();
            told.hop().ended(outcome, FailedBy::Peer).error(code).status(None);
        }
    }

    async fn a_connection_that_is_cut_is_a_reset() {
        for goaway in [false, true] {
            let peer = Peer::new(move |wire, _| {
                let mut frames = Frames(wire);
                frames.begin();
                let stream = frames.request().unwrap();
                if goaway {
                    // It says that it has begun with it, and goes.
                    frames.goaway(stream, Reason::NO_ERROR);
                }
            });
            let through = Through::with(known(peer.address()));
            assert_eq!(asked(&through, "/thing").await, Err(Reason::INTERNAL_ERROR));
            let told = through.finish();
            told.hop().ended(Outcome::Reset, FailedBy::Peer).status(None).connections(&[New]);
            assert_eq!(peer.connections(), 1);
        }
    }

    async fn a_connection_that_was_cut_while_it_was_idle_is_opened_anew() {
        let peer = Peer::new(move |wire, number| {
            let mut frames = Frames(wire);
            frames.begin();
            while let Some(stream) = frames.request() {
                if number == 0 && stream > 1 {
                    return;
                }
                frames.answer(stream);
            }
        });
        let through = Through::with(known(peer.address()));
        let client = Client::to(through.address()).await;
        for _ in 0..3 {
            assert_eq!(client.get("/thing").await.unwrap().status.as_u16(), 200);
        }
        drop(client);
        let told = through.finish();
        told.hops()[0].ok(200).connections(&[New]);
        told.hops()[1].ok(200).connections(&[Reused, New]);
        told.hops()[2].ok(200).connections(&[Reused]);
    }

    async fn who_does_not_speak_it_is_told_as_such() {
        let peer = Peer::new(|wire, _| {
            wire.until("\r\n\r\n");
            wire.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            wire.rest();
        });
        let through = Through::with(known(peer.address()));
        let client = Client::to(through.address()).await;
        let (response, _stream) = client.begin(request(Method::GET, "/thing", &[]), true).await;
        let answer = whole(response).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status.as_u16() == 502));
        drop(client);
        let told = through.finish();
        assert_eq!(told.hop().ended(Outcome::Error, FailedBy::Peer).error("invalid_response").call().status, None);
    }
}
