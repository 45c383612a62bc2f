//! Files opened while a process starts: what its start-up was spent on.
//!
//! The time from one open to the next is charged to what the earlier one belongs to. The order is right, the times within about 30 %
//! (reference page of the observer, section 7): loading native code falls to the package before it.

use crate::model::{ImportFact, Name, Nanos};
use rustc_hash::FxHashMap;

/// Most names that are told apart.
const NAMES: usize = 512;
/// Endings of model weights.
const WEIGHTS: [&str; 5] = [".onnx", ".gguf", ".safetensors", ".bin", ".pt"];

/// What a process opened so far.
#[derive(Debug, Default)]
pub(super) struct Opens {
    last: Option<(Nanos, Name)>,
    spent: FxHashMap<Name, Nanos>,
}

impl Opens {
    /// A file was opened; `path` may lack its start.
    pub(super) fn opened(&mut self, at: Nanos, path: &str) {
        self.charge(at);
        self.last = Some((at, owner(path).into()));
    }

    /// What took the time up to `until`, longest first.
    pub(super) fn take(&mut self, until: Nanos) -> Vec<ImportFact> {
        self.charge(until);
        let mut facts: Vec<_> = self.spent.drain().map(|(name, took)| ImportFact { name, took }).collect();
        facts.sort_by(|a, b| b.took.cmp(&a.took).then_with(|| a.name.cmp(&b.name)));
        facts
    }

    fn charge(&mut self, until: Nanos) {
        let Some((from, name)) = self.last.take() else { return };
        if self.spent.len() < NAMES || self.spent.contains_key(&name) {
            *self.spent.entry(name).or_default() += until.saturating_sub(from);
        }
    }
}

/// What a file belongs to: a package, or a class of files.
fn owner(path: &str) -> &str {
    if let Some(package) = ["site-packages/", "dist-packages/"].iter().find_map(|folder| path.rsplit_once(folder)) {
        let first = package.1.split('/').next().unwrap_or_default();
        // `numpy-2.1.0.dist-info`, `six.py`, `_cffi_backend.cpython-311-x86_64-linux-gnu.so`
        let name = first.split(['-', '.']).next().unwrap_or_default();
        return if name.is_empty() { "other files" } else { name };
    }
    if WEIGHTS.iter().any(|ending| path.ends_with(ending)) {
        return "model files";
    }
    if path.ends_with(".pem") || path.ends_with(".crt") {
        return "certificates";
    }
    if path.contains("/lib/python") || path.contains("/lib64/python") {
        return "standard library";
    }
    "other files"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_the_next_open_is_the_packages() {
        let mut opens = Opens::default();
        opens.opened(10, "/venv/lib/python3.11/site-packages/openai/__init__.py");
        opens.opened(40, "/venv/lib/python3.11/site-packages/openai/types.py");
        opens.opened(60, "/usr/lib/python3.11/json/decoder.py");
        opens.opened(65, "cut/site-packages/numpy-2.1.0.dist-info/METADATA");
        let told: Vec<_> = opens.take(100).into_iter().map(|fact| (fact.name.to_string(), fact.took)).collect();
        assert_eq!(told, [("openai".into(), 50), ("numpy".into(), 35), ("standard library".into(), 5)]);
        assert!(opens.take(200).is_empty());
    }

    #[test]
    fn files_that_are_no_code_are_told_by_class() {
        assert_eq!(owner("/models/llama.gguf"), "model files");
        assert_eq!(owner("/etc/ssl/certs/ca.pem"), "certificates");
        assert_eq!(owner("/venv/site-packages/"), "other files");
        assert_eq!(owner(""), "other files");
    }
}
