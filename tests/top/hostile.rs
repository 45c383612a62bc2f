//! Names that want to do harm, from whoever answers as an agent or wrote a file.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::shown::{docs, ended, report, run};
use crate::sidecar::hopwatch;
use crate::support::script::Script;
use crate::support::server::{Router, Server};
use crate::tmux::Window;

/// What names may hold.
fn names() -> Vec<String> {
    vec![
        "<script>alert(1)</script>".into(),
        "\u{202e}evil\u{2066}\u{200b}".into(),
        "x".repeat(10_000),
        "日本".repeat(2_000),
        "two\nlines\r\u{b}\u{85}".into(),
        "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{1b}P\u{1b}\\".into(),
        "\"quotes' \\back\\ &amp; ]]> --> <![CDATA[".into(),
    ]
}

/// The report of a real run with every text in it replaced.
fn reports() -> Vec<Value> {
    let (docs, folder) = (docs(), tempfile::tempdir().unwrap());
    let file = folder.path().join("report.json");
    run(&docs, &file);
    let mut report: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    report["findings"] = json!([{
        "cause": "dns", "kind": null, "dependency": "", "runs": 1, "confidence": "low", "evidence": [], "sentence": "", "remedy": "",
    }]);
    names().iter().map(|name| with(&report, name)).collect()
}

/// What is free text in a report, anywhere in it.
const TEXTS: &[&str] = &[
    "name",
    "dependency",
    "operation",
    "sentence",
    "remedy",
    "error_type",
    "model",
    "address",
    "detail",
    "hopwatch",
    "started_at",
];

fn with(value: &Value, text: &str) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let is_text = TEXTS.contains(&name.as_str()) && (value.is_string() || (name == "dependency" && value.is_null()));
                (name.clone(), if is_text { text.into() } else { with(value, text) })
            };
            let mut fields: serde_json::Map<String, Value> = fields.iter().map(field).collect();
            if fields.contains_key("notes") {
                fields.insert("notes".into(), json!([text]));
                fields["losses"]["dropped"] = json!({text: 1});
            }
            Value::Object(fields)
        }
        Value::Array(items) => items.iter().map(|item| with(item, text)).collect(),
        other => other.clone(),
    }
}

/// Somebody who answers as an agent would.
fn liar(report: Value) -> Server {
    let hop = json!({
        "run": report["runs"][0]["name"], "pid": 1, "kind": "llm", "dependency": report["runs"][0]["name"],
        "operation": report["runs"][0]["name"], "phase": "wait", "phase_ms": 1e300, "age_ms": -1.0, "usual_ms": 0.0,
    });
    let open = json!({"schema": "", "hopwatch": "", "generated_at": "é\u{1b}", "hops": [hop]});
    let told = move |_: &_| Script::json(&report);
    Router::new().route("/api/report", told).route("/api/open", move |_| Script::json(&open)).start()
}

/// Nothing in it moves a cursor, re-orders text or is an escape sequence.
#[track_caller]
fn is_harmless(text: &str) {
    let harm = |&character: &char| {
        (character.is_control() && character != '\n')
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}')
    };
    assert_eq!(text.chars().find(harm), None, "{text:?}");
}

#[test]
fn texts_and_pictures_keep_hostile_names_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for report_of in reports() {
        let file = folder.path().join("report.json");
        std::fs::write(&file, report_of.to_string()).unwrap();
        let from = file.to_str().unwrap();
        let shown = report(&["--from", from]);
        assert_eq!(shown.code, Some(0), "{}", shown.err);
        is_harmless(&shown.out);
        assert!(shown.out.len() < 20_000, "{}", shown.out.len());
        let picture = report(&["--from", from, "--svg"]).out;
        is_harmless(&picture);
        let document = roxmltree::Document::parse(&picture).unwrap();
        assert!(document.descendants().all(|node| !["script", "image", "a"].contains(&node.tag_name().name())));
        assert!(picture.len() < 100_000, "{}", picture.len());
        let shown = report(&["--from", from, "--format", "json"]);
        is_harmless(serde_json::from_str::<Value>(&shown.out).unwrap()["runs"][0]["name"].as_str().unwrap());
    }
}

#[test]
fn a_snapshot_writes_no_escape_sequence_of_others() {
    for report in reports() {
        let server = liar(report);
        for more in [&[][..], &["--run", "last"]] {
            let snapshot = ended(hopwatch().args(["top", "--once", &server.url("")]).args(more).stdin(Stdio::null()));
            assert_eq!(snapshot.code, Some(0), "{}", snapshot.err);
            is_harmless(&snapshot.out);
            assert!(snapshot.out.lines().all(|line| line.chars().count() <= 120), "{}", snapshot.out);
        }
    }
}

#[test]
fn a_screen_is_not_taken_over() {
    let Some(window) = Window::open(100, 30) else { return };
    let title = window.knows("#{pane_title}");
    for report in reports() {
        let server = liar(report);
        window.runs(&format!("\"$HOPWATCH\" top --interval 100ms {}; echo code=$?", server.url("")));
        window.shows("Runs 1  by newest");
        let screen = window.shows("Open calls 1");
        assert!(screen.starts_with("hopwatch top  1 run, 1 not healthy, 1 call open"), "{screen}");
        window.presses(&["Enter"]);
        window.shows("off the critical path");
        window.types("q");
        window.shows("code=0");
        assert_eq!(window.knows("#{pane_title}"), title);
        window.runs("clear");
        window.hides("code=");
    }
}
