//! What nobody gets to through the gateway, and who does not get in.

use std::net::{IpAddr, UdpSocket};

use crate::client::Client;
use crate::sidecar::{Sidecar, free, hopwatch, local, route};
use crate::support::replies::documents;
use crate::support::server::Router;

/// What is answered to a request line and a few lines behind it, until the connection ends.
fn answered(address: &str, head: &str) -> String {
    let mut client = Client::to(address);
    client.write(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes());
    client.rest()
}

#[test]
fn nobody_gets_to_the_admin_address_through_the_gateway() {
    let sidecar = Sidecar::start("");
    let (_, port) = sidecar.admin.rsplit_once(':').unwrap();
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1", "2130706433"] {
        let got = answered(&sidecar.gateway[0], &format!("GET http://{host}:{port}/api/report HTTP/1.1\r\nhost: {host}:{port}"));
        assert!(!got.contains("hopwatch.report") && !got.starts_with("HTTP/1.1 2"), "{host}: {got}");
        let tunnel = answered(&sidecar.gateway[0], &format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}"));
        assert!(!tunnel.starts_with("HTTP/1.1 2"), "{host}: {tunnel}");
    }
    // The host that a client names in a field leads nowhere.
    let got = answered(&sidecar.gateway[0], &format!("GET /api/report HTTP/1.1\r\nhost: {}", sidecar.admin));
    assert!(got.starts_with("HTTP/1.1 404"), "{got}");
}

#[test]
fn a_route_to_the_admin_address_is_a_mistake_and_one_that_hides_it_leads_nowhere() {
    let admin = free();
    let (_, port) = admin.rsplit_once(':').unwrap();
    let file = |upstream: &str| {
        let routes = route("/admin", upstream, "http", "admin");
        local(&routes).replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{admin}\""))
    };
    let mut command = hopwatch();
    command.arg("agent");
    let sidecar = Sidecar::begun(&file(&format!("http://localhost:{port}")), command);
    assert!(sidecar.says("error: ").contains("leads back to the agent itself"), "{}", sidecar.said());
    assert_eq!(sidecar.ended(), Some(2));
    // Spelled so that only a look-up tells what it is.
    let mut command = hopwatch();
    command.arg("agent");
    let mut sidecar = Sidecar::begun(&file(&format!("http://127.1:{port}")), command);
    sidecar.is_ready();
    let got = answered(&sidecar.gateway[0], "GET /admin/api/report HTTP/1.1\r\nhost: a");
    assert!(!got.contains("hopwatch.report") && !got.starts_with("HTTP/1.1 2"), "{got}");
}

/// An address of this machine that is not loopback's; `None` = it has none, which was said.
fn own_address() -> Option<IpAddr> {
    // Nothing is sent: the system only looks up where it would go out.
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    let address = found.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
    if address.is_none() {
        eprintln!("skipped: this machine has no address but loopback's");
    }
    address
}

#[test]
fn programs_of_other_machines_are_refused_unless_their_network_is_allowed() {
    let Some(own) = own_address() else { return };
    let docs = Router::new().route("/search", |_| documents()).start();
    let routes = route("/docs", &docs.url(""), "retrieval", "docs");
    let sidecar = Sidecar::start(&format!("listen = \"0.0.0.0:0\"\n{routes}"));
    assert!(sidecar.said().contains("gateway.allow"), "what is hardly meant is said: {}", sidecar.said());
    let (_, port) = sidecar.gateway[0].rsplit_once(':').unwrap();
    let from_elsewhere = |head: &str| answered(&format!("{own}:{port}"), head);
    for head in [
        "GET /docs/search HTTP/1.1\r\nhost: a".to_owned(),
        format!("GET {} HTTP/1.1\r\nhost: a", docs.url("/search")),
        format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\nhost: a", docs.port()),
    ] {
        let got = from_elsewhere(&head);
        assert!(got.starts_with("HTTP/1.1 403") && got.contains("gateway.allow"), "{head}: {got}");
    }
    assert!(docs.requests().is_empty());
    assert!(answered(&format!("127.0.0.1:{port}"), "GET /docs/search HTTP/1.1\r\nhost: a").starts_with("HTTP/1.1 200"));
    sidecar.rewrite(&format!("listen = \"0.0.0.0:0\"\nallow = \"{own}\"\n{routes}"));
    sidecar.says("hopwatch: reloaded");
    assert!(from_elsewhere("GET /docs/search HTTP/1.1\r\nhost: a").starts_with("HTTP/1.1 200"));
}

