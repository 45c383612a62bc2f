//! The constructor: finds the originals, reads the environment, makes the ring.

use super::layout::{ENV_OBSERVER, ENV_RINGS, ENV_SKIP};
use super::{arch, real, ring, sys};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::Release};

/// Room for the environment entries that programs started from here must have.
const SAVED_BYTES: usize = 8192;
/// Number of such entries.
pub(crate) const SAVED: usize = 8;
const PREFIX: &[u8] = b"HOPWATCH_";
const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// Longest path of this object.
const PATH_MAX: usize = 4096;

static mut TEXT: [u8; SAVED_BYTES] = [0; SAVED_BYTES];
static ENTRIES: [AtomicUsize; SAVED] = [const { AtomicUsize::new(0) }; SAVED];
/// This program is one of those to be left alone, but not what it starts.
static SKIPPED: AtomicBool = AtomicBool::new(false);

/// Whether this program is left alone, but not what it starts.
pub(crate) fn skipped() -> bool {
    SKIPPED.load(Relaxed)
}

/// The saved entries of the environment (`NAME=value`); the first is `LD_PRELOAD`. Empty where nothing is to be injected.
pub(crate) fn saved() -> impl Iterator<Item = *const u8> {
    ENTRIES.iter().map(|entry| entry.load(Relaxed) as *const u8).take_while(|entry| !entry.is_null())
}

/// Whether an entry of the environment starts with these bytes.
///
/// # Safety
/// `entry` must be a zero-terminated string.
pub(crate) unsafe fn starts_with(entry: *const u8, prefix: &[u8]) -> bool {
    // SAFETY: stops at the first difference, at the latest at the zero.
    prefix.iter().enumerate().all(|(at, &byte)| unsafe { *entry.add(at) == byte })
}

/// The value of an environment variable.
unsafe fn value(environment: *const *const u8, name: &str) -> Option<*const u8> {
    let mut at = environment;
    // SAFETY: the environment ends with a null pointer, its entries with a zero.
    unsafe {
        while !(*at).is_null() {
            if starts_with(*at, name.as_bytes()) && *(*at).add(name.len()) == b'=' {
                return Some((*at).add(name.len() + 1));
            }
            at = at.add(1);
        }
    }
    None
}

/// Saves `prefix` followed by a string.
unsafe fn save(used: &mut usize, count: &mut usize, prefix: &[u8], text: *const u8, len: usize) {
    let room = SAVED_BYTES - *used;
    let Some(entry) = ENTRIES.get(*count) else { return };
    if prefix.len() + len + 1 > room {
        return;
    }
    // SAFETY: fits; only the constructor writes.
    unsafe {
        let to = (&raw mut TEXT).cast::<u8>().add(*used);
        core::ptr::copy_nonoverlapping(prefix.as_ptr(), to, prefix.len());
        core::ptr::copy_nonoverlapping(text, to.add(prefix.len()), len);
        *to.add(prefix.len() + len) = 0;
        entry.store(to as usize, Release);
    }
    *used += prefix.len() + len + 1;
    *count += 1;
}

/// Whether `text` is an entry of the list.
///
/// # Safety
/// `list` must be a zero-terminated string, `text` readable for `len` bytes.
pub(crate) unsafe fn lists(list: *const u8, separators: &[u8], text: *const u8, len: usize) -> bool {
    let ends = |byte: u8| byte == 0 || separators.contains(&byte);
    let mut at = list;
    // SAFETY: nothing is read past the first difference or the list's zero.
    unsafe {
        loop {
            let mut same = 0;
            while same < len && *at.add(same) != 0 && *at.add(same) == *text.add(same) {
                same += 1;
            }
            if same == len && ends(*at.add(len)) {
                return true;
            }
            while !ends(*at) {
                at = at.add(1);
            }
            if *at == 0 {
                return false;
            }
            at = at.add(1);
        }
    }
}

/// Saves what a program that is started with a cleaned environment needs.
unsafe fn save_environment(environment: *const *const u8) {
    let own = real::object_of(start as *const () as usize).cast::<u8>();
    // SAFETY: the strings end with a zero.
    unsafe {
        let Some(list) = value(environment, "LD_PRELOAD") else { return };
        if own.is_null() {
            return;
        }
        let len = sys::text_len(own, PATH_MAX);
        if len == 0 || !lists(list, b": ", own, len) {
            return;
        }
        let (mut used, mut count) = (0, 0);
        save(&mut used, &mut count, PRELOAD, own, len);
        if count == 0 {
            return;
        }
        let mut at = environment;
        while !(*at).is_null() {
            if starts_with(*at, PREFIX) {
                save(&mut used, &mut count, &[], *at, sys::text_len(*at, SAVED_BYTES));
            }
            at = at.add(1);
        }
    }
}

/// Runs first in the process. glibc passes the program's arguments; musl passes nothing, but has `environ` set.
///
/// # Safety
/// Called by the dynamic linker only.
unsafe extern "C" fn start(_count: i32, arguments: *const *const u8, passed: *const *const u8) {
    if arch::dlsym() == 0 {
        return;
    }
    let saved_errno = sys::errno();
    real::resolve_all();
    let glibc = real::global(c"gnu_get_libc_version") != 0;
    let variable = arch::environ() as *const *const *const u8;
    // SAFETY: `environ` points to the environment or to null; glibc's arguments are valid.
    unsafe {
        let mut environment = if variable.is_null() { core::ptr::null() } else { *variable };
        if environment.is_null() && glibc {
            environment = passed;
        }
        if !environment.is_null() {
            begin(environment, if glibc && !arguments.is_null() { *arguments } else { program_name() });
        }
    }
    sys::set_errno(saved_errno);
}

/// The program's name as musl keeps it.
fn program_name() -> *const u8 {
    let variable = real::global(c"__progname") as *const *const u8;
    // SAFETY: the variable points to a string or to null.
    if variable.is_null() { core::ptr::null() } else { unsafe { *variable } }
}

unsafe fn begin(environment: *const *const u8, program: *const u8) {
    // SAFETY: the strings end with a zero.
    unsafe {
        if let Some(switch) = value(environment, ENV_OBSERVER)
            && starts_with(switch, b"off\0")
        {
            return;
        }
        let Some(directory) = value(environment, ENV_RINGS) else { return };
        let directory_len = sys::text_len(directory, PATH_MAX);
        if directory_len == 0 {
            return;
        }
        save_environment(environment);
        let program = if program.is_null() { c"".as_ptr().cast() } else { program };
        let len = sys::text_len(program, PATH_MAX);
        let base = sys::base_name(program, len);
        if value(environment, ENV_SKIP).is_some_and(|names| skips(names, program.add(base), len - base)) {
            SKIPPED.store(true, Relaxed);
            return;
        }
        ring::start(directory, directory_len, program.add(base), len - base);
    }
}

/// Whether this program is listed, by the name that it was started by or by that of its file.
#[cold]
#[inline(never)]
unsafe fn skips(names: *const u8, started_as: *const u8, len: usize) -> bool {
    // SAFETY: as the caller vouches; the file's path is within `path`.
    unsafe {
        if len > 0 && lists(names, b":", started_as, len) {
            return true;
        }
        let mut path = [0u8; PATH_MAX];
        let len = sys::executable(&mut path);
        let base = sys::base_name(path.as_ptr(), len);
        len > base && lists(names, b":", path.as_ptr().add(base), len - base)
    }
}

#[used]
#[cfg_attr(hopwatch_observer, unsafe(link_section = ".init_array"))]
static START: unsafe extern "C" fn(i32, *const *const u8, *const *const u8) = start;
