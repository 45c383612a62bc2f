//! Calls that the gateway leads through: HTTPS by CONNECT and WebSocket, by real clients; what is told equals what the observer says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::app::{App, python};
use crate::support::authority::Authority;
use crate::support::part::part;
use crate::support::peers::Mute;
use crate::support::postgres::{Options, Postgres};
use crate::support::replies::{CHAT, completion, found, stream};
use crate::support::report::{Hop, Report};
use crate::support::script::{Script, Step};
use crate::support::server::Router;
use crate::support::tinyproxy::Tinyproxy;

/// Ways to see the same program.
const WAYS: [&str; 3] = ["observer", "gateway", "both"];

fn via(way: &str) -> String {
    format!("--via={way}")
}

/// A hop of which only record heads were seen.
#[track_caller]
fn opaque(hop: Hop<'_>) -> Hop<'_> {
    hop.is("/inferred", true).is("/origin", "gateway").is("/operation", "tls").is("/status", Value::Null);
    hop.is("/tokens", json!({"input": null, "output": null})).is("/model", Value::Null)
}

/// The records of each call by the two sources agree: the observer's, and the gateway's below it.
#[track_caller]
fn agree(report: &Report, hops: &[Hop<'_>]) {
    let (inner, outer): (Vec<Hop<'_>>, Vec<Hop<'_>>) = hops.iter().partition(|hop| hop.at("/origin") == "gateway");
    assert_eq!(inner.len(), outer.len(), "{}", report.dump());
    for inner in inner {
        let outer = outer.iter().find(|outer| outer.at("/id") == inner.at("/parent_id"));
        let outer = outer.unwrap_or_else(|| panic!("no record around {}: {}", inner.at("/id"), report.dump()));
        let [of_gateway, of_observer] = [inner, *outer].map(|hop| hop.at("/duration_ms").as_f64().unwrap());
        let apart = (of_gateway - of_observer).abs();
        report.holds(apart <= f64::max(2.0, of_observer / 20.0), &format!("{of_gateway} and {of_observer} ms agree"));
        for field in ["/status", "/model", "/tokens", "/stream", "/operation", "/outcome"] {
            inner.is(field, outer.at(field).clone());
        }
    }
}

#[test]
fn https_through_a_tunnel_is_timed_by_its_record_heads_with_requests_and_httpx() {
    for program in ["requests_calls.py", "httpx_calls.py"] {
        let Some(app) = App::new(program) else { return };
        let authority = Authority::new();
        let tool = Router::new().route("/lookup", |_| found().after(600)).start_tls(&authority);
        let app = app.arg(tool.url("/lookup?key=secret")).option("--calls", 3).trusting(&authority);
        for way in WAYS {
            let watched = app.watched(&[&via(way), &tool.dep("tool/lookup")]);
            let report = &watched.report;
            assert_eq!(watched.finished.code, 0, "{}", report.dump());
            report.healthy();
            let hops = report.hops("tool", "lookup");
            for hop in hops.iter().map(|hop| hop.ended_ok()) {
                hop.took("wait", 500.0, 6_000.0);
                if way == "gateway" {
                    opaque(hop);
                }
            }
            assert_eq!(hops.len(), if way == "both" { 6 } else { 3 }, "{}", report.dump());
            hops[0].took("tls", 0.1, 1_000.0);
            hops[hops.len() - 1].is("/client/connection", "reused");
            if way == "both" {
                agree(report, &hops);
            }
            assert!(!report.dump().contains("secret"), "{}", report.dump());
        }
    }
}

#[test]
fn openai_over_https_is_the_culprit_by_whatever_way_it_is_seen() {
    let Some(app) = App::new("openai_stream.py") else { return };
    let authority = Authority::new();
    let model = Router::new().route(CHAT, |_| stream(8, 100, 30, 8).after(8_000)).start_tls(&authority);
    let app = app.arg(model.url("/v1")).trusting(&authority);
    for way in WAYS {
        let watched = app.watched(&[&via(way), "--deadline=6s", &model.dep("llm/openai")]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "wait");
        let hops = report.hops("llm", "openai");
        for hop in &hops {
            hop.ended_ok().took("wait", 7_900.0, 30_000.0);
        }
        match way {
            "gateway" => {
                let hop = opaque(report.hop("llm", "openai")).took("stream", 690.0, 7_000.0);
                assert!(hop.at("/gap_ms").as_f64().is_some_and(|gap| gap >= 90.0), "{}", report.dump());
                let note =
                    report.list("/notes").iter().find(|note| note.as_str().unwrap_or_default().contains("led through unread"));
                assert!(note.is_some_and(|note| note.as_str().unwrap_or_default().contains("openai")), "{}", report.dump());
            }
            "both" => agree(report, &hops),
            _ => {}
        }
    }
}

#[test]
fn a_read_timeout_within_tls_was_the_clients() {
    let Some(app) = App::new("openai_sync.py") else { return };
    let authority = Authority::new();
    let slow = |request: &crate::support::request::Request| {
        if request.number == 0 { completion("ok", 10, 2) } else { Script::new().then(Step::Stall) }
    };
    let model = Router::new().route(CHAT, slow).start_tls(&authority);
    let app = app.arg(model.url("/v1")).option("--calls", 2).option("--timeout", 2).trusting(&authority);
    for way in WAYS {
        let watched = app.watched(&[&via(way), &model.dep("llm/openai")]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "wait");
        let hops = report.hops("llm", "openai");
        for hop in &hops[hops.len() / 2..] {
            hop.ended("timeout", "caller").took("wait", 1_900.0, 20_000.0);
        }
        if way == "both" {
            agree(report, &hops);
        }
    }
}

#[test]
fn a_handshake_that_stalls_in_a_tunnel_is_a_timeout_in_tls() {
    for program in ["httpx_calls.py", "requests_calls.py"] {
        let Some(app) = App::new(program) else { return };
        let peer = Mute::new();
        let address = peer.address();
        let app = app.arg(format!("https://{address}/lookup")).option("--timeout", 3);
        let watched = app.watched(&["--via=gateway", &format!("--dep=tool/lookup={address}")]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("tool", "lookup", "tls");
        report.is("/runs/0/verdict/cause", "tls");
        report.hop("tool", "lookup").ended("timeout", "caller").took("tls", 2_500.0, 20_000.0);
    }
}

#[test]
fn a_certificate_that_a_client_turns_down_fails_the_handshake() {
    for (program, options) in [("requests_calls.py", &[][..]), ("httpx_calls.py", &[]), ("httpx_calls.py", &["--at-once"])] {
        let Some(app) = App::new(program) else { return };
        let (authority, other) = (Authority::new(), Authority::new());
        let tool = Router::new().route("/lookup", |_| found()).start_tls(&authority);
        let app = options.iter().fold(app.arg(tool.url("/lookup")), App::arg).trusting(&other);
        let watched = app.watched(&["--via=gateway", &tool.dep("tool/lookup")]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "tls");
        report.is("/runs/0/verdict/phase", "tls");
        for hop in report.hops("tool", "lookup") {
            hop.ended("tls", "peer");
        }
    }
}

#[test]
fn curl_is_led_through() {
    let Some(curl) = part("curl") else { return };
    let authority = Authority::new();
    let tool = Router::new().route("/lookup", |_| found().after(500)).start_tls(&authority);
    let app = App::of(curl).arg("-sS").arg("--cacert").arg(authority.file().display()).arg(tool.url("/lookup"));
    let watched = app.watched(&["--via=gateway", &tool.dep("tool/lookup")]);
    assert!(watched.finished.stdout.contains("shipped"), "{}", watched.report.dump());
    opaque(watched.report.hop("tool", "lookup").ended_ok()).took("wait", 490.0, 5_000.0).took("tls", 0.1, 1_000.0);
}

#[test]
fn tunnels_lead_through_the_proxy_that_the_user_has() {
    let Some(program) = part("tinyproxy") else { return };
    let Some(app) = App::new("requests_calls.py") else { return };
    let authority = Authority::new();
    let tool = Router::new().route("/lookup", |_| found().after(300)).start_tls(&authority);
    let proxy = Tinyproxy::start(&program, "BasicAuth user s3cret");
    let app = app.arg(tool.url("/lookup")).option("--calls", 2).trusting(&authority);
    for (credentials, code) in [("user:s3cret@", 0), ("", 1)] {
        let app = app.clone().env("https_proxy", format!("http://{credentials}127.0.0.1:{}", proxy.port()));
        let watched = app.watched(&["--via=gateway", &tool.dep("tool/lookup")]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, code, "{}", report.dump());
        assert!(!report.dump().contains("s3cret"), "{}", report.dump());
        let hops = report.hops("tool", "lookup");
        if code == 0 {
            report.healthy();
            opaque(hops[0].ended_ok()).took("proxy", 0.01, 5_000.0).took("wait", 290.0, 3_000.0);
            assert_eq!((hops.len(), hops[1].phase("proxy")), (2, 0.0), "{}", report.dump());
        } else {
            report.is("/runs/0/outcome", "connect");
            report.is("/runs/0/verdict/cause", "proxy");
            hops[0].ended("connect", "peer").is("/status", 407).is("/error_type", "proxy_authentication_required");
        }
    }
}

/// A WebSocket server in a process of its own.
struct WebSocketServer {
    child: Child,
    port: u16,
}

impl WebSocketServer {
    /// `None` when there is no environment to run it in (and that was said).
    fn start() -> Option<Self> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/websocket_server.py");
        let mut command = Command::new(python()?);
        let mut child = command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, port: line.trim().parse().unwrap() })
    }
}

