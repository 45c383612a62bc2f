//! The real `systemd-socket-activate`, and a real socket in the service manager's place.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::ask::{PATIENCE, wait_for};
use crate::client::{Client, curled};
use crate::sidecar::{Sidecar, free, local, route};
use crate::support::part::part;
use crate::support::script::Script;
use crate::support::server::{Router, Server};

fn docs() -> Server {
    Router::new().route("/search", |_| Script::json(&json!({"found": 1}))).start()
}

/// A manager's socket.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message but for those of the watchdog.
    fn hears(&self) -> String {
        loop {
            let message = self.hears_any();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    fn hears_any(&self) -> String {
        let mut message = [0; 4096];
        let length = self.0.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }
}

#[test]
fn the_manager_is_told_of_readiness_reloads_life_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let docs = docs();
    let sidecar = Sidecar::with(&route("/docs", &docs.url(""), "retrieval", "docs"), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    });
    let ready = manager.hears();
    assert!(ready.starts_with("READY=1\n") && ready.contains("STATUS=gateway at 127.0.0.1:"), "{ready}");
    assert!((0..3).all(|_| manager.hears_any() == "WATCHDOG=1\n"));
    for line in ["", "wokers = 1\n"] {
        sidecar.rewrite(&(line.to_owned() + &route("/docs", &docs.url(""), "retrieval", "docs")));
        let reloading = manager.hears();
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        // Also where the settings are refused: it goes on, and a manager waits for it.
        assert!(manager.hears().starts_with("READY=1\n"));
    }
    sidecar.send(libc::SIGTERM);
    let stopping = manager.hears();
    assert!(stopping.starts_with("STOPPING=1\n") && stopping.contains("STATUS=ends: 0 in flight"), "{stopping}");
    assert_eq!(sidecar.ended(), Some(0));
}

#[test]
fn sockets_that_systemd_holds_are_served_and_outlive_a_reload() {
    let (Some(activate), Some(_)) = (part("systemd-socket-activate"), part("curl")) else { return };
    let docs = docs();
    let (gateway, admin) = (free(), free());
    let mut command = Command::new(activate);
    command.args(["-l", &gateway, "-l", &admin, "--fdname=gateway:admin", env!("CARGO_BIN_EXE_hopwatch"), "agent"]);
    // Addresses of the file are not listened at.
    let mut sidecar = Sidecar::begun(&local(&route("/docs", &docs.url(""), "retrieval", "docs")), command);
    wait_for("systemd listens", || {
        let said = sidecar.said();
        if said.matches("Listening on").count() == 2 { Ok(()) } else { Err(said) }
    });
    // The first client starts it, and is served.
    assert_eq!(curled(&[&format!("http://{gateway}/docs/search")]), json!({"found": 1}).to_string());
    sidecar.is_ready();
    assert_eq!((&*sidecar.gateway, &*sidecar.admin), (&[gateway.clone()][..], &*admin));
    let mut kept = Client::to(&gateway);
    assert_eq!(kept.get("/docs/search").unwrap().status, 200);
    sidecar.rewrite("");
    sidecar.says("hopwatch: reloaded");
    assert_eq!(kept.get("/docs/search").unwrap().status, 404, "the route is gone");
    assert_eq!((Client::to(&gateway).get("/").unwrap().status, sidecar.asked("/readyz").0), (404, 200));
    sidecar.send(libc::SIGTERM);
    assert_eq!(sidecar.ended(), Some(0));
}

#[test]
fn sockets_with_other_names_are_refused_with_what_to_write() {
    let Some(activate) = part("systemd-socket-activate") else { return };
    let address = free();
    let mut command = Command::new(activate);
    command.args(["-l", &address, "--fdname=web", env!("CARGO_BIN_EXE_hopwatch"), "agent"]);
    let sidecar = Sidecar::begun(&local(""), command);
    wait_for("systemd listens", || if sidecar.said().contains("Listening on") { Ok(()) } else { Err(sidecar.said()) });
    let client = Client::to(&address);
    assert!(sidecar.says("error: ").contains("is named `web`"), "{}", sidecar.said());
    assert!(sidecar.says("hint: ").contains("FileDescriptorName=gateway"));
    client.leave();
    assert_eq!(sidecar.ended(), Some(2));
}
