use crate::probing::{ended, evidence, finding, once, saying, target};
use crate::support::authority::Authority;
use crate::support::part::part;
use crate::support::peers::refused;
use crate::support::script::Script;
use crate::support::server::Router;
use crate::support::tinyproxy::Tinyproxy;
use serde_json::{Value, json};

/// Nothing that is printed may hold it.
const PASSWORD: &str = "s3cret";

#[test]
fn a_real_proxy_is_on_the_way_with_its_own_phase() {
    let Some(program) = part("tinyproxy") else { return };
    let authority = Authority::new();
    let route = || Router::new().route("/", |_| Script::json(&json!("ready")));
    let (plain, secured) = (route().start(), route().start_tls(&authority));
    let proxy = Tinyproxy::start(&program, &format!("BasicAuth user {PASSWORD}"));
    let place = format!("127.0.0.1:{}", proxy.port());
    let through = |url: &str| {
        let mut command = once(url);
        command.env("all_proxy", format!("http://user:{PASSWORD}@{place}")).arg("--ca").arg(authority.file());
        command
    };
    let url = format!("https://127.0.0.1:{}/", secured.port());
    for (url, is_tls) in [(url.clone(), true), (plain.url("/"), false)] {
        let target = target(&mut through(&url));
        assert_eq!((&target["ok"], &target["via_proxy"], &target["statuses"]), (&json!(true), &json!(place), &json!({"200": 1})));
        assert_eq!(target["address"], place, "the connection is the proxy's");
        assert!(target["phases"]["proxy"]["max_ms"].is_f64(), "{target:#}");
        assert_eq!(target["phases"]["tls"].is_object(), is_tls);
        let note = target["notes"][0].as_str().unwrap_or_default();
        assert!(note.contains("127.0.0.1 is internal; NO_PROXY names what does not"), "{note}");
    }
    let told = ended(&mut through(&url));
    assert!(told.out.contains(&format!("through the proxy {place}   TLS 1.3")) && !told.out.contains(PASSWORD), "{}", told.out);
    for (name, value) in [("no_proxy", "127.0.0.0/8"), ("NO_PROXY", "127.0.0.1")] {
        let target = target(through(&url).env(name, value));
        assert_eq!((&target["ok"], &target["via_proxy"]), (&json!(true), &Value::Null), "{name}");
    }
    assert_eq!(target(through(&url).arg("--no-proxy"))["via_proxy"], Value::Null);
}

#[test]
fn a_real_proxy_that_wants_credentials_says_so() {
    let Some(program) = part("tinyproxy") else { return };
    let proxy = Tinyproxy::start(&program, &format!("BasicAuth user {PASSWORD}"));
    // It answers what it does not lead to as well, but not before it knows who asks.
    for url in ["https://docs.example/", "http://docs.example/"] {
        let mut command = once(url);
        command.env("ALL_PROXY", format!("http://user:other-{PASSWORD}@127.0.0.1:{}", proxy.port()));
        let target = target(&mut command);
        assert!(!target.to_string().contains(PASSWORD), "{target:#}");
        if target["failed_phase"] != Value::Null {
            assert_eq!(target["failed_phase"], "proxy", "{target:#}");
            let (cause, _, _) = finding(&target);
            assert_eq!(cause, "proxy");
        }
    }
}

#[test]
fn a_proxy_that_refuses_is_told_with_what_helps() {
    let server = Router::new().route("/", |_| Script::json(&json!("ready"))).start();
    for (answer, code, status, remedy_part) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            "proxy_authentication_required",
            json!(407.0),
            "user:password@host:port",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy_refused_403", json!(403.0), "let docs.example through"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "proxy_invalid_response", Value::Null, "that a forward proxy is what runs there"),
    ] {
        let proxy = saying(answer);
        let mut command = once("https://docs.example/");
        command.env("https_proxy", format!("http://user:{PASSWORD}@{}", proxy.address()));
        let target = target(&mut command);
        assert_eq!((&target["failed_phase"], &target["error_type"]), (&json!("proxy"), &json!(code)));
        assert_eq!((&target["outcomes"], &target["statuses"]), (&json!({"connect": 1}), &json!({})));
        let (cause, sentence, remedy) = finding(&target);
        assert_eq!(cause, "proxy");
        assert!(sentence.contains(&format!("The proxy {} does not lead to docs.example:443", proxy.address())), "{sentence}");
        assert!(remedy.contains(remedy_part), "{remedy}");
        assert_eq!((evidence(&target, "status"), evidence(&target, "without_proxy")), (&status, &json!("does not connect")));
        assert!(!target.to_string().contains(PASSWORD), "{target:#}");
    }
    drop(server);
}

#[test]
fn what_connects_without_the_proxy_belongs_into_no_proxy() {
    let server = Router::new().route("/", |_| Script::json(&json!("ready"))).start();
    let gone = refused();
    let refusing = saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
    for (proxy, phase) in [(gone, "connect"), (refusing.address(), "proxy")] {
        let mut command = once(&format!("https://127.0.0.1:{}/", server.port()));
        command.env("https_proxy", proxy.to_string());
        let target = target(&mut command);
        assert_eq!(target["failed_phase"], phase);
        let (cause, _, remedy) = finding(&target);
        assert_eq!((cause, remedy), ("proxy", "Without the proxy it connects: add 127.0.0.1 to NO_PROXY."));
        assert_eq!(evidence(&target, "without_proxy"), "connects");
    }
}

#[test]
fn a_plain_request_that_the_proxy_turns_down_for_want_of_credentials_is_the_proxys() {
    let proxy = saying(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let target = target(once("http://docs.example/").env("http_proxy", proxy.address().to_string()));
    assert_eq!((&target["failed_phase"], &target["error_type"]), (&json!("proxy"), &json!("proxy_authentication_required")));
    assert_eq!(finding(&target).0, "proxy");
}

#[test]
fn a_proxy_that_is_not_spoken_to_is_told() {
    let target = target(once("https://docs.example/").env("ALL_PROXY", format!("socks5://user:{PASSWORD}@127.0.0.1:1080")));
    assert_eq!((&target["error_type"], &target["failed_by"]), (&json!("proxy_unsupported"), &json!("own")));
    let (cause, sentence, remedy) = finding(&target);
    assert!(cause == "proxy" && sentence.contains("`ALL_PROXY` names a SOCKS proxy"), "{sentence}");
    assert!(remedy.contains("http://[user:password@]host:port"), "{remedy}");
    assert!(!target.to_string().contains(PASSWORD), "{target:#}");
}

#[test]
fn databases_go_without_a_proxy_as_their_drivers_do() {
    let database = saying(b"N");
    let target = target(once(&format!("postgres://{}", database.address())).env("ALL_PROXY", refused().to_string()));
    assert_eq!((&target["ok"], &target["via_proxy"]), (&json!(true), &Value::Null));
}
