//! HTTPS with `--intercept`, by real clients: seen in full, or led through where they want none of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::app::{App, Watched};
use crate::support::authority::Authority;
use crate::support::part::part;
use crate::support::replies::{CHAT, MESSAGES, completion, finish, found, message, message_stream, streamed};
use crate::support::report::{Hop, Report};
use crate::support::request::Request;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};
use crate::support::tinyproxy::Tinyproxy;

const PINS: &str = "does not accept the certificate";

/// Runs an app with it.
#[track_caller]
fn intercepted(app: &App, server: &Server, name: &str, options: &[&str]) -> Watched {
    let dependency = server.dep(name);
    let options: Vec<&str> = ["--intercept", &dependency].into_iter().chain(options.iter().copied()).collect();
    let watched = app.watched(&options);
    let dump = watched.report.dump();
    assert!(!dump.contains("test-key") && !dump.contains("question") && !dump.contains("PRIVATE"), "{dump}");
    assert!(noted(&watched.report, "`--intercept` was on"), "{dump}");
    watched
}

fn noted(report: &Report, text: &str) -> bool {
    report.list("/notes").iter().any(|note| note.as_str().unwrap_or_default().contains(text))
}

/// A hop whose inside was seen.
#[track_caller]
fn seen(hop: Hop<'_>) -> Hop<'_> {
    hop.ended_ok().is("/origin", "gateway").is("/inferred", false).is("/status", 200)
}

/// A hop of which record heads alone were seen.
#[track_caller]
fn opaque(hop: Hop<'_>) -> Hop<'_> {
    hop.ended_ok().is("/origin", "gateway").is("/inferred", true).is("/status", Value::Null).is("/operation", "tls")
}

#[test]
fn openai_is_seen_with_its_tokens_as_the_observer_sees_it() {
    let Some(app) = App::new("openai_stream.py") else { return };
    let authority = Authority::new();
    let answer = |_: &Request| finish(streamed(Script::event_stream().delay(500), 8, 100), 30, 8);
    let model = Router::new().route(CHAT, answer).start_tls(&authority);
    let app = app.arg(model.url("/v1")).option("--calls", 2).trusting(&authority);
    for via in ["gateway", "both"] {
        let Watched { finished, report } = intercepted(&app, &model, "llm/openai", &[&format!("--via={via}")]);
        assert_eq!(finished.code, 0, "{}", report.dump());
        assert!(finished.stdout.contains("word7  [30 in, 8 out]"), "{}", report.dump());
        report.healthy();
        let hops = report.hops("llm", "openai");
        let of_gateway: Vec<Hop<'_>> = hops.iter().copied().filter(|hop| hop.at("/origin") == "gateway").collect();
        assert_eq!((hops.len(), of_gateway.len()), (if via == "both" { 4 } else { 2 }, 2), "{}", report.dump());
        for hop in &hops {
            hop.ended_ok().is("/status", 200).is("/stream", true).is("/model", "gpt-test").is("/inferred", false);
            hop.is("/tokens", json!({"input": 30, "output": 8})).is("/operation", "POST /v1/chat/completions");
            hop.took("first_token", 300.0, 6_000.0).took("stream", 350.0, 7_000.0);
        }
        of_gateway[0].took("tls", 0.1, 5_000.0).is("/client/connection", "new");
        let gap = of_gateway[0].at("/gap_ms").as_f64();
        report.holds(gap.is_some_and(|gap| (50.0..1_000.0).contains(&gap)), "the gap is that between two words");
        if via == "both" {
            for inner in of_gateway {
                let outer = hops.iter().find(|outer| outer.at("/id") == inner.at("/parent_id")).unwrap();
                let [inner, outer] = [inner, *outer].map(|hop| hop.at("/duration_ms").as_f64().unwrap());
                report.holds((inner - outer).abs() <= f64::max(2.0, outer / 20.0), &format!("{inner} and {outer} ms agree"));
            }
        }
    }
}

#[test]
fn a_first_token_that_does_not_come_is_the_culprit() {
    let Some(app) = App::new("openai_stream.py") else { return };
    let authority = Authority::new();
    let model = Router::new().route(CHAT, |_| Script::event_stream().then(Step::Stall)).start_tls(&authority);
    let app = app.arg(model.url("/v1")).option("--timeout", 3).trusting(&authority);
    let Watched { finished, report } = intercepted(&app, &model, "llm/openai", &[]);
    assert_eq!(finished.code, 1, "{}", report.dump());
    report.is("/runs/0/outcome", "timeout");
    report.culprit("llm", "openai", "first_token");
    let hop = report.hop("llm", "openai").ended("timeout", "caller").is("/status", 200).is("/stream", true);
    hop.is("/client/read_timeout_ms", 3000.0).took("first_token", 2_900.0, 30_000.0);
}

#[test]
fn anthropic_is_seen_with_its_tokens_whole_and_streamed() {
    let Some(app) = App::new("anthropic_calls.py") else { return };
    let authority = Authority::new();
    let answer = |request: &Request| {
        if request.number < 2 { message("hello", 12, 5).after(600) } else { message_stream(6, 200, 12, 5) }
    };
    let model = Router::new().route(MESSAGES, answer).start_tls(&authority);
    let app = app.arg(model.url("")).option("--calls", 2).trusting(&authority);
    for streams in [false, true] {
        let app = if streams { app.clone().arg("--stream") } else { app.clone() };
        let Watched { finished, report } = intercepted(&app, &model, "llm/anthropic", &[]);
        assert_eq!(finished.code, 0, "{}", report.dump());
        assert!(finished.stdout.contains("[12 in, 5 out]"), "{}", report.dump());
        report.healthy();
        let hops = report.hops("llm", "anthropic");
        assert_eq!(hops.len(), 2, "{}", report.dump());
        for hop in &hops {
            seen(*hop).is("/model", "claude-test").is("/stream", streams).is("/tokens", json!({"input": 12, "output": 5}));
            if streams {
                hop.took("stream", 500.0, 10_000.0);
            } else {
                hop.took("wait", 500.0, 6_000.0);
            }
        }
    }
}

#[test]
fn an_openai_client_built_anew_for_each_call_is_found_out() {
    let Some(app) = App::new("openai_sync.py") else { return };
    let authority = Authority::new();
    let model = Router::new().route(CHAT, |_| completion("ok", 10, 2)).start_tls(&authority);
    let app = app.arg(model.url("/v1")).option("--calls", 6).arg("--new-client").trusting(&authority);
    let Watched { finished, report } = intercepted(&app, &model, "llm/openai", &[]);
    assert_eq!(finished.code, 0, "{}", report.dump());
    for hop in report.hops("llm", "openai") {
        seen(hop).is("/client/connection", "new").took("tls", 0.1, 5_000.0);
    }
    let finding = report.finding("client_recreated");
    assert!(finding.is_some_and(|finding| finding["dependency"] == "openai"), "{}", report.dump());
    assert_eq!(model.connections(), 6, "as without hopwatch");
}

/// GETs of a client of some kind.
fn plain_clients(tool: &Server, authority: &Authority) -> Vec<(&'static str, App)> {
    let url = tool.url("/lookup?key=secret");
    let python = [("requests_calls.py", &[][..]), ("httpx_calls.py", &[]), ("aiohttp_calls.py", &["--trust-env"])];
    let python = python.into_iter().filter_map(|(program, options)| {
        let app = App::new(program)?.arg(&url).option("--calls", 2);
        Some((program, options.iter().fold(app, App::arg)))
    });
    let curl = part("curl").map(|curl| ("curl", App::of(curl).arg("-sS").arg(&url).arg(&url)));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/node_calls.js");
    let node = part("node").map(|node| ("node", App::of(node).arg(script).arg(&url).arg(2)));
    python.chain(curl).chain(node).map(|(name, app)| (name, app.trusting(authority))).collect()
}

#[test]
fn clients_of_all_kinds_trust_what_they_are_told_to() {
    let authority = Authority::new();
    let tool = Router::new().route("/lookup", |_| found().after(600)).start_tls(&authority);
    for (name, app) in plain_clients(&tool, &authority) {
        let Watched { finished, report } = intercepted(&app, &tool, "tool/lookup", &[]);
        assert_eq!((finished.code, finished.stdout.matches("shipped").count()), (0, 2), "{name}: {}", report.dump());
        report.healthy();
        assert!(!report.dump().contains("secret"), "{name}: {}", report.dump());
        let hops = report.hops("tool", "lookup");
        assert_eq!(hops.len(), 2, "{name}: {}", report.dump());
        for hop in &hops {
            seen(*hop).is("/operation", "GET /lookup").took("wait", 500.0, 6_000.0);
        }
        hops[0].is("/client/connection", "new").took("tls", 0.1, 5_000.0);
        hops[1].is("/client/connection", "reused");
    }
}

#[test]
fn a_client_that_pins_is_named_once_and_led_through_from_then_on() {
    let Some(app) = App::new("pinning_calls.py") else { return };
    let authority = Authority::new();
    let tool = Router::new().route("/lookup", |_| found()).start_tls(&authority);
    let app = app.arg(tool.url("/lookup")).option("--calls", 3).trusting(&authority);
    let scenes = [("--ca", authority.file()), ("--certificate", authority.server().0)];
    for (way, file) in scenes {
        let app = app.clone().option(way, file.display());
        let Watched { finished, report } = intercepted(&app, &tool, "tool/lookup", &[]);
        assert_eq!(finished.code, 0, "{}", report.dump());
        assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), ["failed: True", "200", "200"], "{}", report.dump());
        let place = format!("localhost:{}", tool.port());
        let said: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("hopwatch: ")).collect();
        assert!(matches!(said[..], [line] if line.contains(PINS) && line.contains(&place)), "{said:?}: {}", report.dump());
        assert!(noted(&report, PINS) && noted(&report, "led through unread"), "{}", report.dump());
        report.healthy();
        let hops = report.hops("tool", "lookup");
        assert_eq!(hops.len(), 2, "{}", report.dump());
        for hop in hops {
            opaque(hop);
        }
    }
}

