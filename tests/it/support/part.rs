//! Programs of the system that tests start.

use std::io::{self, Write};
use std::path::PathBuf;

/// A program of the system, or `None` after saying why the test is skipped. Where parts are required its absence fails the test.
pub(crate) fn part(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian puts servers, which a user's `PATH` need not name.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    if let Some(found) = folders.map(|folder| folder.join(name)).find(|file| file.is_file()) {
        return Some(found);
    }
    let required = std::env::var("HOPWATCH_REQUIRE_PARTS").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    assert!(!required, "`{name}` is not installed");
    // Past the harness, which would keep back what a passing test prints.
    drop(writeln!(io::stderr(), "skipped: `{name}` is not installed"));
    None
}
