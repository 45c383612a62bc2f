//! Signals to hopwatch: while its command runs, while it serves, and while it has the terminal.
//!
//! They are blocked before any thread starts and taken one by one, with their senders: what the terminal sends reaches the
//! command by itself (it is in the same process group), what somebody sends to hopwatch alone has to be passed on.

use crate::cli::{Failure, status};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is taken while a command runs. `SIGCHLD` wakes; the others are passed on or mean something to hopwatch.
const OF_COMMAND: &[i32] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGCHLD,
];

/// What is taken while hopwatch serves: to read the configuration again, and to end.
const OF_SERVICE: &[i32] = &[libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// What is taken while hopwatch has the terminal: what ends it, so that it is given back before, and what job control sends.
const OF_SCREEN: &[i32] = &[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP, libc::SIGCONT];

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Signal {
    pub(in crate::cli) number: i32,
    /// The process that sent it; `None` = the kernel did, for the terminal.
    pub(in crate::cli) sender: Option<i32>,
}

/// Receives signals from its making on.
#[derive(Debug)]
pub(in crate::cli) struct Inbox {
    taken: libc::sigset_t,
    inherited: Inherited,
}

/// What hopwatch changed of the signal state that it was started with: the command gets it back.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Inherited {
    mask: libc::sigset_t,
    child_was_ignored: bool,
    pipe_was_ignored: bool,
}

impl std::fmt::Debug for Inherited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inherited").field("child_was_ignored", &self.child_was_ignored).finish_non_exhaustive()
    }
}

/// Whether `SIGPIPE` was ignored before Rust's runtime ignored it, which it does before `main`.
static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_pipe() {
    PIPE_WAS_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

// SAFETY: the loader calls the functions of this section once, before `main`; the function makes one system call and one store.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_PIPE: extern "C" fn() = note_pipe;

fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only asks; `action` has room for the answer, and all zeroes is a valid value of it.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `set` has room for a set and is initialised by the first call; the numbers are valid signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

fn change_mask(how: i32, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut old = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: both pointers lead to sets that live for the call.
    match unsafe { libc::pthread_sigmask(how, set, old.as_mut_ptr()) } {
        // SAFETY: the call succeeded and wrote it.
        0 => Ok(unsafe { old.assume_init() }),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn set_action(signal: i32, action: libc::sighandler_t) {
    // SAFETY: the action is one of the two constants, no function of ours.
    unsafe {
        libc::signal(signal, action);
    }
}

impl Inbox {
    /// Takes the signals of a command from now on. Call it before any thread is started: threads inherit the mask.
    pub(in crate::cli) fn open() -> Result<Self, Failure> {
        Self::of(OF_COMMAND)
    }

    /// Takes the signals of a service from now on, likewise.
    pub(in crate::cli) fn of_service() -> Result<Self, Failure> {
        Self::of(OF_SERVICE)
    }

    /// Takes the signals of one that has the terminal from now on, likewise.
    pub(in crate::cli) fn of_screen() -> Result<Self, Failure> {
        Self::of(OF_SCREEN)
    }

    fn of(signals: &[i32]) -> Result<Self, Failure> {
        let child_was_ignored = is_ignored(libc::SIGCHLD);
        if child_was_ignored {
            // Ends of ignored children cannot be waited for.
            set_action(libc::SIGCHLD, libc::SIG_DFL);
        }
        let taken = set_of(signals);
        let mask = change_mask(libc::SIG_BLOCK, &taken)
            .map_err(|error| Failure::new(status::FAILED, format!("cannot take signals: {error}")))?;
        let pipe_was_ignored = PIPE_WAS_IGNORED.load(Ordering::Relaxed);
        Ok(Self { taken, inherited: Inherited { mask, child_was_ignored, pipe_was_ignored } })
    }

    /// What the command gets back.
    pub(in crate::cli) const fn inherited(&self) -> Inherited {
        self.inherited
    }

    /// The next signal; `None` after `timeout` without one.
    pub(in crate::cli) fn next(&self, timeout: Duration) -> Option<Signal> {
        let wait = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set and the time live for the call, `info` has room for the answer.
        let number = unsafe { libc::sigtimedwait(&self.taken, info.as_mut_ptr(), &wait) };
        if number < 0 {
            // Time ran out, or a stop and its continuation interrupted: the caller looks around in both cases.
            return None;
        }
        // SAFETY: the call succeeded and wrote it; signals of processes (`si_code` not above 0) carry a sender.
        let sender = unsafe {
            let info = info.assume_init();
            (info.si_code <= 0).then(|| info.si_pid())
        };
        Some(Signal { number, sender })
    }

    /// Stops taking signals: what arrived so far was meant for a command that is gone, what comes now ends hopwatch.
    pub(in crate::cli) fn close(self) {
        while self.next(Duration::ZERO).is_some() {}
        let _unchanged = change_mask(libc::SIG_SETMASK, &self.inherited.mask);
    }
}

impl Inherited {
    /// Gives the signal state back, in the new process between fork and exec: only async-signal-safe calls.
    pub(in crate::cli) fn restore(&self) -> io::Result<()> {
        if self.child_was_ignored {
            set_action(libc::SIGCHLD, libc::SIG_IGN);
        }
        set_action(libc::SIGPIPE, if self.pipe_was_ignored { libc::SIG_IGN } else { libc::SIG_DFL });
        change_mask(libc::SIG_SETMASK, &self.mask).map(drop)
    }
}

/// Stops this process as `signal` stopped the command, so that the shell sees it; returns when it is continued.
pub(in crate::cli) fn stop_self(signal: i32) {
    // Sent while it is blocked, it becomes one with that which the terminal may have sent: one stop, not two.
    send(std::process::id().cast_signed(), signal);
    let set = set_of(&[signal]);
    if signal == libc::SIGTSTP && change_mask(libc::SIG_UNBLOCK, &set).is_ok() {
        let _unchanged = change_mask(libc::SIG_BLOCK, &set);
    }
}

/// Sends a signal; a process that is gone needs none.
pub(in crate::cli) fn send(pid: i32, signal: i32) {
    // SAFETY: sending a signal touches no memory.
    unsafe {
        libc::kill(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_taken_with_its_sender() {
        // In a process of its own thread set, the mask of this test's thread is enough: the signal is sent to the thread.
        let set = set_of(&[libc::SIGUSR2]);
        change_mask(libc::SIG_BLOCK, &set).unwrap();
        let inherited = Inherited { mask: set, child_was_ignored: false, pipe_was_ignored: false };
        let inbox = Inbox { taken: set, inherited };
        assert_eq!(inbox.next(Duration::ZERO), None);
        // SAFETY: the thread is this one.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
        let own = std::process::id().cast_signed();
        assert_eq!(inbox.next(Duration::from_secs(5)), Some(Signal { number: libc::SIGUSR2, sender: Some(own) }));
    }
}
