//! What is committed is what is made, by the verb too; and its runbook has what alerts lead to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use hopwatch::model::Cause;

use crate::boards::{file, made};
use crate::sidecar::hopwatch;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

fn dashboards(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = hopwatch().arg("dashboards").args(arguments).output().unwrap();
    (status.code(), [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

#[test]
fn what_is_committed_is_what_is_made() {
    for file in made() {
        let path = committed().join(&file.path);
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(text == file.text, "{} differs: `hopwatch dashboards` writes it anew", file.path);
    }
}

#[test]
fn the_verb_writes_what_is_made_and_finds_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/dashboards");
    let out = out.to_str().unwrap();
    let (code, said) = dashboards(&["--out", out, "--check"]);
    assert!(code == Some(1) && said.contains("timeouts.json: is not there"), "{said}");
    assert_eq!(dashboards(&["--out", out]), (Some(0), format!("{out}: {} files written\n", made().len())));
    for file in made() {
        assert_eq!(fs::read_to_string(Path::new(out).join(&file.path)).unwrap(), file.text, "{}", file.path);
    }
    assert_eq!(dashboards(&["--out", out, "--check"]).0, Some(0));
    fs::write(Path::new(out).join("llm.json"), "{}").unwrap();
    let (code, said) = dashboards(&["--out", out, "--check"]);
    assert!(code == Some(1) && said.contains("llm.json: differs") && !said.contains("agent.json"), "{said}");
    // Other parameters are another set of alerts.
    let (code, said) =
        dashboards(&["--out", out, "--objective", "0.5", "--open-age", "7s", "--runbook-url", "https://wiki/hopwatch"]);
    assert_eq!(code, Some(0), "{said}");
    let alerts = fs::read_to_string(Path::new(out).join("alerts.yaml")).unwrap();
    for part in ["> 7.2", "> 7\n", "https://wiki/hopwatch#hopwatchdown"] {
        assert!(alerts.contains(part), "{part}: {alerts}");
    }
}

#[test]
fn what_it_cannot_do_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (code, said) = dashboards(&["--out", file.join("x").to_str().unwrap()]);
    assert!(code == Some(3) && said.contains("cannot write") && said.contains("hint: "), "{said}");
    for wrong in [["--objective", "1"], ["--slow-factor", "0.5"], ["--open-age", "soon"], ["--shrink", "0"]] {
        let (code, said) = dashboards(&wrong);
        assert!(code == Some(2) && said.contains(wrong[0]), "{wrong:?}: {said}");
    }
}

#[test]
fn every_alert_leads_to_its_heading_and_every_cause_has_one() {
    let (alerts, runbook) = (file("alerts.yaml"), file("RUNBOOK.md"));
    let names: BTreeSet<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    let headings: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let causes: Vec<&str> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    let expected: BTreeSet<&str> = names.iter().chain(&causes).copied().collect();
    assert_eq!(headings.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(headings.len(), expected.len(), "one each");
    for section in runbook.split("\n## ").skip(1) {
        for part in ["**Meaning.**", "**Look here.**", "**Do this.**"] {
            assert!(section.contains(part), "{part} {section}");
        }
    }
    for block in alerts.split("- alert: ").skip(1) {
        let name = block.lines().next().unwrap();
        assert!(block.contains(&format!("RUNBOOK.md#{}\"", name.to_lowercase())), "{block}");
        for part in ["severity: ", "summary: ", "description: ", "dashboard: \"/d/hopwatch-"] {
            assert!(block.contains(part), "{part} {block}");
        }
    }
}

/// Panels that the runbook and the causes point at are there.
#[test]
fn every_panel_that_the_runbook_names_is_there() {
    let runbook = file("RUNBOOK.md");
    let titles: Vec<String> = crate::boards::boards()
        .iter()
        .flat_map(|board| crate::boards::panels(board).iter().map(|panel| panel["title"].as_str().unwrap().to_owned()))
        .collect();
    let section = runbook.split("## ").skip(1);
    for line in section.flat_map(str::lines).filter(|line| line.starts_with("**Look here.**")) {
        let named = line.trim_start_matches("**Look here.**").split('*').skip(1).step_by(2);
        for name in named.filter(|name| !name.is_empty()) {
            // Of panels of one name beginning so, all are meant.
            assert!(titles.iter().any(|title| title.starts_with(name)) || name == "by phase", "no panel {name}: {line}");
        }
    }
}
