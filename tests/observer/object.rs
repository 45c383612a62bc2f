//! The object itself: what it needs and what it carries.

use hopwatch::observer::OBJECT;

fn number<const N: usize>(at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&OBJECT[at..at + N]);
    u64::from_le_bytes(bytes)
}

/// Sections by type: (offset, size, offset of the linked section).
fn sections(kind: u64) -> Vec<(usize, usize, usize)> {
    let (table, count) = (number::<8>(0x28) as usize, number::<2>(0x3c) as usize);
    let at = |index: usize| table + index * 64;
    (0..count)
        .filter(|&index| number::<4>(at(index) + 4) == kind)
        .map(|index| {
            let linked = at(number::<4>(at(index) + 0x28) as usize);
            (number::<8>(at(index) + 0x18) as usize, number::<8>(at(index) + 0x20) as usize, number::<8>(linked + 0x18) as usize)
        })
        .collect()
}

fn name(table: usize, offset: u64) -> String {
    let name = &OBJECT[table + offset as usize..];
    String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap()).into_owned()
}

#[test]
fn it_needs_no_library() {
    const DYNAMIC: u64 = 6;
    let (offset, size, _) = sections(DYNAMIC)[0];
    let tags: Vec<u64> = (0..size / 16).map(|index| number::<8>(offset + index * 16)).collect();
    // DT_NEEDED, DT_VERNEED.
    assert!(!tags.contains(&1) && !tags.contains(&0x6fff_fffe), "{tags:x?}");
}

#[test]
fn it_imports_three_weak_names() {
    const SYMBOLS: u64 = 11;
    let (offset, size, names) = sections(SYMBOLS)[0];
    let mut imported = Vec::new();
    let mut exported = Vec::new();
    for at in (offset + 24..offset + size).step_by(24) {
        let name = name(names, number::<4>(at));
        if number::<2>(at + 6) == 0 {
            // Weak.
            assert_eq!(OBJECT[at + 4] >> 4, 2, "{name}");
            imported.push(name);
        } else {
            exported.push(name);
        }
    }
    imported.sort();
    assert_eq!(imported, ["__errno_location", "dlsym", "environ"]);
    for name in ["connect", "read", "SSL_read_ex", "epoll_wait", "execve"] {
        assert!(exported.iter().any(|known| known == name), "{name}");
    }
    // Names that are not to be interposed.
    for name in ["malloc", "memcpy", "memset", "strlen", "vfork", "dlopen", "dlsym", "mmap", "sigaction", "prctl"] {
        assert!(!exported.iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn it_cannot_panic_and_tells_nothing_of_its_making() {
    let text = String::from_utf8_lossy(OBJECT);
    for word in ["panic", "unwrap", "src/observer", "overflow", "out of bounds"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(OBJECT.len() < 300_000, "{}", OBJECT.len());
}
