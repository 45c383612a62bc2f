//! The library's report and the observer's of one process agree, phase by phase.
//!
//! This binary is both: the test, and (with `HOPWATCH_AGREE_REPORT` set) the program that is watched from inside and from outside.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "shared with the other test binaries, which use the rest of it")]
#[path = "it/support/mod.rs"]
mod support;

use hopwatch::{Hopwatch, Kind};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::script::{Script, Step};
use support::server::{Router, Server};

/// Where the program writes the library's report, and whom it calls.
const REPORT: &str = "HOPWATCH_AGREE_REPORT";
const DOCS: &str = "HOPWATCH_AGREE_DOCS";
const MODEL: &str = "HOPWATCH_AGREE_MODEL";

/// How far the two may be apart.
const MILLIS: f64 = 2.0;
/// A machine that is busy with other things delays one or the other: as often as this it may be tried again.
const TRIES: usize = 6;

#[test]
fn the_library_and_the_observer_tell_the_same_of_each_call() {
    if std::env::var_os(REPORT).is_some() {
        return program();
    }
    let (docs, model) = (retriever(), streaming());
    let mut last = Vec::new();
    for _ in 0..TRIES {
        last = differences(&docs, &model);
        if last.is_empty() {
            return;
        }
    }
    panic!("after {TRIES} tries:\n{}", last.join("\n"));
}

fn retriever() -> Server {
    Router::new().route("/search", |_| Script::json(&json!({"found": 3})).after(120)).start()
}

fn streaming() -> Server {
    let answer = |_: &_| {
        let pause = || Step::Delay(Duration::from_millis(60));
        let token = |text: &str| json!({"choices": [{"delta": {"content": text}}], "model": "gpt-test"}).to_string();
        let mut script = Script::event_stream().then(pause());
        for text in ["on", "its", "way"] {
            script = script.event(&token(text)).then(pause());
        }
        script.event("[DONE]").end().after(80)
    };
    Router::new().route("/v1/chat/completions", answer).start()
}

/// The program: two kinds of calls, on new connections and on used ones.
fn program() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let watch = Hopwatch::builder().service("agree").build().unwrap();
    let client = watch.reqwest(reqwest::Client::builder().no_proxy()).build().unwrap();
    let docs = watch.hop(Kind::Retrieval, "docs").operation("GET /search");
    let model = watch.hop(Kind::Llm, "model").operation("POST /v1/chat/completions");
    let [search, chat] = [DOCS, MODEL].map(|name| std::env::var(name).unwrap());
    let work = async {
        for _ in 0..3 {
            docs.send(client.get(&search)).await?.bytes().await?;
            let body = json!({"model": "gpt-test", "stream": true, "messages": []}).to_string();
            let mut answer = model.send(client.post(&chat).body(body)).await?;
            while answer.chunk().await?.is_some() {}
        }
        Ok::<(), reqwest::Error>(())
    };
    runtime.block_on(watch.scope("agree").run(work)).unwrap().unwrap();
    std::fs::write(std::env::var(REPORT).unwrap(), serde_json::to_vec(&watch.report()).unwrap()).unwrap();
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Runs the program and compares the two reports.
fn differences(docs: &Server, model: &Server) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let [inside, outside] = ["library.json", "observer.json"].map(|name| folder.path().join(name));
    let output = Command::new(env!("CARGO_BIN_EXE_hopwatch"))
        .args(["run", "--via", "observer", &docs.dep("retrieval/docs"), &model.dep("llm/model"), "--json"])
        .arg(&outside)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_library_and_the_observer_tell_the_same_of_each_call", "--test-threads=1"])
        .env(REPORT, &inside)
        .env(DOCS, docs.url("/search"))
        .env(MODEL, model.url("/v1/chat/completions"))
        .output()
        .unwrap();
    let said = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    let (inside, outside) = (read(&inside), read(&outside));
    let hops = |report: &Value| report["runs"][0]["hops"].as_array().unwrap().clone();
    let (library, observer) = (hops(&inside), hops(&outside));
    assert_eq!((library.len(), observer.len()), (6, 6), "{inside:#}\n{outside:#}");
    library.iter().zip(&observer).flat_map(|(ours, theirs)| compare(ours, theirs)).collect()
}

fn compare(library: &Value, observer: &Value) -> Vec<String> {
    for same in ["/kind", "/dependency", "/operation", "/outcome", "/failed_by", "/status", "/client/connection", "/model"] {
        assert_eq!(library.pointer(same), observer.pointer(same), "{same}\n{library:#}\n{observer:#}");
    }
    // That an answer was no stream is told by the observer alone.
    let streams = |hop: &Value| hop["stream"] == true;
    assert_eq!(streams(library), streams(observer), "{library:#}\n{observer:#}");
    let phases = ["pool", "dns", "connect", "proxy", "tls", "send", "wait", "first_token", "stream"];
    let time = |hop: &Value, phase: &str| hop["phases"][phase].as_f64().unwrap_or(0.0);
    phases
        .iter()
        .map(|phase| (phase, time(library, phase), time(observer, phase)))
        .filter(|(_, ours, theirs)| (ours - theirs).abs() > MILLIS)
        .map(|(phase, ours, theirs)| format!("{} {phase}: library {ours} ms, observer {theirs} ms", library["operation"]))
        .collect()
}
