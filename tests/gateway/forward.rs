//! Where requests go: routes, the forward proxy, and places that they must not reach.

use crate::peer::Peer;
use crate::through::{Through, leading_to, route, settings};
use crate::wire::{End, Wire};
use hopwatch::gateway::{Connecting, Routes, Settings, UpstreamFailure};
use hopwatch::model::naming::Rule;
use hopwatch::model::{FailedBy, Kind, Naming, Outcome};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Asks for a target, and says how that was answered.
#[track_caller]
fn status(through: &Through, target: &str) -> u16 {
    through.client().get(target).status()
}

#[test]
fn a_request_in_absolute_form_goes_where_it_says() {
    let peer = Peer::answering(OK);
    let through = Through::with(settings());
    let address = peer.address();
    let mut client = through.client();
    client.say(format!("GET http://{address}/thing?q=1 HTTP/1.1\r\nhost: elsewhere\r\n\r\n"));
    assert_eq!(client.message().text(), "ok");
    client.say(format!("GET http://user:password@{address} HTTP/1.1\r\nhost: {address}\r\n\r\n"));
    assert_eq!(client.message().text(), "ok");
    drop(client);
    let told = through.finish();
    let up = peer.heard(0);
    assert!(up.starts_with(&format!("GET /thing?q=1 HTTP/1.1\r\nhost: {address}\r\n")), "{up}");
    assert!(up.contains(&format!("GET / HTTP/1.1\r\nhost: {address}\r\n")) && !up.contains("password"), "{up}");
    let named: Vec<_> = told.hops().iter().map(|hop| hop.ok(200).span().dependency.clone().unwrap()).collect();
    assert_eq!(named, [address.to_string().into(), address.to_string().into()]);
}

#[test]
fn names_are_resolved_and_known_by_their_rules() {
    let peer = Peer::answering(OK);
    let port = peer.address().port();
    let rule = Rule { kind: Some(Kind::Tool), name: "lookup".into(), host: "localhost".into(), port: Some(port) };
    let naming = Arc::new(Naming { rules: vec![rule], ..Naming::default() });
    let through = Through::with(Settings { naming, ..settings() });
    assert_eq!(status(&through, &format!("http://LOCALHOST:{port}/thing")), 200);
    let told = through.finish();
    let hop = told.hop().ok(200);
    assert_eq!((hop.span().kind, hop.span().dependency.as_deref()), (Some(Kind::Tool), Some("lookup")));
    assert!(peer.heard(0).contains(&format!("\r\nhost: localhost:{port}\r\n")), "{}", peer.heard(0));
}

#[test]
fn the_gateways_own_address_in_absolute_form_is_its_route() {
    let peer = Peer::answering(OK);
    let through =
        Through::with(Settings { routes: Routes::new([route("/docs", &format!("http://{}", peer.address()))]), ..settings() });
    let own = through.address();
    for host in [own.to_string(), format!("localhost:{}", own.port())] {
        assert_eq!(status(&through, &format!("http://{host}/docs/thing")), 200, "{host}");
        assert_eq!(status(&through, &format!("http://{host}/other")), 404, "{host}");
    }
    let told = through.finish();
    told.hops().into_iter().for_each(|hop| _ = hop.ok(200).operation("GET /thing"));
    assert_eq!(told.hops().len(), 2, "what it refuses itself is no hop");
}

#[test]
fn a_route_replaces_its_prefix_by_the_upstreams_path() {
    let peer = Peer::answering(OK);
    let base = |path: &str| format!("http://{}{path}", peer.address());
    let routes = [route("/a", &base("/base/v1/")), route("/a/b", &base("")), route("/", &base("/rest"))];
    let through = Through::with(Settings { routes: Routes::new(routes), ..settings() });
    let mut client = through.client();
    for target in ["/a", "/a/", "/a/x?y=/a", "/ab", "/a/b", "/a/b/c", "/a%2Fb", "/", "//a", "/a//b", "/a?x", "/../a"] {
        assert_eq!(client.get(target).status(), 200, "{target}");
    }
    drop(client);
    through.finish();
    let up = peer.heard(0);
    let targets: Vec<&str> = up.lines().filter_map(|line| line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")).collect();
    assert_eq!(
        targets,
        [
            "/base/v1",
            "/base/v1/",
            "/base/v1/x?y=/a",
            "/rest/ab",
            "/",
            "/c",
            "/rest/a%2Fb",
            "/rest/",
            "/rest//a",
            "/base/v1//b",
            "/base/v1?x",
            "/rest/../a"
        ]
    );
}

#[test]
fn who_is_no_forward_proxy_says_so() {
    let peer = Peer::answering(OK);
    let through = Through::with(Settings { forward: false, ..settings() });
    let mut client = through.client();
    let answer = client.get(&format!("http://{}/", peer.address()));
    assert_eq!(answer.status(), 403);
    assert!(answer.text().contains("`gateway.forward`"), "{answer:?}");
    assert_eq!(client.get("ftp://a/b").status(), 400);
    drop(client);
    through.finish().nothing();
    assert_eq!(peer.connections(), 0);
}

/// Settings of a gateway whose blocked and protected places are told with a 502.
fn guarded(connecting: Connecting) -> Settings {
    Settings { connecting, failure: UpstreamFailure::Answer, ..settings() }
}

#[test]
fn metadata_addresses_and_its_own_other_addresses_are_not_reached() {
    let admin = Peer::answering(OK);
    let blocked = vec!["169.254.0.0/16".parse().unwrap(), "fd00:ec2::/32".parse().unwrap()];
    let through = Through::with(guarded(Connecting { blocked, protected: vec![admin.address()], ..Connecting::default() }));
    let port = admin.address().port();
    for target in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::ffff:169.254.169.254]/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/latest/meta-data/".to_owned(),
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
    ] {
        let mut client = through.client();
        let answer = client.get(&target);
        assert_eq!(answer.status(), 502, "{target}: {answer:?}");
        assert!(answer.text().contains("never connected to"), "{target}: {answer:?}");
    }
    let told = through.finish();
    for hop in told.hops() {
        hop.ended(Outcome::Error, FailedBy::Own).error("blocked_address").status(None);
    }
    assert_eq!((told.hops().len(), admin.connections()), (6, 0));
}

