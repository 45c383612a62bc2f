//! The page in light and dark, at a desk and on a phone.

use hopwatch::model::{Kind, Outcome, Phase};

use crate::browser::Stage;
use crate::client::Client;
use crate::runs::{Hop, goes_on, hand_over, run};
use crate::sidecar::{Sidecar, route};
use crate::support::replies::documents;
use crate::support::script::{Script, Step};
use crate::support::server::Router;

/// A support agent that ran out of time in its retriever, and was told so by its model's client.
fn support_agent(admin: &str) {
    let mut hops = vec![Hop::new(
        Kind::Llm,
        "openai",
        820,
        &[
            (Phase::Dns, 12),
            (Phase::Connect, 21),
            (Phase::Tls, 38),
            (Phase::Send, 2),
            (Phase::Wait, 160),
            (Phase::FirstToken, 210),
            (Phase::Stream, 380),
        ],
    )];
    for call in 0..6 {
        hops.push(Hop::new(
            Kind::Retrieval,
            "docs",
            1_700 + call * 45,
            &[(Phase::Pool, 4 * call), (Phase::Send, 1), (Phase::Wait, 38)],
        ));
    }
    hops.push(Hop::new(Kind::Tool, "lookup_policy", 2_050, &[(Phase::Connect, 3), (Phase::Wait, 240)]));
    hops.push(Hop::new(Kind::Retrieval, "docs", 2_310, &[(Phase::Send, 1), (Phase::Wait, 6_900), (Phase::Stream, 9)]));
    hops.push(Hop {
        outcome: Some(Outcome::Timeout),
        ..Hop::new(Kind::Llm, "openai", 9_240, &[(Phase::Send, 2), (Phase::Wait, 130), (Phase::FirstToken, 710)])
    });
    hand_over(admin, "support-agent", run("support_agent.py", &hops, 10_150, Some(10_000)));
}

#[test]
fn every_view_is_legible_in_every_dress() {
    let Some(stage) = Stage::find() else { return };
    let docs = Router::new()
        .route("/search", |request| if request.query == "hang" { Script::new().then(Step::Stall) } else { documents() })
        .start();
    let sidecar = Sidecar::start(&route("/docs", &docs.url(""), "retrieval", "docs"));
    for number in 0..12 {
        let hops = [Hop::new(Kind::Tool, "lookup_policy", 30, &[(Phase::Connect, 2), (Phase::Wait, 140 + number * 9)])];
        hand_over(&sidecar.admin, &format!("ok-{number}"), run("nightly_eval.py", &hops, 400, None));
    }
    support_agent(&sidecar.admin);
    let open = Hop { outcome: None, ..Hop::new(Kind::Llm, "openai", 400, &[(Phase::Send, 1), (Phase::Wait, 2)]) };
    let going =
        goes_on(&sidecar.admin, "long-job", "reindex.py", &[Hop::new(Kind::Retrieval, "docs", 10, &[(Phase::Wait, 380)]), open]);
    // A client that opens a connection a call: worth telling.
    for _ in 0..30 {
        let mut client = Client::to(&sidecar.gateway[0]);
        assert_eq!(client.get("/docs/search").unwrap().status, 200);
    }
    let mut hanging = Client::to(&sidecar.gateway[0]);
    hanging.write(b"GET /docs/search?hang HTTP/1.1\r\nhost: a\r\n\r\n");
    stage.play("looks", &sidecar.admin).ends();
    drop(going);
    hanging.leave();
}
