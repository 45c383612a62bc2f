//! Secrets that go through the agent by every way, and are found nowhere in what it tells.

use hopwatch::export::otlp::OtlpProtocol;
use serde_json::json;

use crate::ask::wait_for;
use crate::client::{Client, curl};
use crate::collector::real::Receiver;
use crate::sidecar::{Sidecar, route};
use crate::support::authority::Authority;
use crate::support::part::part;
use crate::support::replies::CHAT;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};

/// Each is in one place alone, so that what leaks tells where from.
const SECRETS: [&str; 15] = [
    "userinfo-s3cret",
    "query-s3cret",
    "fragment-s3cret",
    "bearer-s3cret",
    "cookie-s3cret",
    "apikey-s3cret",
    "xapikey-s3cret",
    "proxyauth-s3cret",
    "prompt-s3cret",
    "completion-s3cret",
    "setcookie-s3cret",
    "location-s3cret",
    "message-s3cret",
    "tool-s3cret",
    "custom-s3cret",
];
/// Parts of paths that name somebody or something.
const IDS: [&str; 4] = [
    "thread_4f8a9b2c1d7e",
    "0b7d9f5e-6a3c-4d2b-9e8f-1a2b3c4d5e6f",
    "20260413998877",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJlc2lnbmF0dXJl",
];

/// What is asked for: a model that streams, one that refuses, a tool, and one that never answers.
fn upstream() -> Server {
    let mut router = Router::new()
        .route(CHAT, |_| {
            let word = json!({"choices": [{"index": 0, "delta": {"content": "completion-s3cret"}}], "model": "gpt-test"});
            Script::event_stream().event(&word.to_string()).event("[DONE]").end()
        })
        .route("/refused", |_| {
            let headers = [("set-cookie", "id=setcookie-s3cret"), ("location", "/else?k=location-s3cret"), ("retry-after", "0")];
            let error = json!({"error": {"message": "message-s3cret of yours", "type": "server_error", "code": "message-s3cret is no code"}});
            Script::answer(503, &headers, &error)
        })
        .route("/hang", |_| Script::new().then(Step::Stall));
    for id in IDS {
        router = router.route(&format!("/users/{id}/items"), |_| Script::json(&json!({"item": "completion-s3cret"})));
    }
    router.start()
}

