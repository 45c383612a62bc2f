//! What a process holds, and how much this one may.

use std::{fs, io};

/// Memory of a process that is resident, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    // SAFETY: a plain question to the system.
    pages * u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// Descriptors that it has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Whether this process, and what it starts, may have so many descriptors; if not, that was said.
pub(crate) fn may_open(count: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the system fills in what it is pointed to.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    if limit.rlim_max < count {
        // Past the harness, which would keep back what a passing test prints.
        drop(io::Write::write_all(
            &mut io::stderr(),
            format!("skipped: {count} descriptors are needed, and the hard limit is {}\n", limit.rlim_max).as_bytes(),
        ));
        return false;
    }
    if limit.rlim_cur < count {
        limit.rlim_cur = count;
        // SAFETY: the system reads what it is pointed to.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    }
    true
}
