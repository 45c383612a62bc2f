//! TCP routes, by which clients that know no proxies are led through the gateway.

use std::net::TcpListener;

use tempfile::TempDir;

/// A configuration with a TCP route to a port, and where the route begins.
pub(crate) struct Routed {
    _folder: TempDir,
    pub(crate) option: String,
    pub(crate) entrance: u16,
}

impl Routed {
    pub(crate) fn to(port: u16, kind: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("hopwatch.toml");
        // It wants to be told a port: one that was free a moment ago.
        let entrance = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "[[tcp]]\nlisten = \"127.0.0.1:{entrance}\"\nupstream = \"127.0.0.1:{port}\"\ndependency = \"{name}\"\nkind = \"{kind}\"\n"
        );
        std::fs::write(&config, text).unwrap();
        Self { option: format!("--config={}", config.display()), entrance, _folder: folder }
    }
}
