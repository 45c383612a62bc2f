//! The dashboards are what Grafana's own types say a dashboard is: `grafana-foundation-sdk` reads each and writes the same again.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::boards::made;

/// The Python of `tests/dashboards/setup`, or `None` after saying why the test is skipped. Where parts are required its absence fails the
/// test.
pub(crate) fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("dashboards-venv/bin/python");
    if python.is_file() {
        return Some(python);
    }
    let required = std::env::var("HOPWATCH_REQUIRE_PARTS").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    assert!(!required, "there is no {}: tests/dashboards/setup makes it", python.display());
    // Past the harness, which would keep back what a passing test prints.
    drop(writeln!(io::stderr(), "skipped: tests/dashboards/setup has not made its environment"));
    None
}

/// What a script of this folder says of a file, and whether that is well.
pub(crate) fn judged(python: &Path, script: &str, text: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, text).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboards").join(script);
    let output = Command::new(python).arg(script).arg(&file).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), said)
}

#[test]
fn grafanas_types_read_each_dashboard_and_write_the_same_again() {
    let Some(python) = python() else { return };
    let boards: Vec<_> = made().into_iter().filter(|file| file.path.ends_with(".json")).collect();
    for board in &boards {
        assert_eq!(judged(&python, "retype.py", &board.text), (true, String::new()), "{}", board.path);
    }
    for (from, to) in [
        ("\"graphTooltip\": 1", "\"graphTooltip\": 7"),
        ("\"lineWidth\"", "\"lineWitdh\""),
        ("\"displayMode\": \"table\"", "\"displayMode\": \"tables\""),
        ("\"colorMode\"", "\"colourMode\""),
        ("\"schemaVersion\"", "\"schemaVersions\""),
    ] {
        assert!(boards[0].text.contains(from), "{from}");
        let (fine, said) = judged(&python, "retype.py", &boards[0].text.replace(from, to));
        assert!(!fine, "{to} is not found: {said}");
    }
}
