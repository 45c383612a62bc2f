//! What hangs right now, and the page for people.

use serde_json::Value;

use crate::ask::wait_for;
use crate::client::Client;
use crate::sidecar::{Sidecar, route};
use crate::support::replies::documents;
use crate::support::script::{Script, Step};
use crate::support::server::Router;

#[test]
fn a_call_that_hangs_is_told_with_its_phase_and_what_is_usual() {
    let docs = Router::new()
        .route("/search", |request| if request.number < 20 { documents().after(10) } else { Script::new().then(Step::Stall) })
        .start();
    let sidecar = Sidecar::start(&route("/docs", &docs.url(""), "retrieval", "docs"));
    let (status, page) = sidecar.asked("/");
    assert!(status == 200 && page.contains("/metrics") && page.contains("/api/open"), "where to look next: {page}");
    assert_eq!(sidecar.json("/api/open")["hops"], Value::Array(Vec::new()));
    let mut client = Client::to(&sidecar.gateway[0]);
    for _ in 0..20 {
        assert_eq!(client.get("/docs/search?q=secret").unwrap().status, 200);
    }
    sidecar.counted(20);
    client.write(b"GET /docs/search?q=secret HTTP/1.1\r\nhost: a\r\n\r\n");
    let open = wait_for("the call is open for longer than is usual", || {
        let open = sidecar.json("/api/open");
        let age = open["hops"][0]["age_ms"].as_f64().unwrap_or(0.0);
        if age > 100.0 { Ok(open) } else { Err(open.to_string()) }
    });
    let [hop] = &**open["hops"].as_array().unwrap() else { panic!("one hop: {open:#}") };
    for (key, expected) in [
        ("run", Value::Null),
        ("kind", "retrieval".into()),
        ("dependency", "docs".into()),
        ("operation", "GET /search".into()),
        ("phase", "wait".into()),
    ] {
        assert_eq!(hop[key], expected, "{key}: {open:#}");
    }
    assert_eq!(hop["pid"], std::process::id());
    let usual = hop["usual_ms"].as_f64().unwrap();
    assert!((10.0..hop["age_ms"].as_f64().unwrap()).contains(&usual), "{open:#}");
    assert!(hop["phase_ms"].as_f64().unwrap() > 0.0);
    assert!(sidecar.metric("hopwatch_hop_open_age_seconds", &["dependency=\"docs\"", "phase=\"wait\""]) > 0.1);
    // Its client loses patience: the page says so.
    client.leave();
    wait_for("the verdict is there", || {
        let (_, page) = sidecar.asked("/");
        if page.contains("retrieval/docs") && page.contains("waiting for its response") { Ok(()) } else { Err(page) }
    });
    assert_eq!(sidecar.json("/api/open")["hops"], Value::Array(Vec::new()));
}
