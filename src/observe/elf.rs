//! What an executable file says about whether the dynamic linker will load the observer into it.

/// The machine that this build runs on, as ELF numbers it.
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINE: u16 = 0;

/// Bytes from the start of a file that hold all that is asked for in practice.
pub(super) const ENOUGH: usize = 64 * 1024;

const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
/// Owner and type of the note in which Go keeps its build id.
const GO_NOTE: (&[u8], u32) = (b"Go\0\0", 4);

/// What kind of program a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// The observer can be loaded and sees what it does.
    Dynamic,
    /// It has no dynamic linker.
    Static,
    /// It calls the system itself.
    Go,
    /// Made for another class or machine.
    Foreign,
    /// Not an ELF file.
    Other,
}

/// Reads the start of a file.
pub(super) fn read(bytes: &[u8]) -> Program {
    if !bytes.starts_with(b"\x7fELF") {
        return Program::Other;
    }
    // Class 64, little-endian.
    if bytes.get(4..6) != Some(&[2, 1]) || number::<2>(bytes, 18) != Some(u64::from(MACHINE)) {
        return Program::Foreign;
    }
    match segments(bytes) {
        Some((_, true)) => Program::Go,
        Some((true, false)) => Program::Dynamic,
        // A file whose heads make no sense is the loader's to judge.
        Some((false, false)) | None => Program::Static,
    }
}

/// Whether there is an interpreter, and a Go build id.
fn segments(bytes: &[u8]) -> Option<(bool, bool)> {
    let table = usize::try_from(number::<8>(bytes, 32)?).ok()?;
    let size = number::<2>(bytes, 54)? as usize;
    let count = number::<2>(bytes, 56)? as usize;
    let (mut interpreter, mut go) = (false, false);
    for index in 0..count {
        let Some(segment) = bytes.get(table.checked_add(index.checked_mul(size)?)?..) else { break };
        let Some(kind) = number::<4>(segment, 0) else { break };
        interpreter |= kind == u64::from(PT_INTERP);
        if kind == u64::from(PT_NOTE) {
            let from = usize::try_from(number::<8>(segment, 8)?).ok()?;
            let length = usize::try_from(number::<8>(segment, 32)?).ok()?;
            let notes = bytes.get(from..).map(|rest| rest.get(..length).unwrap_or(rest)).unwrap_or_default();
            go |= has_go_note(notes);
        }
    }
    Some((interpreter, go))
}

fn has_go_note(mut notes: &[u8]) -> bool {
    while let (Some(name), Some(body), Some(kind)) = (number::<4>(notes, 0), number::<4>(notes, 4), number::<4>(notes, 8)) {
        let (name, body) = (name as usize, body as usize);
        if notes.get(12..12 + GO_NOTE.0.len()) == Some(GO_NOTE.0) && name == GO_NOTE.0.len() && kind == u64::from(GO_NOTE.1) {
            return true;
        }
        let next = 12 + name.next_multiple_of(4) + body.next_multiple_of(4);
        let Some(rest) = notes.get(next..) else { break };
        notes = rest;
    }
    false
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let taken = bytes.get(at..at.checked_add(N)?)?;
    Some(taken.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elf(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 * segments.len()];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&MACHINE.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = segments.len() as u8;
        for (index, (kind, content)) in segments.iter().enumerate() {
            let (at, end) = (64 + 56 * index, bytes.len() as u64);
            bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&end.to_le_bytes());
            bytes[at + 32..at + 40].copy_from_slice(&(content.len() as u64).to_le_bytes());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    #[test]
    fn programs_are_told_apart() {
        let gnu = b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0abcd";
        let go = b"\x04\0\0\0\x04\0\0\0\x04\0\0\0Go\0\0abcd";
        assert_eq!(read(&elf(&[(PT_INTERP, b"/lib/ld.so\0"), (PT_NOTE, gnu)])), Program::Dynamic);
        assert_eq!(read(&elf(&[(PT_NOTE, gnu)])), Program::Static);
        assert_eq!(read(&elf(&[(PT_INTERP, b"/lib/ld.so\0"), (PT_NOTE, &[&gnu[..], go].concat())])), Program::Go);
        assert_eq!(read(b"#!/bin/sh\n"), Program::Other);
        let mut small = elf(&[(PT_INTERP, b"x")]);
        small[4] = 1;
        assert_eq!(read(&small), Program::Foreign);
    }

    #[test]
    fn the_test_program_itself_is_dynamic() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let expected = if cfg!(target_feature = "crt-static") { Program::Static } else { Program::Dynamic };
        assert_eq!(read(&own[..ENOUGH]), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            tail in prop::collection::vec(any::<u8>(), 0..300),
            changes in prop::collection::vec((0usize..200, any::<u8>()), 0..20),
        ) {
            let mut bytes = elf(&[(PT_INTERP, b"x"), (PT_NOTE, &tail)]);
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            read(&bytes);
        }
    }
}
