use crate::peer::Peer;
use crate::probing::{briefly, ended, evidence, finding, once, saying, target};
use crate::support::peers::{Mute, Unanswered, refused};
use crate::support::script::{Script, Step};
use crate::support::server::{Router, reset_on_close};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};

#[test]
fn a_port_where_nobody_listens_is_refused() {
    let address = refused();
    let target = target(&mut once(&format!("http://{address}/")));
    assert_eq!((&target["failed_phase"], &target["outcomes"]), (&json!("connect"), &json!({"connect": 1})));
    assert_eq!((&target["error_type"], &target["failed_by"]), (&json!("connection_refused"), &json!("peer")));
    let (cause, sentence, _) = finding(&target);
    assert!(cause == "unreachable" && sentence.contains("nothing listens"), "{sentence}");
    assert_eq!(evidence(&target, "address"), &json!(address.to_string()));
}

#[test]
fn an_address_that_does_not_answer_is_behind_a_firewall_most_likely() {
    let silent = Unanswered::new();
    let target = target(&mut briefly(&format!("https://{}/", silent.address())));
    assert_eq!((&target["failed_phase"], &target["outcomes"]), (&json!("connect"), &json!({"timeout": 1})));
    let (cause, sentence, remedy) = finding(&target);
    assert!(
        cause == "connect_timeout" && sentence.contains(&format!("Nothing answered at {} within 0.5", silent.address())),
        "{sentence}"
    );
    assert!(remedy.contains("firewall") && remedy.contains("HTTPS_PROXY"), "{remedy}");
    assert!(target["error"].as_str().is_some_and(|error| error.contains("still connecting to it")), "{target:#}");
}

#[test]
fn a_name_that_is_not_there_is_the_resolvers() {
    let target = target(&mut once("hopwatch.invalid"));
    assert_eq!((&target["failed_phase"], &target["outcomes"]), (&json!("dns"), &json!({"dns": 1})));
    let (cause, sentence, remedy) = finding(&target);
    assert!(cause == "dns" && sentence.contains("hopwatch.invalid") && remedy.contains("resolver"), "{sentence} {remedy}");
}

/// A name of this machine that leads to both families' loopback; `None` after saying that there is none.
fn of_both_families() -> Option<&'static str> {
    let is_both = |name: &&str| {
        let found: Vec<_> = (*name, 0).to_socket_addrs().into_iter().flatten().collect();
        found.iter().any(SocketAddr::is_ipv4) && found.iter().any(SocketAddr::is_ipv6)
    };
    let found = ["localhost", "ip6-localhost"].into_iter().find(is_both);
    if found.is_none() {
        // Past the harness, which would keep back what a passing test prints.
        drop(writeln!(std::io::stderr(), "skipped: no name of this machine leads to IPv4 and IPv6"));
    }
    found
}

#[test]
fn a_family_that_fails_is_told_although_the_other_connects() {
    let Some(host) = of_both_families() else { return };
    let peer = saying(b"HTTP/1.1 204 No Content\r\n\r\n");
    let target = target(&mut once(&format!("http://{host}:{}/", peer.address().port())));
    let (cause, sentence, _) = finding(&target);
    assert!(cause == "unreachable" && sentence.contains("connects over IPv4"), "{sentence}");
}

#[test]
fn a_server_that_takes_the_request_and_is_silent_is_not_the_ways_fault() {
    let server = Router::new().route("/", |_| Script::new().then(Step::Stall)).start();
    let target = target(&mut briefly(&server.url("/")));
    assert_eq!((&target["failed_phase"], &target["outcomes"]), (&json!("wait"), &json!({"timeout": 1})));
    let (cause, sentence, remedy) = finding(&target);
    assert!(cause == "slow_dependency" && sentence.contains("took the request and did not answer within"), "{sentence}");
    assert!(remedy.contains("The way there is fine"), "{remedy}");
}