/// Asks for all of it, with secrets wherever there is a place for them.
fn asks(base: &str, options: &[&str]) {
    let asked = |path: &str, more: &[&str]| {
        let url = format!("{base}{path}?api_key=query-s3cret&q=prompt-s3cret#fragment-s3cret");
        let with_user = url.replacen("://", "://me:userinfo-s3cret@", 1);
        let mut all = vec![&*with_user];
        for header in [
            "cookie: session=cookie-s3cret",
            "api-key: apikey-s3cret",
            "x-api-key: xapikey-s3cret",
            "x-custom: custom-s3cret",
            "proxy-authorization: Basic proxyauth-s3cret",
        ] {
            all.extend(["--header", header]);
        }
        all.extend_from_slice(options);
        all.extend_from_slice(more);
        let output = curl(&all).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let bearer = ["--header", "authorization: Bearer bearer-s3cret"];
    let prompt = json!({
        "model": "gpt-test", "stream": true, "messages": [{"role": "user", "content": "prompt-s3cret"}],
        "tools": [{"function": {"name": "tool-s3cret", "description": "tool-s3cret"}}], "user": "custom-s3cret",
    });
    let json = ["--header", "content-type: application/json", "--data"];
    let prompt = prompt.to_string();
    assert!(asked(CHAT, &[&bearer[..], &json, &[&*prompt]].concat()).contains("completion-s3cret"), "it went through");
    assert!(asked("/refused", &bearer).contains("message-s3cret"));
    for id in IDS {
        assert!(asked(&format!("/users/{id}/items"), &[]).contains("completion-s3cret"));
    }
}

#[test]
fn secrets_go_through_and_are_told_nowhere() {
    let Some(receiver) = Receiver::python().filter(|_| part("curl").is_some()) else { return };
    let (upstream, authority) = (upstream(), Authority::new());
    let routes = route("/model", &upstream.url(""), "llm", "openai");
    let observed = |command: &mut std::process::Command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint(OtlpProtocol::HttpProtobuf));
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    };
    let plain = Sidecar::with(&routes, observed);
    let (certificate, key) = authority.server();
    let identity = format!("tls_certificate = \"{}\"\ntls_key = \"{}\"\n", certificate.display(), key.display());
    let secured = Sidecar::with(&(identity + &routes), observed);
    let (_, port) = secured.gateway[0].rsplit_once(':').unwrap();

    asks(&plain.url("/model"), &[]);
    let proxy = plain.url("").replacen("://", "://me:proxyauth-s3cret@", 1);
    asks(&upstream.url(""), &["--proxy", &proxy]);
    let authority = authority.file().display().to_string();
    asks(&format!("https://localhost:{port}/model"), &["--http1.1", "--cacert", &authority]);
    asks(&format!("https://localhost:{port}/model"), &["--http2", "--cacert", &authority]);
    // A target with credentials in it, as clients of a proxy should not write it, and a call that hangs.
    let place = format!("127.0.0.1:{}", upstream.port());
    let mut hanging = Client::to(&plain.gateway[0]);
    let hang = format!(
        "GET http://me:userinfo-s3cret@{place}/hang?k=query-s3cret HTTP/1.1\r\nhost: {place}\r\nauthorization: bearer-s3cret\r\n\r\n"
    );
    hanging.write(hang.as_bytes());
    for sidecar in [&plain, &secured] {
        sidecar.tried(12);
    }
    let mut told = Vec::new();
    for sidecar in [&plain, &secured] {
        for path in ["/metrics", "/api/report", "/api/open", "/"] {
            told.push((path, sidecar.asked(path).1));
        }
    }
    let open = &told.iter().find(|(path, _)| *path == "/api/open").unwrap().1;
    assert!(open.contains("\"operation\":\"GET /hang\""), "{open}");
    let report = &told.iter().find(|(path, _)| *path == "/api/report").unwrap().1;
    assert!(report.contains("server_error"), "there is something to find: {report}");
    hanging.leave();
    wait_for("the last call is over", || {
        let open = plain.json("/api/open")["hops"].as_array().unwrap().len();
        if open == 0 { Ok(()) } else { Err(format!("{open} open")) }
    });
    for sidecar in [plain, secured] {
        // A configuration that is wrong is told without its values.
        sidecar.rewrite("https_proxy = \"http://me:userinfo-s3cret@\"\n");
        sidecar.says("hopwatch: not reloaded");
        sidecar.send(libc::SIGTERM);
        sidecar.says("hopwatch: ends");
        told.push(("standard error", sidecar.said()));
        assert_eq!(sidecar.ended(), Some(0));
    }
    for signal in ["traces", "metrics"] {
        let enough = |requests: &[serde_json::Value]| serde_json::to_string(requests).unwrap().contains("gpt-test");
        told.push((signal, serde_json::to_string(&receiver.requests(signal, enough)).unwrap()));
    }
    for (place, text) in &told {
        for secret in SECRETS.iter().chain(&IDS) {
            assert!(!text.contains(secret), "`{secret}` is told by {place}: {text}");
        }
        assert!(!text.contains("s3cret"), "{place}: {text}");
    }
    // All of it came through, but for what is for the proxy alone.
    let came: String = upstream.requests().iter().map(|request| String::from_utf8_lossy(&request.bytes).into_owned()).collect();
    for secret in
        ["query-s3cret", "cookie-s3cret", "apikey-s3cret", "xapikey-s3cret", "custom-s3cret", "prompt-s3cret", "bearer-s3cret"]
    {
        assert!(came.contains(secret), "{secret}");
    }
    assert!(!came.contains("proxyauth-s3cret"), "what was meant for the proxy went on: {came}");
}
