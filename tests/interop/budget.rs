//! Whose time it was: the budget eaten in one place and the error raised in another.

use crate::support::app::App;
use crate::support::authority::Authority;
use crate::support::replies::{CHAT, completion, documents, found};
use crate::support::request::Request;
use crate::support::script::{Script, Step};
use crate::support::server::{Router, Server};
use crate::support::via::each_way;

/// A retriever that is quick but for the question with this number.
fn retriever(slow: usize, millis: u64) -> Router {
    Router::new().route("/search", move |request| documents().after(if request.number == slow { millis } else { 50 }))
}

/// A model that answers at once, except where it never does.
fn model(mute_from: usize) -> Server {
    let answer = move |request: &Request| {
        if request.number >= mute_from {
            Script::new().then(Step::Stall)
        } else {
            completion("It is on its way.", 40, 6).after(50)
        }
    };
    Router::new().route(CHAT, answer).start()
}

#[test]
fn slow_retrieval_eats_the_budget_while_the_error_is_raised_at_the_model() {
    each_way(|via| {
        let Some(app) = App::new("support_agent.py").map(|app| app.via(via)) else { return };
        let (docs, model) = (retriever(3, 11_600).start(), model(3));
        let app = app.arg(docs.url("")).arg(model.url("/v1")).option("--questions", 4).option("--budget", 12);

        let watched = app.watched(&["--deadline", "12s", &docs.dep("retrieval/docs"), &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/name", "support_agent.py");
        report.is("/runs/0/outcome", "timeout");
        report.is("/runs/0/deadline_ms", 12_000.0);
        report.is("/runs/0/exit_code", 1);
        report.culprit("retrieval", "docs", "wait");
        report.is("/runs/0/verdict/cause", "slow_dependency");
        report.is("/runs/0/verdict/raised_at/kind", "llm");
        report.is("/runs/0/verdict/raised_at/dependency", "openai");
        report.is("/runs/0/verdict/raised_at/outcome", "timeout");
        let raised = report.at("/runs/0/verdict/raised_at/error_type").as_str().unwrap_or_default();
        report.holds(raised.ends_with("APITimeoutError") == via.is_inside(), "the class of the exception is known inside");
        let usual = report.number("/runs/0/verdict/usual_ms");
        report.holds((40.0..2000.0).contains(&usual), "the other three searches were quick");

        let searches = report.hops("retrieval", "docs");
        assert_eq!(searches.len(), 4, "{}", report.dump());
        for search in &searches {
            search.ended_ok().is("/operation", "GET /search").is("/status", 200);
        }
        searches[3].took("wait", 11_500.0, 16_000.0).is("/client/connection", "reused");
        let answers = report.hops("llm", "openai");
        assert_eq!(answers.len(), 4, "{}", report.dump());
        answers[0].ended_ok().is("/tokens/input", 40).is("/tokens/output", 6).is("/model", "gpt-test");
        answers[3].ended("timeout", "caller");
    });
}

#[test]
fn over_tls_slow_retrieval_is_named_as_in_the_clear() {
    each_way(|via| {
        let Some(app) = App::new("support_agent.py").map(|app| app.via(via)) else { return };
        let authority = Authority::new();
        let docs = retriever(2, 11_600).start_tls(&authority);
        let model = Router::new().route(CHAT, |_| completion("It is on its way.", 41, 7).after(50)).start_tls(&authority);
        let app = app.arg(docs.url("")).arg(model.url("/v1")).option("--questions", 3).trusting(&authority);

        let watched = app.watched(&["--deadline", "12s", &docs.dep("retrieval/docs"), &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("retrieval", "docs", "wait");
        report.is("/runs/0/verdict/raised_at", serde_json::Value::Null);
        let searches = report.hops("retrieval", "docs");
        assert_eq!(searches.len(), 3, "{}", report.dump());
        searches[0].is("/client/connection", "new").is("/operation", if via.is_inside() { "GET /search" } else { "tls" });
        report.holds(searches[0].phase("tls") > 0.0, "the first search made a TLS connection");
        searches[2].took("wait", 11_500.0, 16_000.0).is("/client/connection", "reused");
        let answers = report.hops("llm", "openai");
        let last = answers[answers.len() - 1].ended_ok();
        if via.is_inside() {
            assert_eq!(answers.len(), 3, "{}", report.dump());
            last.is("/tokens/input", 41).is("/tokens/output", 7);
        }
    });
}

#[test]
fn sleep_in_async_code_is_the_callers_stall_and_not_the_wait_for_an_answer_that_lay_unread() {
    each_way(|via| {
        let Some(app) = App::new("blocked_loop.py").map(|app| app.via(via)) else { return };
        let tool = Router::new().route("/lookup", |request| found().after(if request.number == 0 { 10 } else { 400 })).start();
        let app = app.arg(tool.url("/lookup")).option("--block", 6);

        let watched = app.watched(&["--deadline", "6s", &tool.dep("tool/lookup")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.is("/runs/0/healthy", false);
        report.is("/runs/0/verdict/kind", serde_json::Value::Null);
        report.is("/runs/0/verdict/dependency", serde_json::Value::Null);
        report.is("/runs/0/verdict/phase", "stall");
        report.is("/runs/0/verdict/cause", "blocking_in_async");
        report.holds(report.own("stall") > (report.total() - report.startup()) / 2.0, "most of the run was the blocked loop");
        let hops = report.hops("tool", "lookup");
        assert_eq!(hops.len(), 2, "{}", report.dump());
        hops[1].ended_ok().took("wait", 300.0, 2_000.0);
    });
}
