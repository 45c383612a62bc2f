//! Raw system calls, the clock, `errno`, and the few numbers and structures of the system that hooks need.
//!
//! Nothing here touches `errno`, except where it says so.

use super::arch::{self, number};
use super::layout::SOCKADDR_BYTES;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub(crate) const EINTR: i32 = 4;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const ENOSYS: i32 = 38;
pub(crate) const EPROTO: i32 = 71;
pub(crate) const EISCONN: i32 = 106;
pub(crate) const ENOTCONN: i32 = 107;
pub(crate) const EALREADY: i32 = 114;
pub(crate) const EINPROGRESS: i32 = 115;

pub(crate) const AF_UNIX: u16 = 1;
pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
pub(crate) const SOL_SOCKET: i32 = 1;
pub(crate) const SO_ERROR: i32 = 4;
const SO_TYPE: i32 = 3;
const SOCK_STREAM: i32 = 1;
const IPPROTO_TCP: i32 = 6;
const TCP_INFO: i32 = 11;
const F_GETFL: usize = 3;
pub(crate) const O_NONBLOCK: i32 = 0o4000;

/// `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct IoVec {
    pub(crate) base: *const u8,
    pub(crate) len: usize,
}

/// The part of `struct msghdr` that hooks read.
#[repr(C)]
pub(crate) struct Message {
    name: *const u8,
    name_len: u32,
    pub(crate) iov: *const IoVec,
    /// `size_t` in glibc, `int` with padding in musl.
    pub(crate) iov_len: u32,
}

/// `struct timespec`.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// libc's `clock_gettime` (it asks the kernel without a system call); 0 = not found.
pub(crate) static CLOCK: AtomicUsize = AtomicUsize::new(0);

fn clock(id: usize) -> u64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    let address = CLOCK.load(Relaxed);
    if address == 0 {
        // SAFETY: the kernel writes to `time`.
        unsafe { arch::syscall(number::CLOCK_GETTIME, [id, &raw mut time as usize, 0, 0, 0, 0]) };
    } else {
        // SAFETY: the address is `clock_gettime`'s, which writes to `time`.
        unsafe {
            let function = core::mem::transmute::<usize, extern "C" fn(i32, *mut Timespec) -> i32>(address);
            function(id as i32, &raw mut time);
        }
    }
    (time.seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(time.nanoseconds as u64)
}

/// The monotonic clock in nanoseconds.
pub(crate) fn now() -> u64 {
    clock(1)
}

/// Nanoseconds of CPU that this thread has used.
pub(crate) fn thread_cpu() -> u64 {
    clock(3)
}

/// `errno` of this thread; 0 where there is none.
#[inline(always)]
pub(crate) fn errno() -> i32 {
    let address = arch::errno_location();
    if address == 0 {
        return 0;
    }
    // SAFETY: the address is that of `__errno_location`.
    unsafe { *core::mem::transmute::<usize, extern "C" fn() -> *mut i32>(address)() }
}

/// Sets `errno` of this thread.
#[inline(always)]
pub(crate) fn set_errno(value: i32) {
    let address = arch::errno_location();
    if address != 0 {
        // SAFETY: the address is that of `__errno_location`.
        unsafe { *core::mem::transmute::<usize, extern "C" fn() -> *mut i32>(address)() = value };
    }
}

/// A system call in libc's manner: -1 and `errno` on failure.
pub(crate) unsafe extern "C" fn libc_call<const NUMBER: usize>(
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    // SAFETY: as safe as the caller's call of the libc function.
    let result = unsafe { arch::syscall(NUMBER, [a, b, c, d, e, f]) };
    if (-4095..0).contains(&result) {
        set_errno(-(result as i32));
        return -1;
    }
    result
}

/// `send` and `recv` are system calls with two more arguments.
pub(crate) unsafe extern "C" fn libc_call_4<const NUMBER: usize>(a: usize, b: usize, c: usize, d: usize) -> isize {
    // SAFETY: as safe as the caller's call of the libc function.
    unsafe { libc_call::<NUMBER>(a, b, c, d, 0, 0) }
}

/// Stands for a function that cannot be found.
pub(crate) unsafe extern "C" fn missing() -> isize {
    set_errno(ENOSYS);
    -1
}

/// Process id, from the kernel.
pub(crate) fn pid() -> u32 {
    // SAFETY: takes no argument.
    unsafe { arch::syscall(number::GETPID, [0; 6]) as u32 }
}

/// Parent's process id.
pub(crate) fn parent_pid() -> u32 {
    // SAFETY: takes no argument.
    unsafe { arch::syscall(number::GETPPID, [0; 6]) as u32 }
}

/// Thread id.
pub(crate) fn tid() -> u32 {
    // SAFETY: takes no argument.
    unsafe { arch::syscall(number::GETTID, [0; 6]) as u32 }
}

/// Whether a thread of this process is alive.
pub(crate) fn thread_lives(pid: u32, tid: u32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { arch::syscall(number::TGKILL, [pid as usize, tid as usize, 0, 0, 0, 0]) == 0 }
}

fn socket_option(fd: i32, level: i32, option: i32, value: *mut u8, len: u32) -> bool {
    let mut len = len;
    let args = [fd as usize, level as usize, option as usize, value as usize, &raw mut len as usize, 0];
    // SAFETY: the kernel writes at most `len` bytes to `value`.
    unsafe { arch::syscall(number::GETSOCKOPT, args) == 0 }
}

/// Whether the descriptor is a stream socket.
pub(crate) fn is_stream(fd: i32) -> bool {
    let mut kind = 0i32;
    socket_option(fd, SOL_SOCKET, SO_TYPE, (&raw mut kind).cast(), 4) && kind == SOCK_STREAM
}

