//! The originals behind the hooks: found once by name, and for OpenSSL by who calls.

use super::arch::{self, number};
use super::sys;
use core::ffi::CStr;
use core::mem::transmute;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// `RTLD_NEXT`.
const NEXT: usize = usize::MAX;
/// `RTLD_DEFAULT`.
const DEFAULT: usize = 0;
/// `RTLD_LAZY | RTLD_NOLOAD`.
const LAZY_NOLOAD: i32 = 1 | 4;

/// Stand-in by system call, until the original is known.
macro_rules! stand_in {
    () => {
        sys::missing as *const () as usize
    };
    ($number:ident) => {
        sys::libc_call::<{ number::$number }> as *const () as usize
    };
    // Four arguments where the system call takes six.
    (four $number:ident) => {
        sys::libc_call_4::<{ number::$number }> as *const () as usize
    };
}

macro_rules! originals {
    ($($name:ident $(= $($number:ident)+)?),* $(,)?) => {
        /// A function of libc that is hooked.
        #[expect(non_camel_case_types, reason = "the names are those of libc")]
        #[derive(Clone, Copy)]
        #[repr(usize)]
        pub(crate) enum Name { $($name),* }

        static NAMES: &[&CStr] = &[$(
            // SAFETY: ends with the only zero.
            unsafe { CStr::from_bytes_with_nul_unchecked(concat!(stringify!($name), "\0").as_bytes()) }
        ),*];

        const COUNT: usize = [$(Name::$name),*].len();

        #[cold]
        #[inline(never)]
        fn stand_in(name: Name) -> usize {
            match name { $(Name::$name => stand_in!($($($number)+)?)),* }
        }
    };
}

originals! {
    socket = SOCKET, socketpair = SOCKETPAIR, pipe = PIPE, pipe2 = PIPE2, connect = CONNECT, getsockopt = GETSOCKOPT, accept = ACCEPT, accept4 = ACCEPT4, close = CLOSE,
    close_range = CLOSE_RANGE, closefrom, dup = DUP, dup2 = DUP2, dup3 = DUP3, fcntl = FCNTL, fcntl64 = FCNTL,
    ioctl = IOCTL, shutdown = SHUTDOWN,
    getaddrinfo, gethostbyname, gethostbyname_r, gethostbyname2_r,
    send = four SENDTO, sendto = SENDTO, sendmsg = SENDMSG, sendmmsg = SENDMMSG, write = WRITE, writev = WRITEV,
    sendfile = SENDFILE, sendfile64 = SENDFILE,
    recv = four RECVFROM, recvfrom = RECVFROM, recvmsg = RECVMSG, recvmmsg = RECVMMSG, read = READ, readv = READV,
    __read_chk = READ, __recv_chk, __recvfrom_chk, __poll_chk = POLL,
    epoll_create = EPOLL_CREATE, epoll_create1 = EPOLL_CREATE1, epoll_wait = EPOLL_WAIT, epoll_pwait, epoll_pwait2,
    poll = POLL, ppoll, select = SELECT, pselect, nanosleep = NANOSLEEP, clock_nanosleep, usleep, sleep,
    sem_wait, sem_timedwait, sem_clockwait, pthread_cond_wait, pthread_cond_timedwait, pthread_cond_clockwait,
    wait, waitpid = WAIT4, wait4 = WAIT4, waitid, flock = FLOCK, fsync = FSYNC, fdatasync = FDATASYNC,
    open = OPEN, open64 = OPEN, openat = OPENAT, openat64 = OPENAT, __open_2 = OPEN, __open64_2 = OPEN,
    execve = EXECVE, execv, execvp, execvpe, fexecve, posix_spawn, posix_spawnp,
}

static REAL: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];
/// A look-up is under way: what it calls must not look up in turn.
static RESOLVING: AtomicBool = AtomicBool::new(false);

type Dlsym = unsafe extern "C" fn(usize, *const i8) -> usize;
type Dlvsym = unsafe extern "C" fn(usize, *const i8, *const i8) -> usize;
type Dladdr = unsafe extern "C" fn(usize, *mut DlInfo) -> i32;
type Dlopen = unsafe extern "C" fn(*const i8, i32) -> usize;
type Dlerror = unsafe extern "C" fn() -> *const i8;

static DLVSYM: AtomicUsize = AtomicUsize::new(0);
static DLADDR: AtomicUsize = AtomicUsize::new(0);
static DLOPEN: AtomicUsize = AtomicUsize::new(0);
static DLERROR: AtomicUsize = AtomicUsize::new(0);

/// `Dl_info`.
#[repr(C)]
struct DlInfo {
    file: *const i8,
    base: usize,
    symbol: *const i8,
    address: usize,
}

