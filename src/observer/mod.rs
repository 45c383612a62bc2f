//! What runs inside the observed process.
//!
//! `build.rs` compiles these files into a shared object of its own ([`OBJECT`], root `lib.rs`), which `hopwatch run`
//! preloads. Here, in the crate, only the [`layout`] of the shared memory is of use; the rest is compiled for its unit
//! tests.

pub mod layout;

/// The observer as a shared object; empty for targets that have none.
pub static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libhopwatch_observer.so"));

macro_rules! tested {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => { $(
        #[cfg(all(test, target_arch = "x86_64"))]
        $(#[$attribute])*
        mod $name;
    )* };
}

tested! {
    #[path = "arch_x86_64.rs"]
    arch,
    errors,
    fds,
    #[expect(dead_code, reason = "only other processes call them")]
    hooks,
    real,
    redact,
    ring,
    ssl,
    #[expect(dead_code, reason = "only a dynamic linker calls it")]
    start,
    sys,
    thread,
}
