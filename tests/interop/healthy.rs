//! Controls: when nothing stands out, nobody is blamed.

use crate::support::app::App;
use crate::support::authority::Authority;
use crate::support::replies::{CHAT, completion, documents, found, stream};
use crate::support::server::Router;
use crate::support::via::each_way;

#[test]
fn plain_clients_with_quick_peers_are_healthy() {
    each_way(|via| {
        let authority = Authority::new();
        for (program, tls) in [
            ("httpx_calls.py", false),
            ("httpx_calls.py", true),
            ("requests_calls.py", false),
            ("requests_calls.py", true),
            ("aiohttp_calls.py", false),
            ("aiohttp_calls.py", true),
        ] {
            let Some(app) = App::new(program).map(|app| app.via(via)) else { return };
            let router = Router::new().route("/lookup", |_| found().after(20));
            let tool = if tls { router.start_tls(&authority) } else { router.start() };

            let app = app.arg(tool.url("/lookup")).option("--calls", 5).trusting(&authority);
            let watched = app.watched(&["--deadline", "120s", &tool.dep("tool/lookup")]);

            let report = &watched.report;
            assert_eq!(watched.finished.code, 0, "{}", report.dump());
            report.healthy();
            let hops = report.hops("tool", "lookup");
            assert_eq!((hops.len(), tool.connections()), (5, 1), "{}", report.dump());
            for (n, hop) in hops.iter().enumerate() {
                hop.ended_ok().is("/client/connection", if n == 0 { "new" } else { "reused" });
                if via.is_inside() || !tls {
                    hop.is("/status", 200);
                }
                report.holds((n == 0 && tls) == (hop.phase("tls") > 0.0), "one handshake, at the first call, where there is TLS");
            }
        }
    });
}

#[test]
fn a_quick_agent_of_ones_own_is_healthy() {
    each_way(|via| {
        let Some(app) = App::new("support_agent.py").map(|app| app.via(via)) else { return };
        let docs = Router::new().route("/search", |_| documents().after(60)).start();
        let model = Router::new().route(CHAT, |_| completion("It is on its way.", 40, 6).after(120)).start();

        let app = app.arg(docs.url("")).arg(model.url("/v1")).option("--questions", 6);
        let watched = app.watched(&["--deadline", "120s", &docs.dep("retrieval/docs"), &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.healthy();
        assert_eq!((report.hops("retrieval", "docs").len(), report.hops("llm", "openai").len()), (6, 6), "{}", report.dump());
    });
}

#[test]
fn quick_streams_over_tls_are_healthy() {
    each_way(|via| {
        let Some(app) = App::new("openai_stream.py").map(|app| app.via(via)) else { return };
        let authority = Authority::new();
        let model = Router::new().route(CHAT, |request| stream(10, 10, 20 + request.number as u64, 10)).start_tls(&authority);

        let app = app.arg(model.url("/v1")).option("--calls", 4).trusting(&authority);
        let watched = app.watched(&["--deadline", "120s", &model.dep("llm/openai")]);

        let report = &watched.report;
        assert_eq!(watched.finished.code, 0, "{}", report.dump());
        report.healthy();
        let hops = report.hops("llm", "openai");
        let has_all = if via.is_inside() { hops.len() == 4 } else { hops.len() >= 4 };
        report.holds(has_all, "every call is there");
        // From outside, what comes after the client has what it wanted looks like a rest that it did not wait for.
        for (n, hop) in hops.iter().enumerate() {
            if via.is_inside() {
                hop.ended_ok().is("/stream", true).is("/tokens/input", 20 + n).is("/tokens/output", 10);
            }
        }
    });
}

#[test]
fn a_quick_program_without_any_dep_option_is_named_by_its_host() {
    each_way(|via| {
        let Some(app) = App::new("requests_calls.py").map(|app| app.via(via)) else { return };
        let tool = Router::new().route("/lookup", |_| found()).start();

        let watched = app.arg(tool.url("/lookup")).watched(&[]);

        watched.report.healthy();
        watched.report.hop("http", &format!("127.0.0.1:{}", tool.port())).ended_ok();
    });
}

#[test]
fn a_provider_is_known_by_the_variable_that_points_at_it() {
    each_way(|via| {
        let Some(app) = App::new("openai_async.py").map(|app| app.via(via)) else { return };
        let model = Router::new().route(CHAT, |_| completion("Here.", 12, 2)).start();

        let watched = app.arg(model.url("/v1")).env("OPENAI_BASE_URL", model.url("/v1")).watched(&[]);

        watched.report.healthy();
        watched.report.hop("llm", "openai").ended_ok().is("/tokens/input", 12);
    });
}

#[test]
fn a_client_that_goes_past_the_gateway_is_told_of_with_what_to_try() {
    for way in ["--via=gateway", "--via=both"] {
        // Without its switch it heeds no proxy variables.
        let Some(app) = App::new("aiohttp_calls.py") else { return };
        let tool = Router::new().route("/lookup", |_| found()).start();

        let watched = app.arg(tool.url("/lookup")).watched(&[way, &tool.dep("tool/lookup")]);

        let report = &watched.report;
        assert_eq!((watched.finished.code, tool.requests().len()), (0, 1), "{}", report.dump());
        report.healthy();
        assert_eq!(report.hops("tool", "lookup").len(), usize::from(way == "--via=both"), "{}", report.dump());
        let notes: Vec<&str> = report.list("/notes").iter().filter_map(|note| note.as_str()).collect();
        let told =
            notes.iter().any(|note| note.starts_with("no call came through the gateway") && note.contains("trust_env=True"));
        report.holds(told, "what to try");
    }
}
