//! What only assembly can say, for x86-64: weak imports, thread-local memory, system calls, the memory functions that
//! the compiler takes for granted, and hooks that know their caller.

use core::arch::{asm, global_asm};

// Weak: a dynamic program without libc still loads.
global_asm!(".weak dlsym", ".weak __errno_location", ".weak environ");

/// Bytes of thread-local memory, all zero in a new thread.
pub(crate) const THREAD_BYTES: usize = 448;

global_asm!(
    ".pushsection .tbss.hopwatch_thread,\"awT\",@nobits",
    ".balign 16",
    ".globl hopwatch_thread",
    ".hidden hopwatch_thread",
    ".type hopwatch_thread,@object",
    ".size hopwatch_thread, {size}",
    "hopwatch_thread:",
    ".zero {size}",
    ".popsection",
    size = const THREAD_BYTES,
);

// The object has no libc to take these from. Hidden: nobody else sees them.
#[cfg(hopwatch_observer)]
global_asm!(
    ".pushsection .text.hopwatch_memory,\"ax\",@progbits",
    ".macro hidden name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name,@function",
    "\\name:",
    ".endm",
    "hidden memcpy",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    "hidden memmove",
    "mov rax, rdi",
    "mov rcx, rdx",
    "cmp rdi, rsi",
    "jbe 2f",
    "lea rdi, [rdi + rcx - 1]",
    "lea rsi, [rsi + rcx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "2: rep movsb",
    "ret",
    "hidden memset",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "hidden bcmp",
    "hidden memcmp",
    "xor ecx, ecx",
    "3: cmp rcx, rdx",
    "je 4f",
    "movzx eax, byte ptr [rdi + rcx]",
    "movzx r8d, byte ptr [rsi + rcx]",
    "inc rcx",
    "sub eax, r8d",
    "je 3b",
    "ret",
    "4: xor eax, eax",
    "ret",
    "hidden strlen",
    "xor eax, eax",
    "5: cmp byte ptr [rdi + rax], 0",
    "je 6f",
    "inc rax",
    "jmp 5b",
    "6: ret",
    ".purgem hidden",
    ".popsection",
);

macro_rules! weak_address {
    ($(#[$doc:meta])* $function:ident, $symbol:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $function() -> usize {
            let address: usize;
            // SAFETY: reads an entry of the global offset table, which the dynamic linker filled before any code ran.
            unsafe {
                asm!(concat!("mov {}, [rip + ", $symbol, "@GOTPCREL]"), out(reg) address,
                    options(pure, readonly, nostack, preserves_flags));
            }
            address
        }
    };
}

weak_address! {
    /// Address of `dlsym`; 0 when the process has none.
    dlsym, "dlsym"
}
weak_address! {
    /// Address of `__errno_location`; 0 when the process has none.
    errno_location, "__errno_location"
}
weak_address! {
    /// Address of the variable `environ`; 0 when the process has none.
    environ, "environ"
}

/// This thread's [`THREAD_BYTES`] bytes. Initial-exec: no allocation, no call, safe in signal handlers.
#[inline(always)]
pub(crate) fn thread_memory() -> *mut u8 {
    let address: *mut u8;
    // SAFETY: reads the thread pointer and the fixed offset of the block.
    unsafe {
        asm!("mov {0}, fs:0", "add {0}, [rip + hopwatch_thread@gottpoff]", out(reg) address,
            options(pure, readonly, nostack));
    }
    address
}

/// A system call; a negative result is `-errno`.
///
/// # Safety
/// The arguments must be valid for the system call.
#[inline(always)]
pub(crate) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the instruction changes rax, rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Ends the process with an illegal instruction.
#[cfg(hopwatch_observer)]
pub(crate) fn trap() -> ! {
    // SAFETY: does not return.
    unsafe { asm!("ud2", options(noreturn)) }
}

/// Defines an exported function that passes its return address as sixth argument to `$target`.
macro_rules! with_caller {
    ($($name:ident => $target:ident),* $(,)?) => { $(
        /// Hook that passes its return address on, for the hook needs to know which library calls.
        #[unsafe(naked)]
        #[cfg_attr(hopwatch_observer, unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $name() {
            core::arch::naked_asm!("mov r9, [rsp]", "jmp {target}", target = sym $target)
        }
    )* };
}
pub(crate) use with_caller;

/// System call numbers.
pub(crate) mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const OPEN: usize = 2;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const POLL: usize = 7;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const IOCTL: usize = 16;
    pub(crate) const READV: usize = 19;
    pub(crate) const WRITEV: usize = 20;
    pub(crate) const PIPE: usize = 22;
    pub(crate) const SELECT: usize = 23;
    pub(crate) const MADVISE: usize = 28;
    pub(crate) const DUP: usize = 32;
    pub(crate) const DUP2: usize = 33;
    pub(crate) const NANOSLEEP: usize = 35;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const SENDFILE: usize = 40;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const CONNECT: usize = 42;
    pub(crate) const ACCEPT: usize = 43;
    pub(crate) const SENDTO: usize = 44;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const SENDMSG: usize = 46;
    pub(crate) const RECVMSG: usize = 47;
    pub(crate) const SHUTDOWN: usize = 48;
    pub(crate) const GETSOCKNAME: usize = 51;
    pub(crate) const GETPEERNAME: usize = 52;
    pub(crate) const SOCKETPAIR: usize = 53;
    pub(crate) const GETSOCKOPT: usize = 55;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const FLOCK: usize = 73;
    pub(crate) const FSYNC: usize = 74;
    pub(crate) const FDATASYNC: usize = 75;
    pub(crate) const UNLINK: usize = 87;
    pub(crate) const READLINK: usize = 89;
    pub(crate) const GETPPID: usize = 110;
    pub(crate) const GETTID: usize = 186;
    pub(crate) const EPOLL_CREATE: usize = 213;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const EPOLL_WAIT: usize = 232;
    pub(crate) const TGKILL: usize = 234;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const FALLOCATE: usize = 285;
    pub(crate) const ACCEPT4: usize = 288;
    pub(crate) const EPOLL_CREATE1: usize = 291;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const PIPE2: usize = 293;
    pub(crate) const RECVMMSG: usize = 299;
    pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const SENDMMSG: usize = 307;
    pub(crate) const CLOSE_RANGE: usize = 436;
}
