//! The real Alertmanager.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::ask::get;

/// An Alertmanager on its own.
pub(crate) struct Alertmanager {
    child: Child,
    pub(crate) address: String,
    _folder: TempDir,
}

impl Alertmanager {
    pub(crate) fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening = lines.by_ref().find(|line| line.contains("msg=\"Listening on\""));
        let listening = listening.expect("Alertmanager says where it listens");
        let address = listening.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        // Nobody reads on, and a full pipe must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _folder: folder }
    }

    /// The alerts that it has.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let (head, body) = get(&self.address, "/api/v2/alerts").unwrap();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"))
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
