use super::*;
use crate::gateway::connect::{TlsFacts, Tried};
use crate::model::{FailedBy, Name, Naming, Outcome, Timeline, Value};
use std::io;
use std::net::SocketAddr;

const MS: Nanos = 1_000_000;
const DAY: Nanos = 86_400_000 * MS;

/// A try whose phases end at these milliseconds.
fn one(phases: &[(Phase, u64)]) -> Try {
    let mut timeline = Timeline::new(0);
    phases.iter().for_each(|&(phase, end)| timeline.push(phase, end * MS));
    Try {
        timeline,
        outcome: Outcome::Ok,
        failure: None,
        status: None,
        address: Some(address("10.0.0.7:443")),
        proxy: None,
        tls: None,
        tried: Vec::new(),
        issuer: None,
    }
}

fn failing(mut one: Try, phase: Phase, code: &str) -> Try {
    let (reason, text) = ("it failed".to_owned(), "it failed there".to_owned());
    one.failure = Some(Failure { phase, failed_by: FailedBy::Peer, error_type: code.into(), reason, text });
    one
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const OUTSIDE: Here = Here { container: None, authorities: 100 };

fn told(here: &Here, url: &str, tries: Vec<Try>, direct: Option<bool>) -> (Vec<Finding>, Vec<String>) {
    let target = Target::parse(url, &Naming::default()).unwrap();
    let case = Case { target: &target, tries, here, direct };
    (findings(&case, 100 * DAY), notes(&case))
}

fn found(url: &str, tries: Vec<Try>) -> Vec<Finding> {
    told(&OUTSIDE, url, tries, None).0
}

fn only(mut findings: Vec<Finding>) -> Finding {
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

fn evidence<'a>(finding: &'a Finding, name: &str) -> Option<&'a Value> {
    finding.evidence.iter().find(|evidence| evidence.name == name).map(|evidence| &evidence.value)
}

#[test]
fn what_is_well_has_no_findings() {
    let well = || one(&[(Phase::Dns, 20), (Phase::Connect, 60), (Phase::Tls, 140), (Phase::Send, 141), (Phase::Wait, 400)]);
    assert_eq!(told(&OUTSIDE, "a.example", vec![well(), well(), well()], None), (vec![], vec![]));
}

#[test]
fn a_slow_resolver_is_told_by_its_middle_or_by_one_that_got_stuck() {
    let dns = |ms| one(&[(Phase::Dns, ms), (Phase::Connect, ms + 10)]);
    let finding = only(found("a.example", vec![dns(300), dns(250), dns(3)]));
    assert_eq!((finding.cause, finding.runs, finding.confidence), (Cause::Dns, 2, Confidence::Medium));
    assert_eq!(finding.sentence, "Resolving a.example took 0.25 s in the middle and 0.3 s at most.");
    let finding = only(found("a.example", vec![dns(3), dns(5_003), dns(4)]));
    assert_eq!((finding.runs, evidence(&finding, "lookup_max")), (1, Some(&Value::Number(5_003.0))));
    assert!(finding.remedy.contains("silent costs 5 s"), "{}", finding.remedy);
    assert_eq!(found("a.example", vec![dns(150), dns(190), dns(900)]), []);
}

#[test]
fn inside_a_container_the_loopback_is_the_container_itself() {
    let refused = |at: &str| {
        failing(Try { address: Some(address(at)), ..one(&[(Phase::Connect, 1)]) }, Phase::Connect, "connection_refused")
    };
    let inside = Here { container: Some("/.dockerenv".to_owned()), ..OUTSIDE };
    let at_loopback = only(told(&inside, "http://localhost:8000", vec![refused("127.0.0.1:8000")], None).0);
    assert_eq!(
        at_loopback.sentence,
        "localhost leads to 127.0.0.1:8000: inside a container that is the container itself, where nothing listens."
    );
    assert_eq!(evidence(&at_loopback, "container"), Some(&Value::Text("/.dockerenv".to_owned())));
    assert!(at_loopback.remedy.contains("host.docker.internal"), "{}", at_loopback.remedy);
    let elsewhere = only(told(&inside, "http://docs", vec![refused("10.0.0.7:80")], None).0);
    assert!(elsewhere.sentence.contains("or a firewall says so") && evidence(&elsewhere, "container").is_none());
    let outside = only(told(&OUTSIDE, "http://localhost:8000", vec![refused("[::1]:8000")], None).0);
    assert!(outside.sentence.ends_with("nothing listens at [::1]:8000 on this machine."), "{}", outside.sentence);
}

