//! Upstreams of HTTP/2: when it is spoken, and that one connection serves many.

use super::client::{Client, request, whole};
use super::downstream::tests;
use super::server::{Rules, Server};
use crate::support::authority::Authority;
use crate::through::{Through, route, settings};
use crate::wire::Wire;
use hopwatch::gateway::{Connecting, Routes, Settings};
use hopwatch::model::{ConnectionState, Phase};
use http::{HeaderMap, Method};
use std::net::SocketAddr;

/// A route to an upstream inside TLS whose authority is trusted.
fn trusting(authority: &Authority, upstream: SocketAddr) -> Settings {
    let connecting = Connecting { authorities: vec![authority.file()], ..Connecting::default() };
    let routes = Routes::new([route("/", &format!("https://localhost:{}", upstream.port()))]);
    Settings { connecting, routes, ..settings() }
}

/// A route by which HTTP/2 is spoken by prior knowledge.
pub(super) fn known(upstream: SocketAddr) -> Settings {
    let mut route = route("/", &format!("http://{upstream}"));
    route.http2 = true;
    Settings { routes: Routes::new([route]), ..settings() }
}

tests! {
    async fn inside_tls_a_client_of_http_2_gets_what_the_upstream_chooses() {
        let authority = Authority::new();
        let server = Server::tls(Rules::default(), &authority, &[b"h2", b"http/1.1"]).await;
        let through = Through::with(trusting(&authority, server.address));
        let client = Client::to(through.address()).await;
        let mut answers = Vec::new();
        for n in 0..10 {
            answers.push(client.begin(request(Method::GET, &format!("/{n}?q=1"), &[]), true).await.0);
        }
        for (n, answer) in answers.into_iter().enumerate() {
            let answer = whole(answer).await.unwrap();
            assert_eq!(answer.head["x-path"], format!("/{n}"));
            assert_eq!(answer.head["x-authority"], format!("localhost:{}", server.address.port()));
            assert_eq!(answer.trailers.unwrap()["x-sum"], "42");
        }
        drop(client);
        let told = through.finish();
        assert_eq!((told.hops().len(), server.connections()), (10, 1), "one connection serves all");
        let new = told.hops().iter().filter(|hop| hop.ok(200).call().attempts[0].connection == Some(ConnectionState::New)).count();
        assert_eq!(new, 1);
        for hop in told.hops() {
            let opened = hop.call().attempts[0].connection == Some(ConnectionState::New);
            assert_eq!(hop.phase(Phase::Tls) > 0.0, opened, "{hop:?}");
        }
    }

    async fn an_upstream_that_chooses_http_1_1_gets_that() {
        let authority = Authority::new();
        let peer = crate::peer::Peer::tls(&authority, |wire: &mut Wire, _| {
            while wire.try_message(false).is_ok() {
                wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        let through = Through::with(trusting(&authority, peer.address()));
        let client = Client::to(through.address()).await;
        for _ in 0..3 {
            assert_eq!(client.get("/thing").await.unwrap().text(), "ok");
        }
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(client.begin(request(Method::GET, "/thing", &[]), true).await.0);
        }
        for answer in answers {
            assert_eq!(whole(answer).await.unwrap().text(), "ok");
        }
        drop(client);
        let told = through.finish();
        assert_eq!(told.hops().len(), 8);
        told.hops().into_iter().for_each(|hop| _ = hop.ok(200));
        assert!(peer.connections() <= 5);
    }

    async fn a_client_of_http_1_1_gets_what_it_would_get_without_a_gateway() {
        let authority = Authority::new();
        // It would choose HTTP/2 if that were offered, and can speak nothing else.
        let server = Server::tls(Rules::default(), &authority, &[b"h2", b"http/1.1"]).await;
        let through = Through::with(trusting(&authority, server.address));
        let mut client = through.client();
        client.say("GET /thing HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
        // HTTP/1.1 was agreed on, which this one does not understand.
        client.rest();
        drop(client);
        let told = through.finish();
        assert_eq!(told.hop().status(None).call().failed_by, Some(hopwatch::model::FailedBy::Peer));
    }

    async fn grpc_goes_by_http_2_without_tls() {
        let server = Server::start(Rules::default()).await;
        let through = Through::to(server.address);
        let client = Client::to(through.address()).await;
        let fields = [("content-type", "application/grpc+proto"), ("te", "trailers")];
        let answer = client.ask(request(Method::POST, "/pkg.Service/Method", &fields), "hello").await.unwrap();
        assert_eq!((answer.text().as_str(), &answer.head["x-te"]), ("hello", &"trailers".parse().unwrap()));
        assert_eq!(answer.trailers.unwrap()["x-sum"], "42");
        drop(client);
        through.finish().hop().ok(200).operation("POST /pkg.Service/Method");
    }

    async fn a_route_of_http_2_has_it_for_clients_of_http_1_1_too() {
        let server = Server::start(Rules::default()).await;
        let through = Through::with(known(server.address));
        let mut client = through.client();
        client.say("POST /thing HTTP/1.1\r\nhost: gateway\r\ncontent-length: 5\r\nte: trailers\r\nconnection: te\r\n\r\nhello");
        let answer = client.message();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.field("x-authority"), Some(server.address.to_string()));
        assert!(client.get("/other").status() == 200 && server.connections() == 1);
        drop(client);
        let told = through.finish();
        told.hops().into_iter().for_each(|hop| _ = hop.ok(200));
    }

    async fn bodies_and_trailers_pass_from_end_to_end() {
        let server = Server::start(Rules::default()).await;
        let through = Through::with(known(server.address));
        let client = Client::to(through.address()).await;
        let (response, mut stream) = client.begin(request(Method::POST, "/thing", &[]), false).await;
        for piece in ["one ", "two ", "three"] {
            stream.send_data(piece.into(), false).unwrap();
        }
        stream.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "41".parse().unwrap())])).unwrap();
        let answer = whole(response).await.unwrap();
        assert_eq!((answer.text().as_str(), &answer.head["x-got-sum"]), ("one two three", &"41".parse().unwrap()));
        assert_eq!(answer.trailers.unwrap()["x-sum"], "42");
        let long = whole(client.begin(request(Method::GET, "/long", &[]), true).await.0).await.unwrap();
        assert_eq!(long.body.len(), 4 << 20);
        drop(client);
        let told = through.finish();
        told.hops()[0].ok(200).bytes(13, 13);
        told.hops()[1].ok(200).bytes(0, 4 << 20);
    }
}
