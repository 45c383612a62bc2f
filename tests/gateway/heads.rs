//! Heads: which fields pass and how, heads that are too long, several requests at once, old versions.

use crate::peer::Peer;
use crate::through::{Through, leading_to, route, settings};
use crate::wire::{End, Wire};
use hopwatch::gateway::{Limits, Routes, Settings};
use hopwatch::model::{ConnectionState, FailedBy, Outcome};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What the upstream gets of a request's head.
#[track_caller]
fn passed(request: &[u8]) -> Vec<u8> {
    let peer = Peer::answering(OK);
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say(request);
    assert_eq!(client.message().text(), "ok");
    drop(client);
    through.finish().hop().ok(200);
    peer.heard_bytes(0)
}

#[test]
fn fields_of_the_connection_stay_behind() {
    let up = passed(
        b"GET / HTTP/1.1\r\nhost: gateway\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\n\
          proxy-connection: keep-alive\r\nproxy-authorization: Basic c2VjcmV0\r\nte: deflate\r\nx-end: 2\r\n\r\n",
    );
    let up = String::from_utf8(up).unwrap();
    for gone in ["connection", "x-mine", "keep-alive", "proxy", "te:", "c2VjcmV0"] {
        assert!(!up.to_lowercase().contains(gone), "{gone} in {up}");
    }
    assert!(up.contains("\r\nx-end: 2\r\n"), "{up}");
}

#[test]
fn fields_of_the_upstreams_connection_stay_behind() {
    let peer = Peer::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\n\
         proxy-connection: keep-alive\r\nupgrade: h2c\r\nx-end: 2\r\n\r\nok",
    );
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.get("/");
    assert_eq!(String::from_utf8_lossy(&client.heard), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-end: 2\r\n\r\nok");
    drop(client);
    through.finish().hop().ok(200);
}

#[test]
fn credentials_for_the_origin_pass() {
    let up =
        String::from_utf8(passed(b"GET / HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer t\r\ncookie: a=1\r\n\r\n")).unwrap();
    assert!(up.contains("\r\nauthorization: Bearer t\r\n") && up.contains("\r\ncookie: a=1\r\n"), "{up}");
}

#[test]
fn fields_of_one_name_keep_their_order() {
    let up =
        passed(b"GET / HTTP/1.1\r\nhost: gateway\r\nx-many: 1\r\nx-other: a\r\nX-Many: 2\r\nx-many: 3, 4\r\nx-many: 1\r\n\r\n");
    let up = String::from_utf8(up).unwrap();
    let many: Vec<&str> = up.lines().filter_map(|line| line.strip_prefix("x-many: ")).collect();
    assert_eq!(many, ["1", "2", "3, 4", "1"], "{up}");
    let peer =
        Peer::answering("HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\nset-cookie: a=1\r\n\r\n");
    let through = Through::to(peer.address());
    let mut client = through.client();
    assert_eq!(client.get("/").fields("set-cookie"), ["a=1", "b=2", "a=1"]);
    drop(client);
    through.finish();
}

