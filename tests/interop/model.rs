//! The openai client against a model server that is slow, stops, refuses, or resets.

use serde_json::Value;

use crate::support::app::{App, Watched};
use crate::support::authority::Authority;
use crate::support::replies::{CHAT, completion, finish, rate_limited, stream, streamed, unavailable};
use crate::support::request::Request;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};
use crate::support::via::each_way;

fn model(answer: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Server {
    Router::new().route(CHAT, answer).start()
}

fn watched(app: App, model: &Server, options: &[&str]) -> Watched {
    let dep = model.dep("llm/openai");
    let mut all = vec![dep.as_str()];
    all.extend_from_slice(options);
    app.watched(&all)
}

#[test]
fn a_slow_first_token_is_told_apart_from_a_slow_answer() {
    each_way(|via| {
        let Some(app) = App::new("openai_stream.py").map(|app| app.via(via)) else { return };
        let model = model(|request| {
            let slow = if request.number == 4 { 10_000 } else { 50 };
            finish(streamed(Script::event_stream().delay(slow), 5, 5), 20, 5)
        });

        let Watched { finished, report } =
            watched(app.arg(model.url("/v1")).option("--calls", 5), &model, &["--deadline", "10s"]);

        assert_eq!(finished.code, 0, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "first_token");
        report.is("/runs/0/verdict/cause", "slow_dependency");
        let calls = report.hops("llm", "openai");
        assert_eq!(calls.len(), 5, "{}", report.dump());
        calls[4].ended_ok().is("/stream", true).is("/tokens/output", 5).took("first_token", 9_500.0, 14_000.0);
        report.holds(calls[4].phase("wait") < 1_500.0, "the head came at once");
    });
}

#[test]
fn a_stream_that_stalls_is_blamed_in_its_stream_phase() {
    each_way(|via| {
        let Some(app) = App::new("openai_stream.py").map(|app| app.via(via)) else { return };
        let model = model(|_| streamed(Script::event_stream(), 5, 20).then(Step::Stall));

        let Watched { finished, report } = watched(app.arg(model.url("/v1")).option("--timeout", 6), &model, &[]);

        assert_eq!(finished.code, 1, "{}", report.dump());
        report.holds(finished.stdout.starts_with("word0 word1 word2 word3 word4 "), "the words came through");
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "stream");
        report.is("/runs/0/verdict/cause", "stream_stalled");
        report.is("/runs/0/verdict/raised_at", Value::Null);
        report
            .hop("llm", "openai")
            .ended("timeout", "caller")
            .is("/stream", true)
            .is("/status", 200)
            .took("stream", 5_500.0, 12_000.0);
    });
}

#[test]
fn a_reset_in_mid_stream_is_the_peers() {
    each_way(|via| {
        let authority = Authority::new();
        for tls in [false, true] {
            let Some(app) = App::new("openai_stream.py").map(|app| app.via(via)) else { return };
            let router = Router::new().route(CHAT, |_| streamed(Script::event_stream(), 8, 500).then(Step::Reset));
            let model = if tls { router.start_tls(&authority) } else { router.start() };

            let Watched { finished, report } = watched(app.arg(model.url("/v1")).trusting(&authority), &model, &[]);

            assert_eq!(finished.code, 1, "{}", report.dump());
            report.is("/runs/0/outcome", "reset");
            report.culprit("llm", "openai", "stream");
            report.is("/runs/0/verdict/cause", "connection_dropped");
            let hop = report.hop("llm", "openai").ended("reset", "peer").took("stream", 3_400.0, 12_000.0);
            if via.is_inside() || !tls {
                hop.is("/stream", true).is("/status", 200);
            }
        }
    });
}

