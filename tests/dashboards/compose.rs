//! The compose file is one by the Compose Specification, what it mounts is there, and what it starts agrees with what is made.
//!
//! No container is started: that takes an engine and images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::boards::made;
use crate::grafana::{judged, python};
use crate::sidecar::{Sidecar, hopwatch};
use crate::support::part::part;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

fn compose() -> String {
    fs::read_to_string(folder().join("compose.yaml")).unwrap()
}

#[test]
fn the_compose_file_is_one_by_the_specification() {
    let Some(python) = python() else { return };
    let text = compose();
    assert_eq!(judged(&python, "compose_file.py", &text), (true, String::new()));
    for (from, to) in [
        ("read_only", "readonly"),
        ("condition: service_healthy", "condition: healthy"),
        ("127.0.0.1:9470:9470", "127.0.0.1:x:9470"),
        ("restart: always", "restart: perhaps"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(!judged(&python, "compose_file.py", &text.replace(from, to)).0, "{to} is not found");
    }
}

#[test]
fn what_is_mounted_is_there_and_every_dashboard_is_mounted() {
    let text = compose();
    let mounts: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./")?.strip_suffix(":ro"))
        .map(|mount| mount.split_once(':').unwrap())
        .collect();
    assert!(mounts.len() >= 12, "{mounts:?}");
    for (file, _) in &mounts {
        assert!(folder().join(file).exists(), "{file}");
    }
    for file in made() {
        let top = file.path.split('/').next().unwrap();
        let is_mounted = mounts.iter().any(|(mounted, _)| file.path.starts_with(mounted) || *mounted == top);
        assert!(is_mounted, "{} is not mounted", file.path);
    }
    // Where Grafana is told to look.
    let boards = made().into_iter().filter(|file| file.path.ends_with(".json"));
    let provider = fs::read_to_string(folder().join("provisioning/dashboards/hopwatch.yaml")).unwrap();
    let path = provider.lines().find_map(|line| line.trim().strip_prefix("path: ")).unwrap().to_owned();
    for board in boards {
        let place = format!("{path}/{}", board.path);
        assert!(mounts.contains(&(board.path.as_str(), place.as_str())), "{place}");
    }
}

#[test]
fn nothing_is_published_beyond_loopback_and_no_image_is_whatever_is_latest() {
    let text = compose();
    let ports = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .filter(|line| line.ends_with(|c: char| c.is_ascii_digit()));
    let ports: Vec<&str> = ports.collect();
    assert!(ports.len() >= 4 && ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{ports:?}");
    for image in text.lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        assert!(tag != "latest" && tag.contains('.'), "{image}");
    }
    let version = format!("image: hopwatch:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(text.matches(&version).count(), 2, "{version}");
}

#[test]
fn its_prometheus_takes_its_configuration() {
    let Some(promtool) = part("promtool") else { return };
    let output = Command::new(promtool).args(["check", "config"]).arg(folder().join("prometheus.yml")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("2 rule files found"), "{said}");
}

/// What the compose file's demo does, without a container.
#[test]
fn the_demo_hands_its_run_to_an_agent() {
    let agent = Sidecar::start("");
    let output = hopwatch().args(["demo", "--agent", &agent.admin]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report = agent.report();
    assert_eq!(report["runs"][0]["name"], "demo agent", "{report:#}");
    assert_eq!(report["runs"][0]["outcome"], "timeout", "{report:#}");
    assert!(agent.metric("hopwatch_runs_total", &["run=\"demo agent\"", "outcome=\"timeout\""]) > 0.0);
}
