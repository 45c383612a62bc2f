//! SIGTERM: what is in flight is finished, up to a limit; nobody else is let in, and the spans leave.

use std::net::TcpStream;

use hopwatch::export::otlp::OtlpProtocol;
use serde_json::json;

use crate::ask::wait_for;
use crate::client::Client;
use crate::collector::real::Receiver;
use crate::collector::seen::{Seen, spans};
use crate::reloaded::held_stream;
use crate::sidecar::{Sidecar, route};
use crate::support::replies::{CHAT, documents, streamed};
use crate::support::script::{Script, Step};
use crate::support::server::Router;

#[test]
fn what_is_in_flight_is_finished_and_nobody_else_is_let_in() {
    let (server, release) = held_stream();
    let sidecar = Sidecar::start(&route("/s", &server.url(""), "http", "held"));
    let mut waiting = Client::to(&sidecar.gateway[0]);
    waiting.write(b"GET /s/held HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut idle = Client::to(&sidecar.gateway[0]);
    assert_eq!(idle.get("/nowhere").unwrap().status, 404);
    wait_for("it is in flight", || {
        let open = sidecar.metric("hopwatch_hop_in_flight", &["dependency=\"held\""]);
        if open == 1.0 { Ok(()) } else { Err(format!("{open} open")) }
    });
    sidecar.send(libc::SIGTERM);
    assert!(sidecar.says("hopwatch: ends").starts_with("hopwatch: ends: 1 in flight, for at most 20s"));
    wait_for("nobody is let in", || TcpStream::connect(&sidecar.gateway[0]).map_or(Ok(()), |_| Err("it listens".to_owned())));
    assert_eq!((sidecar.asked("/readyz").0, sidecar.asked("/healthz").0), (503, 200));
    assert_eq!(idle.rest(), "", "who asks for nothing is let go");
    release.send(()).unwrap();
    assert!(waiting.rest().ends_with(&json!({"held": true}).to_string()));
    assert!(!sidecar.said().contains("cut off"));
    assert_eq!(sidecar.ended(), Some(0));
}

#[test]
fn a_stream_is_finished_and_its_spans_leave() {
    for receiver in Receiver::all() {
        let model = Router::new().route(CHAT, |_| streamed(Script::event_stream(), 4, 200).event("[DONE]").end()).start();
        let sidecar = Sidecar::with(&route("/llm", &model.url(""), "llm", "openai"), |command| {
            command
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint(OtlpProtocol::HttpProtobuf))
                .env("OTEL_SERVICE_NAME", "drained");
            // What waits for others to fill a batch has to leave all the same.
            command.env("OTEL_BSP_SCHEDULE_DELAY", "600000");
        });
        let mut client = Client::to(&sidecar.gateway[0]);
        client.write(format!("GET /llm{CHAT} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        assert_eq!(client.head().unwrap().0, 200);
        sidecar.send(libc::SIGTERM);
        assert!(client.rest().ends_with("0\r\n\r\n"), "whole, to its last chunk");
        assert_eq!(sidecar.ended(), Some(0));
        let of = |requests: &[serde_json::Value]| -> Vec<Seen> {
            spans(requests).into_iter().filter(|span| span.resource["service.name"] == "drained").collect()
        };
        let seen = of(&receiver.requests("traces", |requests| !of(requests).is_empty()));
        assert_eq!(seen.len(), 1);
        seen[0].is("hopwatch.outcome", "ok").is("hopwatch.dependency", "openai");
    }
}

#[test]
fn what_takes_longer_than_the_limit_is_cut_off_and_told() {
    for receiver in Receiver::all() {
        let docs = Router::new()
            .route("/search", |_| documents())
            .route("/hang", |_| Script::event_stream().event("first").then(Step::Stall))
            .route("/refused", |_| Script::answer(503, &[], &json!({})))
            .start();
        let sidecar = Sidecar::with(&route("/docs", &docs.url(""), "retrieval", "docs"), |command| {
            command.env("HOPWATCH_DRAIN", "300ms");
            command
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint(OtlpProtocol::HttpProtobuf))
                .env("OTEL_SERVICE_NAME", "cut");
        });
        let mut client = Client::to(&sidecar.gateway[0]);
        client.write(b"GET /docs/hang HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.head().unwrap().0, 200);
        // Another try of it may follow, but for the end.
        assert_eq!(Client::to(&sidecar.gateway[0]).get("/docs/refused").unwrap().status, 503);
        sidecar.send(libc::SIGTERM);
        sidecar.says("hopwatch: 1 in flight were cut off");
        assert!(client.rest().contains("data: first"));
        assert_eq!(sidecar.ended(), Some(0));
        let of = |requests: &[serde_json::Value]| -> Vec<Seen> {
            spans(requests).into_iter().filter(|span| span.resource["service.name"] == "cut").collect()
        };
        let seen = of(&receiver.requests("traces", |requests| of(requests).len() == 2));
        let one = |operation: &str| seen.iter().find(|span| span.attributes()["hopwatch.outcome"] == operation).unwrap();
        one("cancelled").is("hopwatch.failed_by", "own").is("hopwatch.open", serde_json::Value::Null);
        one("server_error").is("hopwatch.failed_by", "peer").is("http.response.status_code", 503);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (server, release) = held_stream();
    let sidecar = Sidecar::with(&route("/s", &server.url(""), "http", "held"), |command| {
        command.env("HOPWATCH_DRAIN", "1h");
    });
    let mut waiting = Client::to(&sidecar.gateway[0]);
    waiting.write(b"GET /s/held HTTP/1.1\r\nhost: a\r\n\r\n");
    wait_for("it is in flight", || {
        let open = sidecar.metric("hopwatch_hop_in_flight", &["dependency=\"held\""]);
        if open == 1.0 { Ok(()) } else { Err(format!("{open} open")) }
    });
    sidecar.send(libc::SIGTERM);
    sidecar.says("hopwatch: ends");
    // To read the settings again is no reason to end.
    sidecar.send(libc::SIGHUP);
    sidecar.send(libc::SIGINT);
    sidecar.says("hopwatch: 1 in flight were cut off");
    assert_eq!(waiting.rest(), "");
    assert_eq!(sidecar.ended(), Some(0));
    release.send(()).unwrap();
}
