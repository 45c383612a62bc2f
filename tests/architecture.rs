//! The house keeps its floors: who may import whom, how long a file may be, and where names may be spelled.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// A module of the top level, its floor, and the modules it may use (itself always).
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("attribution", &["model"]),
    ("wire", &["model"]),
    ("hops", &["model"]),
    ("lookup", &["model"]),
    ("scratch", &["model"]),
    ("sock_diag", &["model"]),
    ("instrument", &["model", "attribution", "wire", "lookup"]),
    ("export", &["model", "attribution"]),
    ("watch", &["model", "attribution", "instrument", "export"]),
    ("observe", &["model", "wire", "hops", "scratch", "sock_diag", "observer"]),
    ("gateway", &["model", "wire", "hops", "lookup", "sock_diag"]),
    ("agent", &["model", "attribution", "wire", "export", "observe", "gateway"]),
    ("cli", &["model", "attribution", "wire", "scratch", "instrument", "export", "observe", "gateway", "agent"]),
    ("observer", &[]),
];

/// What `observe/` may take from the side of the observed process: the layout and the object itself.
const SHARED_WITH_OBSERVER: &[&str] = &["layout", "OBJECT"];

/// A file beyond this asks for a split.
const LINES_MAX: usize = 550;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The modules that a line names behind `crate::`, with what follows.
fn uses(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or("");
    code.match_indices("crate::").map(move |(at, found)| &code[at + found.len()..])
}

fn module_of(path: &str) -> &str {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    &path[..end]
}

#[test]
fn no_module_imports_from_a_floor_above_it() {
    let src = root().join("src");
    let mut wrong = Vec::new();
    for file in sources(&src) {
        let relative = file.strip_prefix(&src).unwrap();
        let top = relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == top) else {
            assert!(["lib", "main"].contains(&top), "{} stands on no floor: add it to FLOORS", relative.display());
            continue;
        };
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            for used in uses(line) {
                let module = module_of(used);
                let known = FLOORS.iter().any(|(name, _)| *name == module);
                if known && module != top && !allowed.contains(&module) {
                    wrong.push(format!("{}:{}: `{top}` uses `{module}`; it may use {allowed:?}", relative.display(), number + 1));
                }
                let inner = used.strip_prefix("observer::").map(module_of);
                if top != "observer" && inner.is_some_and(|inner| !inner.is_empty() && !SHARED_WITH_OBSERVER.contains(&inner)) {
                    wrong.push(format!("{}:{}: only {SHARED_WITH_OBSERVER:?} of `observer`", relative.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn metric_names_are_spelled_in_the_model_alone() {
    let src = root().join("src");
    let prefix = concat!("\"hopwatch", "_");
    let wrong: Vec<String> = sources(&src)
        .into_iter()
        .filter(|file| !file.starts_with(src.join("model")) && !file.starts_with(src.join("observer")))
        // A test that says what is expected says it in full.
        .filter(|file| file.file_stem().is_none_or(|stem| stem != "tests"))
        .flat_map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let hits: Vec<String> = text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains(prefix) && line.contains("_total") | line.contains("_seconds"))
                .map(|(number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim()))
                .collect();
            hits
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_outgrows_one_concern() {
    let long: Vec<String> = sources(&root().join("src"))
        .into_iter()
        .filter(|file| file.file_stem().is_some_and(|stem| stem != "tests"))
        .filter_map(|file| {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            (lines > LINES_MAX).then(|| format!("{} has {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "split: {}", long.join("\n"));
}

#[test]
fn the_observer_depends_on_nothing() {
    for file in sources(&root().join("src/observer")) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            assert!(
                !code.contains("extern crate") && !code.contains("alloc::"),
                "{}:{}: the observer uses core alone: {line}",
                file.display(),
                number + 1
            );
        }
    }
}
