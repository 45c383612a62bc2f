//! `hopwatch report --svg`: read by a real reader of XML, and rendered by a real browser where there is one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use roxmltree::{Document, Node};
use serde_json::Value;

use crate::shown::{docs, report, run};
use crate::support::part::part;

/// A picture of a real run, and its report.
fn picture() -> (String, Value) {
    let (docs, folder) = (docs(), tempfile::tempdir().unwrap());
    let (file, svg) = (folder.path().join("report.json"), folder.path().join("run.svg"));
    run(&docs, &file);
    let shown = report(&["--from", file.to_str().unwrap(), &format!("--svg={}", svg.display())]);
    assert_eq!((shown.code, &*shown.out, &*shown.err), (Some(0), "", ""));
    let written = std::fs::read_to_string(&svg).unwrap();
    let printed = report(&["--from", file.to_str().unwrap(), "--run", "agent", "--svg"]);
    assert_eq!(printed.out, written);
    (written, serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap_or_else(|| panic!("{name} of {node:?}")).parse().unwrap()
}

/// The bars of a row by their class.
fn bars<'a, 'input>(row: Node<'a, 'input>) -> impl Iterator<Item = (&'a str, Node<'a, 'input>)> {
    row.children().filter(|node| node.has_tag_name("rect")).map(|node| (node.attribute("class").unwrap(), node))
}

#[test]
fn lengths_and_places_are_the_numbers_of_the_report() {
    let (picture, report) = picture();
    let document = Document::parse(&picture).unwrap();
    let run = &report["runs"][0];
    let rows: Vec<Node<'_, '_>> = document.descendants().filter(|node| node.attribute("class") == Some("row")).collect();
    assert_eq!(rows.len(), 1 + run["hops"].as_array().unwrap().len());
    // The first row's bar is the whole run: it gives the scale.
    let (_, whole) = bars(rows[0]).find(|(class, _)| *class == "whole").unwrap();
    let (origin, scale) = (number(whole, "x"), number(whole, "width") / run["duration_ms"].as_f64().unwrap());
    for hop in run["hops"].as_array().unwrap() {
        let row = rows.iter().find(|row| row.attribute("data-hop") == hop["id"].as_str()).unwrap();
        let (_, whole) = bars(*row).find(|(class, _)| *class == "whole").unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 0.01;
        assert!(near(number(whole, "x"), origin + hop["started_ms"].as_f64().unwrap() * scale), "{hop:#}");
        assert!(near(number(whole, "width"), hop["duration_ms"].as_f64().unwrap() * scale), "{hop:#}");
        for (phase, time) in hop["phases"].as_object().unwrap() {
            let of: Vec<Node<'_, '_>> =
                bars(*row).filter(|(class, _)| *class == format!("p-{phase}")).map(|(_, bar)| bar).collect();
            let told: f64 = of.iter().map(|bar| number(*bar, "data-ms")).sum();
            let drawn: f64 = of.iter().map(|bar| number(*bar, "width")).sum();
            let time = time.as_f64().unwrap_or(0.0);
            assert!(near(told, time) && near(drawn, time * scale), "{phase}: {told} ms, {drawn} px: {hop:#}");
        }
    }
    let critical: f64 = rows
        .iter()
        .flat_map(|row| bars(*row))
        .filter(|(class, _)| *class == "critical")
        .map(|(_, bar)| number(bar, "data-ms"))
        .sum();
    let blame: f64 = run["blame"].as_array().unwrap().iter().map(|row| row["ms"].as_f64().unwrap()).sum();
    assert!((critical - blame).abs() < 0.1, "{critical} of {blame} ms");
}

#[test]
fn it_stands_alone_and_says_everything_in_words_too() {
    let (picture, report) = picture();
    let document = Document::parse(&picture).unwrap();
    let root = document.root_element();
    assert_eq!((root.tag_name().name(), root.attribute("role")), ("svg", Some("img")));
    let text = |id: &str| document.descendants().find(|node| node.attribute("id") == Some(id)).unwrap().text().unwrap();
    let named: Vec<&str> = root.attribute("aria-labelledby").unwrap().split(' ').map(text).collect();
    assert!(named[0].starts_with("agent: failed (server_error), "), "{named:?}");
    let verdict = report["runs"][0]["verdict"]["sentence"].as_str().unwrap();
    assert!(named[1].starts_with(verdict) && named[1].contains("retrieval/docs wait"), "{named:?}");
    let shown: String = document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text()).collect();
    assert!(["server_error", "critical path", "wait", "failed", " ms"].iter().all(|said| shown.contains(said)), "{shown}");
    for node in document.descendants().filter(Node::is_element) {
        assert!(
            ["svg", "title", "desc", "style", "rect", "line", "path", "g", "text"].contains(&node.tag_name().name()),
            "{node:?}"
        );
        assert!(node.attributes().all(|attribute| !attribute.name().starts_with("on") && attribute.name() != "href"), "{node:?}");
    }
    let style = document.descendants().find(|node| node.has_tag_name("style")).unwrap().text().unwrap();
    assert!(style.contains("prefers-color-scheme:dark") && !style.contains("url(") && !style.contains("@import"));
}

/// Chromium makes a picture of a page.
fn rendered(chromium: &Path, page: &Path, picture: &Path, dark: bool) {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]);
    command.args(["--hide-scrollbars", "--window-size=1000,520"]).arg(format!("--user-data-dir={}", profile.path().display()));
    if dark {
        command.arg("--force-dark-mode").arg("--blink-settings=preferredColorScheme=0");
    }
    command.arg(format!("--screenshot={}", picture.display())).arg(format!("file://{}", page.display()));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_browser_renders_it() {
    let Some(chromium) = part("chromium") else { return };
    let (picture, _) = picture();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let svg = folder.join("run.svg");
    std::fs::write(&svg, picture).unwrap();
    let mut sizes = Vec::new();
    for (name, dark) in [("run-light.png", false), ("run-dark.png", true)] {
        let png = folder.join(name);
        rendered(&chromium, &svg, &png, dark);
        sizes.push(std::fs::metadata(png).unwrap().len());
    }
    // An empty page of this size takes about 3 kB.
    assert!(sizes.iter().all(|&size| size > 10_000), "{sizes:?}");
}
