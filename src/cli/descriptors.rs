//! How many files and connections this process may have open.

use std::io;

/// Raises the limit to the most that the system lets it have: each client takes a descriptor, and so does what it is led to, while the
/// usual limit of 1,024 is meant for programs that call `select`. To be called where no other program is started, which would inherit it.
///
/// # Errors
/// The system says no.
pub(super) fn raise() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the system fills in what it is pointed to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the system reads what it is pointed to.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