#[test]
fn a_family_that_fails_is_told_unless_this_machine_lacks_it() {
    let error = |errno| Some(io::Error::from_raw_os_error(errno));
    let after = |error: Option<io::Error>| {
        let tried = vec![Tried { address: address("[fd00::7]:443"), error }];
        Try { tried, ..one(&[(Phase::Connect, 251), (Phase::Tls, 260)]) }
    };
    let silent = only(found("a.example", vec![after(None)]));
    assert_eq!(silent.cause, Cause::ConnectTimeout);
    assert_eq!(silent.sentence, "a.example connects over IPv4 (10.0.0.7:443) and not over IPv6 ([fd00::7]:443: no answer).");
    assert_eq!(only(found("a.example", vec![after(error(libc::ECONNREFUSED))])).cause, Cause::Unreachable);
    for errno in [libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::EHOSTUNREACH] {
        assert_eq!(found("a.example", vec![after(error(errno))]), []);
    }
    let same_family =
        Try { tried: vec![Tried { address: address("10.0.0.8:443"), error: None }], ..one(&[(Phase::Connect, 251)]) };
    assert_eq!(found("a.example", vec![same_family]), []);
    // Where nothing connected there is no good family.
    let none = Try { tried: vec![Tried { address: address("[fd00::7]:443"), error: None }], ..one(&[(Phase::Connect, 500)]) };
    assert_eq!(only(found("a.example", vec![failing(none, Phase::Connect, "timeout")])).cause, Cause::ConnectTimeout);
}

#[test]
fn without_a_route_the_routes_are_to_be_checked() {
    let finding = only(found("a.example", vec![failing(one(&[(Phase::Connect, 1)]), Phase::Connect, "host_unreachable")]));
    assert!(finding.cause == Cause::Unreachable && finding.remedy.contains("routes"), "{}", finding.remedy);
}

#[test]
fn a_machine_without_any_authority_is_told_so() {
    let untrusted = || failing(one(&[(Phase::Connect, 1), (Phase::Tls, 9)]), Phase::Tls, "certificate_unknown_issuer");
    let bare = Here { authorities: 0, ..OUTSIDE };
    let finding = only(told(&bare, "a.example", vec![untrusted()], None).0);
    assert!(finding.remedy.contains("`ca-certificates`"), "{}", finding.remedy);
    assert_eq!(evidence(&finding, "authorities_trusted"), Some(&Value::Number(0.0)));
    assert!(only(found("a.example", vec![untrusted()])).remedy.contains("SSL_CERT_FILE"));
}

#[test]
fn a_certificate_is_told_in_its_last_two_weeks() {
    let ends = |at: Nanos| {
        let facts = TlsFacts { version: "1.3", alpn: None, resumed: false, certificate_expires_at: Some(at) };
        Try { tls: Some(facts), ..one(&[(Phase::Connect, 1), (Phase::Tls, 9)]) }
    };
    for (left, when) in [(13 * DAY, "in 13 days"), (DAY + 1, "in 1 day"), (DAY - 1, "within a day")] {
        let finding = only(found("a.example", vec![ends(100 * DAY + left)]));
        assert_eq!(finding.sentence, format!("The certificate of a.example ends {when}."));
    }
    assert_eq!(found("a.example", vec![ends(114 * DAY)]), []);
}

#[test]
fn a_proxy_is_left_out_for_what_is_internal_or_connects_without() {
    let through = |phase, code| {
        let proxy: Name = "proxy.corp:3128".into();
        failing(Try { proxy: Some(proxy), status: Some(503), ..one(&[(Phase::Connect, 1), (Phase::Proxy, 9)]) }, phase, code)
    };
    for (host, direct, remedy) in [
        ("docs.example", Some(true), "Without the proxy it connects: add docs.example to NO_PROXY."),
        (
            "docs.svc.cluster.local",
            Some(false),
            "docs.svc.cluster.local is internal: add it to NO_PROXY, or ask whoever runs the proxy.",
        ),
        ("docs.example", Some(false), "Ask whoever runs the proxy to let docs.example through."),
    ] {
        let finding = only(told(&OUTSIDE, host, vec![through(Phase::Proxy, "proxy_refused_503")], direct).0);
        assert_eq!((finding.cause, finding.remedy.as_str()), (Cause::Proxy, remedy));
    }
    let unreachable = only(told(&OUTSIDE, "docs.example", vec![through(Phase::Connect, "connection_refused")], Some(false)).0);
    assert!(
        unreachable.sentence.contains("proxy.corp:3128, which leads to docs.example, cannot be reached"),
        "{}",
        unreachable.sentence
    );
    assert_eq!(unreachable.cause, Cause::Proxy, "and nothing is said of the endpoint");
}

#[test]
fn internal_hosts_are_known_by_name_and_address() {
    for host in
        ["db", "localhost", "docs.internal", "a.b.svc", "10.1.2.3", "192.168.0.1", "127.0.0.1", "fd00::1", "::ffff:10.0.0.1"]
    {
        assert!(is_internal(host), "{host}");
    }
    for host in ["api.openai.com", "internal.example", "8.8.8.8", "2001:4860::1"] {
        assert!(!is_internal(host), "{host}");
    }
}
