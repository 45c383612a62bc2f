//! The configuration: any text is settings or mistakes, each of which says where it is; what is in force can be shown.

#![no_main]

use hopwatch::agent::config::{ConfigError, Settings, Source, show, text};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = std::str::from_utf8(bytes) else { return };
    match Settings::parse(file, Path::new("hopwatch.toml")) {
        Ok(settings) => {
            assert!(!text(&settings, &show(&settings, [], 0)).is_empty());
            drop(settings.rules());
        }
        Err(error) => check(&error, file),
    }
});

fn check(error: &ConfigError, file: &str) {
    let ConfigError::Invalid { faults, .. } = error else { panic!("{error}") };
    assert!(!faults.is_empty() && !error.to_string().is_empty());
    for fault in faults {
        let Source::File { line, column, .. } = fault.at else { panic!("{fault:?}") };
        // A mistake at the end may stand behind the last line.
        let text = file.split('\n').nth(line - 1).unwrap_or_default();
        assert!(line <= file.split('\n').count() + 1 && column <= text.chars().count() + 1, "{fault:?}");
    }
}
