//! The observer: runs inside the processes that `hopwatch run` watches, and notes what they do on the network, in TLS
//! and in waits into a file in shared memory ([`layout`]).
//!
//! This is the root of the shared object that is preloaded. It is built by `build.rs`, needs no library, and imports
//! three weak symbols. The rules of its code:
//!
//! 1. A hook checks, calls the original with the same arguments, notes, restores `errno`, and returns the original's
//!    result. It never changes a result, an option, a buffer, a signal mask or the order of calls.
//! 2. No allocation, no lock, no panic, small frames: it runs in signal handlers and on stacks of any size.
//! 3. Without a ring it passes through. A doubt is decided for the host program.
#![no_std]
#![cfg(target_os = "linux")]

#[cfg_attr(target_arch = "x86_64", path = "arch_x86_64.rs")]
mod arch;
mod errors;
mod fds;
mod hooks;
#[expect(dead_code, reason = "the reader's half")]
mod layout;
mod real;
mod redact;
mod ring;
mod ssl;
mod start;
mod sys;
mod thread;

/// Nothing here panics; if the compiler disagrees, the process ends at once instead of unwinding into foreign code.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    arch::trap()
}
