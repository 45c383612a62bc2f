//! Faults below HTTP, by plain clients.

use std::time::Duration;

use serde_json::Value;

use crate::support::app::App;
use crate::support::peers::{Mute, Unanswered, refused};
use crate::support::replies::found;
use crate::support::script::{Script, Step};
use crate::support::server::Router;
use crate::support::via::each_way;

#[test]
fn a_refused_connection_is_told_with_httpx() {
    refused_with("httpx_calls.py");
}

#[test]
fn a_refused_connection_is_told_with_requests() {
    refused_with("requests_calls.py");
}

#[test]
fn a_refused_connection_is_told_with_aiohttp() {
    refused_with("aiohttp_calls.py");
}

fn refused_with(program: &str) {
    each_way(|via| {
        let Some(app) = App::new(program).map(|app| app.via(via)) else { return };
        let address = refused();

        let watched = app.arg(format!("http://{address}/lookup")).watched(&[&format!("--dep=tool/lookup={address}")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "connect");
        report.is("/runs/0/healthy", false);
        // Refused at once: the culprit is who ended the run, whatever its share.
        report.is("/runs/0/verdict/kind", "tool");
        report.is("/runs/0/verdict/dependency", "lookup");
        report.is("/runs/0/verdict/phase", "connect");
        report.is("/runs/0/verdict/cause", "unreachable");
        report.is("/runs/0/verdict/raised_at", Value::Null);
        report.hop("tool", "lookup").ended("connect", "peer").is("/status", Value::Null).is("/client/connection", "new");
    });
}

#[test]
fn a_name_that_does_not_resolve_is_told_with_requests() {
    unresolved_with("requests_calls.py");
}

#[test]
fn a_name_that_does_not_resolve_is_told_with_aiohttp() {
    unresolved_with("aiohttp_calls.py");
}

fn unresolved_with(program: &str) {
    each_way(|via| {
        let Some(app) = App::new(program).map(|app| app.via(via)) else { return };

        let watched =
            app.arg("http://no-such-host.invalid:8080/lookup").watched(&["--dep=tool/lookup=no-such-host.invalid:8080"]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "dns");
        report.is("/runs/0/healthy", false);
        report.is("/runs/0/verdict/kind", "tool");
        report.is("/runs/0/verdict/dependency", "lookup");
        report.is("/runs/0/verdict/phase", "dns");
        report.is("/runs/0/verdict/cause", "dns");
        report.hop("tool", "lookup").ended("dns", "peer").is("/status", Value::Null);
    });
}

#[test]
fn a_connection_that_is_never_answered_is_a_timeout_in_connect_with_httpx() {
    unanswered_with("httpx_calls.py");
}

#[test]
fn a_connection_that_is_never_answered_is_a_timeout_in_connect_with_aiohttp() {
    unanswered_with("aiohttp_calls.py");
}

#[test]
fn a_connection_that_is_never_answered_is_a_timeout_in_connect_with_requests() {
    unanswered_with("requests_calls.py");
}

fn unanswered_with(program: &str) {
    each_way(|via| {
        let Some(app) = App::new(program).map(|app| app.via(via)) else { return };
        let peer = Unanswered::new();
        let address = peer.address();

        let app = app.arg(format!("http://{address}/lookup")).option("--timeout", 3);
        let watched = app.watched(&[&format!("--dep=tool/lookup={address}")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("tool", "lookup", "connect");
        report.is("/runs/0/verdict/cause", "connect_timeout");
        report.hop("tool", "lookup").ended("timeout", "caller").took("connect", 2_700.0, 6_000.0);
    });
}

#[test]
fn a_tls_handshake_that_stalls_is_a_timeout_in_tls_with_httpx() {
    stalled_handshake_with("httpx_calls.py");
}

#[test]
fn a_tls_handshake_that_stalls_is_a_timeout_in_tls_with_aiohttp() {
    stalled_handshake_with("aiohttp_calls.py");
}

#[test]
fn a_tls_handshake_that_stalls_is_a_timeout_in_tls_with_requests() {
    stalled_handshake_with("requests_calls.py");
}

fn stalled_handshake_with(program: &str) {
    each_way(|via| {
        let Some(app) = App::new(program).map(|app| app.via(via)) else { return };
        let peer = Mute::new();
        let address = peer.address();

        let app = app.arg(format!("https://{address}/lookup")).option("--timeout", 3);
        let watched = app.watched(&[&format!("--dep=tool/lookup={address}")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("tool", "lookup", "tls");
        report.is("/runs/0/verdict/cause", "tls");
        report.hop("tool", "lookup").ended("timeout", "caller").took("tls", 2_500.0, 6_000.0);
    });
}

#[test]
fn a_read_timeout_is_told_with_requests_httpx_and_aiohttp_alike() {
    each_way(|via| {
        let variants: [(&str, &[&str]); 4] =
            [("requests_calls.py", &[]), ("httpx_calls.py", &[]), ("aiohttp_calls.py", &[]), ("aiohttp_calls.py", &["--uvloop"])];
        for (program, options) in variants {
            let Some(app) = App::new(program).map(|app| app.via(via)) else { return };
            let app = options.iter().fold(app, App::arg);
            let tool = Router::new()
                .route("/lookup", |request| if request.number < 2 { found() } else { Script::new().then(Step::Stall) })
                .start();

            let app = app.arg(tool.url("/lookup")).option("--calls", 3).option("--timeout", 2);
            let watched = app.watched(&[&tool.dep("tool/lookup")]);

            let report = &watched.report;
            assert_eq!(watched.finished.code, 1, "{}", report.dump());
            report.is("/runs/0/outcome", "timeout");
            report.culprit("tool", "lookup", "wait");
            let hops = report.hops("tool", "lookup");
            assert_eq!(hops.len(), 3, "{}", report.dump());
            hops[1].ended_ok().is("/client/connection", "reused");
            hops[2].ended("timeout", "caller").took("wait", 1_800.0, 5_000.0);
        }
    });
}

#[test]
fn a_process_killed_in_mid_call_leaves_its_open_hop_in_the_report() {
    each_way(|via| {
        let Some(app) = App::new("httpx_calls.py").map(|app| app.via(via)) else { return };
        let tool = Router::new().route("/lookup", |_| Script::new().then(Step::Stall)).start();

        let app = app.arg(tool.url("/lookup")).option("--die-after", 4);
        let watched = app.watched(&[&tool.dep("tool/lookup")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 128 + libc::SIGKILL, "{}", report.dump());
        report.is("/runs/0/healthy", false);
        let hop = report.hop("tool", "lookup").took("wait", 800.0, 9_000.0);
        if via.is_inside() {
            hop.is("/open", true).is("/current_phase", "wait").is("/outcome", Value::Null).is("/failed_by", Value::Null);
            report.is("/losses/open", report.at("/losses/started").clone());
        } else {
            // All that comes to the gateway is the kernel's FIN.
            hop.ended("timeout", "caller");
        }
        report.holds(tool.all_left(), "the kernel closed the connection");
    });
}

#[test]
fn a_deadline_with_kill_ends_a_program_that_hangs() {
    each_way(|via| {
        let Some(app) = App::new("requests_calls.py").map(|app| app.via(via)) else { return };
        let tool = Router::new().route("/lookup", |_| Script::new().then(Step::Stall)).start();

        let app = app.arg(tool.url("/lookup")).option("--timeout", Duration::from_secs(100).as_secs());
        let watched = app.watched(&["--deadline", "5s", "--kill", &tool.dep("tool/lookup")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 124, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("tool", "lookup", "wait");
    });
}
