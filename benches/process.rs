//! What wrapping costs a whole program: 2,000 sequential keep-alive `httpx` calls to a server in this process, with and without
//! `hopwatch run`, in turn. Prints wall time and CPU time of the program, and their ratio pair by pair.
//!
//! Needs a Python with `httpx`: `HOPWATCH_APPS_PYTHON`, else the environment that `tests/apps/setup` makes.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark reads the clock and may panic")]

use std::io::{BufRead, BufReader, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PAIRS: usize = 9;
const PROGRAM: &str = "
import sys, httpx
with httpx.Client() as client:
    for _ in range(2000):
        client.get(sys.argv[1]).read()
";

fn main() {
    let python = std::env::var_os("HOPWATCH_APPS_PYTHON")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/apps-venv/bin/python"), PathBuf::from);
    if !python.exists() {
        println!("skipped: no Python with httpx at {} (tests/apps/setup makes one)", python.display());
        return;
    }
    let url = format!("http://{}/", serve());
    let hopwatch = env!("CARGO_BIN_EXE_hopwatch");
    let bare = || measure(Command::new(&python).args(["-c", PROGRAM, &url]));
    let wrapped = || measure(Command::new(hopwatch).args(["run", "--quiet", "--"]).arg(&python).args(["-c", PROGRAM, &url]));
    bare();
    wrapped();
    let pairs: Vec<(Cost, Cost)> = (0..PAIRS).map(|_| (bare(), wrapped())).collect();
    println!("2,000 httpx calls, {PAIRS} pairs; minimum, median, maximum");
    print("wall without, s", pairs.iter().map(|(bare, _)| bare.wall.as_secs_f64()));
    print("wall with, s", pairs.iter().map(|(_, wrapped)| wrapped.wall.as_secs_f64()));
    print("wall ratio", pairs.iter().map(|(bare, wrapped)| wrapped.wall.as_secs_f64() / bare.wall.as_secs_f64()));
    print("CPU without, s", pairs.iter().map(|(bare, _)| bare.cpu.as_secs_f64()));
    print("CPU with (hopwatch's own included), s", pairs.iter().map(|(_, wrapped)| wrapped.cpu.as_secs_f64()));
    print("CPU ratio", pairs.iter().map(|(bare, wrapped)| wrapped.cpu.as_secs_f64() / bare.cpu.as_secs_f64()));
}

struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// Runs to the end and takes the CPU time of the process and all that it waited for.
fn measure(command: &mut Command) -> Cost {
    let before = children_cpu();
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    let wall = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    Cost { wall, cpu: children_cpu() - before }
}

fn children_cpu() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` is valid for a write of its type, and is initialised when the call returns 0.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    loop {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line == "\r\n" => {
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
    }
}

fn print(what: &str, values: impl Iterator<Item = f64>) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    println!("  {what:<40} {:>8.3} {:>8.3} {:>8.3}", sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
}
