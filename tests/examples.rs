//! The examples run, and what they assert holds.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo puts the examples of the profile that this test is of.
fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

#[test]
fn every_example_runs_and_what_it_asserts_holds() {
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let mut ran = 0;
    let sources = sources.map(|entry| entry.unwrap().path());
    for source in sources.filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let name = source.file_stem().unwrap().to_str().unwrap().to_owned();
        let binary = built(&name);
        let age = |path: &Path| fs::metadata(path).and_then(|known| known.modified());
        // `cargo test` builds them before it runs anything; `cargo test --test examples` does not.
        let fresh = age(&binary).is_ok_and(|built| built >= age(&source).unwrap());
        assert!(fresh, "{name} is not built: run `cargo build --examples` first, or all of `cargo test`");
        let output = Command::new(&binary).env_remove("HOPWATCH_METRICS").env("RUST_BACKTRACE", "0").output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{name}: {}\n{said}", output.status);
        ran += 1;
    }
    assert!(ran >= 10, "{ran} examples");
}
