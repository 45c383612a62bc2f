//! Whether a process still lives.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// By itself.
    Exited,
    /// By a signal.
    Killed,
    /// Only its parent knows.
    Unknown,
}

/// A hold on a process that tells its end.
#[derive(Debug)]
pub(super) enum Life {
    /// A descriptor for it.
    Held(OwnedFd),
    /// The kernel gave none: its number has to do.
    Numbered(libc::pid_t),
    /// It was over when it was looked for.
    Over,
}

impl Life {
    /// Takes hold of a process.
    pub(super) fn of(pid: u32) -> Self {
        let pid = pid as libc::pid_t;
        // SAFETY: a system call with plain numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd >= 0 {
            // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
            return Self::Held(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::ESRCH) => Self::Over,
            _ => Self::Numbered(pid),
        }
    }

    /// How it ended; `None` while it lives.
    pub(super) fn death(&self) -> Option<Death> {
        match self {
            Self::Over => Some(Death::Unknown),
            Self::Held(fd) => {
                let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                // SAFETY: one entry, which lives through the call.
                let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
                (ready > 0).then(|| cause(fd))
            }
            Self::Numbered(pid) => {
                // SAFETY: signal 0 only asks whether the process is there.
                let gone = unsafe { libc::kill(*pid, 0) } != 0
                    && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
                gone.then_some(Death::Unknown)
            }
        }
    }
}

/// Asks for the cause without taking the news from whoever waits for the process; only a parent is told.
fn cause(fd: &OwnedFd) -> Death {
    let mut about = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    // SAFETY: `about` is filled by the call; zeroes are valid too.
    let (asked, about) = unsafe {
        let asked = libc::waitid(libc::P_PIDFD, fd.as_raw_fd() as libc::id_t, about.as_mut_ptr(), options);
        (asked, about.assume_init())
    };
    match (asked, about.si_code) {
        (0, libc::CLD_EXITED) => Death::Exited,
        (0, libc::CLD_KILLED | libc::CLD_DUMPED) => Death::Killed,
        _ => Death::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};
    use std::time::Duration;

    fn death(life: &Life) -> Death {
        for _ in 0..1_000 {
            if let Some(death) = life.death() {
                return death;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it lives on");
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn a_process_lives_until_it_is_killed() {
        let mut child = sleeper();
        let life = Life::of(child.id());
        assert_eq!(life.death(), None);
        child.kill().unwrap();
        assert_eq!(death(&life), Death::Killed);
        child.wait().unwrap();
        assert_eq!(death(&life), Death::Unknown, "once waited for, nobody knows");
        assert!(matches!(Life::of(child.id()), Life::Over));
    }

    #[test]
    fn one_that_leaves_by_itself_exited() {
        let mut child = Command::new("true").spawn().unwrap();
        let life = Life::of(child.id());
        assert_eq!(death(&life), Death::Exited);
        child.wait().unwrap();
    }
}
