//! Standard descriptors that were closed when hopwatch was started.
//!
//! Rust's runtime opens `/dev/null` on them before `main`; the command gets them closed, as it would without hopwatch.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// A bit for each of the three that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

extern "C" fn note_closed() {
    for fd in 0..3 {
        // SAFETY: asks for the flags of a descriptor.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
}

// SAFETY: the loader calls the functions of this section once, before `main`; the function makes system calls and stores alone.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_CLOSED: extern "C" fn() = note_closed;

/// Closes again what was closed. For the new process between fork and exec: makes system calls alone.
pub(super) fn close_again() -> io::Result<()> {
    let closed = CLOSED.load(Ordering::Relaxed);
    for fd in (0..3).filter(|fd| closed & (1 << fd) != 0) {
        // SAFETY: in the new process nothing uses the descriptor.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