impl Drop for WebSocketServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

#[test]
fn a_web_socket_is_timed_to_its_close_by_whatever_way_it_is_seen() {
    let Some(server) = WebSocketServer::start() else { return };
    let Some(app) = App::new("websocket_calls.py") else { return };
    let url = format!("ws://127.0.0.1:{}/feed", server.port);
    let dependency = format!("--dep=tool/feed=127.0.0.1:{}", server.port);
    for leave in [false, true] {
        let app = app.clone().arg(&url).option("--pause", 0.3);
        let app = if leave { app.arg("--leave") } else { app };
        for way in WAYS {
            let watched = app.watched(&[&via(way), &dependency]);
            let report = &watched.report;
            assert_eq!(watched.finished.code, 0, "{}", report.dump());
            report.healthy();
            let hops = report.hops("tool", "feed");
            assert_eq!(hops.len(), if way == "both" { 2 } else { 1 }, "{}", report.dump());
            for hop in &hops {
                hop.ended_ok().is("/status", 101).is("/operation", "GET /feed").took("stream", 1_400.0, 15_000.0);
            }
            if way == "both" {
                agree(report, &hops);
            }
        }
    }
}

#[test]
fn a_web_socket_by_a_tcp_route_is_timed_to_its_close() {
    let Some(server) = WebSocketServer::start() else { return };
    let Some(app) = App::new("websocket_calls.py") else { return };
    let route = Routed::to(server.port, "tool", "feed");
    let app = app.arg(format!("ws://127.0.0.1:{}/feed", route.entrance));
    let watched = app.watched(&["--via=gateway", "--no-proxy-env", &route.option]);
    let report = &watched.report;
    assert_eq!(watched.finished.code, 0, "{}", report.dump());
    report.hop("tool", "feed").ended_ok().is("/status", 101).is("/operation", "GET /feed").took("stream", 590.0, 6_000.0);
}
/// A configuration with a TCP route to a port, and where the route begins.
struct Routed {
    _folder: tempfile::TempDir,
    option: String,
    entrance: u16,
}

