//! Processes started in every way, and processes that end in every way.

use crate::support::{Place, Ring, assert_done, python, serve};
use hopwatch::observer::layout::{Call, Event, MADE_AFTER_FORK, MADE_AT_START};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn count(rings: &[Ring], program: &str) -> usize {
    rings.iter().filter(|ring| ring.program == program && ring.made == MADE_AT_START).count()
}

#[test]
fn every_way_to_start_a_program_is_followed() {
    let place = Place::new();
    let script = "import os, subprocess, multiprocessing\n\
        subprocess.run(['/bin/true'], env={}, check=True)\n\
        subprocess.run(['/bin/true'], env={}, close_fds=False, check=True)\n\
        os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)\n\
        os.system('/bin/true')\n\
        for start in (lambda: os.execve('/bin/true', ['true'], {}), lambda: os.execv('/bin/true', ['true'])):\n\
        \x20   pid = os.fork()\n\
        \x20   if pid == 0: start()\n\
        \x20   os.waitpid(pid, 0)\n\
        os.environ.pop('LD_PRELOAD')\n\
        pid = os.fork()\n\
        if pid == 0: os.execvp('true', ['true'])\n\
        os.waitpid(pid, 0)";
    if place.python(script, &[]).is_none() {
        return;
    }
    let rings = place.rings();
    assert_eq!(count(&rings, "true"), 7, "{:?}", rings.iter().map(|ring| (&ring.program, ring.made)).collect::<Vec<_>>());
    let parent = rings[0].pid;
    let direct = rings.iter().filter(|ring| ring.program == "true" && ring.ppid == parent).count();
    assert!(direct >= 6);
}

#[test]
fn an_environment_without_us_on_purpose_is_left_alone() {
    let place = Place::new();
    let script = "import subprocess, os\n\
        subprocess.run(['/bin/true'], env={'LD_PRELOAD': ''}, check=True)\n\
        subprocess.run(['/bin/true'], env={'HOPWATCH_OBSERVER': 'off'}, check=True)\n\
        out = subprocess.run(['/usr/bin/env'], env={'A': 'b', 'HOPWATCH_RINGS': 'x'}, capture_output=True, check=True).stdout\n\
        assert sorted(l.split(b'=')[0] for l in out.split()) == [b'A', b'HOPWATCH_RINGS', b'LD_PRELOAD'], out\n\
        assert b'HOPWATCH_RINGS=x' in out, out";
    if place.python(script, &[]).is_none() {
        return;
    }
    assert_eq!(place.rings().len(), 1);
}

/// The programs whose rings a Python leaves that starts two others, when the programs of these names are skipped.
fn seen_where(skipped: &str, argument_0: Option<&str>) -> Option<Vec<String>> {
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    let script = "import os, subprocess\n\
        subprocess.run(['/bin/true'], check=True)\n\
        subprocess.run(['/bin/true'], env={}, check=True)\n\
        pid = os.fork()\n\
        if pid == 0: os._exit(0)\n\
        os.waitpid(pid, 0)";
    let mut command = place.command(python()?);
    if let Some(name) = argument_0 {
        command.arg0(name);
    }
    assert_done(&command.args(["-c", script]).env("HOPWATCH_SKIP", skipped).output().unwrap());
    Some(place.rings().into_iter().map(|ring| ring.program).collect())
}

#[test]
fn a_skipped_program_has_no_ring_and_what_it_starts_has() {
    let Some(python) = python() else {
        return;
    };
    let file = python.file_name().unwrap().to_str().unwrap();
    // By the name of its file, and by the name that it is started by.
    assert_eq!(seen_where(&format!("nothing:{file}"), Some("agent")).unwrap(), ["true", "true"]);
    assert_eq!(seen_where("/bin/agent:agent", Some("/no/where/agent")).unwrap(), ["true", "true"]);
    // Names are whole names.
    let parts = format!("{}:{file}x:x{file}:/{file}::", &file[..file.len() - 1]);
    assert_eq!(seen_where(&parts, None).unwrap(), [file, "true", "true", file]);
    assert_eq!(seen_where("true", None).unwrap(), [file, file]);
}

