//! What the observer adds to an intercepted call.
//!
//! A C program makes the same call many times, with and without the observer in turn; printed are the median of the
//! paired differences and their quartiles, in nanoseconds per call. Without a C compiler there is nothing to measure.
//!
//! `cargo bench --bench observer`

#[cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::io::Result<()> {
    measure::run()
}

#[cfg(not(all(feature = "cli", target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("this target has no observer");
}

#[cfg(all(feature = "cli", target_os = "linux", target_arch = "x86_64"))]
mod measure {
    use hopwatch::observer::OBJECT;
    use std::io::{Error, Result};
    use std::path::Path;
    use std::process::Command;

    const ROUNDS: usize = 15;

    /// Cases: what is called how often.
    const CASES: [(&str, &str, &str); 5] = [
        ("close", "untracked descriptor: close(-1)", "2000000"),
        ("zero", "untracked descriptor: read(/dev/zero, 1)", "500000"),
        ("again", "tracked descriptor: recv that says EAGAIN", "300000"),
        ("pair", "connection: send and recv of 100 bytes, recorded", "2000"),
        ("epoll", "event loop: epoll_wait that returns at once", "300000"),
    ];

    const PROGRAM: &str = r#"
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
int main(int n, char **v) {
  long count = atol(v[2]); char b[100]; memset(b, 'x', 100); struct epoll_event e;
  struct sockaddr_in to = {AF_INET, 0}; to.sin_addr.s_addr = htonl(INADDR_LOOPBACK); socklen_t len = sizeof to;
  int l = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(l, (void *)&to, len) || listen(l, 9) || getsockname(l, (void *)&to, &len) || connect(s, (void *)&to, len)) return 1;
  int a = accept(l, 0, 0);
  int zero = open("/dev/zero", O_RDONLY), ep = epoll_create1(0);
  struct timespec from, until; clock_gettime(CLOCK_MONOTONIC, &from);
  if (!strcmp(v[1], "close")) for (long i = 0; i < count; i++) close(-1);
  if (!strcmp(v[1], "zero")) for (long i = 0; i < count; i++) read(zero, b, 1);
  if (!strcmp(v[1], "again")) for (long i = 0; i < count; i++) recv(s, b, 100, MSG_DONTWAIT);
  if (!strcmp(v[1], "pair")) for (long i = 0; i < count; i++) { send(s, b, 100, 0); recv(a, b, 100, 0); }
  if (!strcmp(v[1], "epoll")) for (long i = 0; i < count; i++) epoll_wait(ep, &e, 1, 0);
  clock_gettime(CLOCK_MONOTONIC, &until);
  printf("%f\n", ((until.tv_sec - from.tv_sec) * 1e9 + until.tv_nsec - from.tv_nsec) / count);
  return 0; }
"#;

    fn once(program: &Path, case: &str, count: &str, observed: Option<(&Path, &Path)>) -> Result<f64> {
        let mut command = Command::new(program);
        command.args([case, count]).env_remove("LD_PRELOAD").env_remove("HOPWATCH_RINGS");
        if let Some((object, rings)) = observed {
            command.env("LD_PRELOAD", object).env("HOPWATCH_RINGS", rings);
        }
        let output = command.output()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().map_err(Error::other)
    }

    pub(super) fn run() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (source, program) = (folder.path().join("program.c"), folder.path().join("program"));
        let object = folder.path().join("libhopwatch_observer.so");
        std::fs::write(&object, OBJECT)?;
        std::fs::write(&source, PROGRAM)?;
        match Command::new("cc").args(["-O2", "-w"]).arg(&source).arg("-o").arg(&program).status() {
            Ok(status) if status.success() => {}
            other => {
                println!("skipped: no C compiler: {other:?}");
                return Ok(());
            }
        }
        println!("{:<50} {:>9} {:>9} {:>18}", "ns a call", "without", "added", "quartiles");
        for (case, title, count) in CASES {
            let (mut without, mut added) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let rings = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
                // Held as hopwatch holds it while it reads.
                let lock = std::fs::File::open(rings.path())?;
                lock.lock()?;
                let observed = Some((object.as_path(), rings.path()));
                let (plain, seen) = if round % 2 == 0 {
                    let plain = once(&program, case, count, None)?;
                    (plain, once(&program, case, count, observed)?)
                } else {
                    let seen = once(&program, case, count, observed)?;
                    (once(&program, case, count, None)?, seen)
                };
                without.push(plain);
                added.push(seen - plain);
            }
            without.sort_by(f64::total_cmp);
            added.sort_by(f64::total_cmp);
            let at = |values: &[f64], part: usize| values.get(ROUNDS * part / 4).copied().unwrap_or_default();
            println!(
                "{title:<50} {:>9.1} {:>+9.1} {:>+8.1} … {:>+7.1}",
                at(&without, 2),
                at(&added, 2),
                at(&added, 1),
                at(&added, 3)
            );
        }
        Ok(())
    }
}
