//! curl, by each of the ways in which it speaks HTTP.

use crate::peer::Peer;
use crate::support::part::part;
use crate::through::Through;
use std::process::Command;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What curl prints for these arguments and a URL of the gateway: body, version and status.
fn curl(through: &Through, arguments: &[&str]) -> Option<String> {
    let output = Command::new(part("curl")?)
        .args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--write-out", " %{http_version} %{http_code}"])
        .args(arguments)
        .arg(format!("http://{}/thing?q=1", through.address()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn by_prior_knowledge_and_by_an_upgrade_that_does_not_pass() {
    for (arguments, expected) in [
        (&["--http2-prior-knowledge"][..], "hello 2 200"),
        (&["--http2"], "hello 1.1 200"),
        (&["--http1.0"], "hello 1 200"),
        (&[], "hello 1.1 200"),
    ] {
        let peer = Peer::answering(OK);
        let through = Through::to(peer.address());
        let Some(said) = curl(&through, arguments) else { return };
        assert_eq!(said.replace(" 1.0 ", " 1 "), expected, "{arguments:?}");
        through.finish().hop().ok(200);
        let up = peer.heard(0);
        assert!(up.starts_with("GET /thing?q=1 HTTP/1.1\r\n"), "{up}");
        for gone in ["upgrade", "http2-settings", "connection"] {
            assert!(!up.to_lowercase().contains(gone), "{arguments:?}: {up}");
        }
    }
}

#[test]
fn a_body_that_waits_for_permission() {
    let peer = Peer::new(|wire, _| {
        wire.until("\r\n\r\n");
        wire.say("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.exactly(2 << 20).len(), 2 << 20);
        wire.say(OK);
        wire.rest();
    });
    let through = Through::to(peer.address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, vec![b'x'; 2 << 20]).unwrap();
    let data = format!("@{}", file.display());
    let Some(said) = curl(&through, &["--data-binary", &data, "--header", "expect: 100-continue"]) else { return };
    assert_eq!(said, "hello 1.1 200");
    through.finish().hop().ok(200).operation("POST /thing");
}
