//! Clients of HTTP/2, upstreams of HTTP/1.1.

use super::client::{Client, request, reset, whole};
use crate::peer::Peer;
use crate::support::peers::refused;
use crate::through::{Through, leading_to, pause, route, settings, wait_until};
use h2::Reason;
use hopwatch::gateway::{Limits, Routes, Settings, UpstreamFailure};
use hopwatch::model::{ConnectionState, FailedBy, Outcome, Phase};
use http::{HeaderMap, Method};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-one: 1\r\n\r\nok";

/// A test's own runtime has a thread of its own: the test may block.
macro_rules! tests {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)+) => {
        $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 1)] async fn $name() $body)+
    };
}
pub(super) use tests;

tests! {
    async fn requests_become_those_of_http_1_1() {
        let peer = Peer::answering(OK);
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let fields = [("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers")];
        let answer = client.ask(request(Method::GET, "/thing?q=1", &fields), "").await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text().as_str(), &answer.head["x-one"]), (200, "ok", &"1".parse().unwrap()));
        let answer = client.ask(request(Method::POST, "/thing", &[("content-length", "5")]), "hello").await.unwrap();
        assert_eq!(answer.text(), "ok");
        let answer = client.ask(request(Method::POST, "/thing", &[]), "hello").await.unwrap();
        assert_eq!(answer.text(), "ok");
        drop(client);
        let told = through.finish();
        let up = peer.heard(0);
        assert!(up.starts_with("GET /thing?q=1 HTTP/1.1\r\n"), "{up}");
        assert!(up.contains("\r\ncookie: a=1; b=2\r\n") && up.matches("cookie").count() == 1, "{up}");
        assert!(up.contains(&format!("\r\nhost: {}\r\n", peer.address())) && up.contains("\r\nte: trailers\r\n"), "{up}");
        assert!(up.contains("\r\ncontent-length: 5\r\n") && up.contains("\r\ntransfer-encoding: chunked\r\n"), "{up}");
        let states: Vec<_> = told.hops().iter().map(|hop| hop.ok(200).call().client.connection.unwrap()).collect();
        assert_eq!((states.len(), peer.connections()), (3, 1));
    }

    async fn what_the_gateway_itself_says_to_head_has_no_body() {
        let peer = Peer::new(|wire, _| {
            wire.message();
            wire.say("no such thing\r\n\r\n");
        });
        let through = Through::with(Settings { routes: Routes::new([route("/a", &format!("http://{}", peer.address()))]), ..settings() });
        let client = Client::to(through.address()).await;
        for (target, status) in [("/a", 502), ("/b", 404)] {
            let answer = client.ask(request(Method::HEAD, target, &[]), "").await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, ""));
        }
        drop(client);
        through.finish().hop().ended(Outcome::Error, FailedBy::Peer).error("invalid_response");
    }

    async fn the_authority_is_the_host_where_the_route_keeps_it() {
        let peer = Peer::answering(OK);
        let mut route = route("/", &format!("http://{}", peer.address()));
        route.keeps_host = true;
        let through = Through::with(Settings { routes: Routes::new([route]), ..settings() });
        let own = through.address();
        let client = Client::to(own).await;
        client.get(&format!("http://{own}/thing")).await.unwrap();
        drop(client);
        through.finish().hop().ok(200);
        assert!(peer.heard(0).contains(&format!("\r\nhost: {own}\r\n")), "{}", peer.heard(0));
    }

    async fn a_name_of_the_gateway_is_known_by_its_port() {
        let peer = Peer::answering(OK);
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let answer = client.get(&format!("http://sidecar.internal:{}/thing", through.address().port())).await.unwrap();
        assert_eq!(answer.text(), "ok");
        drop(client);
        through.finish().hop().ok(200);
    }

    async fn another_authority_is_another_place() {
        let peer = Peer::answering(OK);
        let through = Through::with(settings());
        let client = Client::to(through.address()).await;
        let answer = client.get(&format!("http://{}/thing", peer.address())).await.unwrap();
        assert_eq!(answer.text(), "ok");
        drop(client);
        through.finish().hop().ok(200);
    }

    async fn trailers_pass_both_ways() {
        let peer = Peer::new(|wire, _| {
            let message = wire.message();
            assert_eq!((message.text().as_str(), message.trailers.as_str()), ("hello", "x-sum: 42\r\n"));
            wire.say("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthere\r\n0\r\nx-sum: 43\r\n\r\n");
            wire.rest();
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let fields = [("trailer", "x-sum"), ("te", "trailers")];
        let (response, mut stream) = client.begin(request(Method::POST, "/thing", &fields), false).await;
        stream.send_data("hello".into(), false).unwrap();
        stream.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())])).unwrap();
        let answer = whole(response).await.unwrap();
        assert_eq!(answer.text(), "there");
        assert_eq!(answer.trailers.unwrap()["x-sum"], "43");
        drop(client);
        through.finish().hop().ok(200);
    }

    async fn streams_at_once_have_connections_of_their_own() {
        let peer = Peer::new(|wire, _| {
            while wire.try_message(false).is_ok() {
                pause(300);
                wire.say(OK);
            }
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(client.begin(request(Method::GET, "/thing", &[]), true).await.0);
        }
        for answer in answers {
            assert_eq!(whole(answer).await.unwrap().text(), "ok");
        }
        drop(client);
        let told = through.finish();
        assert_eq!((told.hops().len(), peer.connections()), (5, 5));
        for hop in told.hops() {
            hop.ok(200).connections(&[ConnectionState::New]).took(Phase::Wait, 290.0);
        }
    }

    async fn a_long_stream_outlives_others_on_its_connection() {
        let peer = Peer::new(|wire, _| {
            while let Ok(message) = wire.try_message(false) {
                if message.start().contains("/slow") {
                    pause(2_500);
                }
                wire.say(OK);
            }
        });
        let short = Duration::from_millis(300);
        let limits = Limits { idle_timeout: short, header_timeout: short, ..Limits::default() };
        let through = Through::with(Settings { limits, ..leading_to(peer.address()) });
        let client = Client::to(through.address()).await;
        let slow = client.begin(request(Method::GET, "/slow", &[]), true).await.0;
        // Its end, and what the connection says for itself, are no end and no beginning of the other.
        client.get("/quick").await.unwrap();
        assert_eq!(whole(slow).await.unwrap().text(), "ok");
        drop(client);
        let told = through.finish();
        told.hops().into_iter().for_each(|hop| _ = hop.ok(200).under(Phase::Send, 1_000.0));
    }

    async fn an_idle_client_is_told_before_it_is_let_go() {
        let peer = Peer::answering(OK);
        let limits = Limits { idle_timeout: Duration::from_millis(400), ..Limits::default() };
        let through = Through::with(Settings { limits, ..leading_to(peer.address()) });
        let client = Client::to(through.address()).await;
        client.get("/thing").await.unwrap();
        // An end in order, by GOAWAY without an error.
        client.ended().await.unwrap();
        through.finish().hop().ok(200);
    }

    async fn draining_lets_streams_end() {
        let peer = Peer::new(|wire, _| {
            while wire.try_message(false).is_ok() {
                pause(500);
                wire.say(OK);
            }
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let slow = client.begin(request(Method::GET, "/slow", &[]), true).await.0;
        through.open("it is sent", |span| span.call.as_ref().unwrap().timeline.last_phase() == Some(Phase::Wait));
        through.drain();
        assert_eq!(whole(slow).await.unwrap().text(), "ok");
        client.ended().await.unwrap();
        wait_until("it is drained", || through.is_drained());
        through.finish().hop().ok(200);
    }

    async fn a_stream_that_its_client_resets_ends_alone() {
        let peer = Peer::new(|wire, _| {
            while let Ok(message) = wire.try_message(false) {
                if message.start().contains("/mute") {
                    wire.rest();
                    return;
                }
                pause(500);
                wire.say(OK);
            }
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let other = client.begin(request(Method::GET, "/other", &[]), true).await.0;
        let (mute, mut stream) = client.begin(request(Method::GET, "/mute", &[]), true).await;
        through.open("it is sent", |span| &*span.operation == "GET /mute" && span.call.as_ref().unwrap().bytes.sent > 0);
        stream.send_reset(Reason::CANCEL);
        drop(mute);
        assert_eq!(whole(other).await.unwrap().text(), "ok");
        drop(client);
        let told = through.finish();
        let hops = told.hops();
        let by_operation = |operation: &str| *hops.iter().find(|hop| &*hop.span().operation == operation).unwrap();
        by_operation("GET /other").ok(200);
        by_operation("GET /mute").ended(Outcome::Timeout, FailedBy::Caller).last(Phase::Wait);
        wait_until("its upstream connection is closed", || peer.open() == 0);
    }

    async fn a_body_that_its_client_resets_is_the_clients_doing() {
        let peer = Peer::new(|wire, _| {
            wire.until("\r\n\r\n");
            wire.rest();
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let (_response, mut stream) = client.begin(request(Method::POST, "/thing", &[]), false).await;
        stream.send_data("half".into(), false).unwrap();
        through.open("a part is sent", |span| span.call.as_ref().unwrap().bytes.sent > 0);
        stream.send_reset(Reason::CANCEL);
        wait_until("its upstream connection is closed", || peer.connections() == 1 && peer.open() == 0);
        wait_until("it is told", || through.view.losses().open == 0);
        drop(client);
        let told = through.finish();
        assert_eq!(told.hop().call().failed_by, Some(FailedBy::Caller), "{:?}", told.hop());
    }

    async fn a_client_that_goes_takes_all_of_its_streams_along() {
        let peer = Peer::new(|wire, _| {
            wire.message();
            wire.rest();
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(client.begin(request(Method::GET, "/thing", &[]), true).await);
        }
        wait_until("all are sent", || peer.connections() == 5);
        pause(100);
        drop(client);
        let told = through.finish();
        drop(answers);
        assert_eq!(told.hops().len(), 5);
        for hop in told.hops() {
            hop.ended(Outcome::Timeout, FailedBy::Caller);
        }
        wait_until("its upstream connections are closed", || peer.open() == 0);
    }

    async fn what_a_client_does_not_take_is_its_own_time() {
        let peer = Peer::new(|wire, _| {
            while wire.try_message(false).is_ok() {
                wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 8 << 20));
                drop(wire.try_say(vec![b'x'; 8 << 20]));
            }
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        let unread = client.begin(request(Method::GET, "/unread", &[]), true).await.0;
        let unread = unread.await.unwrap();
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        let mut body = unread.into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            length += data.len();
        }
        assert_eq!(length, 8 << 20);
        drop(client);
        let told = through.finish();
        let hop = told.hop().ok(200);
        assert!(hop.phase(Phase::Own) >= 1_500.0 && hop.phase(Phase::Wait) < 1_000.0, "{hop:?}");
    }

    async fn an_upstream_that_is_not_there_resets_the_stream_alone() {
        let address = refused();
        let through = Through::to(address);
        let client = Client::to(through.address()).await;
        // Nobody has seen the request.
        assert_eq!(reset(client.get("/thing").await), Reason::REFUSED_STREAM);
        assert_eq!(reset(client.ask(request(Method::POST, "/thing", &[]), "hello").await), Reason::REFUSED_STREAM);
        drop(client);
        let told = through.finish();
        assert_eq!(told.hops().len(), 2);
        told.hops().into_iter().for_each(|hop| _ = hop.ended(Outcome::Connect, FailedBy::Peer).error("connection_refused"));

        let through = Through::with(Settings { failure: UpstreamFailure::Answer, ..leading_to(address) });
        let client = Client::to(through.address()).await;
        assert_eq!(client.get("/thing").await.unwrap().status.as_u16(), 502);
        drop(client);
        through.finish();
    }

    async fn an_upstream_that_breaks_resets_the_stream_alone() {
        let peer = Peer::new(|wire, number| {
            wire.message();
            match number {
                0 => {}
                1 => wire.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
                _ => wire.say("SSH-2.0-nonsense\r\n\r\n"),
            }
        });
        let through = Through::to(peer.address());
        let client = Client::to(through.address()).await;
        assert_eq!(reset(client.get("/before").await), Reason::INTERNAL_ERROR);
        let answer = client.begin(request(Method::GET, "/within", &[]), true).await.0.await.unwrap();
        let mut body = answer.into_body();
        assert_eq!(&body.data().await.unwrap().unwrap()[..], b"half", "what came arrives");
        assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
        assert_eq!(client.get("/garbage").await.unwrap().status.as_u16(), 502);
        drop(client);
        let told = through.finish();
        let outcomes: Vec<_> = told.hops().iter().map(|hop| hop.call().outcome.unwrap()).collect();
        assert_eq!(outcomes, [Outcome::Reset, Outcome::Body, Outcome::Error]);
    }
}
