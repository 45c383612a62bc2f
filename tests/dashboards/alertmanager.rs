//! The real Alertmanager.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::ask::get;
use crate::prometheus::Listening;

/// An Alertmanager on its own.
pub(crate) struct Alertmanager {
    pub(crate) server: Listening,
    _folder: TempDir,
}

impl Alertmanager {
    pub(crate) fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", folder.path().join("data").display()));
        let server = Listening::start(command.args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]));
        Self { server, _folder: folder }
    }

    /// The alerts that it has.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let (head, body) = get(&self.server.address, "/api/v2/alerts").unwrap();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"))
    }
}