#[test]
fn a_quiet_run_says_nothing_of_those_who_pin() {
    let Some(app) = App::new("pinning_calls.py") else { return };
    let authority = Authority::new();
    let tool = Router::new().route("/lookup", |_| found()).start_tls(&authority);
    let app = app.arg(tool.url("/lookup")).option("--ca", authority.file().display()).trusting(&authority);
    let Watched { finished, report } = intercepted(&app, &tool, "tool/lookup", &["--quiet"]);
    assert_eq!((&*finished.stdout, &*finished.stderr), ("failed: True\n", ""), "{}", report.dump());
    assert!(noted(&report, PINS), "{}", report.dump());
}

#[test]
fn a_host_that_nobody_trusts_fails_as_it_would_have() {
    for program in ["requests_calls.py", "httpx_calls.py"] {
        let Some(app) = App::new(program) else { return };
        let (authority, other) = (Authority::new(), Authority::new());
        let tool = Router::new().route("/lookup", |_| found()).start_tls(&authority);
        let app = app.arg(tool.url("/lookup")).trusting(&other);
        let alone = app.alone();
        let Watched { finished, report } = intercepted(&app, &tool, "tool/lookup", &[]);
        let last =
            |text: &str| text.lines().rfind(|line| line.contains("Error")).map(|line| line.split(':').next().map(str::to_owned));
        assert_eq!((finished.code, last(&finished.stderr)), (1, last(&alone.stderr)), "{}", report.dump());
        report.is("/runs/0/outcome", "tls");
        report.is("/runs/0/verdict/phase", "tls");
        report.is("/runs/0/verdict/dependency", "lookup");
        report.hop("tool", "lookup").ended("tls", "peer");
        assert!(noted(&report, "has no TLS of its own"), "{}", report.dump());
    }
}