#[test]
fn a_stream_closed_before_its_end_is_the_peers() {
    each_way(|via| {
        let Some(app) = App::new("openai_stream.py").map(|app| app.via(via)) else { return };
        let model = model(|_| streamed(Script::event_stream(), 8, 500).then(Step::Close));

        let Watched { finished, report } = watched(app.arg(model.url("/v1")), &model, &[]);

        assert_eq!(finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "body");
        report.culprit("llm", "openai", "stream");
        report.is("/runs/0/verdict/cause", "connection_dropped");
        report.hop("llm", "openai").ended("body", "peer").is("/status", 200);
    });
}

#[test]
fn the_clients_own_read_timeout_is_named_as_such() {
    each_way(|via| {
        let Some(app) = App::new("openai_async.py").map(|app| app.via(via)) else { return };
        let model = model(|_| Script::new().then(Step::Stall));

        let Watched { finished, report } = watched(app.arg(model.url("/v1")).option("--timeout", 5), &model, &[]);

        assert_eq!(finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "wait");
        report.is("/runs/0/verdict/raised_at", Value::Null);
        let hop = report.hop("llm", "openai").ended("timeout", "caller").is("/client/read_timeout_ms", 5000.0);
        hop.took("wait", 4_700.0, 12_000.0).is("/status", Value::Null);
    });
}

#[test]
fn the_clients_own_read_timeout_over_tls_is_named_as_such() {
    each_way(|via| {
        let Some(app) = App::new("openai_sync.py").map(|app| app.via(via)) else { return };
        let authority = Authority::new();
        let model = Router::new().route(CHAT, |_| Script::new().then(Step::Stall)).start_tls(&authority);

        let app = app.arg(model.url("/v1")).option("--timeout", 5).trusting(&authority);
        let Watched { finished, report } = watched(app, &model, &[]);

        assert_eq!(finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "wait");
        let hop = report.hop("llm", "openai").ended("timeout", "caller").took("wait", 4_700.0, 12_000.0);
        if via.is_inside() {
            hop.is("/client/read_timeout_ms", 5000.0);
        }
    });
}

#[test]
fn a_rate_limit_with_retry_after_is_backoff_between_attempts_of_one_call() {
    each_way(|via| {
        let Some(app) = App::new("openai_sync.py").map(|app| app.via(via)) else { return };
        let model = model(|request| if request.number == 0 { rate_limited("2") } else { completion("Here.", 12, 2).after(50) });

        let Watched { finished, report } = watched(app.arg(model.url("/v1")).option("--retries", 2), &model, &[]);

        assert_eq!(finished.code, 0, "{}", report.dump());
        report.healthy();
        let hop = report.hop("llm", "openai").ended_ok().is("/status", 200).is("/tokens/input", 12);
        hop.took("backoff", 1_500.0, 6_000.0);
        assert_eq!(hop.attempts().len(), 2, "{}", report.dump());
        hop.is("/attempts/0/number", 1).is("/attempts/0/outcome", "rate_limited").is("/attempts/0/status", 429);
        hop.is("/attempts/1/number", 2).is("/attempts/1/outcome", "ok").is("/attempts/1/status", 200);
    });
}

#[test]
fn a_rate_limit_that_does_not_end_is_the_culprit() {
    each_way(|via| {
        let Some(app) = App::new("openai_sync.py").map(|app| app.via(via)) else { return };
        let model = model(|_| rate_limited("5"));

        let Watched { finished, report } = watched(app.arg(model.url("/v1")).option("--retries", 1), &model, &[]);

        assert_eq!(finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "rate_limited");
        report.culprit("llm", "openai", "backoff");
        report.is("/runs/0/verdict/cause", "rate_limited");
        let hop = report.hop("llm", "openai").ended("rate_limited", "peer").is("/status", 429);
        assert_eq!(hop.attempts().len(), 2, "{}", report.dump());
    });
}

