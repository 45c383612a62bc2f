//! A collector that is away, slow, refuses or breaks connections changes no answer; what it did not get is counted, and the end comes.

use std::net::TcpListener;

use hopwatch::export::otlp::OtlpProtocol;

use crate::ask::wait_for;
use crate::client::Client;
use crate::collector::BOTH;
use crate::collector::peer::{Peer, Reply, nobody};
use crate::sidecar::{Sidecar, route};
use crate::support::replies::documents;
use crate::support::server::Router;

const CALLS: usize = 60;

/// Calls through a sidecar whose collector is there, each answered as without it.
#[track_caller]
fn calls(endpoint: &str, protocol: OtlpProtocol) -> Sidecar {
    let docs = Router::new().route("/search", |_| documents()).start();
    let routes = route("/docs", &docs.url(""), "retrieval", "docs");
    let sidecar = Sidecar::with(&routes, |command| {
        let protocol = if protocol == OtlpProtocol::Grpc { "grpc" } else { "http/protobuf" };
        command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint).env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol);
        // Of the spans that wait most are one too many.
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", "20").env("OTEL_BSP_SCHEDULE_DELAY", "10");
    });
    let expected = Client::to(&format!("127.0.0.1:{}", docs.port())).get("/search").unwrap();
    let mut client = Client::to(&sidecar.gateway[0]);
    for number in 0..CALLS {
        assert_eq!(client.get(&format!("/docs/search?n={number}")).unwrap(), expected);
    }
    sidecar.counted(CALLS);
    sidecar
}

/// The end comes although spans wait, and is a good one.
fn ends(sidecar: Sidecar) {
    sidecar.send(libc::SIGTERM);
    assert_eq!(sidecar.ended(), Some(0));
}

fn exported(sidecar: &Sidecar, outcome: &str) -> f64 {
    sidecar.metric("hopwatch_export_spans_total", &[&format!("outcome=\"{outcome}\"")])
}

fn traces(peer: &Peer, protocol: OtlpProtocol) -> String {
    if protocol == OtlpProtocol::Grpc { peer.endpoint() } else { format!("{}/v1/traces", peer.endpoint()) }
}

#[test]
fn a_collector_that_is_away_costs_its_spans() {
    for protocol in BOTH {
        let sidecar = calls(&format!("http://{}/v1/traces", nobody()), protocol);
        assert_eq!(
            (exported(&sidecar, "queue_full"), sidecar.metric("hopwatch_export_queue_spans", &[])),
            (CALLS as f64 - 20.0, 20.0)
        );
        ends(sidecar);
    }
}

#[test]
fn a_collector_that_never_answers_costs_its_spans() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, (0..10).map(|_| Reply::Hang));
        let sidecar = calls(&traces(&peer, protocol), protocol);
        assert_eq!(exported(&sidecar, "queue_full") + sidecar.metric("hopwatch_export_queue_spans", &[]), CALLS as f64);
        ends(sidecar);
    }
}

#[test]
fn a_collector_that_accepts_and_says_nothing_costs_its_spans() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let sidecar = calls(&format!("http://{}/v1/traces", mute.local_addr().unwrap()), OtlpProtocol::HttpProtobuf);
    assert_eq!(exported(&sidecar, "queue_full"), CALLS as f64 - 20.0);
    ends(sidecar);
}

#[test]
fn what_a_collector_refuses_is_counted() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, (0..1_000).map(|_| Reply::Refuse));
        let sidecar = calls(&traces(&peer, protocol), protocol);
        wait_for("all are refused", || {
            let (rejected, full) = (exported(&sidecar, "rejected"), exported(&sidecar, "queue_full"));
            if rejected > 0.0 && rejected + full == CALLS as f64 { Ok(()) } else { Err(format!("{rejected} and {full}")) }
        });
        ends(sidecar);
    }
}

#[test]
fn a_collector_whose_connections_break_gets_the_rest_when_it_is_back() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Hang]);
        let address = peer.address;
        let sidecar = calls(&traces(&peer, protocol), protocol);
        drop(peer);
        let peer = Peer::start_at(address, protocol, []);
        wait_for("it gets what waited", || {
            let (waiting, taken) = (sidecar.metric("hopwatch_export_queue_spans", &[]), exported(&sidecar, "exported"));
            if waiting == 0.0 && taken > 0.0 { Ok(()) } else { Err(format!("{waiting} wait, {taken} are taken")) }
        });
        assert_eq!(exported(&sidecar, "exported") + exported(&sidecar, "queue_full"), CALLS as f64);
        assert_eq!(peer.taken().values().sum::<usize>() as f64, exported(&sidecar, "exported"));
        ends(sidecar);
    }
}
