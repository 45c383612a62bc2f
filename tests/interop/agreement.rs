//! Two records of one call, the observer's and the gateway's, tell the same times.

use crate::support::app::App;
use crate::support::authority::Authority;
use crate::support::replies::{CHAT, found, stream};
use crate::support::server::{Router, Server};
use crate::support::via::Via;

/// A machine that is busy with other things delays one or the other: as often as this a call may be tried again.
const TRIES: usize = 6;
const CALLS: usize = 4;

fn tool() -> Router {
    Router::new().route("/lookup", |_| found().after(120))
}

#[track_caller]
fn agrees(program: &str, change: impl Fn(App) -> App, server: &Server) {
    let Some(app) = App::new(program) else { return };
    let app = change(app.via(Via::Both));
    let mut apart: Vec<Option<String>> = vec![None; CALLS];
    for tried in 0..TRIES {
        let watched = app.watched(&[&server.dep("tool/lookup")]);
        assert_eq!(watched.finished.code, 0, "{}", watched.report.dump());
        let now = watched.report.disagreements();
        assert_eq!(now.len(), CALLS, "{}", watched.report.dump());
        apart = apart.into_iter().zip(now).map(|(before, now)| now.filter(|_| tried == 0 || before.is_some())).collect();
        if apart.iter().all(Option::is_none) {
            return;
        }
    }
    panic!("after {TRIES} tries:\n{}", apart.into_iter().flatten().collect::<Vec<_>>().join("\n"));
}

#[test]
fn calls_in_the_clear_have_the_same_times() {
    let tool = tool().start();
    for program in ["httpx_calls.py", "requests_calls.py", "aiohttp_calls.py"] {
        agrees(program, |app| app.arg(tool.url("/lookup")).option("--calls", CALLS), &tool);
    }
}

#[test]
fn calls_inside_tls_have_the_same_times() {
    let authority = Authority::new();
    let tool = tool().start_tls(&authority);
    for program in ["httpx_calls.py", "requests_calls.py"] {
        agrees(program, |app| app.arg(tool.url("/lookup")).option("--calls", CALLS).trusting(&authority), &tool);
    }
}

#[test]
fn streams_have_the_same_times() {
    let model = Router::new().route(CHAT, |_| stream(6, 40, 30, 6).after(80)).start();
    agrees("openai_stream.py", |app| app.arg(model.url("/v1")).option("--calls", CALLS), &model);
}