#[test]
fn routes_that_lead_back_to_the_gateway_are_no_circle() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own: SocketAddr = listener.local_addr().unwrap();
    let circles = [
        route("/a", &format!("http://{own}/a")),
        route("/b", &format!("http://localhost:{}/b", own.port())),
        route("/c", &format!("http://[::ffff:127.0.0.1]:{}/c", own.port())),
    ];
    let through = Through::listening(listener, Settings { routes: Routes::new(circles), ..settings() });
    for target in ["/a", "/b", "/c"] {
        let mut client = through.client();
        client.say(format!("GET {target} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"));
        let answer = client.message();
        assert_eq!(answer.status(), 508, "{target}: {answer:?}");
    }
    through.finish().nothing();
}

#[test]
fn a_gateway_on_all_addresses_knows_each_of_them_as_its_own() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = Peer::answering(OK);
    let through = Through::listening(listener, leading_to(peer.address()));
    let mut own = vec!["127.0.0.1".to_owned(), "127.0.0.2".to_owned(), "localhost".to_owned(), "0.0.0.0".to_owned()];
    own.extend(here().map(|address| address.to_string()));
    for host in own {
        assert_eq!(status(&through, &format!("http://{host}:{port}/thing")), 200, "{host}");
    }
    let told = through.finish();
    // Each went to the route at once, and not to the gateway first.
    for hop in told.hops() {
        let upstream = peer.address().to_string();
        assert_eq!(hop.ok(200).span().dependency.as_deref(), Some(&*upstream), "{hop:?}");
    }
}

/// An address of this machine that others may reach, if it has one.
fn here() -> impl Iterator<Item = std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Sends nothing: it only asks which address would be used.
    let address = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).ok();
    address.map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).into_iter()
}

#[test]
fn programs_of_other_machines_are_not_served_unless_they_are_allowed() {
    let Some(own) = here().next() else {
        println!("skipped: this machine has no address but loopback");
        return;
    };
    // Whoever comes from an address that is not loopback is taken for another machine.
    let peer = Peer::answering(OK);
    for allowed in [false, true] {
        let listener = TcpListener::bind((own, 0)).unwrap();
        let allow = if allowed { vec![own.into()] } else { Vec::new() };
        let mut through = Through::listening(listener, Settings { allow, ..leading_to(peer.address()) });
        let absolute = format!("http://{}/thing", peer.address());
        let expected = if allowed { 200 } else { 403 };
        assert_eq!((status(&through, "/thing"), status(&through, &absolute)), (expected, expected));
        let mut client = through.client();
        client.say(format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n\r\n", peer.address()));
        let answer = client.until("\r\n\r\n");
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
        drop(client);
        // HTTP/2 by prior knowledge: preface, settings, and `GET /` by `http` (RFC 7541, appendix A) of this authority.
        let mut client = through.client();
        client.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        let place = through.address().to_string();
        let head = [&[0x82, 0x84, 0x86, 0x41, place.len() as u8], place.as_bytes()].concat();
        client.say([&[0, 0, head.len() as u8, 1, 5, 0, 0, 0, 1], &*head].concat());
        let text = client.until(if allowed { "ok" } else { "gateway.allow" });
        assert!(text.contains(if allowed { "ok" } else { "hopwatch: programs of other machines" }), "{text:?}");
        drop(client);
        let entrance = through.lead_at((own, 0).into(), peer.address());
        let mut client = Wire::to(entrance);
        client.say("GET /thing HTTP/1.1\r\nhost: a\r\n\r\n");
        if allowed {
            assert_eq!(client.message().status(), 200);
        } else {
            assert_eq!(client.rest(), End::Reset(Vec::new()));
        }
        drop(client);
        let told = through.finish();
        assert_eq!(told.hops().len(), if allowed { 4 } else { 0 });
        assert_eq!(peer.connections() > 0, allowed);
    }
}
