//! The pages stay true: what they name exists, and what exists is named.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use hopwatch::model::names;
use hopwatch::model::{Outcome, Phase};
use std::fs;
use std::path::{Path, PathBuf};

/// An example beyond this is no example any more.
const EXAMPLE_LINES_MAX: usize = 60;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn files(folder: &str) -> Vec<PathBuf> {
    fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// What looks like a metric of ours, or a conventional one.
fn metrics_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| ["hopwatch_", "gen_ai_client_", "http_client_"].iter().any(|prefix| word.starts_with(prefix)))
}

#[test]
fn every_metric_that_a_page_names_exists() {
    let pages = files("src/guide").into_iter().chain([root().join("README.md")]);
    let mut named = 0;
    for path in pages {
        for name in metrics_in(&fs::read_to_string(&path).unwrap()) {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let known = names::ALL.iter().any(|metric| name == metric.name || base == Some(metric.name));
            assert!(known, "{}: there is no {name}", path.display());
            named += 1;
        }
    }
    assert!(named > 20, "the pages were not read");
}

#[test]
fn every_phase_is_told_from_where_to_where_and_has_its_place_in_the_diagnosis() {
    let (measured, slow) = (page("src/guide/measured.md"), page("src/guide/slow.md"));
    for phase in Phase::ALL {
        assert!(measured.contains(&format!("\n| `{phase}` |")), "{phase} is not in the table of phases");
        // A forward proxy's share is told by the observer alone.
        assert!(*phase == Phase::Proxy || slow.contains(&format!("`{phase}`")), "{phase} is not in the diagnosis");
    }
    for outcome in [Outcome::Cancelled, Outcome::Timeout, Outcome::Error] {
        assert!(measured.contains(&format!("`{outcome}`")), "{outcome}");
    }
}

#[test]
fn every_leaf_of_the_diagnosis_says_where_to_look_and_what_it_does_not_prove() {
    let slow = page("src/guide/slow.md");
    let leaves: Vec<&str> = slow.split("\n## ").skip(1).collect();
    assert!(leaves.len() >= 12);
    for leaf in leaves {
        let title = leaf.lines().next().unwrap();
        for part in ["**Look at**", "**It does not prove**"] {
            assert!(leaf.contains(part), "{title}: no {part}");
        }
    }
}

#[test]
fn every_feature_is_in_the_table_of_features() {
    let table = page("src/guide/features.md");
    let manifest = page("Cargo.toml");
    let features = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<&str> = features.lines().filter_map(|line| Some(line.split_once(" = [")?.0)).collect();
    assert!(names.contains(&"full") && names.contains(&"otlp"), "{names:?}");
    for name in names.into_iter().filter(|name| *name != "default") {
        assert!(table.contains(&format!("| `{name}`")), "{name}");
    }
}

#[test]
fn every_variable_that_is_read_is_in_the_table_of_the_environment() {
    let table = page("src/guide/features.md");
    let source = page("src/export/otlp/config/env.rs") + &page("src/watch/setup.rs") + &page("src/watch/builder.rs");
    let quoted = source.split('"').skip(1).step_by(2);
    let whole = quoted.filter(|word| word.starts_with("OTEL_") || word.starts_with("HOPWATCH_"));
    let names: Vec<&str> = whole.filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_')).collect();
    assert!(names.contains(&"OTEL_SDK_DISABLED") && names.contains(&"HOPWATCH_METRICS"), "{names:?}");
    for name in names {
        assert!(table.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_example_is_short() {
    let examples = files("examples");
    assert!(examples.len() >= 3);
    for path in examples.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= EXAMPLE_LINES_MAX, "{} has {lines} lines", Path::new(path).display());
    }
}
