//! The examples of deployments pass their validators: the container file hadolint, the Kubernetes manifest kubernetes-validate, the
//! units `systemd-analyze`, and what configures hopwatch in them `hopwatch config check`.
//!
//! `tests/deploy/setup` makes the first two; the third is Debian's package `systemd`. Without one a test says that it is skipped, or
//! fails where `HOPWATCH_REQUIRE_PARTS` is set.

#![cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const HOPWATCH: &str = env!("CARGO_BIN_EXE_hopwatch");
/// The oldest release with native sidecars switched on, and the newest that the validator knows.
const KUBERNETES: [&str; 2] = ["1.29", "1.37"];

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy").join(name)).unwrap()
}

/// A validator, or `None` after saying why the test is skipped. Where parts are required its absence fails the test.
fn validator(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(target.join("deploy-venv/bin")).chain(std::env::split_paths(&path));
    if let Some(found) = folders.map(|folder| folder.join(name)).find(|file| file.is_file()) {
        return Some(found);
    }
    let required = std::env::var("HOPWATCH_REQUIRE_PARTS").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    assert!(!required, "`{name}` is not installed");
    // Past the harness, which would keep back what a passing test prints.
    drop(writeln!(io::stderr(), "skipped: `{name}` is not installed (tests/deploy/setup; Debian's systemd)"));
    None
}

/// Whether a command found nothing wrong, and what it said.
fn judged(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

/// A text with something replaced that is there.
#[track_caller]
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn the_container_file_passes_its_linter() {
    let Some(hadolint) = validator("hadolint") else { return };
    let lint = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Containerfile");
        fs::write(&file, text).unwrap();
        judged(Command::new(&hadolint).arg("--no-color").arg(&file))
    };
    let text = example("Containerfile");
    let (fine, said) = lint(&text);
    assert!(fine && said.is_empty(), "{said}");
    for (from, to) in
        [("rust:1.95-bookworm", "rust"), ("ENTRYPOINT [\"/usr/bin/hopwatch\"]", "ENTRYPOINT hopwatch"), ("COPY src", "COPPY src")]
    {
        assert!(!lint(&changed(&text, from, to)).0, "{to}");
    }
}

#[test]
fn the_container_file_copies_all_that_the_manifest_names() {
    let text = example("Containerfile");
    let copied: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("COPY ")).flat_map(str::split_whitespace).collect();
    for needed in ["Cargo.toml", "Cargo.lock", "build.rs", "README.md", "LICENSE", "src", "benches", "examples", "tests"] {
        assert!(copied.contains(&needed), "{needed}");
    }
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let msrv = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    assert!(text.contains(&format!("FROM rust:{msrv}-")), "it builds with {msrv}");
}

#[test]
fn the_health_check_succeeds_where_the_agent_answers_and_fails_where_nobody_does() {
    let text = example("Containerfile");
    let check = text.split("HEALTHCHECK").nth(1).unwrap().split("CMD ").nth(1).unwrap().lines().next().unwrap();
    let words: Vec<String> = serde_json::from_str(check).unwrap();
    assert_eq!(words[0], "/usr/bin/hopwatch");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let ask = || {
        let words = words[1..].iter().map(|word| word.replace("127.0.0.1:9470", &place));
        judged(Command::new(HOPWATCH).args(words).current_dir("/")).0
    };
    let agent = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let length = client.read(&mut head).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n").unwrap();
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    assert!(ask());
    assert!(agent.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
    assert!(!ask(), "nobody listens any more");
}

#[test]
fn the_kubernetes_manifest_passes_its_schemas() {
    let Some(validate) = validator("kubernetes-validate") else { return };
    let check = |text: &str, version: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("manifest.yaml");
        fs::write(&file, text).unwrap();
        judged(Command::new(&validate).args(["--kubernetes-version", version, "--strict"]).arg(&file))
    };
    let text = example("kubernetes-sidecar.yaml");
    for version in KUBERNETES {
        let (fine, said) = check(&text, version);
        assert!(fine && said.matches(" passed ").count() == 2, "{said}");
    }
    for (from, to) in [
        ("readinessProbe", "readynessProbe"),
        ("containerPort: 9470", "containerPort: admin"),
        ("restartPolicy: Always", "restartPolicy: [Always]"),
    ] {
        assert!(!check(&changed(&text, from, to), KUBERNETES[0]).0, "{to}");
    }
}