#[test]
fn what_a_program_trusts_of_its_own_goes_on_to_be_enough_for_it() {
    let Some(app) = App::new("pinning_calls.py") else { return };
    let authority = Authority::new();
    let tool = Router::new().route("/lookup", |_| found()).start_tls(&authority);
    // Nobody told hopwatch of this authority.
    let app = app.arg(tool.url("/lookup")).option("--calls", 2).option("--ca", authority.file().display());
    let Watched { finished, report } = intercepted(&app, &tool, "tool/lookup", &[]);
    assert_eq!(finished.stdout, "200\n200\n", "{}", report.dump());
    for hop in report.hops("tool", "lookup") {
        opaque(hop);
    }
}

#[test]
fn the_proxy_that_the_user_has_leads_to_the_hosts() {
    let Some(program) = part("tinyproxy") else { return };
    let Some(app) = App::new("requests_calls.py") else { return };
    let authority = Authority::new();
    let tool = Router::new().route("/lookup", |_| found().after(600)).start_tls(&authority);
    let proxy = Tinyproxy::start(&program, "BasicAuth user s3cret");
    let app = app.arg(tool.url("/lookup")).option("--calls", 2).trusting(&authority);
    let app = app.env("https_proxy", format!("http://user:s3cret@127.0.0.1:{}", proxy.port()));
    let Watched { finished, report } = intercepted(&app, &tool, "tool/lookup", &[]);
    assert_eq!(finished.code, 0, "{}", report.dump());
    assert!(!report.dump().contains("s3cret"), "{}", report.dump());
    report.healthy();
    let hops = report.hops("tool", "lookup");
    seen(hops[0]).took("proxy", 0.01, 5_000.0).took("tls", 0.1, 5_000.0).took("wait", 500.0, 6_000.0);
    assert_eq!((hops.len(), seen(hops[1]).phase("proxy")), (2, 0.0), "{}", report.dump());
}

