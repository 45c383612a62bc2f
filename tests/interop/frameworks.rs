//! AutoGen and LangChain, as people use them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::App;
use crate::support::authority::Authority;
use crate::support::chroma::Chroma;
use crate::support::peers::Forwarder;
use crate::support::replies::{CHAT, completion, found, tool_call};
use crate::support::script::{Script, Step};
use crate::support::server::Router;
use crate::support::via::each_way;

/// A model that asks for the tool first and answers with what the tool said.
fn tool_using_model() -> Router {
    Router::new().route(CHAT, |request| {
        if request.number == 0 {
            tool_call("lookup", &json!({"key": "42"})).after(50)
        } else {
            completion("It is shipped.", 60, 5).after(50)
        }
    })
}

#[test]
fn an_autogen_tool_that_times_out_is_named_although_the_program_ends_well() {
    each_way(|via| {
        let Some(app) = App::new("autogen_agent.py").map(|app| app.via(via)) else { return };
        let model = tool_using_model().start();
        let tool = Router::new().route("/lookup", |_| Script::new().then(Step::Stall)).start();

        let app = app.arg(model.url("/v1")).arg(tool.url("")).option("--tool-timeout", 8);
        let watched = app.watched(&[&model.dep("llm/openai"), &tool.dep("tool/lookup")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.is("/runs/0/outcome", "ok");
        report.culprit("tool", "lookup", "wait");
        report.hop("tool", "lookup").ended("timeout", "caller").is("/operation", "GET /lookup").took("wait", 7_500.0, 14_000.0);
        let calls = report.hops("llm", "openai");
        assert_eq!(calls.len(), 2, "{}", report.dump());
        calls[0].ended_ok().is("/tokens/input", 30).is("/tokens/output", 9);
        calls[1].ended_ok().is("/tokens/input", 60).is("/tokens/output", 5).is("/operation", "POST /v1/chat/completions");
    });
}

#[test]
fn an_autogen_model_that_does_not_answer_is_named() {
    each_way(|via| {
        let Some(app) = App::new("autogen_agent.py").map(|app| app.via(via)) else { return };
        let model = Router::new().route(CHAT, |_| Script::new().then(Step::Stall)).start();

        let app = app.arg(model.url("/v1")).arg("http://127.0.0.1:1").option("--model-timeout", 8);
        let watched = app.watched(&[&model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "wait");
        report.is("/runs/0/verdict/raised_at", Value::Null);
        report.hop("llm", "openai").ended("timeout", "caller").took("wait", 7_500.0, 16_000.0);
    });
}

#[test]
fn a_quick_autogen_agent_is_healthy() {
    each_way(|via| {
        let Some(app) = App::new("autogen_agent.py").map(|app| app.via(via)) else { return };
        let authority = Authority::new();
        let model = tool_using_model().start_tls(&authority);
        let tool = Router::new().route("/lookup", |_| found().after(50)).start_tls(&authority);

        let app = app.arg(model.url("/v1")).arg(tool.url("")).trusting(&authority);
        let watched = app.watched(&["--deadline", "120s", &model.dep("llm/openai"), &tool.dep("tool/lookup")]);

        let report = &watched.report;
        assert_eq!((watched.finished.code, watched.finished.stdout.as_str()), (0, "It is shipped.\n"), "{}", report.dump());
        report.healthy();
        assert_eq!(report.hops("llm", "openai").len(), 2, "{}", report.dump());
        let call = report.hop("tool", "lookup").ended_ok();
        if via.is_inside() {
            call.is("/status", 200);
        }
    });
}

#[test]
fn a_slow_chroma_is_named_in_a_langchain_chain() {
    each_way(|via| {
        let Some(app) = App::new("langchain_rag.py").map(|app| app.via(via)) else { return };
        let chroma = Chroma::start(app.python());
        let path = Forwarder::new(chroma.port(), "/query HTTP/1.1", Duration::from_secs(60));
        let model = Router::new().route(CHAT, |_| completion("It is on its way.", 70, 6)).start();

        let app = app.arg(path.port()).arg(model.url("/v1"));
        let dep = format!("--dep=retrieval/chroma=127.0.0.1:{}", path.port());
        let watched = app.watched(&["--deadline", "20s", "--kill", &dep, &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 124, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("retrieval", "chroma", "wait");
        let hops = report.hops("retrieval", "chroma");
        let slow = hops.last().unwrap();
        report.holds(slow.phase("wait") > 3_000.0, "the query waits");
        report.holds(slow.at("/operation").as_str().is_some_and(|operation| operation.starts_with("POST ")), "a query is a POST");
        assert_eq!(report.hops("llm", "openai").len(), 0, "{}", report.dump());
    });
}

#[test]
fn a_langchain_model_that_does_not_answer_is_named_and_not_chroma() {
    each_way(|via| {
        let Some(app) = App::new("langchain_rag.py").map(|app| app.via(via)) else { return };
        let chroma = Chroma::start(app.python());
        let model = Router::new().route(CHAT, |_| Script::new().then(Step::Stall)).start();

        let app = app.arg(chroma.port()).arg(model.url("/v1")).option("--model-timeout", 12);
        let dep = format!("--dep=retrieval/chroma=127.0.0.1:{}", chroma.port());
        let watched = app.watched(&[&dep, &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 1, "{}", report.dump());
        report.is("/runs/0/outcome", "timeout");
        report.culprit("llm", "openai", "wait");
        for hop in report.hops("retrieval", "chroma") {
            hop.ended_ok();
        }
    });
}

#[test]
fn a_quick_langchain_chain_is_healthy() {
    each_way(|via| {
        let Some(app) = App::new("langchain_rag.py").map(|app| app.via(via)) else { return };
        let chroma = Chroma::start(app.python());
        let authority = Authority::new();
        let model = Router::new().route(CHAT, |_| completion("It is on its way.", 70, 6).after(50)).start_tls(&authority);

        let app = app.arg(chroma.port()).arg(model.url("/v1")).option("--questions", 5).trusting(&authority);
        let dep = format!("--dep=retrieval/chroma=127.0.0.1:{}", chroma.port());
        let watched = app.watched(&["--deadline", "120s", &dep, &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.healthy();
        report.holds(report.hops("retrieval", "chroma").len() >= 6, "the store was filled and asked five times");
        let calls = report.hops("llm", "openai");
        assert_eq!(calls.len(), 5, "{}", report.dump());
        for call in calls {
            call.ended_ok();
            if via.is_inside() {
                call.is("/tokens/input", 70).is("/tokens/output", 6);
            }
        }
    });
}
