use super::*;
use crate::model::{Role, clock};
use crate::observe::ring::tests::Writer;

fn observer(directory: &Path) -> Observer {
    let options = Options { rings: directory.to_owned(), naming: Naming::default(), anchor: clock::Anchor::at(0, 0) };
    Observer::start(options).unwrap()
}

#[test]
fn the_ring_of_a_process_that_is_over_is_read_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let observer = observer(directory.path());
    // A process that is surely over: a child that was waited for.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let mut writer = Writer::new();
    writer.set_pid(child.id());
    writer.exchange();
    let path = directory.path().join(format!("{}-1.ring", child.id()));
    writer.publish(&path);
    let observed = observer.finish(1_000_000_000, Duration::from_secs(10));
    assert_eq!(observed.spans.len(), 1);
    assert_eq!((observed.spans[0].role, &*observed.spans[0].operation), (Role::Client, "GET /"));
    let process = &observed.processes[0];
    assert_eq!((process.pid, process.program.as_str(), process.rings), (child.id(), "python", true));
    assert!(process.end.is_some());
    assert!(!path.exists());
    assert!(observed.losses.missed.is_empty());
}

#[test]
fn the_open_hop_of_a_living_process_can_be_asked_for_and_the_process_is_let_go_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::new();
    writer.set_pid(std::process::id());
    writer.request();
    let path = directory.path().join("me-1.ring");
    writer.publish(&path);
    let observer = observer(directory.path());
    let open = observer.open_now();
    assert_eq!(open.len(), 1);
    assert!(open[0].is_open());
    let observed = observer.finish(1_000_000_000, Duration::ZERO);
    assert_eq!((observed.spans.len(), observed.losses.open, observed.processes[0].end), (1, 1, None));
    let kill = Writer::kill_word(&path);
    assert_ne!(kill, 0, "it passes through from now on");
}

#[test]
fn files_that_are_no_rings_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("1-1.ring"), b"short").unwrap();
    std::fs::write(directory.path().join("notes.txt"), b"x").unwrap();
    let observed = observer(directory.path()).finish(0, Duration::ZERO);
    assert!(observed.processes.is_empty());
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let options = Options { rings: "/nowhere/at/all".into(), naming: Naming::default(), anchor: clock::Anchor::at(0, 0) };
    let error = Observer::start(options).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");
}

#[test]
fn processes_that_had_no_room_for_a_ring_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join(format!("{}-1.noroom", std::process::id()));
    std::fs::write(&mark, "").unwrap();
    let observed = observer(directory.path()).finish(0, Duration::ZERO);
    assert_eq!(observed.losses.missed.get("processes"), Some(&1));
    let note = observed.processes[0].note.as_deref().unwrap();
    assert!(note.contains("no room for its records") && !observed.processes[0].rings, "{note}");
    assert!(!mark.exists());
}
