//! What this process holds.

use std::{fs, io};

/// Memory that is resident, in bytes.
pub(crate) fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    // SAFETY: a plain question to the system.
    pages * u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// Descriptors that are open, as the system shows them.
pub(crate) fn descriptors() -> Vec<String> {
    let shown = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok().map(|path| path.display().to_string());
    // That of the folder itself is closed by now, or shows a folder of this process.
    let mut open: Vec<String> =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(shown).filter(|path| !path.ends_with("/fd")).collect();
    open.sort();
    open
}

/// Threads.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}