#[test]
fn values_that_are_no_text_pass_as_they_are() {
    let value = b"caf\xe9 \xff\x80 \xe2\x82\xac";
    let request = [b"GET / HTTP/1.1\r\nhost: gateway\r\nx-raw: ".as_slice(), value, b"\r\nx-empty:\r\n\r\n"].concat();
    let up = passed(&request);
    assert!(up.windows(value.len()).any(|window| window == value), "{}", String::from_utf8_lossy(&up));
    assert!(String::from_utf8_lossy(&up).contains("x-empty: \r\n"), "{}", String::from_utf8_lossy(&up));
    let answer = [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-raw: ".as_slice(), value, b"\r\n\r\n"].concat();
    let peer = Peer::answering(answer.clone());
    let through = Through::to(peer.address());
    let mut client = through.client();
    let head = client.get("/").head;
    assert!(head.windows(value.len()).any(|window| window == value), "{}", String::from_utf8_lossy(&head));
    drop(client);
    through.finish();
}

#[test]
fn the_host_is_the_upstreams_own_or_the_clients_as_the_route_says() {
    for keeps_host in [false, true] {
        let peer = Peer::answering(OK);
        let mut route = route("/", &format!("http://{}", peer.address()));
        route.keeps_host = keeps_host;
        let through = Through::with(Settings { routes: Routes::new([route]), ..settings() });
        let mut client = through.client();
        client.get("/");
        // A client of HTTP/1.0 may name none.
        client.say("GET / HTTP/1.0\r\n\r\n");
        client.rest();
        drop(client);
        through.finish();
        let up = peer.heard(0);
        let hosts: Vec<&str> = up.lines().filter_map(|line| line.strip_prefix("host: ")).collect();
        let own = peer.address().to_string();
        assert_eq!(hosts, [if keeps_host { "gateway" } else { &own }, &own], "{up}");
    }
}

#[test]
fn a_request_whose_head_is_too_long_is_refused_and_goes_nowhere() {
    let peer = Peer::answering(OK);
    let limits = Limits { max_header_size: 16 << 10, ..Limits::default() };
    let through = Through::with(Settings { limits, ..leading_to(peer.address()) });
    let long = "x".repeat(32 << 10);
    for request in [
        format!("GET / HTTP/1.1\r\nhost: gateway\r\nx-long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: gateway\r\n\r\n"),
    ] {
        let mut client = through.client();
        drop(client.try_say(request));
        let status = client.message().status();
        assert!(matches!(status, 414 | 431), "{status}");
    }
    let fits = "x".repeat(12 << 10);
    let mut client = through.client();
    client.say(format!("GET / HTTP/1.1\r\nhost: gateway\r\nx-long: {fits}\r\n\r\n"));
    assert_eq!(client.message().text(), "ok");
    drop(client);
    assert_eq!(peer.connections(), 1);
    through.finish().hop().ok(200);
}

#[test]
fn an_answer_whose_head_is_too_long_is_a_bad_gateway() {
    let long = "x".repeat(128 << 10);
    let peer = Peer::answering(format!("HTTP/1.1 200 OK\r\nx-long: {long}\r\ncontent-length: 0\r\n\r\n"));
    let through = Through::to(peer.address());
    let mut client = through.client();
    assert_eq!(client.get("/").status(), 502);
    drop(client);
    through.finish().hop().ended(Outcome::Error, FailedBy::Peer).error("invalid_response").status(None);
}

#[test]
fn too_many_fields_are_refused_both_ways() {
    let many: String = (0..2_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let peer = Peer::answering(format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"));
    let through = Through::to(peer.address());
    let mut client = through.client();
    assert_eq!(client.get("/").status(), 502);
    let mut other = through.client();
    drop(other.try_say(format!("GET / HTTP/1.1\r\nhost: gateway\r\n{many}\r\n")));
    assert_eq!(other.message().status(), 431);
    drop((client, other));
    through.finish().hop().ended(Outcome::Error, FailedBy::Peer).status(None);
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let peer = Peer::new(|wire, _| {
        while let Ok(message) = wire.try_message(false) {
            let target = message.start().split(' ').nth(1).unwrap().to_owned();
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len()));
        }
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    let body = "POST /b HTTP/1.1\r\nhost: gateway\r\ncontent-length: 3\r\n\r\ntwo";
    let get = |target| format!("GET {target} HTTP/1.1\r\nhost: gateway\r\n\r\n");
    client.say([get("/a"), body.to_owned(), get("/c"), get("/d")].concat());
    let answers: Vec<String> = (0..4).map(|_| client.message().text()).collect();
    assert_eq!(answers, ["/a", "/b", "/c", "/d"]);
    drop(client);
    let told = through.finish();
    let operations: Vec<&str> = told.hops().iter().map(|hop| &*hop.ok(200).span().operation).collect();
    assert_eq!(operations, ["GET /a", "POST /b", "GET /c", "GET /d"]);
    assert_eq!(peer.connections(), 1, "one after the other");
    let states: Vec<_> = told.hops().iter().map(|hop| hop.call().client.connection).collect();
    assert_eq!(states[1..], [Some(ConnectionState::Reused); 3]);
}

#[test]
fn a_client_of_http_1_0_gets_what_it_understands() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let peer = Peer::answering(chunked);
    let through = Through::to(peer.address());
    let mut client = through.client();
    client.say("GET / HTTP/1.0\r\n\r\n");
    let End::Closed(answer) = client.rest() else { panic!("a reset") };
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") || answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("chunked") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    drop(client);
    through.finish().hop().ok(200);
    assert!(peer.heard(0).starts_with("GET / HTTP/1.1\r\n"), "{}", peer.heard(0));
}

#[test]
fn a_client_of_http_1_0_may_keep_its_connection() {
    let peer = Peer::answering(OK);
    let through = Through::to(peer.address());
    let mut client = through.client();
    for _ in 0..2 {
        client.say("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let answer = client.message();
        assert_eq!((answer.text().as_str(), answer.field("connection").as_deref()), ("ok", Some("keep-alive")));
    }
    drop(client);
    let told = through.finish();
    assert_eq!(told.hops().len(), 2);
}

#[test]
fn an_upstream_of_http_1_0_is_understood() {
    let peer = Peer::new(|wire, _| {
        wire.message();
        wire.say("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nhello");
    });
    let through = Through::to(peer.address());
    let mut client = through.client();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.text().as_str(), answer.start().as_str()), ("hello", "HTTP/1.1 200 OK"));
    }
    drop(client);
    let told = through.finish();
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200).connections(&[ConnectionState::New]));
    assert_eq!(peer.connections(), 2);
}

#[test]
fn requests_that_are_no_http_are_refused_and_go_nowhere() {
    let peer = Peer::answering(OK);
    let through = Through::to(peer.address());
    for garbage in ["\x16\x03\x01\x02\0\x01\0\x01", "GET\r\n\r\n", "GET / HTTP/3.0\r\n\r\n", "\0\0\0\r\n\r\n", "GET / \r\n\r\n"] {
        let mut client: Wire = through.client();
        client.say(garbage);
        client.half_close();
        let end = client.rest();
        let (End::Closed(bytes) | End::Reset(bytes)) = end;
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400 "), "{garbage:?}: {}", String::from_utf8_lossy(&bytes));
    }
    through.finish().nothing();
    assert_eq!(peer.connections(), 0);
}