#[test]
fn an_answer_that_does_not_end_is_noted() {
    let server = Router::new().route("/", |_| Script::event_stream().event("one").then(Step::Stall)).start();
    let target = target(&mut briefly(&server.url("/")));
    assert_eq!((&target["failed_phase"], &target["findings"]), (&json!("stream"), &json!([])));
    assert!(target["notes"][0].as_str().is_some_and(|note| note.contains("--method HEAD")), "{target:#}");
}

#[test]
fn a_server_that_closes_or_resets_dropped_the_connection() {
    let closing = saying(b"");
    let resetting = Peer::new(|mut stream| {
        drop(stream.read(&mut [0; 4096]));
        reset_on_close(&stream).unwrap();
    });
    for (peer, codes) in [(closing, &["connection_closed"][..]), (resetting, &["connection_reset", "connection_closed"])] {
        let target = target(&mut once(&format!("http://{}/", peer.address())));
        let (cause, sentence, remedy) = finding(&target);
        assert!(cause == "connection_dropped" && sentence.contains("closed it before it had answered"), "{sentence}");
        assert!(remedy.contains("https://"), "{remedy}");
        assert!(codes.contains(&target["error_type"].as_str().unwrap()), "{target:#}");
        assert_eq!((&target["outcomes"], &target["failed_phase"]), (&json!({"reset": 1}), &json!("wait")));
    }
}

#[test]
fn another_protocol_is_told() {
    let greeting = saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
    for url in [format!("http://{}/", greeting.address()), format!("postgres://{}", greeting.address())] {
        let target = target(&mut once(&url));
        assert_eq!(target["error_type"], "invalid_response", "{target:#}");
        let (cause, sentence, remedy) = finding(&target);
        assert!(
            cause == "unreachable" && sentence.contains("speaks another protocol") && remedy.contains("scheme"),
            "{sentence}"
        );
    }
}

#[test]
fn plain_http_behind_https_is_told_with_what_to_try() {
    let server = saying(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let target = target(&mut once(&format!("https://{}/", server.address())));
    let (cause, sentence, remedy) = finding(&target);
    assert!(cause == "tls" && sentence.contains("does not speak TLS"), "{sentence}");
    assert!(remedy.contains(&format!("`http://{}`", server.address())), "{remedy}");
}

#[test]
fn a_hello_without_an_answer_is_a_stall_of_tls() {
    let mute = Mute::new();
    let target = target(&mut briefly(&format!("https://{}/", mute.address())));
    assert_eq!((&target["failed_phase"], &target["outcomes"]), (&json!("tls"), &json!({"timeout": 1})));
    let (cause, sentence, _) = finding(&target);
    assert!(cause == "tls" && sentence.contains("did not answer the TLS hello within"), "{sentence}");
}

#[test]
fn a_failure_is_marked_where_it_was_in_the_text() {
    let address = refused();
    let told = ended(&mut once(&format!("tcp://{address}")));
    assert_eq!(told.code, 1);
    assert!(
        told.out.starts_with(&format!("probe    tcp://{address}   failed   0 of 1 answered   (connect 1)\n")),
        "{}",
        told.out
    );
    let line = told.out.lines().find(|line| line.contains("<- failed here")).unwrap();
    assert!(line.trim_start().starts_with("connect "), "{line}");
    for label in ["error    cannot connect to", "finding  ", "try      "] {
        assert!(told.out.contains(&format!("\n{label}")), "{}", told.out);
    }
}

#[test]
fn one_try_of_several_that_fails_is_enough_to_fail() {
    let server = Router::new()
        .route("/", |request| if request.number == 1 { Script::new().then(Step::Reset) } else { Script::json(&json!("ready")) })
        .start();
    let target = target(&mut crate::probing::probe(&["-n", "3", &server.url("/")]));
    assert_eq!(
        (&target["ok"], &target["answered"], &target["outcomes"]),
        (&json!(false), &json!(2), &json!({"ok": 2, "reset": 1}))
    );
    let [finding] = target["findings"].as_array().unwrap().as_slice() else { panic!("{target:#}") };
    assert_eq!((&finding["runs"], &finding["confidence"]), (&json!(1), &json!("medium")));
    assert_ne!(target["error"], Value::Null);
}