impl Routed {
    fn to(port: u16, kind: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("hopwatch.toml");
        // It wants to be told a port: one that was free a moment ago.
        let entrance = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "[[tcp]]\nlisten = \"127.0.0.1:{entrance}\"\nupstream = \"127.0.0.1:{port}\"\ndependency = \"{name}\"\nkind = \"{kind}\"\n"
        );
        std::fs::write(&config, text).unwrap();
        Self { option: format!("--config={}", config.display()), entrance, _folder: folder }
    }
}

#[test]
fn postgresql_by_a_tcp_route_is_seen_as_the_observer_sees_it() {
    let Some(app) = App::new("postgres_calls.py") else { return };
    let Some(server) = Postgres::start(app.python(), Options::default()) else { return };
    for client in ["psycopg", "psycopg2", "asyncpg"] {
        let route = Routed::to(server.port(), "retrieval", "orders");
        let app = app.clone().arg(client).arg(route.entrance).option("--sql", "select 1, pg_sleep(0.5)").option("--calls", 3);
        for way in ["gateway", "both"] {
            let watched = app.watched(&[&via(way), &route.option]);
            let report = &watched.report;
            assert_eq!(watched.finished.code, 0, "{}", report.dump());
            report.healthy();
            let hops = report.hops("retrieval", "orders");
            let of_gateway: Vec<_> = hops.iter().filter(|hop| hop.at("/origin") == "gateway").collect();
            let slow: Vec<_> = of_gateway.iter().filter(|hop| hop.phase("wait") > 400.0).collect();
            assert_eq!(slow.len(), 3, "{}", report.dump());
            for hop in slow {
                hop.ended_ok().is("/operation", "SELECT").is("/inferred", false).took("wait", 490.0, 5_000.0);
            }
            of_gateway[0].is("/client/connection", "new").took("connect", 0.1, 1_000.0);
            for hop in &of_gateway[1..] {
                hop.is("/client/connection", "reused");
            }
            if way == "both" {
                let slow: Vec<_> = hops.iter().copied().filter(|hop| hop.phase("wait") > 400.0).collect();
                agree(report, &slow);
            }
        }
    }
}