#[test]
fn a_forked_child_has_a_ring_of_its_own() {
    let place = Place::new();
    let port = serve(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let script = "import os, socket, sys\n\
        to = ('127.0.0.1', int(sys.argv[1]))\n\
        s = socket.create_connection(to); s.sendall(b'parent')\n\
        pid = os.fork()\n\
        if pid == 0:\n\
        \x20   s.sendall(b'child on the old one')\n\
        \x20   t = socket.create_connection(to); t.sendall(b'child'); os._exit(0)\n\
        os.waitpid(pid, 0); s.sendall(b'parent again')";
    if place.python(script, &[&port.to_string()]).is_none() {
        return;
    }
    let rings = place.rings();
    let texts = |ring: &Ring| ring.of(Event::Write).iter().map(|entry| entry.text()).collect::<Vec<_>>();
    assert_eq!(texts(&rings[0]), ["parent", "parent again"]);
    assert_eq!(texts(&rings[1]), ["child on the old one", "child"]);
    assert_eq!((rings[1].made, rings[1].ppid), (MADE_AFTER_FORK, rings[0].pid));
    let conns: Vec<_> = rings[1].of(Event::Write).iter().map(|entry| entry.record.conn).collect();
    assert_eq!(conns, [1, 2]);
}

#[test]
fn a_vforked_child_that_closes_everything_takes_nothing_from_its_parent() {
    let place = Place::new();
    let port = serve(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let source = "#define _GNU_SOURCE\n#include <arpa/inet.h>\n#include <stdlib.h>\n#include <sys/socket.h>\n#include <sys/wait.h>\n#include <unistd.h>\n\
        int main(int n, char **v) {\n\
          struct sockaddr_in to = {AF_INET, htons(atoi(v[1]))}; to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);\n\
          int s = socket(AF_INET, SOCK_STREAM, 0);\n\
          if (connect(s, (void *)&to, sizeof to)) return 1;\n\
          pid_t p = vfork();\n\
          if (p == 0) { close(s); close_range(3, ~0u, 0); char *a[] = {\"true\", 0}, *e[] = {0}; execve(\"/bin/true\", a, e); _exit(9); }\n\
          int status; waitpid(p, &status, 0);\n\
          if (status || write(s, \"after\", 5) != 5) return 2;\n\
          return close(s); }";
    let Some(program) = place.compile("cc", source, &[]) else {
        return;
    };
    crate::support::assert_done(&place.command(program).arg(port.to_string()).output().unwrap());
    let rings = place.rings();
    assert_eq!(rings[0].story(1), [Event::ConnectStart, Event::ConnectEnd, Event::Write, Event::Close]);
    assert!(rings[0].of(Event::Exec).is_empty());
    assert_eq!((rings.len(), rings[1].program.as_str(), rings[1].ppid), (2, "true", rings[0].pid));
}

#[test]
fn a_call_in_progress_is_readable_after_sigkill() {
    let place = Place::new();
    let Some(python) = python() else { return };
    let port = serve(|stream| {
        std::thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let script = "import socket, sys, threading\n\
        def wait():\n\
        \x20   s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.sendall(b'x'); s.recv(9)\n\
        for _ in range(3): threading.Thread(target=wait).start()\n\
        print('ready', flush=True)";
    let mut child = place.command(python).args(["-c", script, &port.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let reading = || {
        let ring = place.ring();
        let mut conns: Vec<_> = ring
            .slots
            .iter()
            .filter(|slot| slot.since != 0 && matches!(slot.call, Call::Read) && slot.fd >= 0)
            .map(|slot| slot.conn)
            .collect();
        conns.sort_unstable();
        conns
    };
    let patience = hopwatch_patience();
    while reading() != [1, 2, 3] && !patience() {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(reading(), [1, 2, 3]);
}

/// Whether ten seconds are over.
fn hopwatch_patience() -> impl Fn() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test's own patience")]
    let start = Instant::now();
    move || start.elapsed() > Duration::from_secs(10)
}

#[test]
fn the_kill_word_ends_recording_and_nothing_else() {
    let place = Place::new();
    let Some(python) = python() else { return };
    let port = serve(|mut stream| {
        let mut byte = [0];
        while stream.read(&mut byte).unwrap_or(0) == 1 {
            stream.write_all(&byte).unwrap();
        }
    });
    let script = "import socket, sys\n\
        s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
        for c in (b'a', b'b'):\n\
        \x20   s.sendall(c); assert s.recv(1) == c; print('done', flush=True); input()";
    let mut child = place
        .command(python)
        .args(["-c", script, &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "done");
    let path = std::fs::read_dir(place.directory()).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let kill = std::mem::offset_of!(hopwatch::observer::layout::Header, kill);
    std::os::unix::fs::FileExt::write_all_at(&file, &1u32.to_le_bytes(), kill as u64).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "done");
    input.write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    let ring = place.ring();
    assert_eq!(ring.of(Event::Write).iter().map(|entry| entry.text()).collect::<Vec<_>>(), ["a"]);
    assert!(ring.of(Event::Close).is_empty());
}
