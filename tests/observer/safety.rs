//! What must not happen to an observed process, and when nothing is observed.

use crate::support::{Place, assert_done, python, serve};
use hopwatch::observer::layout::Event;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Calls that fail and calls that work, with their results and `errno`.
const CALLS: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static int number;
#define SHOW(call) do { errno = 1234; long r = (long)(call); printf("%d %s %ld %d\n", ++number, #call, r, errno); } while (0)
int main(int n, char **v) {
  char b[64]; struct iovec io = {b, 64}; struct msghdr m = {0}; m.msg_iov = &io; m.msg_iovlen = 1; struct mmsghdr mm = {m};
  struct timespec t = {0, 1000}, past = {1, 0}; struct timeval tv = {0, 1000}; struct pollfd p = {-1, POLLIN}; fd_set set; FD_ZERO(&set);
  struct sockaddr_in to = {AF_INET, htons(atoi(v[1]))}; to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct sockaddr_in no = {AF_INET, htons(1)}; no.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct sockaddr_un un = {AF_UNIX, "/nowhere/at/all"};
  socklen_t len; int value; sem_t sem; sem_init(&sem, 0, 0); pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; pthread_cond_t co = PTHREAD_COND_INITIALIZER;
  char *argv[] = {"x", 0}, *envp[] = {0};
  for (int round = 0; round < 2; round++) {
    int s = round ? socket(AF_INET, SOCK_STREAM, 0) : 4095;
    SHOW(connect(s, (void *)&no, sizeof no)); SHOW(connect(s, (void *)&to, 1)); SHOW(connect(s, 0, 0)); SHOW(connect(s, (void *)8, 16));
    if (round) { close(s); s = socket(AF_INET, SOCK_STREAM, 0); SHOW(send(s, b, 1, MSG_NOSIGNAL)); SHOW(recv(s, b, 1, 0)); }
    SHOW(connect(s, (void *)&to, sizeof to)); SHOW(connect(s, (void *)&to, sizeof to));
    len = sizeof value; SHOW(getsockopt(s, SOL_SOCKET, SO_ERROR, &value, &len)); SHOW(getsockopt(s, SOL_SOCKET, 9999, &value, &len));
    SHOW(accept(s, 0, 0)); SHOW(accept4(s, 0, 0, 0));
    int on = 1; SHOW(ioctl(s, FIONBIO, &on)); SHOW(fcntl(s, F_GETFL) & O_NONBLOCK);
    SHOW(recv(s, b, 64, 0)); SHOW(read(s, b, 64)); SHOW(readv(s, &io, 1)); SHOW(recvmsg(s, &m, 0)); SHOW(recvfrom(s, b, 64, MSG_PEEK, 0, 0));
    SHOW(recvmmsg(s, &mm, 1, 0, 0)); SHOW(read(s, (void *)8, 64)); SHOW(write(s, (void *)8, 64)); SHOW(writev(s, (void *)8, 3));
#ifdef __GLIBC__
    SHOW(recvmsg(s, 0, 0)); SHOW(sendmsg(s, (void *)8, 0));
#endif
    SHOW(readv(s, &io, -1)); SHOW(writev(s, &io, 2000));
    SHOW(write(s, "a", 1)); SHOW(writev(s, &io, 1)); SHOW(sendmsg(s, &m, 0)); SHOW(sendmmsg(s, &mm, 1, 0)); SHOW(sendto(s, b, 1, 0, 0, 0)); SHOW(sendfile(s, 4094, 0, 1));
    SHOW(dup2(s, 4000)); SHOW(dup2(4094, 4000)); SHOW(dup3(s, s, 0)); SHOW(close(4000)); SHOW(close(4000));
    SHOW(shutdown(s, SHUT_WR)); SHOW(send(s, b, 1, MSG_NOSIGNAL)); SHOW(shutdown(s, 77)); SHOW(close(s)); SHOW(close(s)); SHOW(read(s, b, 1)); SHOW(write(s, b, 1));
  }
  int u = socket(AF_UNIX, SOCK_STREAM, 0); SHOW(connect(u, (void *)&un, sizeof un)); SHOW(close(u));
  int d = socket(AF_INET, SOCK_DGRAM, 0); SHOW(connect(d, (void *)&to, sizeof to)); SHOW(close(d));
  struct addrinfo *info; SHOW(getaddrinfo("127.0.0.1", 0, 0, &info)); SHOW(getaddrinfo("no.such.name.invalid.", "no such service", 0, &info));
  SHOW(poll(&p, 1, 1)); SHOW(poll(&p, 1, 0)); SHOW(poll((void *)8, 3000000, 1)); SHOW(ppoll(&p, 1, &t, 0)); SHOW(select(0, 0, 0, 0, &tv)); SHOW(select(-1, &set, 0, 0, &tv)); SHOW(select(5, (void *)8, 0, 0, &tv)); SHOW(poll((void *)8, 2, 1)); SHOW(pselect(0, 0, 0, 0, &t, 0));
  SHOW(epoll_wait(4094, (void *)b, 1, 1)); SHOW(epoll_pwait(4094, (void *)b, 1, 1, 0));
  SHOW(nanosleep(&t, 0)); SHOW(nanosleep((void *)8, 0)); SHOW(clock_nanosleep(99, 0, &t, 0)); SHOW(usleep(1)); SHOW(sleep(0));
  SHOW(sem_timedwait(&sem, &past)); SHOW(pthread_cond_timedwait(&co, &mu, &past));
  SHOW(waitpid(-1, 0, 0)); SHOW(wait(0)); SHOW(waitid(P_ALL, 0, 0, WEXITED)); SHOW(wait4(-1, 0, 0, 0));
  SHOW(flock(4094, LOCK_EX)); SHOW(fsync(4094)); SHOW(fdatasync(4094));
  SHOW(open("/no/such/file", O_RDONLY)); SHOW(open("/tmp", O_WRONLY)); SHOW(openat(AT_FDCWD, "/no", O_CREAT | O_DIRECTORY, 0600)); SHOW(open((void *)8, 0));
  SHOW(dup(4094)); SHOW(fcntl(4094, F_DUPFD, 0)); SHOW(ioctl(4094, FIONBIO, 0)); SHOW(close(-1)); SHOW(socket(99, 99, 99));
  SHOW(execve("/no/such/program", argv, envp)); SHOW(execve((void *)8, argv, envp)); SHOW(execve("/no", argv, (void *)8)); SHOW(execvp("no-such-program", argv)); SHOW(execv("/tmp", argv));
  return 0;
}
"#;