/// Whether there is such a descriptor.
pub(crate) fn is_open(fd: i32) -> bool {
    // SAFETY: F_GETFL only asks.
    unsafe { arch::syscall(number::FCNTL, [fd as usize, F_GETFL, 0, 0, 0, 0]) >= 0 }
}

/// Whether the descriptor does not block.
pub(crate) fn is_nonblocking(fd: i32) -> bool {
    // SAFETY: F_GETFL only asks.
    let flags = unsafe { arch::syscall(number::FCNTL, [fd as usize, F_GETFL, 0, 0, 0, 0]) };
    flags > 0 && flags as i32 & O_NONBLOCK != 0
}

/// What the kernel says of a TCP connection.
pub(crate) struct TcpInfo {
    /// Connected, or was.
    pub(crate) established: bool,
    /// Milliseconds since data last came.
    pub(crate) last_data_ms: u32,
    /// Round-trip time in microseconds.
    pub(crate) rtt_us: u32,
}

/// Asks the kernel about a TCP connection.
pub(crate) fn tcp_info(fd: i32) -> Option<TcpInfo> {
    let mut words = [0u32; 19];
    if !socket_option(fd, IPPROTO_TCP, TCP_INFO, (&raw mut words).cast(), 76) {
        return None;
    }
    let [head, .., last_data_ms, _, _, _, rtt_us, _] = words;
    let state = head as u8;
    // 2: SYN sent, 3: SYN received, 7: closed (refused).
    Some(TcpInfo { established: !matches!(state, 2 | 3 | 7), last_data_ms, rtt_us })
}

/// Writes a socket address in the layout's form.
///
/// # Safety
/// `address` must be readable for `len` bytes.
pub(crate) unsafe fn pack_address(address: *const u8, len: usize, packed: &mut [u8; SOCKADDR_BYTES]) {
    *packed = [0; SOCKADDR_BYTES];
    if address.is_null() || len < 2 {
        return;
    }
    let to = packed.as_mut_ptr();
    // SAFETY: reads within `len` bytes as the family's minimum is checked first; writes within the 20 bytes.
    unsafe {
        let family = address.cast::<u16>().read_unaligned();
        to.cast::<u16>().write_unaligned(family);
        if family == AF_INET && len >= 8 {
            to.add(2).cast::<u16>().write_unaligned(u16::from_be(address.add(2).cast::<u16>().read_unaligned()));
            to.add(14).cast::<u16>().write_unaligned(0xffff);
            to.add(16).cast::<u32>().write_unaligned(address.add(4).cast::<u32>().read_unaligned());
        } else if family == AF_INET6 && len >= 24 {
            to.add(2).cast::<u16>().write_unaligned(u16::from_be(address.add(2).cast::<u16>().read_unaligned()));
            to.add(4).cast::<u128>().write_unaligned(address.add(8).cast::<u128>().read_unaligned());
        }
    }
}

/// The own (`own`) or the peer's address of a socket.
pub(crate) fn socket_address(fd: i32, own: bool, packed: &mut [u8; SOCKADDR_BYTES]) {
    let mut address = [0u64; 16];
    let mut len = 128u32;
    let call = if own { number::GETSOCKNAME } else { number::GETPEERNAME };
    // SAFETY: the kernel writes at most `len` bytes to `address`.
    let result =
        unsafe { arch::syscall(call, [fd as usize, (&raw mut address) as usize, &raw mut len as usize, 0, 0, 0]) };
    let len = if result == 0 { len.min(128) as usize } else { 0 };
    // SAFETY: `address` is readable for `len` bytes.
    unsafe { pack_address((&raw const address).cast(), len, packed) };
}

/// Whether the first and the last byte of a caller's argument can be read. What must be looked at *before* a call is
/// asked for: a bad pointer is an error for the kernel to tell, not a crash.
pub(crate) fn readable(address: *const u8, len: usize) -> bool {
    const EINVAL: isize = -22;
    // The kernel copies the mask (eight bytes; aligned, so of one page) before it refuses what to do with it.
    let word = |at: usize| {
        // SAFETY: changes nothing, for there is no such way to change the mask.
        unsafe { arch::syscall(number::RT_SIGPROCMASK, [usize::MAX, at & !7, 0, 8, 0, 0]) == EINVAL }
    };
    let (first, last) = (address as usize, (address as usize).wrapping_add(len.saturating_sub(1)));
    first >= 8 && len > 0 && last >= first && word(first) && (first & !7 == last & !7 || word(last))
}

/// The path of the program that runs, as far as there is room; 0 where it is not told.
pub(crate) fn executable(path: &mut [u8]) -> usize {
    let args = [c"/proc/self/exe".as_ptr() as usize, path.as_mut_ptr() as usize, path.len(), 0, 0, 0];
    // SAFETY: the kernel writes at most the length of `path`.
    let len = unsafe { arch::syscall(number::READLINK, args) };
    len.max(0) as usize
}

/// Length of a zero-terminated string, at most `most`.
///
/// # Safety
/// `text` must be readable up to its zero or for `most` bytes.
pub(crate) unsafe fn text_len(text: *const u8, most: usize) -> usize {
    let mut len = 0;
    // SAFETY: stops at the zero or at `most`.
    while len < most && unsafe { *text.add(len) } != 0 {
        len += 1;
    }
    len
}

/// Where the last component of a path begins.
///
/// # Safety
/// `path` must be readable for `len` bytes.
pub(crate) unsafe fn base_name(path: *const u8, len: usize) -> usize {
    let mut at = len;
    // SAFETY: within `len`.
    while at > 0 && unsafe { *path.add(at - 1) } != b'/' {
        at -= 1;
    }
    at
}