#[test]
fn a_retry_that_succeeds_is_healthy() {
    each_way(|via| {
        let Some(app) = App::new("openai_async.py").map(|app| app.via(via)) else { return };
        let model = model(|request| if request.number == 0 { unavailable() } else { completion("Here.", 12, 2) });

        let Watched { finished, report } =
            watched(app.arg(model.url("/v1")).option("--retries", 2), &model, &["--deadline", "60s"]);

        assert_eq!(finished.code, 0, "{}", report.dump());
        report.healthy();
        let hop = report.hop("llm", "openai").ended_ok().is("/attempts/0/outcome", "server_error").is("/attempts/0/status", 503);
        assert_eq!(hop.attempts().len(), 2, "{}", report.dump());
    });
}

#[test]
fn a_client_built_anew_for_each_call_is_found() {
    each_way(|via| {
        let Some(app) = App::new("openai_sync.py").map(|app| app.via(via)) else { return };
        let authority = Authority::new();
        let model = Router::new().route(CHAT, |_| completion("Here.", 12, 2)).start_tls(&authority);

        let app = app.arg(model.url("/v1")).option("--calls", 6).arg("--new-client").trusting(&authority);
        let Watched { finished, report } = watched(app, &model, &[]);

        assert_eq!(finished.code, 0, "{}", report.dump());
        assert_eq!(model.connections(), 6);
        report.healthy();
        for hop in report.hops("llm", "openai") {
            hop.ended_ok().is("/client/connection", "new");
        }
        report.is("/dependencies/0/calls", 6);
        report.is("/dependencies/0/connections/new", 6);
        report.is("/dependencies/0/connections/reused", 0);
        let Some(found) = report.finding("client_recreated") else { panic!("no finding: {}", report.dump()) };
        assert_eq!((&found["kind"], &found["dependency"]), (&Value::from("llm"), &Value::from("openai")), "{}", report.dump());
        let evidence = |name: &str| {
            found["evidence"].as_array().and_then(|all| all.iter().find(|one| one["name"] == name)?["value"].as_f64())
        };
        assert_eq!(evidence("connections_per_call"), Some(1.0), "{}", report.dump());
        if via.is_inside() {
            report
                .holds(evidence("tls_contexts_built").is_some_and(|built| built >= 6.0), "a TLS context was built for each call");
        }
    });
}

#[test]
fn one_client_for_all_calls_is_no_finding() {
    each_way(|via| {
        let Some(app) = App::new("openai_sync.py").map(|app| app.via(via)) else { return };
        let model = model(|_| completion("Here.", 12, 2));

        let Watched { finished, report } = watched(app.arg(model.url("/v1")).option("--calls", 6), &model, &[]);

        assert_eq!(finished.code, 0, "{}", report.dump());
        report.healthy();
        report.is("/dependencies/0/connections/new", 1);
        report.is("/dependencies/0/connections/reused", 5);
        report.holds(report.finding("client_recreated").is_none(), "one client is not a client for each call");
    });
}

#[test]
fn a_model_that_is_always_slow_is_healthy() {
    each_way(|via| {
        let Some(app) = App::new("openai_sync.py").map(|app| app.via(via)) else { return };
        let model = model(|_| completion("Here.", 12, 2).after(1_200));

        let Watched { finished, report } =
            watched(app.arg(model.url("/v1")).option("--calls", 4), &model, &["--deadline", "120s"]);

        assert_eq!(finished.code, 0, "{}", report.dump());
        report.healthy();
        for hop in report.hops("llm", "openai") {
            hop.ended_ok().took("wait", 1_150.0, 4_000.0);
        }
    });
}

#[test]
fn a_long_stream_is_healthy() {
    each_way(|via| {
        let Some(app) = App::new("openai_stream.py").map(|app| app.via(via)) else { return };
        let model = model(|_| stream(80, 40, 300, 80));

        let Watched { finished, report } = watched(app.arg(model.url("/v1")), &model, &["--deadline", "120s"]);

        assert_eq!(finished.code, 0, "{}", report.dump());
        report.healthy();
        let hop = report.hop("llm", "openai").ended_ok().is("/stream", true).is("/tokens/input", 300).is("/tokens/output", 80);
        hop.took("stream", 3_000.0, 12_000.0);
    });
}
