//! Runs programs under the observer and reads their rings.

use hopwatch::observer::OBJECT;
use hopwatch::observer::layout::{
    self, Event, HEADER_BYTES, Header, MAGIC, RING_BYTES, RING_OFFSET, Record, SLOT_BYTES, SLOTS, THREADS, ThreadSlot, slots_for,
};
use std::ffi::OsStr;
use std::fs;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A place with the installed object and a directory for rings.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    rings: tempfile::TempDir,
    /// Held as hopwatch holds it while it reads.
    lock: fs::File,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("libhopwatch_observer.so"), OBJECT).unwrap();
        let shared = Path::new("/dev/shm");
        let rings = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        let rings = rings.unwrap();
        let lock = fs::File::open(rings.path()).unwrap();
        lock.lock().unwrap();
        Self { folder, rings, lock }
    }

    pub(crate) fn object(&self) -> PathBuf {
        self.folder.path().join("libhopwatch_observer.so")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The reader is gone, as after a SIGKILL.
    pub(crate) fn abandon(&self) {
        self.lock.unlock().unwrap();
    }

    pub(crate) fn directory(&self) -> &Path {
        self.rings.path()
    }

    /// A command that will be observed.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // What the surroundings set for the tests themselves would be handed on as if it were the observer's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOPWATCH_")) {
            command.env_remove(name);
        }
        command.env("LD_PRELOAD", self.object()).env("HOPWATCH_RINGS", self.rings.path());
        command
    }

    /// Runs a Python program that must succeed; `None` where there is no Python.
    pub(crate) fn python(&self, script: &str, arguments: &[&str]) -> Option<Output> {
        let output = self.command(python()?).arg("-c").arg(script).args(arguments).output().unwrap();
        assert_done(&output);
        Some(output)
    }

    /// Compiles a C program; `None` (and a word about it) where there is no such compiler.
    pub(crate) fn compile(&self, compiler: &str, source: &str, options: &[&str]) -> Option<PathBuf> {
        let (from, to) = (self.file("program.c"), self.file("program"));
        fs::write(&from, source).unwrap();
        let made = Command::new(compiler).arg(&from).arg("-o").arg(&to).args(["-pthread", "-Wno-all"]).args(options).output();
        match made {
            Ok(output) => {
                assert_done(&output);
                Some(to)
            }
            Err(error) => {
                eprintln!("skipped: {compiler} does not run: {error}");
                None
            }
        }
    }

    /// The rings, oldest first.
    pub(crate) fn rings(&self) -> Vec<Ring> {
        let mut rings: Vec<Ring> = fs::read_dir(self.rings.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_ring(path))
            .map(|path| Ring::read(&path))
            .collect();
        rings.sort_by_key(|ring| ring.start);
        rings
    }

    /// The only ring.
    pub(crate) fn ring(&self) -> Ring {
        let mut rings = self.rings();
        assert_eq!(rings.len(), 1, "{:?}", rings.iter().map(|ring| &ring.program).collect::<Vec<_>>());
        rings.remove(0)
    }
}

fn is_ring(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ring")
}

/// A dynamically linked Python.
pub(crate) fn python() -> Option<PathBuf> {
    let asked = Command::new("python3").args(["-c", "import os, sys; print(os.path.realpath(sys.executable))"]).output();
    match asked {
        Ok(output) if output.status.success() => Some(String::from_utf8(output.stdout).unwrap().trim().into()),
        _ => {
            eprintln!("skipped: there is no python3");
            None
        }
    }
}

pub(crate) fn assert_done(output: &Output) {
    assert!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A record with its payload.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    pub(crate) record: Record,
    pub(crate) payload: Vec<u8>,
}

impl Entry {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.record.flags & flag != 0
    }

    pub(crate) fn end(&self) -> u64 {
        self.record.t + self.record.dur
    }
}

/// What a thread was in.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) call: layout::Call,
    pub(crate) since: u64,
    pub(crate) fd: i32,
    pub(crate) conn: u32,
    pub(crate) is_loop: bool,
}