fn echo() -> u16 {
    serve(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn results_and_errno_are_the_same_with_and_without() {
    let place = Place::new();
    for compiler in ["cc", "musl-gcc"] {
        let Some(program) = place.compile(compiler, CALLS, &["-O0"]) else {
            continue;
        };
        let port = echo().to_string();
        let without = Command::new(&program).arg(&port).output().unwrap();
        let with = place.command(&program).arg(&port).output().unwrap();
        assert_done(&without);
        assert_done(&with);
        let lines = |output: &Output| String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
        for (without, with) in lines(&without).iter().zip(lines(&with)) {
            assert_eq!(*without, with, "{compiler}");
        }
        assert_eq!(lines(&without).len(), lines(&with).len());
        let rings = place.rings();
        let ring = rings.last().unwrap();
        assert!(ring.of(Event::ConnectStart).len() >= 3 && ring.of(Event::Write).len() >= 3, "{compiler}");
    }
}

#[test]
fn a_full_ring_is_counted_and_harmless() {
    let place = Place::new();
    let script = "import socket, sys\n\
        s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
        for _ in range(30000): assert s.send(b'x') == 1";
    if place.python(script, &[&echo().to_string()]).is_none() {
        return;
    }
    let ring = place.ring();
    let writes = ring.of(Event::Write).len() as u64;
    assert!(writes > 0 && ring.lost >= 30_000 - writes, "{writes} {}", ring.lost);
}

/// Runs a program that uses the network and must not be disturbed; nobody must be observing it.
fn runs_unseen(place: &Place, shell: &str, rings: &Path) {
    let Some(python) = python() else { return };
    let script =
        "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.sendall(b'x'); print('done')";
    let output = place
        .command("/bin/sh")
        .args(["-c", &format!("{shell} exec \"$@\""), "sh"])
        .arg(python)
        .args(["-c", script, &echo().to_string()])
        .env("HOPWATCH_RINGS", rings)
        .output()
        .unwrap();
    assert_done(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(!place.rings().iter().any(|ring| ring.program.starts_with("python")));
}

#[test]
fn without_room_for_a_ring_nothing_happens() {
    let place = Place::new();
    let file = place.file("a-file");
    std::fs::write(&file, "").unwrap();
    runs_unseen(&place, "", Path::new(""));
    runs_unseen(&place, "", Path::new("/no/such/directory"));
    runs_unseen(&place, "", &file);
    runs_unseen(&place, "", Path::new(&"x".repeat(5000)));
    // SIGXFSZ would kill.
    runs_unseen(&place, "ulimit -f 100;", place.directory());
    let marks = std::fs::read_dir(place.directory()).unwrap().map(|entry| entry.unwrap().path());
    let marks: Vec<_> = marks.filter(|path| path.extension().is_some_and(|extension| extension == "noroom")).collect();
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert_eq!(std::fs::metadata(&marks[0]).unwrap().len(), 0);
    runs_unseen(&place, "export HOPWATCH_OBSERVER=off;", place.directory());
}

#[test]
fn after_the_reader_is_gone_nobody_makes_a_ring() {
    let place = Place::new();
    let run = || assert_done(&place.command("/bin/sh").args(["-c", "/bin/true; /bin/true"]).output().unwrap());
    run();
    let before = place.rings().len();
    assert!(before >= 3);
    place.abandon();
    run();
    assert_eq!(place.rings().len(), before);
}

#[test]
fn a_full_file_system_is_no_bus_error() {
    let place = Place::new();
    let Some(python) = python() else { return };
    let small = place.file("small");
    std::fs::create_dir(&small).unwrap();
    // A mount of its own, in namespaces of its own.
    let script = format!(
        "mount -t tmpfs -o size=512k none {0} && exec 9<{0} && flock 9 && exec env LD_PRELOAD={1} HOPWATCH_RINGS={0} {2} -c 'import os; print(os.listdir(\"{0}\"))'",
        small.display(),
        place.object().display(),
        python.display()
    );
    let output = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output();
    match output {
        Ok(output) if output.status.success() => {
            // Only the mark by which the loss is told.
            let left = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(left.matches(".noroom'").count() >= 1 && !left.contains(".ring"), "{left}");
        }
        other => eprintln!("skipped: no mount of an own: {other:?}"),
    }
}

fn run(place: &Place, program: &Path) {
    let output = place.command(program).arg("x").output().unwrap();
    assert_done(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn programs_that_cannot_be_observed_run_untouched() {
    let place = Place::new();
    let source = "#include <unistd.h>\nint main() { return write(1, \"hello\\n\", 6) != 6; }";
    if let Some(program) = place.compile("cc", source, &["-static"]) {
        run(&place, &program);
        assert!(place.rings().is_empty());
    }
    if let Some(program) = place.compile("cc", source, &[]) {
        run(&place, &program);
        assert_eq!(place.rings().len(), 1);
        // SAFETY: asks who runs this.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("skipped: a set-id program needs root to be of use");
            return;
        }
        // For root no program is set-id: run it as somebody else.
        std::os::unix::fs::chown(&program, Some(0), Some(0)).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
        let folder = program.parent().map(PathBuf::from).unwrap();
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = place.command(&program);
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
        assert_eq!(place.rings().len(), 1);
    }
}

#[test]
fn a_cancelled_thread_unwinds_through_the_hooks() {
    let place = Place::new();
    let source = r#"
        #include <arpa/inet.h>
        #include <pthread.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/socket.h>
        #include <unistd.h>
        static int s; static volatile int cleaned;
        static void clean(void *x) { cleaned++; }
        static void *receive(void *x) { char b; pthread_cleanup_push(clean, 0); recv(s, &b, 1, 0); pthread_cleanup_pop(0); return 0; }
        static void *rest(void *x) { pthread_cleanup_push(clean, 0); sleep(100); pthread_cleanup_pop(0); return 0; }
        int main(int n, char **v) {
          struct sockaddr_in to = {AF_INET, htons(atoi(v[1]))}; to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
          s = socket(AF_INET, SOCK_STREAM, 0);
          if (connect(s, (void *)&to, sizeof to)) return 1;
          pthread_t a, b; pthread_create(&a, 0, receive, 0); pthread_create(&b, 0, rest, 0);
          usleep(100000); pthread_cancel(a); pthread_cancel(b); pthread_join(a, 0); pthread_join(b, 0);
          return cleaned != 2; }"#;
    for compiler in ["cc", "musl-gcc"] {
        let Some(program) = place.compile(compiler, source, &[]) else {
            continue;
        };
        assert_done(&place.command(program).arg(echo().to_string()).output().unwrap());
    }
}

#[test]
fn small_stacks_many_threads_and_signals_do_no_harm() {
    let place = Place::new();
    let source = r#"
        #include <arpa/inet.h>
        #include <pthread.h>
        #include <signal.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/time.h>
        #include <unistd.h>
        static struct sockaddr_in to; static int shared; static volatile int failed;
        static void tick(int x) { if (write(shared, "s", 1) != 1) failed = 1; }
        static void *work(void *x) {
          for (int i = 0; i < 2; i++) {
            int s = socket(AF_INET, SOCK_STREAM, 0);
            while (connect(s, (void *)&to, sizeof to)) ;
            for (int k = 0; k < 60; k++) while (write(s, "GET / HTTP/1.1\r\ncookie: x\r\n\r\n", 29) != 29) ;
            close(s); }
          return 0; }
        int main(int n, char **v) {
          to.sin_family = AF_INET; to.sin_port = htons(atoi(v[1])); to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
          shared = socket(AF_INET, SOCK_STREAM, 0); if (connect(shared, (void *)&to, sizeof to)) return 1;
          struct sigaction act; memset(&act, 0, sizeof act); act.sa_handler = tick; act.sa_flags = SA_RESTART; sigaction(SIGALRM, &act, 0);
          struct itimerval every = {{0, 500}, {0, 500}}; setitimer(ITIMER_REAL, &every, 0);
          pthread_attr_t small; pthread_attr_init(&small); pthread_attr_setstacksize(&small, 32768);
          for (int round = 0; round < 6; round++) {
            pthread_t t[50]; for (int i = 0; i < 50; i++) if (pthread_create(&t[i], &small, work, 0)) return 2;
            for (int i = 0; i < 50; i++) pthread_join(t[i], 0); }
          return failed; }"#;
    let Some(program) = place.compile("cc", source, &[]) else {
        return;
    };
    assert_done(&place.command(program).arg(echo().to_string()).output().unwrap());
    let ring = place.ring();
    assert!(ring.lost > 0 && !ring.entries.is_empty());
}