#[test]
fn nobody_gets_to_an_admin_address_on_all_of_this_machines_addresses() {
    let admin = free();
    let (_, port) = admin.rsplit_once(':').unwrap();
    let mut command = hopwatch();
    command.arg("agent");
    let file = local("").replace("admin = \"127.0.0.1:0\"", &format!("admin = \"0.0.0.0:{port}\""));
    let mut sidecar = Sidecar::begun(&file, command);
    sidecar.is_ready();
    let here = own_address().map(|address| address.to_string());
    for host in ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "[::ffff:127.0.0.3]"].into_iter().chain(here.as_deref()) {
        let got = answered(&sidecar.gateway[0], &format!("GET http://{host}:{port}/api/report HTTP/1.1\r\nhost: {host}:{port}"));
        assert!(!got.contains("hopwatch.report") && !got.starts_with("HTTP/1.1 2"), "{host}: {got}");
        let tunnel = answered(&sidecar.gateway[0], &format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}"));
        assert!(!tunnel.starts_with("HTTP/1.1 2"), "{host}: {tunnel}");
    }
}

#[test]
fn metadata_services_are_not_asked() {
    let routes = route("/metadata", "http://169.254.43518", "http", "metadata");
    let tcp = free();
    let led = format!("[[tcp]]\nlisten = \"{tcp}\"\nupstream = \"2852039166:80\"\ndependency = \"metadata\"\n");
    let sidecar = Sidecar::start(&format!("upstream_failure = \"502\"\n{routes}{led}"));
    let hosts =
        ["169.254.169.254", "169.254.170.2", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "169.254.43518", "2852039166"];
    for host in hosts {
        for head in [
            format!("GET http://{host}/latest/meta-data/ HTTP/1.1\r\nhost: {host}"),
            format!("CONNECT {host}:80 HTTP/1.1\r\nhost: {host}:80"),
        ] {
            let got = answered(&sidecar.gateway[0], &head);
            assert!(got.starts_with("HTTP/1.1 502") && got.contains("never connected to"), "{head}: {got}");
        }
    }
    let got = answered(&sidecar.gateway[0], "GET /metadata/latest HTTP/1.1\r\nhost: a");
    assert!(got.starts_with("HTTP/1.1 502") && got.contains("never connected to"), "{got}");
    assert_eq!(Client::to(&tcp).rest(), "");
    let asked = hosts.len() * 2 + 2;
    sidecar.counted(asked);
    assert_eq!(sidecar.metric("hopwatch_hop_calls_total", &["outcome=\"error\""]), asked as f64);
}

#[test]
fn what_comes_back_to_the_agent_is_not_connected_to_however_it_is_written() {
    let (gateway, tcp) = (free(), free());
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    // Spelled so that only a look-up tells what it is: by itself, by one another, and by the proxy that the environment names.
    let routes = route("/self", &format!("http://127.1:{}/self", port(&gateway)), "http", "self");
    let led = format!("[[tcp]]\nlisten = \"{tcp}\"\nupstream = \"2130706433:{}\"\ndependency = \"self\"\n", port(&tcp));
    let proxy = format!("http_proxy = \"http://127.1:{}\"\nno_proxy = \"127.1\"\n", port(&gateway));
    let sidecar = Sidecar::start(&format!("listen = \"{gateway}\"\nupstream_failure = \"502\"\n{proxy}{routes}{led}"));
    for head in [
        "GET /self/x HTTP/1.1\r\nhost: a".to_owned(),
        format!("GET http://127.1:{}/x HTTP/1.1\r\nhost: a", port(&gateway)),
        format!("CONNECT 127.1:{} HTTP/1.1\r\nhost: a", port(&gateway)),
        "GET http://192.0.2.1/x HTTP/1.1\r\nhost: a".to_owned(),
    ] {
        let got = answered(&gateway, &head);
        assert!(got.starts_with("HTTP/1.1 502") && got.contains("this very gateway"), "{head}: {got}");
    }
    assert_eq!(Client::to(&tcp).rest(), "");
    sidecar.counted(5);
    assert_eq!(sidecar.metric("hopwatch_hop_calls_total", &["outcome=\"error\""]), 5.0, "each was one call");
}