#[test]
fn a_database_that_is_full_or_wants_another_password_says_so_by_a_tcp_route() {
    let Some(app) = App::new("postgres_calls.py") else { return };
    let settings = ["max_connections=3", "superuser_reserved_connections=0"];
    let options = Options { password: Some("s3cret"), settings: &settings, ..Options::default() };
    let Some(server) = Postgres::start(app.python(), options) else { return };
    let scenes = [("s3cret", 5, "shed", "53300"), ("wrong-s3cret", 1, "error", "28P01")];
    for (password, connections, outcome, code) in scenes {
        let route = Routed::to(server.port(), "retrieval", "orders");
        let app = app.clone().arg("psycopg").arg(route.entrance).option("--password", password);
        let watched = app.option("--connections", connections).watched(&["--via=gateway", &route.option]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", outcome);
        report.is("/runs/0/verdict/dependency", "orders");
        let hops = report.hops("retrieval", "orders");
        hops[hops.len() - 1].ended(outcome, "peer").is("/error_type", code).is("/operation", "connect");
        assert!(!report.dump().contains("s3cret"), "{}", report.dump());
    }
}

#[test]
fn a_query_that_its_client_cancels_by_a_tcp_route_was_left_by_it() {
    let Some(app) = App::new("postgres_calls.py") else { return };
    let Some(server) = Postgres::start(app.python(), Options::default()) else { return };
    for client in ["psycopg", "psycopg2", "asyncpg"] {
        let route = Routed::to(server.port(), "retrieval", "orders");
        let app = app.clone().arg(client).arg(route.entrance).option("--sql", "select 1, pg_sleep(60)");
        let watched = app.option("--cancel-after", 2).watched(&["--via=gateway", &route.option]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        let hops = report.hops("retrieval", "orders");
        let cancelled = hops.iter().find(|hop| hop.phase("wait") > 1_900.0);
        cancelled.unwrap_or_else(|| panic!("{}", report.dump())).ended("timeout", "caller").is("/operation", "SELECT");
    }
}

#[test]
fn postgresql_inside_tls_by_a_tcp_route_is_opaque() {
    let Some(app) = App::new("postgres_calls.py") else { return };
    let authority = Authority::new();
    let Some(server) = Postgres::start(app.python(), Options { authority: Some(&authority), ..Options::default() }) else {
        return;
    };
    let route = Routed::to(server.port(), "retrieval", "orders");
    let app = app.arg("psycopg2").arg(route.entrance).option("--ca", authority.file().display());
    let watched = app.option("--sql", "select 1, pg_sleep(0.5)").watched(&["--via=gateway", &route.option]);
    let report = &watched.report;
    assert_eq!(watched.finished.code, 0, "{}", report.dump());
    report.healthy();
    let hops = report.hops("retrieval", "orders");
    opaque(hops[0].ended_ok()).took("tls", 0.1, 1_000.0).took("connect", 0.01, 1_000.0);
    report.holds(hops.iter().any(|hop| hop.phase("wait") > 490.0), "the query is one of the exchanges");
}
