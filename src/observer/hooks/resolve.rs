//! Name look-ups.

use super::super::layout::{Call, Event, Record, SOCKADDR_BYTES};
use super::super::real::{self, real};
use super::super::ring::{self, Payload};
use super::super::sys::{self, AF_INET, AF_INET6, IoVec};
use super::super::thread;

/// Addresses noted of one answer.
const ADDRESSES: usize = 16;
/// Longest name noted.
const NAME_MAX: usize = 255;

/// `struct addrinfo`.
#[repr(C)]
pub(crate) struct AddressInfo {
    flags: i32,
    family: i32,
    kind: i32,
    protocol: i32,
    len: u32,
    address: *const u8,
    name: *const u8,
    next: *const AddressInfo,
}

/// `struct hostent`.
#[repr(C)]
pub(crate) struct Host {
    name: *const u8,
    aliases: *const *const u8,
    family: i32,
    len: i32,
    addresses: *const *const u8,
}

/// The addresses of an answer, IPv4 as mapped IPv6.
struct Answer {
    addresses: [[u8; 16]; ADDRESSES],
    count: usize,
}

impl Answer {
    const fn new() -> Self {
        Self { addresses: [[0; 16]; ADDRESSES], count: 0 }
    }

    fn add(&mut self, address: [u8; 16]) {
        // One answer lists an address once for each socket type.
        if self.addresses.iter().take(self.count).any(|known| *known == address) {
            return;
        }
        if let Some(place) = self.addresses.get_mut(self.count) {
            *place = address;
            self.count += 1;
        }
    }

    unsafe fn add_list(&mut self, mut info: *const AddressInfo) {
        // SAFETY: a list that `getaddrinfo` made.
        unsafe {
            while !info.is_null() {
                let mut packed = [0; SOCKADDR_BYTES];
                sys::pack_address((*info).address, (*info).len as usize, &mut packed);
                if matches!((*info).family as u16, AF_INET | AF_INET6) {
                    self.add((&raw const packed).cast::<u8>().add(4).cast::<[u8; 16]>().read());
                }
                info = (*info).next;
            }
        }
    }

    unsafe fn add_host(&mut self, host: *const Host) {
        // SAFETY: a host that the resolver made; the list ends with a null pointer.
        unsafe {
            if host.is_null() || (*host).addresses.is_null() {
                return;
            }
            let mut at = (*host).addresses;
            while !(*at).is_null() {
                let mut address = [0u8; 16];
                let bytes = (&raw mut address).cast::<u8>();
                if (*host).family as u16 == AF_INET {
                    bytes.add(10).cast::<u16>().write_unaligned(0xffff);
                    bytes.add(12).cast::<u32>().write_unaligned((*at).cast::<u32>().read_unaligned());
                } else {
                    bytes.cast::<u128>().write_unaligned((*at).cast::<u128>().read_unaligned());
                }
                self.add(address);
                at = at.add(1);
            }
        }
    }
}

/// Runs a look-up of `name`; `answer` collects what it found, and gives the resolver's code.
unsafe fn resolves<T>(name: *const u8, call: impl FnOnce() -> T, answer: impl FnOnce(&T, &mut Answer) -> i64) -> T {
    if name.is_null() {
        return call();
    }
    let Some(ring) = ring::active() else { return call() };
    let before = sys::errno();
    let thread = thread::current();
    // SAFETY: the caller's name ends with a zero.
    let len = unsafe { sys::text_len(name, NAME_MAX) };
    let t = sys::now();
    let start = Record { head: len as u32, ..thread.record(Event::ResolveStart, t) };
    let text = IoVec { base: name, len };
    ring.put(&start, Payload { pieces: &raw const text, count: 1, total: len }, None);
    thread.enter(ring, Call::Resolve, -1, 0, t);
    sys::set_errno(before);
    let result = call();
    let error = sys::errno();
    thread.leave(ring);
    let now = sys::now();
    let dur = now.wrapping_sub(t);
    thread.blocked(Call::Resolve, -1, 0, dur);
    let mut found = Answer::new();
    let rc = answer(&result, &mut found);
    let bytes = found.count * 16;
    let pieces = [IoVec { base: (&raw const found.addresses).cast(), len: bytes }, text];
    let end = Record {
        dur,
        rc,
        errno: if rc == 0 { 0 } else { error },
        aux: found.count as u64,
        head: (bytes + len) as u32,
        ..thread.record(Event::ResolveEnd, t)
    };
    ring.put(&end, Payload { pieces: pieces.as_ptr(), count: 2, total: bytes + len }, None);
    sys::set_errno(error);
    result
}

hooks! {
    fn getaddrinfo(name: *const u8, service: *const u8, hints: *const u8, result: *mut *const AddressInfo) -> i32 |original| {
        resolves(name, || original(name, service, hints, result), |&rc, answer| {
            if rc == 0 {
                answer.add_list(*result);
            }
            i64::from(rc)
        })
    }

    fn gethostbyname(name: *const u8) -> *const Host |original| {
        resolves(name, || original(name), |&host, answer| {
            answer.add_host(host);
            i64::from(host.is_null())
        })
    }

    fn gethostbyname_r(
        name: *const u8, host: *mut u8, buffer: *mut u8, len: usize, result: *mut *const Host, error: *mut i32,
    ) -> i32 |original| {
        resolves(name, || original(name, host, buffer, len, result, error), |&rc, answer| host_answer(rc, *result, answer))
    }

    fn gethostbyname2_r(
        name: *const u8, family: i32, host: *mut u8, buffer: *mut u8, len: usize, result: *mut *const Host, error: *mut i32,
    ) -> i32 |original| {
        resolves(name, || original(name, family, host, buffer, len, result, error), |&rc, answer| {
            host_answer(rc, *result, answer)
        })
    }
}

unsafe fn host_answer(rc: i32, host: *const Host, answer: &mut Answer) -> i64 {
    if rc != 0 {
        return i64::from(rc);
    }
    // SAFETY: the resolver succeeded: the host is valid or null.
    unsafe { answer.add_host(host) };
    i64::from(host.is_null())
}