/// Looks a name up; not inlined and never in tail position, for `RTLD_NEXT` means *after the caller's object*.
#[inline(never)]
fn find(handle: usize, name: &CStr) -> usize {
    let address = arch::dlsym();
    if address == 0 {
        return 0;
    }
    // SAFETY: the address is `dlsym`'s.
    let found = unsafe { transmute::<usize, Dlsym>(address)(handle, name.as_ptr()) };
    core::hint::black_box(found)
}

/// Looks a name of libc up. `pthread_cond_*` has two versions in glibc, of which old `dlsym` gives the unusable one.
#[inline(never)]
fn find_libc(name: &CStr) -> usize {
    let versioned = DLVSYM.load(Relaxed);
    if versioned != 0 && name.to_bytes().starts_with(b"pthread_cond_") {
        // SAFETY: the address is `dlvsym`'s.
        let found = unsafe { transmute::<usize, Dlvsym>(versioned)(NEXT, name.as_ptr(), c"GLIBC_2.3.2".as_ptr()) };
        if found != 0 {
            return found;
        }
    }
    find(NEXT, name)
}

/// Looks every original up; from the constructor. Without `dlopen`, which would initialise libc before its time and
/// lose the program's environment.
pub(crate) fn resolve_all() {
    RESOLVING.store(true, Relaxed);
    DLVSYM.store(find(DEFAULT, c"dlvsym"), Relaxed);
    DLADDR.store(find(DEFAULT, c"dladdr"), Relaxed);
    DLOPEN.store(find(DEFAULT, c"dlopen"), Relaxed);
    DLERROR.store(find(DEFAULT, c"dlerror"), Relaxed);
    sys::CLOCK.store(find(DEFAULT, c"clock_gettime"), Relaxed);
    for (name, real) in NAMES.iter().zip(&REAL) {
        real.store(find_libc(name), Relaxed);
    }
    forget_error();
    RESOLVING.store(false, Relaxed);
}

/// Takes back the message that a failed look-up left for the host's next `dlerror`.
fn forget_error() {
    let address = DLERROR.load(Relaxed);
    if address != 0 {
        // SAFETY: the address is `dlerror`'s.
        unsafe { transmute::<usize, Dlerror>(address)() };
    }
}

/// Address of the original, or of something that may be called in its place. Never 0.
#[inline(always)]
pub(crate) fn address(name: Name) -> usize {
    // SAFETY: a `Name` is below `COUNT`.
    let found = unsafe { REAL.get_unchecked(name as usize) }.load(Relaxed);
    if found != 0 { found } else { late(name) }
}

/// Before the constructor, or of a library that came later: the system call itself, else a look-up.
#[cold]
#[inline(never)]
fn late(name: Name) -> usize {
    let plain = stand_in(name);
    if plain != sys::missing as *const () as usize || RESOLVING.load(Relaxed) {
        return plain;
    }
    let saved = sys::errno();
    // SAFETY: a `Name` is below `COUNT`.
    let (text, real) = unsafe { (NAMES.get_unchecked(name as usize), REAL.get_unchecked(name as usize)) };
    let found = find_libc(text);
    sys::set_errno(saved);
    if found == 0 {
        return plain;
    }
    real.store(found, Relaxed);
    found
}

/// The original of `$name` as a function of type `$type`; in an unsafe block, for the type must be the function's.
macro_rules! real {
    ($name:ident: $type:ty) => {
        core::mem::transmute::<usize, $type>(real::address(real::Name::$name))
    };
}
pub(crate) use real;

/// File of the object that holds an address; null when not known.
pub(crate) fn object_of(address: usize) -> *const i8 {
    let function = DLADDR.load(Relaxed);
    if function == 0 {
        return core::ptr::null();
    }
    let mut info = DlInfo { file: core::ptr::null(), base: 0, symbol: core::ptr::null(), address: 0 };
    // SAFETY: the address is `dladdr`'s, which fills `info`.
    if unsafe { transmute::<usize, Dladdr>(function)(address, &raw mut info) } == 0 {
        return core::ptr::null();
    }
    info.file
}

/// `NAME` in the default scope; 0 = none.
pub(crate) fn global(name: &CStr) -> usize {
    let found = find(DEFAULT, name);
    forget_error();
    found
}

// === OpenSSL by call site ===

/// Call sites remembered.
const SITES: usize = 1024;
/// Places looked at for one key.
const WINDOW: usize = 16;
/// OpenSSL libraries remembered.
const LIBRARIES: usize = 32;

static SITE_KEYS: [AtomicUsize; SITES] = [const { AtomicUsize::new(0) }; SITES];
static SITE_REALS: [AtomicUsize; SITES] = [const { AtomicUsize::new(0) }; SITES];
/// Handles of the libraries in which an original was found.
static HANDLES: [AtomicUsize; LIBRARIES] = [const { AtomicUsize::new(0) }; LIBRARIES];