/// A ring file, read.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    pub(crate) start: u64,
    pub(crate) made: u32,
    pub(crate) program: String,
    pub(crate) lost: u64,
    pub(crate) threads_lost: u64,
    pub(crate) opens: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) entries: Vec<Entry>,
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

impl Ring {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len(), layout::FILE_BYTES);
        assert_eq!(u64_at(&bytes, offset_of!(Header, magic)), MAGIC);
        let program = &bytes[offset_of!(Header, program)..][..64];
        let mut ring = Self {
            pid: u32_at(&bytes, offset_of!(Header, pid)),
            ppid: u32_at(&bytes, offset_of!(Header, ppid)),
            start: u64_at(&bytes, offset_of!(Header, start)),
            made: u32_at(&bytes, offset_of!(Header, made)),
            program: String::from_utf8_lossy(program.split(|&byte| byte == 0).next().unwrap()).into_owned(),
            lost: u64_at(&bytes, offset_of!(Header, lost)),
            threads_lost: u64_at(&bytes, offset_of!(Header, threads_lost)),
            opens: u64_at(&bytes, offset_of!(Header, opens)),
            slots: Vec::new(),
            entries: Vec::new(),
        };
        for index in 0..THREADS {
            let slot = &bytes[HEADER_BYTES + index * size_of::<ThreadSlot>()..];
            if u32_at(slot, offset_of!(ThreadSlot, tid)) != 0 {
                ring.slots.push(Slot {
                    call: layout::Call::from_u16(u32_at(slot, offset_of!(ThreadSlot, call)) as u16),
                    since: u64_at(slot, offset_of!(ThreadSlot, since)),
                    fd: u32_at(slot, offset_of!(ThreadSlot, fd)) as i32,
                    conn: u32_at(slot, offset_of!(ThreadSlot, conn)),
                    is_loop: u32_at(slot, offset_of!(ThreadSlot, is_loop)) != 0,
                });
            }
        }
        let reserved = u64_at(&bytes, offset_of!(Header, reserve));
        let mut position = 0;
        while position < reserved {
            let start = (position as usize % SLOTS) * SLOT_BYTES;
            let at = &bytes[RING_OFFSET + start..];
            assert_eq!(u64_at(at, 0), position + 1, "a record that was never finished");
            let record = record(at);
            let payload = (record.head + record.tail) as usize;
            let byte = |index: usize| bytes[RING_OFFSET + (start + size_of::<Record>() + index) % RING_BYTES];
            ring.entries.push(Entry {
                event: Event::from_u16(record.event).unwrap(),
                record,
                payload: (0..payload).map(byte).collect(),
            });
            position += slots_for(payload) as u64;
        }
        ring
    }

    pub(crate) fn of(&self, event: Event) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.event == event).collect()
    }

    /// The events of a connection, in order.
    pub(crate) fn story(&self, conn: u32) -> Vec<Event> {
        self.entries.iter().filter(|entry| entry.record.conn == conn).map(|entry| entry.event).collect()
    }
}

fn record(at: &[u8]) -> Record {
    Record {
        seq: u64_at(at, offset_of!(Record, seq)),
        event: u16_at(at, offset_of!(Record, event)),
        flags: u16_at(at, offset_of!(Record, flags)),
        tid: u32_at(at, offset_of!(Record, tid)),
        t: u64_at(at, offset_of!(Record, t)),
        dur: u64_at(at, offset_of!(Record, dur)),
        fd: u32_at(at, offset_of!(Record, fd)) as i32,
        conn: u32_at(at, offset_of!(Record, conn)),
        rc: u64_at(at, offset_of!(Record, rc)) as i64,
        errno: u32_at(at, offset_of!(Record, errno)) as i32,
        age_ms: u32_at(at, offset_of!(Record, age_ms)),
        offset: u64_at(at, offset_of!(Record, offset)),
        aux: u64_at(at, offset_of!(Record, aux)),
        head: u32_at(at, offset_of!(Record, head)),
        tail: u32_at(at, offset_of!(Record, tail)),
    }
}

/// A server that answers each connection by `answer` in a thread of its own.
pub(crate) fn serve(answer: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

/// Reads an HTTP request's head.
pub(crate) fn read_head(stream: &mut std::net::TcpStream) -> String {
    use std::io::Read;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