/// A service of gRPC inside TLS, in a process of its own.
struct Service {
    child: Child,
    port: u16,
}

impl Service {
    /// `None` when there is nothing to run it with (and that was said).
    fn start(authority: &Authority) -> Option<Self> {
        let (certificate, key) = authority.server();
        let app = App::new("grpc_calls.py")?.arg("serve").arg(certificate.display()).arg(key.display());
        let mut child = app.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { child, port: port.trim().parse().unwrap() })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

#[test]
fn grpc_is_seen_with_its_status() {
    let authority = Authority::new();
    let Some(service) = Service::start(&authority) else { return };
    let Some(app) = App::new("grpc_calls.py") else { return };
    let target = format!("localhost:{}", service.port);
    let app = app.arg("call").arg(format!("https://{target}")).arg("Echo:hello").arg("Count:3").arg("Fail:NOT_FOUND");
    let app = app.env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", authority.file().display());
    let Watched { finished, report } = app.watched(&["--intercept", &format!("--dep=tool/calls={target}")]);
    assert_eq!(finished.code, 0, "{}", report.dump());
    assert!(finished.stdout.contains("Echo:hello ended OK hello 5\n"), "{}", report.dump());
    let hops = report.hops("tool", "calls");
    assert_eq!(hops.len(), 3, "{}", report.dump());
    seen(hops[0]).is("/operation", "POST /test.Calls/Echo").is("/client/connection", "new").took("tls", 0.1, 5_000.0);
    seen(hops[1]).is("/operation", "POST /test.Calls/Count").took("stream", 20.0, 5_000.0);
    hops[2].ended("client_error", "peer").is("/error_type", "NOT_FOUND").is("/status", 200);
}
