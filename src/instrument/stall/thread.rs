//! How a thread of this process blocks, as the system tells it.
//!
//! From `/proc/self/task/TID/{stat,syscall,wchan}`: a few microseconds, no `ptrace`, no unsafe code. Elsewhere than on Linux, and where
//! `/proc` says nothing, it is unknown.

use crate::model::StallCause;

/// The system's number of the thread that asks; `None` where it does not tell.
pub(super) fn own_id() -> Option<u32> {
    // "PID/task/TID"; the one way to learn it without a system call of our own.
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// What a thread is doing.
pub(super) fn look(tid: u32) -> StallCause {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/self/task/{tid}/{file}")).unwrap_or_default();
    let state = state(&read("stat"));
    if state == Some('R') {
        return StallCause::Cpu;
    }
    by_call(&read("syscall"), is_regular_file)
        .or_else(|| by_channel(read("wchan").trim()))
        // Not to be interrupted: it waits for a disk.
        .or((state == Some('D')).then_some(StallCause::File))
        .unwrap_or(StallCause::Unknown)
}

/// The state in a `stat` line: it follows the name, which stands in parentheses and may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// From a `syscall` line: "NUMBER ARGUMENT…", "running", or "-1 …" outside of a call.
fn by_call(line: &str, is_file: impl Fn(u64) -> bool) -> Option<StallCause> {
    let mut words = line.split_ascii_whitespace();
    let number = match words.next()? {
        "running" => return Some(StallCause::Cpu),
        number => number.parse::<u32>().ok()?,
    };
    let first = words.next().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    match calls::kind(number)? {
        calls::Kind::Transfer if first.is_some_and(is_file) => Some(StallCause::File),
        calls::Kind::Transfer => Some(StallCause::Io),
        calls::Kind::Is(cause) => Some(cause),
    }
}

/// Whether a descriptor of this process is a file on a disk: pipes, sockets and their like have no path.
fn is_regular_file(fd: u64) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|path| path.starts_with("/") && !path.starts_with("/dev"))
}

/// From the function of the kernel that it waits in.
fn by_channel(function: &str) -> Option<StallCause> {
    const KNOWN: &[(&str, StallCause)] = &[
        ("nanosleep", StallCause::Sleep),
        ("futex", StallCause::Lock),
        ("poll", StallCause::Poll),
        ("select", StallCause::Poll),
        ("do_wait", StallCause::ChildProcess),
        ("pipe", StallCause::Io),
        ("sk_", StallCause::Io),
        ("skb", StallCause::Io),
        ("tcp", StallCause::Io),
        ("inet", StallCause::Io),
        ("unix_", StallCause::Io),
        ("flock", StallCause::File),
        ("locks", StallCause::File),
    ];
    KNOWN.iter().find(|(part, _)| function.contains(part)).map(|&(_, cause)| cause)
}

/// Numbers of system calls (`asm/unistd_64.h`, `asm-generic/unistd.h`).
mod calls {
    use crate::model::StallCause;

    /// What a thread in a call waits for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Kind {
        /// A read or write, of a file or of something else.
        Transfer,
        Is(StallCause),
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) const fn kind(number: u32) -> Option<Kind> {
        Some(match number {
            35 | 230 => Kind::Is(StallCause::Sleep),
            202 | 449 | 455 | 65 | 220 => Kind::Is(StallCause::Lock),
            7 | 23 | 232 | 270 | 271 | 281 | 441 => Kind::Is(StallCause::Poll),
            0 | 1 | 17..=20 | 40 | 295 | 296 | 327 | 328 => Kind::Transfer,
            42..=47 | 288 | 299 | 307 => Kind::Is(StallCause::Io),
            61 | 247 => Kind::Is(StallCause::ChildProcess),
            2 | 4..=6 | 26 | 72..=75 | 257 | 262 | 277 | 306 => Kind::Is(StallCause::File),
            _ => return None,
        })
    }

    #[cfg(target_arch = "aarch64")]
    pub(super) const fn kind(number: u32) -> Option<Kind> {
        Some(match number {
            101 | 115 => Kind::Is(StallCause::Sleep),
            98 | 449 | 455 | 192 | 193 => Kind::Is(StallCause::Lock),
            22 | 72 | 73 | 441 => Kind::Is(StallCause::Poll),
            63..=71 | 286 | 287 => Kind::Transfer,
            202 | 203 | 206 | 207 | 211 | 212 | 242 | 243 | 269 => Kind::Is(StallCause::Io),
            95 | 260 => Kind::Is(StallCause::ChildProcess),
            25 | 32 | 56 | 79..=84 | 227 | 267 => Kind::Is(StallCause::File),
            _ => return None,
        })
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(super) const fn kind(_number: u32) -> Option<Kind> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_stands_behind_a_name_that_may_hold_anything() {
        assert_eq!(state("12 (tokio-rt) S 1 2"), Some('S'));
        assert_eq!(state("12 (a) R) b) D 1 2"), Some('D'));
        assert_eq!(state(""), None);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_call_tells_what_is_waited_for() {
        let of = |line| by_call(line, |fd| fd == 9);
        assert_eq!(of("230 0x0 0x0 0x7f 0x0 0x0 0x0 0x7ffe 0x7f1"), Some(StallCause::Sleep));
        assert_eq!(of("202 0x55 0x189 0x0 0x0 0x0 0x0 0x7ffe 0x7f1"), Some(StallCause::Lock));
        assert_eq!(of("45 0x5 0x7f 0x400 0x0 0x0 0x0 0x7ffe 0x7f1"), Some(StallCause::Io));
        assert_eq!(of("0 0x5 0x7f 0x400"), Some(StallCause::Io));
        assert_eq!(of("0 0x9 0x7f 0x400"), Some(StallCause::File));
        assert_eq!(of("61 0xffffffff"), Some(StallCause::ChildProcess));
        assert_eq!(of("running"), Some(StallCause::Cpu));
        assert_eq!(of("-1 0x7ffe 0x7f1"), None);
        assert_eq!(of("9999 0x0"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn without_the_call_the_kernels_function_tells() {
        assert_eq!(by_channel("hrtimer_nanosleep"), Some(StallCause::Sleep));
        assert_eq!(by_channel("futex_wait_queue"), Some(StallCause::Lock));
        assert_eq!(by_channel("sk_wait_data"), Some(StallCause::Io));
        assert_eq!(by_channel("0"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_is_seen_asleep_and_at_a_lock() {
        use std::sync::{Arc, Mutex, mpsc};
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let (tell, told) = mpsc::channel();
        let (tell_other, theirs) = (tell.clone(), Arc::clone(&lock));
        let (done, wait) = mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(own_id().unwrap()).unwrap();
            while wait.try_recv() == Err(mpsc::TryRecvError::Empty) {
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        });
        let first = told.recv().unwrap();
        let waiter = std::thread::spawn(move || {
            tell_other.send(own_id().unwrap()).unwrap();
            drop(theirs.lock().unwrap());
        });
        let second = told.recv().unwrap();
        assert!(becomes(first, StallCause::Sleep));
        assert!(becomes(second, StallCause::Lock));
        drop((held, done));
        sleeper.join().unwrap();
        waiter.join().unwrap();
    }

    /// Whether a thread comes to be seen like this; it may still be on its way there.
    #[cfg(target_os = "linux")]
    fn becomes(tid: u32, cause: StallCause) -> bool {
        (0..1_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            look(tid) == cause
        })
    }
}
