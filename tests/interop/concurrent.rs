//! Many calls at once: each hop has its own bytes, tokens and times, and nobody is blamed.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::app::App;
use crate::support::authority::Authority;
use crate::support::replies::{CHAT, completion};
use crate::support::request::Request;
use crate::support::script::Script;
use crate::support::server::Router;
use crate::support::via::{Via, each_way};

const CALLS: u64 = 50;

/// The number in `question N`.
fn asked(request: &Request) -> u64 {
    request.question().strip_prefix("question ").unwrap().parse().unwrap()
}

/// The answer to question `n`: its own words, tokens and time.
fn own_answer(n: u64) -> Script {
    let words = "word ".repeat(usize::try_from(n).unwrap() * 40 + 1);
    completion(&words, 100 + n, 1_000 + 2 * n).after(400 + 40 * (n % 25))
}

#[test]
fn fifty_openai_calls_at_once_over_tls_keep_their_own_tokens_bytes_and_times() {
    each_way(|via| {
        let Some(app) = App::new("openai_async.py").map(|app| app.via(via)) else { return };
        let authority = Authority::new();
        let model = Router::new().route(CHAT, |request| own_answer(asked(request))).start_tls(&authority);

        let app =
            app.arg(model.url("/v1")).option("--calls", CALLS).arg("--at-once").option("--timeout", 100).trusting(&authority);
        let watched = app.watched(&["--deadline", "120s", &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.healthy();
        let hops = report.hops("llm", "openai");
        // From outside, a request that is written in two pieces may look like two.
        let has_all = if via.is_inside() { hops.len() as u64 == CALLS } else { hops.len() as u64 >= CALLS };
        report.holds(has_all, "every call is there");
        for hop in &hops {
            hop.ended_ok();
            report.holds(hop.phase("tls") > 0.0 || via.is_between(), "each has a handshake of its own");
        }
        if !via.is_inside() {
            return;
        }
        // What a hop says must fit together: the tokens name the question, and so the bytes and the time it must have had.
        let sent: Vec<u64> = {
            let mut sent = vec![0; usize::try_from(CALLS).unwrap()];
            for request in model.requests() {
                sent[usize::try_from(asked(&request)).unwrap()] = request.bytes.len() as u64;
            }
            sent
        };
        let mut seen = BTreeSet::new();
        for hop in hops {
            let n = hop.at("/tokens/input").as_u64().unwrap_or_default().saturating_sub(100);
            report.holds(n < CALLS && seen.insert(n), &format!("question {n} is seen once"));
            hop.is("/tokens/output", 1_000 + 2 * n).is("/client/connection", "new");
            hop.is("/bytes/received", own_answer(n).length()).is("/bytes/sent", sent[usize::try_from(n).unwrap()]);
            let least = (400 + 40 * (n % 25)) as f64;
            if via == Via::Observer {
                hop.took("wait", least - 15.0, least + 20_000.0);
            }
        }
    });
}

#[test]
fn fifty_aiohttp_calls_at_once_are_healthy() {
    at_once("aiohttp_calls.py", &[]);
}

#[test]
fn fifty_aiohttp_calls_at_once_on_uvloop_are_healthy() {
    at_once("aiohttp_calls.py", &["--uvloop"]);
}

#[test]
fn fifty_httpx_calls_at_once_are_healthy() {
    at_once("httpx_calls.py", &[]);
}

fn at_once(program: &str, options: &[&str]) {
    each_way(|via| {
        let Some(app) = App::new(program).map(|app| app.via(via)) else { return };
        let answer = |n: usize| Script::json(&json!({"n": "x".repeat(10 * n)}));
        let tool = Router::new()
            .route("/lookup", move |request| answer(request.parameter("n").unwrap().parse().unwrap()).after(500))
            .start();

        let app = app.arg(tool.url("/lookup")).option("--calls", CALLS).arg("--at-once");
        let watched = options.iter().fold(app, App::arg).watched(&["--deadline", "120s", &tool.dep("tool/lookup")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.healthy();
        let hops = report.hops("tool", "lookup");
        let received: BTreeSet<u64> = hops.iter().filter_map(|hop| hop.at("/bytes/received").as_u64()).collect();
        let expected: BTreeSet<u64> = (0..50).map(|n| answer(n).length() as u64).collect();
        assert_eq!((hops.len() as u64, received), (CALLS, expected), "{}", report.dump());
        for hop in hops {
            hop.ended_ok().is("/status", 200).is("/operation", "GET /lookup");
        }
    });
}
