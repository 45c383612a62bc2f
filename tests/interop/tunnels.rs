//! Calls that the gateway leads through: HTTPS by CONNECT and WebSocket, by real clients; what is told equals what the observer says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::app::{App, python};
use crate::support::authority::Authority;
use crate::support::part::part;
use crate::support::replies::{CHAT, MESSAGES, found, message, stream};
use crate::support::report::Hop;
use crate::support::routed::Routed;
use crate::support::server::Router;
use crate::support::tinyproxy::Tinyproxy;
use crate::support::via::each_way;

/// A hop of which only record heads were seen.
#[track_caller]
fn opaque(hop: Hop<'_>) -> Hop<'_> {
    hop.is("/inferred", true).is("/origin", "gateway").is("/operation", "tls").is("/status", Value::Null);
    hop.is("/tokens", json!({"input": null, "output": null})).is("/model", Value::Null)
}

#[test]
fn https_through_a_tunnel_is_timed_by_its_record_heads_with_requests_and_httpx() {
    for program in ["requests_calls.py", "httpx_calls.py"] {
        let Some(app) = App::new(program) else { return };
        let authority = Authority::new();
        let tool = Router::new().route("/lookup", |_| found().after(600)).start_tls(&authority);
        let app = app.arg(tool.url("/lookup?key=secret")).option("--calls", 3).trusting(&authority);
        each_way(|via| {
            let watched = app.clone().via(via).watched(&[&tool.dep("tool/lookup")]);
            let report = &watched.report;
            assert_eq!(watched.finished.code, 0, "{}", report.dump());
            report.healthy();
            let hops = report.hops("tool", "lookup");
            for hop in hops.iter().map(|hop| hop.ended_ok()) {
                hop.took("wait", 500.0, 6_000.0);
                if !via.is_inside() {
                    opaque(hop);
                }
            }
            assert_eq!(hops.len(), 3, "{}", report.dump());
            hops[0].took("tls", 0.1, 1_000.0);
            hops[2].is("/client/connection", "reused");
            assert!(!report.dump().contains("secret"), "{}", report.dump());
        });
    }
}

#[test]
fn openai_over_https_is_the_culprit_by_whatever_way_it_is_seen() {
    let Some(app) = App::new("openai_stream.py") else { return };
    let authority = Authority::new();
    let model = Router::new().route(CHAT, |_| stream(8, 100, 30, 8).after(12_000)).start_tls(&authority);
    let app = app.arg(model.url("/v1")).trusting(&authority);
    each_way(|via| {
        let watched = app.clone().via(via).watched(&["--deadline=12s", &model.dep("llm/openai")]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "wait");
        let hops = report.hops("llm", "openai");
        for hop in &hops {
            hop.ended_ok().took("wait", 11_900.0, 40_000.0);
        }
        if !via.is_inside() {
            let hop = opaque(report.hop("llm", "openai")).took("stream", 690.0, 7_000.0);
            assert!(hop.at("/gap_ms").as_f64().is_some_and(|gap| gap >= 90.0), "{}", report.dump());
            let note = report.list("/notes").iter().find(|note| note.as_str().unwrap_or_default().contains("led through unread"));
            assert!(note.is_some_and(|note| note.as_str().unwrap_or_default().contains("openai")), "{}", report.dump());
        }
    });
}

#[test]
fn anthropic_over_https_is_timed_by_whatever_way_it_is_seen() {
    let Some(app) = App::new("anthropic_calls.py") else { return };
    let authority = Authority::new();
    let model = Router::new().route(MESSAGES, |_| message("hello", 12, 5).after(600)).start_tls(&authority);
    let app = app.arg(model.url("")).option("--calls", 2).trusting(&authority);
    each_way(|via| {
        let watched = app.clone().via(via).watched(&[&model.dep("llm/anthropic")]);
        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.healthy();
        let hops = report.hops("llm", "anthropic");
        assert_eq!(hops.len(), 2, "{}", report.dump());
        for hop in hops.iter().map(|hop| hop.ended_ok()) {
            hop.took("wait", 500.0, 6_000.0);
            if via.is_inside() {
                hop.is("/status", 200).is("/tokens", json!({"input": 12, "output": 5}));
            } else {
                opaque(hop);
            }
        }
    });
}

#[test]
fn a_certificate_that_a_client_turns_down_fails_the_handshake() {
    for (program, options) in [("requests_calls.py", &[][..]), ("httpx_calls.py", &[]), ("httpx_calls.py", &["--at-once"])] {
        let Some(app) = App::new(program) else { return };
        let (authority, other) = (Authority::new(), Authority::new());
        let tool = Router::new().route("/lookup", |_| found()).start_tls(&authority);
        let app = options.iter().fold(app.arg(tool.url("/lookup")), App::arg).trusting(&other);
        each_way(|via| {
            let watched = app.clone().via(via).watched(&[&tool.dep("tool/lookup")]);
            let report = &watched.report;
            assert_eq!(watched.finished.code, 1, "{}", report.dump());
            report.is("/runs/0/outcome", "tls");
            report.is("/runs/0/verdict/phase", "tls");
            for hop in report.hops("tool", "lookup") {
                hop.ended("tls", "peer");
            }
        });
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
        each_way(|via| {
            let watched = app.clone().via(via).watched(&[&dependency]);
            let report = &watched.report;
            assert_eq!(watched.finished.code, 0, "{}", report.dump());
            report.healthy();
            let hop = report.hop("tool", "feed").ended_ok().is("/status", 101).is("/operation", "GET /feed");
            hop.took("stream", 1_400.0, 15_000.0);
        });
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
