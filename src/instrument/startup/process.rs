//! How old this process is, as the system counts.

use std::time::Duration;

/// What Linux counts start times in, for programs: `USER_HZ`, 100 on every architecture that Rust's standard library runs on.
#[cfg(target_os = "linux")]
const TICKS_PER_SECOND: u64 = 100;

/// How long ago this process started, within 10 ms; `None` where the system does not tell.
///
/// Linux tells in `/proc` when each thread started, since boot and counting suspended time. A thread that starts now says what time it is
/// on that clock, also in containers that show another `/proc/uptime`. Costs the start of a thread.
#[cfg(target_os = "linux")]
pub(super) fn age() -> Option<Duration> {
    let process = started("/proc/self/stat")?;
    let now = std::thread::Builder::new().spawn(|| started("/proc/thread-self/stat")).ok()?.join().ok()??;
    let ticks = now.checked_sub(process)?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Elsewhere it is not read.
#[cfg(not(target_os = "linux"))]
pub(super) fn age() -> Option<Duration> {
    None
}

/// When a process or thread started, in ticks since boot.
#[cfg(target_os = "linux")]
fn started(path: &str) -> Option<u64> {
    start_time(&std::fs::read_to_string(path).ok()?)
}

/// Field 22 of `stat` (proc_pid_stat(5)). The name in field 2 may hold spaces and brackets.
#[cfg(target_os = "linux")]
fn start_time(stat: &str) -> Option<u64> {
    const AFTER_NAME: usize = 22 - 3;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(AFTER_NAME)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_does_not_shift_the_fields() {
        let fields = "S 1 1 1 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 4711 0 0";
        assert_eq!(start_time(&format!("7 (evil) 9 (x)) {fields}")), Some(4_711));
        assert_eq!(start_time("7 (cut) S 1"), None);
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn a_process_grows_older() {
        let before = age().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let grown = age().unwrap() - before;
        assert!(grown >= Duration::from_millis(30), "{grown:?}");
        assert!(before < Duration::from_secs(86_400), "a test does not run for days: {before:?}");
    }
}