/// The original that the code at return address `site` would have called without us; 0 when there is none.
///
/// `own` is the hook's address. `salt` tells apart what is looked up for one site.
#[inline]
pub(crate) fn by_site(site: usize, name: &CStr, own: usize, salt: usize) -> usize {
    let key = site ^ (salt << 56);
    let start = (key ^ (key >> 10)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    for step in 0..WINDOW {
        let at = (start + step) & (SITES - 1);
        // SAFETY: masked.
        let (known, real) = unsafe { (SITE_KEYS.get_unchecked(at), SITE_REALS.get_unchecked(at)) };
        if known.load(Acquire) == key {
            let real = real.load(Acquire);
            if real != 0 {
                return real;
            }
        }
    }
    find_by_site(site, key, start, name, own)
}

#[cold]
#[inline(never)]
fn find_by_site(site: usize, key: usize, start: usize, name: &CStr, own: usize) -> usize {
    let saved = sys::errno();
    let found = search(site, name, own);
    forget_error();
    sys::set_errno(saved);
    if found == 0 {
        return 0;
    }
    for step in 0..WINDOW {
        let at = (start + step) & (SITES - 1);
        // SAFETY: masked.
        let (known, real) = unsafe { (SITE_KEYS.get_unchecked(at), SITE_REALS.get_unchecked(at)) };
        if known.compare_exchange(0, key, Release, Relaxed).is_ok() {
            real.store(found, Release);
            return found;
        }
    }
    super::ring::table_full();
    found
}

/// The caller's library and its dependencies first, then what comes after us, then any OpenSSL that was met before
/// (a call in tail position shows the caller's caller), then any loaded library named like it.
fn search(site: usize, name: &CStr, own: usize) -> usize {
    let good = |found: usize| found != 0 && found != own;
    let handle = handle_of(object_of(site));
    if handle != 0 {
        let found = find(handle, name);
        if good(found) {
            remember(found);
            return found;
        }
    }
    let found = find(NEXT, name);
    if good(found) {
        return found;
    }
    for handle in &HANDLES {
        let handle = handle.load(Relaxed);
        if handle == 0 {
            break;
        }
        let found = find(handle, name);
        if good(found) {
            return found;
        }
    }
    scan_objects(name, own)
}

fn handle_of(file: *const i8) -> usize {
    let function = DLOPEN.load(Relaxed);
    if file.is_null() || function == 0 {
        return 0;
    }
    // The handle is kept: a library whose call sites are remembered must not be replaced by another.
    // SAFETY: the address is `dlopen`'s; nothing is loaded that is not loaded already.
    unsafe { transmute::<usize, Dlopen>(function)(file, LAZY_NOLOAD) }
}

fn remember(found: usize) {
    let handle = handle_of(object_of(found));
    for known in &HANDLES {
        match known.compare_exchange(0, handle, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(other) if other == handle => return,
            Err(_) => {}
        }
    }
}

/// What [`visit`] looks for and finds.
struct Wanted<'a> {
    name: &'a CStr,
    own: usize,
    found: usize,
}

/// `struct dl_phdr_info`, its beginning.
#[repr(C)]
struct ObjectInfo {
    base: usize,
    file: *const i8,
}

fn scan_objects(name: &CStr, own: usize) -> usize {
    let address = find(DEFAULT, c"dl_iterate_phdr");
    if address == 0 {
        return 0;
    }
    type Visit = unsafe extern "C" fn(*const ObjectInfo, usize, *mut Wanted<'_>) -> i32;
    type Iterate = unsafe extern "C" fn(Visit, *mut Wanted<'_>) -> i32;
    let mut wanted = Wanted { name, own, found: 0 };
    // SAFETY: the address is `dl_iterate_phdr`'s; `wanted` outlives the call.
    unsafe { transmute::<usize, Iterate>(address)(visit, &raw mut wanted) };
    wanted.found
}

unsafe extern "C" fn visit(info: *const ObjectInfo, _: usize, wanted: *mut Wanted<'_>) -> i32 {
    // SAFETY: the caller gives a valid object and our own `Wanted`.
    let (file, wanted) = unsafe { ((*info).file, &mut *wanted) };
    if file.is_null() {
        return 0;
    }
    let path = file.cast::<u8>();
    // SAFETY: a file name ends with a zero.
    let len = unsafe { sys::text_len(path, 4096) };
    // SAFETY: within the name.
    let base = unsafe { sys::base_name(path, len) };
    let like = |text: &[u8]| {
        // SAFETY: `base + text.len()` is within the name.
        base + text.len() <= len && (0..text.len()).all(|at| unsafe { *path.add(base + at) == *text.as_ptr().add(at) })
    };
    if like(b"libssl") || like(b"libcrypto") {
        let handle = handle_of(file);
        let found = if handle == 0 { 0 } else { find(handle, wanted.name) };
        if found != 0 && found != wanted.own {
            wanted.found = found;
            return 1;
        }
    }
    0
}
