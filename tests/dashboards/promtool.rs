//! `promtool` on rules and alerts: they are well-formed, and each alert fires when it is due and is silent a moment before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::boards::file;
use crate::support::part::part;

/// What `promtool` says, and whether it is content.
fn promtool(program: &Path, arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), said)
}

/// A folder with the rules and alerts that are made, and the tests of them.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["rules.yaml", "alerts.yaml"] {
        fs::write(folder.path().join(name), file(name)).unwrap();
    }
    fs::write(folder.path().join("tests.yaml"), tests()).unwrap();
    folder
}

fn tests() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/tests.yaml")).unwrap()
}

#[test]
fn rules_and_alerts_are_well_formed() {
    let Some(program) = part("promtool") else { return };
    let folder = folder();
    for (name, rules) in [("rules.yaml", 9), ("alerts.yaml", 13)] {
        let (fine, said) = promtool(&program, &["check", "rules", "--lint=all", "--lint-fatal", name], folder.path());
        assert!(fine && said.contains(&format!("SUCCESS: {rules} rules found")), "{said}");
    }
}

#[test]
fn each_alert_fires_when_it_is_due_and_is_silent_a_moment_before() {
    let Some(program) = part("promtool") else { return };
    let folder = folder();
    let (fine, said) = promtool(&program, &["test", "rules", "tests.yaml"], folder.path());
    assert!(fine, "{said}");
    // An alert that fires at another moment is found.
    fs::write(folder.path().join("tests.yaml"), tests().replacen("eval_time: 3m", "eval_time: 2m", 1)).unwrap();
    assert!(!promtool(&program, &["test", "rules", "tests.yaml"], folder.path()).0);
}

#[test]
fn each_alert_is_tested_both_ways() {
    let alerts = file("alerts.yaml");
    let names: BTreeSet<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let tests = tests();
    for name in names {
        let cases: Vec<&str> =
            tests.split("- eval_time: ").filter(|case| case.contains(&format!("alertname: {name}\n"))).collect();
        let silent = cases.iter().filter(|case| case.contains("exp_alerts: []")).count();
        assert!(silent >= 1 && cases.len() > silent, "{name}: {} cases, {silent} of silence", cases.len());
    }
}
