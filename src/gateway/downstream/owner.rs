//! Whose connection it is: the process at its other end, where that is on this machine.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

/// Processes that are looked at first: whoever connected lately connects again.
const RECENT: usize = 32;

/// Finds processes by the sockets that they have open.
#[derive(Debug, Default)]
pub(super) struct Owners {
    recent: VecDeque<u32>,
}

impl Owners {
    /// The process that has this socket open; `widely` = also one that had none before. Reads a directory per process that is looked at:
    /// microseconds for those that connected lately, milliseconds for all.
    pub(super) fn find(&mut self, inode: u32, widely: bool) -> Option<u32> {
        let link = format!("socket:[{inode}]");
        let proc = Path::new("/proc");
        let known = self.recent.iter().copied().find(|&pid| has_open(proc, pid, &link));
        let pid = match known {
            Some(pid) => pid,
            None if widely => processes(proc).find(|pid| !self.recent.contains(pid) && has_open(proc, *pid, &link))?,
            None => return None,
        };
        self.recent.retain(|&recent| recent != pid);
        self.recent.truncate(RECENT - 1);
        self.recent.push_front(pid);
        Some(pid)
    }
}

/// Base name of a process's program.
pub(super) fn program(pid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    // A program that was replaced while it runs.
    Some(name.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(name))
}

/// Whether a process waits for events in a loop: it has made the kernel's means for that.
pub(super) fn has_event_loop(pid: u32) -> bool {
    has_open(Path::new("/proc"), pid, "anon_inode:[eventpoll]")
}

fn processes(proc: &Path) -> impl Iterator<Item = u32> + use<> {
    fs::read_dir(proc).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_open(proc: &Path, pid: u32, link: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(proc.join(pid.to_string()).join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|to| to.as_os_str() == link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sock_diag::Queues;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_process_of_a_connection_is_found_and_remembered() {
        let Ok(queues) = Queues::open() else {
            println!("skipped: no sock_diag here");
            return;
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let inode = queues.of(client.local_addr().unwrap(), client.peer_addr().unwrap()).unwrap().inode;
        let mut owners = Owners::default();
        assert_eq!(owners.find(inode, false), None);
        assert_eq!(owners.find(inode, true), Some(std::process::id()));
        assert_eq!(owners.find(inode, false), Some(std::process::id()));
        assert_eq!(owners.find(u32::MAX, true), None);
        assert!(program(std::process::id()).is_some_and(|name| name.starts_with("hopwatch")));
    }
}
