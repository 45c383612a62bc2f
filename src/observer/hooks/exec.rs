//! Programs started from here: the observer goes along, also into a cleaned environment.

use super::super::layout::{Event, Record};
use super::super::real::{self, real};
use super::super::ring::{self, Payload};
use super::super::start::{SAVED, saved, skipped, starts_with};
use super::super::sys::{self, IoVec};
use super::super::{arch, thread};

/// Entries of an environment that can be added to; a longer one is passed on as it is.
const ENTRIES_MAX: usize = 1000;
const PRELOAD: &[u8] = b"LD_PRELOAD=";
const PATH_MAX: usize = 4096;

type Environment = *const *const u8;

/// Number of entries of an environment that lacks `LD_PRELOAD` and has room; `None`: to be left alone.
unsafe fn lacks_preload(environment: Environment) -> Option<usize> {
    if !skipped() {
        ring::existing_or_parents()?;
    }
    saved().next()?;
    let mut count = 0;
    // SAFETY: the environment ends with a null pointer, its entries with a zero.
    unsafe {
        loop {
            // A bad pointer is for the kernel to refuse.
            if !sys::readable(environment.add(count).cast(), size_of::<*const u8>()) {
                return None;
            }
            let entry = *environment.add(count);
            if entry.is_null() {
                return Some(count);
            }
            if count == ENTRIES_MAX || !sys::readable(entry, 1) || starts_with(entry, PRELOAD) {
                return None;
            }
            count += 1;
        }
    }
}

/// Whether the environment has a variable of the entry's name.
unsafe fn has(environment: Environment, count: usize, entry: *const u8) -> bool {
    // SAFETY: the entries end with a zero; the saved entry has a `=`.
    unsafe {
        let mut len = 0;
        while !matches!(*entry.add(len), 0 | b'=') {
            len += 1;
        }
        let name = core::slice::from_raw_parts(entry, len + 1);
        (0..count).any(|at| starts_with(*environment.add(at), name))
    }
}

/// Runs `call` with the environment and what it lacks of the observer's, on the stack.
#[inline(never)]
unsafe fn with_added<T>(environment: Environment, count: usize, call: &mut dyn FnMut(Environment) -> T) -> T {
    let mut entries = [const { core::mem::MaybeUninit::<*const u8>::uninit() }; ENTRIES_MAX + SAVED + 1];
    let list = entries.as_mut_ptr().cast::<*const u8>();
    // SAFETY: `count` is at most `ENTRIES_MAX`, and at most `SAVED` entries and the end are added.
    unsafe {
        core::ptr::copy_nonoverlapping(environment, list, count);
        let mut at = count;
        for entry in saved() {
            if !has(environment, count, entry) {
                list.add(at).write(entry);
                at += 1;
            }
        }
        list.add(at).write(core::ptr::null());
    }
    call(list)
}

/// Runs `call` with `environment`, added to where the observer is missing from it.
unsafe fn starts<T>(environment: Environment, mut call: impl FnMut(Environment) -> T) -> T {
    // SAFETY: as the caller vouches.
    match unsafe { lacks_preload(environment) } {
        // SAFETY: as the caller vouches.
        Some(count) => unsafe { with_added(environment, count, &mut call) },
        None => call(environment),
    }
}

/// The process's own environment.
unsafe fn own_environment() -> Environment {
    let variable = arch::environ() as *const Environment;
    // SAFETY: `environ` is a pointer to the environment.
    if variable.is_null() { core::ptr::null() } else { unsafe { *variable } }
}

/// Notes that the process is about to become `program`.
unsafe fn note(program: *const u8) {
    let Some(ring) = ring::existing() else { return };
    if !sys::readable(program, 1) || ring::borrowed() {
        return;
    }
    let saved = sys::errno();
    // SAFETY: the caller's path ends with a zero.
    let piece = unsafe {
        let len = sys::text_len(program, PATH_MAX);
        let base = sys::base_name(program, len);
        IoVec { base: program.add(base), len: (len - base).min(255) }
    };
    let record = Record { head: piece.len as u32, ..thread::current().record(Event::Exec, sys::now()) };
    ring.put(&record, Payload { pieces: &raw const piece, count: 1, total: piece.len }, None);
    sys::set_errno(saved);
}

hooks! {
    fn execve(path: *const u8, arguments: *const usize, environment: Environment) -> i32 |original| {
        note(path);
        starts(environment, |environment| original(path, arguments, environment))
    }

    fn execvpe(file: *const u8, arguments: *const usize, environment: Environment) -> i32 |original| {
        note(file);
        starts(environment, |environment| original(file, arguments, environment))
    }

    fn fexecve(fd: i32, arguments: *const usize, environment: Environment) -> i32 |original| {
        starts(environment, |environment| original(fd, arguments, environment))
    }

    fn execv(path: *const u8, arguments: *const usize) -> i32 |original| {
        note(path);
        if lacks_preload(own_environment()).is_none() {
            return original(path, arguments);
        }
        let with = real!(execve: unsafe extern "C" fn(*const u8, *const usize, Environment) -> i32);
        starts(own_environment(), |environment| with(path, arguments, environment))
    }

    fn execvp(file: *const u8, arguments: *const usize) -> i32 |original| {
        note(file);
        if lacks_preload(own_environment()).is_none() {
            return original(file, arguments);
        }
        let with = real!(execvpe: unsafe extern "C" fn(*const u8, *const usize, Environment) -> i32);
        starts(own_environment(), |environment| with(file, arguments, environment))
    }

    fn posix_spawn(
        pid: *mut i32, path: *const u8, actions: *const u8, options: *const u8, arguments: *const usize, environment: Environment,
    ) -> i32 |original| {
        starts(environment, |environment| original(pid, path, actions, options, arguments, environment))
    }

    fn posix_spawnp(
        pid: *mut i32, file: *const u8, actions: *const u8, options: *const u8, arguments: *const usize, environment: Environment,
    ) -> i32 |original| {
        starts(environment, |environment| original(pid, file, actions, options, arguments, environment))
    }
}