#[test]
fn the_configuration_in_the_manifest_is_fine() {
    let manifest = example("kubernetes-sidecar.yaml");
    let block = manifest.split("  hopwatch.toml: |\n").nth(1).unwrap();
    let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let text: String = lines.map(|line| format!("{}\n", line.trim_start_matches("    "))).collect();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hopwatch.toml"), text).unwrap();
    let mut command = Command::new(HOPWATCH);
    command.args(["config", "check", "--strict"]).current_dir(folder.path());
    // What the container is given beside it.
    command.env_clear().env("HOPWATCH_ADMIN_LISTEN", "0.0.0.0:9470");
    assert_eq!(judged(&mut command), (true, "hopwatch.toml: fine (1 dependency, 1 route, 1 TCP route)\n".to_owned()));
}

#[test]
fn the_units_pass_systemds_own_check() {
    let Some(analyze) = validator("systemd-analyze") else { return };
    let verify = |service: &str, socket: &str| {
        let folder = tempfile::tempdir().unwrap();
        // It looks for the program too, and this is the one that is there.
        let files =
            [("hopwatch.service", changed(service, "/usr/bin/hopwatch", HOPWATCH)), ("hopwatch.socket", socket.to_owned())];
        let files = files.map(|(name, text)| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        });
        let verified = judged(Command::new(&analyze).args(["verify", "--man=no"]).args(&files));
        let exposed =
            judged(Command::new(&analyze).args(["security", "--offline=true", "--threshold=25", "--no-pager"]).arg(&files[0]));
        (verified, exposed)
    };
    let (service, socket) = (example("hopwatch.service"), example("hopwatch.socket"));
    let (verified, (guarded, exposure)) = verify(&service, &socket);
    assert_eq!(verified, (true, String::new()));
    assert!(guarded, "{exposure}");
    // What it does not know it tells, and goes on.
    let ((_, said), _) =
        verify(&changed(&service, "WatchdogSec=", "WatchdogSecs="), &changed(&socket, "Accept=no", "Accept=perhaps"));
    assert!(said.contains("WatchdogSecs") && said.contains("perhaps"), "{said}");
    let (_, (guarded, _)) = verify(&changed(&changed(&service, "DynamicUser=yes", ""), "CapabilityBoundingSet=\n", ""), &socket);
    assert!(!guarded, "a service as root is more exposed than is allowed here");
}

#[test]
fn deployments_agree_with_the_defaults() {
    let drain = 20;
    let file = example("hopwatch.toml");
    for default in [&format!("#drain = \"{drain}s\""), "#admin = \"127.0.0.1:9470\"", "#listen = [\"127.0.0.1:9471\"]"] {
        assert!(file.contains(default), "{default}");
    }
    let number = |name: &str, before: &str| -> u64 {
        let text = example(name);
        let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("{name}: {before}"));
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(number("hopwatch.service", "TimeoutStopSec=") > drain);
    assert!(number("kubernetes-sidecar.yaml", "terminationGracePeriodSeconds: ") > drain);
    assert_eq!(number("hopwatch.socket", "ListenStream=127.0.0.1:"), 9471);
    assert_eq!(number("kubernetes-sidecar.yaml", "containerPort: "), 9470);
    assert_eq!(number("kubernetes-sidecar.yaml", "OPENAI_BASE_URL\n              value: http://127.0.0.1:"), 9471);
}
