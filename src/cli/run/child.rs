//! The command as a process.

use super::options::Plan;
use super::stdio;
use crate::cli::signals::{Inherited, send};
use crate::cli::{Failure, status};
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The command while it runs.
#[derive(Debug)]
pub(super) struct Child {
    pid: i32,
}

/// What the command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was stopped by this signal.
    Stopped(i32),
    /// It ended with this code.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
}

impl Child {
    /// Starts the command: in this process group, on this terminal, with the signal state that hopwatch was started with.
    pub(super) fn start(
        plan: &Plan,
        program: &Path,
        environment: &[(OsString, OsString)],
        removed: Option<&str>,
        signals: Inherited,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        removed.into_iter().for_each(|name| _ = command.env_remove(name));
        command.arg0(&plan.command).args(&plan.arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        // SAFETY: the closure makes only async-signal-safe calls (`close`, `sigaction`, `pthread_sigmask`) and allocates nothing.
        unsafe {
            command.pre_exec(move || stdio::close_again().and_then(|()| signals.restore()));
        }
        // Dropping the handle neither ends nor waits for the process.
        let child = command.spawn().map_err(|error| start_failure(plan, &error))?;
        Ok(Self { pid: child.id().cast_signed() })
    }

    pub(super) fn send(&self, signal: i32) {
        send(self.pid, signal);
    }

    /// What it did since it was asked last; `None` = nothing. After its end it must not be asked again.
    pub(super) fn change(&self) -> io::Result<Option<Change>> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let id = libc::id_t::try_from(self.pid).unwrap_or_default();
        // SAFETY: `info` has room for the answer; it stays zeroed when there is none.
        let (code, value) = unsafe {
            if libc::waitid(libc::P_PID, id, info.as_mut_ptr(), libc::WEXITED | libc::WSTOPPED | libc::WNOHANG) != 0 {
                return Err(io::Error::last_os_error());
            }
            let info = info.assume_init();
            if info.si_pid() == 0 {
                return Ok(None);
            }
            (info.si_code, info.si_status())
        };
        Ok(match code {
            libc::CLD_EXITED => Some(Change::Exited(value)),
            libc::CLD_KILLED | libc::CLD_DUMPED => Some(Change::Killed(value)),
            libc::CLD_STOPPED | libc::CLD_TRAPPED => Some(Change::Stopped(value)),
            _ => None,
        })
    }

    /// Whether it is stopped right now.
    pub(super) fn is_stopped(&self) -> bool {
        stat(self.pid).is_some_and(|(state, _)| state == 'T')
    }

    /// Whether this process is the command or descends from it.
    pub(super) fn is_ancestor_of(&self, pid: i32) -> bool {
        let mut pid = pid;
        // Bounded, since ids may be reused while they are followed.
        for _ in 0..64 {
            if pid == self.pid {
                return true;
            }
            match stat(pid) {
                Some((_, parent)) if parent > 1 => pid = parent,
                _ => return false,
            }
        }
        false
    }
}

/// State and parent of a process.
fn stat(pid: i32) -> Option<(char, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, parentheses too.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

fn start_failure(plan: &Plan, error: &io::Error) -> Failure {
    let command = plan.command.display();
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            Failure::new(status::NOT_FOUND, format!("cannot execute `{command}`: its interpreter was not found"))
                .hint("look at the first line of the script, or at the program's loader (`ldd`)")
        }
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
            Failure::new(status::FAILED, format!("cannot start `{command}`: {error}"))
        }
        _ => Failure::new(status::NOT_EXECUTABLE, format!("cannot execute `{command}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_descends_from_itself_and_from_its_parent() {
        let own = std::process::id().cast_signed();
        let parent = std::os::unix::process::parent_id().cast_signed();
        assert!(Child { pid: own }.is_ancestor_of(own));
        assert!(Child { pid: parent }.is_ancestor_of(own));
        assert!(!Child { pid: own }.is_ancestor_of(parent));
        assert!(!Child { pid: own }.is_stopped());
    }
}
