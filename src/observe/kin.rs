//! Descendants that the observer is not in: static binaries, programs with other rights.

use super::spawn::{Sight, examine};
use crate::model::{Nanos, redact};
use rustc_hash::{FxHashMap, FxHashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Most such processes that are told.
const MOST: usize = 256;
/// Threads of a process that are asked for their children.
const THREADS: usize = 64;

/// A process without a ring, and why.
#[derive(Clone, Debug)]
pub(super) struct Unseen {
    pub(super) pid: u32,
    pub(super) ppid: u32,
    pub(super) program: String,
    pub(super) found: Nanos,
    pub(super) note: String,
}

/// Finds them from time to time.
#[derive(Debug, Default)]
pub(super) struct Kin {
    pub(super) unseen: Vec<Unseen>,
    /// What was last found to run under a number.
    judged: FxHashMap<u32, PathBuf>,
}

impl Kin {
    /// Looks at the children of the processes that have a ring, and at theirs.
    pub(super) fn look(&mut self, with_rings: &FxHashSet<u32>, now: Nanos) {
        let mut parents: Vec<u32> = with_rings.iter().copied().collect();
        let mut visited = with_rings.clone();
        let mut living = FxHashMap::default();
        while let Some(parent) = parents.pop() {
            for pid in children(Path::new("/proc"), parent) {
                if !visited.insert(pid) {
                    continue;
                }
                let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { continue };
                if self.judged.get(&pid) != Some(&program) {
                    self.judge(pid, parent, &program, now);
                }
                living.insert(pid, program);
                parents.push(pid);
            }
        }
        self.judged = living;
    }

    /// A process found no room for its records.
    pub(super) fn had_no_room(&mut self, pid: u32, now: Nanos) {
        if self.unseen.len() < MOST {
            // Many are over by the time they are found.
            let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
            let name = program.as_deref().and_then(Path::file_name).map_or("a process".into(), OsStr::to_string_lossy);
            let note = "it had no room for its records (a full directory, or a limit on the size of its files)".to_owned();
            self.unseen.push(Unseen { pid, ppid: 0, program: redact::name(&name), found: now, note });
        }
    }

    fn judge(&mut self, pid: u32, ppid: u32, program: &Path, now: Nanos) {
        if self.unseen.len() < MOST
            && let Sight::NotSeen(note) = examine(program)
        {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            self.unseen.push(Unseen { pid, ppid, program: redact::name(&name), found: now, note });
        }
    }
}

fn children(proc: &Path, pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(proc.join(pid.to_string()).join("task")) else { return Vec::new() };
    let texts = tasks.flatten().take(THREADS).filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    texts.flat_map(|text| text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_all_threads_are_found() {
        let root = tempfile::tempdir().unwrap();
        for (task, children) in [("7", "8 9 "), ("10", "11 "), ("12", "")] {
            let task = root.path().join("7/task").join(task);
            fs::create_dir_all(&task).unwrap();
            fs::write(task.join("children"), children).unwrap();
        }
        let mut found = children(root.path(), 7);
        found.sort_unstable();
        assert_eq!(found, [8, 9, 11]);
        assert!(children(root.path(), 8).is_empty());
    }

    #[test]
    fn a_child_that_could_be_seen_is_not_told() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mut kin = Kin::default();
        kin.look(&FxHashSet::from_iter([std::process::id()]), 5);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(kin.unseen.iter().all(|unseen| unseen.pid != child.id()));
    }
}
