//! The real gRPC of Python, client and server: what it says through the gateway is what it says without.

use crate::hop::Told;
use crate::support::app::App;
use crate::support::peers::refused;
use crate::through::Through;
use hopwatch::model::{FailedBy, Outcome, Phase};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

/// A service that runs until it is dropped.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    /// `None` when there is nothing to run it with (and that was said).
    fn start() -> Option<Self> {
        let mut child =
            App::new("grpc_calls.py")?.arg("serve").command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        Some(Self { child, address })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a client prints that calls these methods at an address.
fn calls(target: SocketAddr, methods: &[&str]) -> Option<String> {
    let app = App::new("grpc_calls.py")?.arg("call").arg(target);
    let finished = methods.iter().fold(app, App::arg).alone();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    Some(finished.stdout)
}

/// Calls both ways, says the same both ways; what was told of it.
#[track_caller]
fn the_same(direct: SocketAddr, through: Through, methods: &[&str], expected: &str) -> Option<Told> {
    assert_eq!(calls(direct, methods)?, expected);
    assert_eq!(calls(through.address(), methods)?, expected);
    Some(through.finish())
}

#[test]
fn calls_of_every_shape_pass() {
    let Some(service) = Service::start() else { return };
    let expected = "Echo:hello ended OK hello 5\n\
                    Count:3 ended OK 3\n\
                    Collect:a,b,c ended OK a b c\n";
    let expected = expected.replace("Count:3", "Count got item 0\nCount got item 1\nCount got item 2\nCount:3");
    let methods = ["Echo:hello", "Count:3", "Collect:a,b,c"];
    let Some(told) = the_same(service.address, Through::to(service.address), &methods, &expected) else { return };
    let operations: Vec<&str> = told.hops().iter().map(|hop| &*hop.ok(200).span().operation).collect();
    assert_eq!(operations, ["POST /test.Calls/Echo", "POST /test.Calls/Count", "POST /test.Calls/Collect"]);
    told.hops()[1].took(Phase::Stream, 38.0);
}

#[test]
fn statuses_are_those_of_the_call_whatever_that_of_http_is() {
    let Some(service) = Service::start() else { return };
    let codes = [
        ("INVALID_ARGUMENT", Outcome::ClientError),
        ("NOT_FOUND", Outcome::ClientError),
        ("RESOURCE_EXHAUSTED", Outcome::RateLimited),
        ("INTERNAL", Outcome::ServerError),
        ("UNAUTHENTICATED", Outcome::ClientError),
    ];
    let methods: Vec<String> = codes.iter().map(|(code, _)| format!("Fail:{code}")).collect();
    let methods: Vec<&str> = methods.iter().map(String::as_str).chain(["Late", "Nowhere"]).collect();
    let mut expected: String = codes.iter().map(|(code, _)| format!("Fail:{code} ended {code} as asked: 100 %\n")).collect();
    expected
        .push_str("Late got something\nLate ended DATA_LOSS after something\nNowhere ended UNIMPLEMENTED Method not found!\n");
    let Some(told) = the_same(service.address, Through::to(service.address), &methods, &expected) else { return };
    let hops = told.hops();
    for ((code, outcome), hop) in codes.iter().zip(&hops) {
        hop.ended(*outcome, FailedBy::Peer).error(code).status(Some(200));
    }
    hops[5].ended(Outcome::ServerError, FailedBy::Peer).error("DATA_LOSS").status(Some(200));
    hops[6].ended(Outcome::ServerError, FailedBy::Peer).error("UNIMPLEMENTED").status(Some(200));
    assert_eq!(hops.len(), 7);
}

#[test]
fn a_deadline_that_passes_is_the_clients_own_timeout() {
    let Some(service) = Service::start() else { return };
    let through = Through::to(service.address);
    let Some(told) = the_same(service.address, through, &["Slow:20"], "Slow:20 ended DEADLINE_EXCEEDED \n") else { return };
    told.hop().ended(Outcome::Timeout, FailedBy::Caller).status(None).last(Phase::Wait).took(Phase::Wait, 350.0);
}

#[test]
fn a_server_that_is_killed_in_mid_stream_is_not_there() {
    let expected = "Die got last words\nDie ended UNAVAILABLE \n";
    let Some(direct) = Service::start() else { return };
    let Some(service) = Service::start() else { return };
    let Some(told) = the_same(direct.address, Through::to(service.address), &["Die"], expected) else { return };
    let hop = told.hop().status(Some(200)).last(Phase::Stream);
    assert_eq!(hop.call().failed_by, Some(FailedBy::Peer), "{hop:?}");
    assert!(matches!(hop.call().outcome, Some(Outcome::Body | Outcome::Reset)), "{hop:?}");
}

#[test]
fn a_server_that_is_not_there_is_not_there() {
    let address = refused();
    let Some(told) = the_same(address, Through::to(address), &["Echo:hello"], "Echo:hello ended UNAVAILABLE \n") else { return };
    told.hops()[0].ended(Outcome::Connect, FailedBy::Peer).error("connection_refused");
}
