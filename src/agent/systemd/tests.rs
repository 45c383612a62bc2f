use super::*;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A manager's end, at a path.
fn manager(folder: &tempfile::TempDir) -> (UnixDatagram, PathBuf) {
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (socket, path)
}

fn heard(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let length = manager.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[test]
fn the_manager_is_told_each_state() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, path) = manager(&folder);
    let notifier = Notifier::to(path.as_os_str(), Some(Duration::from_secs(30))).unwrap();
    notifier.ready("serving 3 routes").unwrap();
    assert_eq!(heard(&manager), "READY=1\nSTATUS=serving 3 routes\n");
    notifier.reloading().unwrap();
    let reloading = heard(&manager);
    let told = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.trim_end().parse::<u64>().ok());
    assert!(told.is_some_and(|usec| usec > 0), "{reloading}");
    notifier.alive().unwrap();
    assert_eq!(heard(&manager), "WATCHDOG=1\n");
    notifier.stopping("draining").unwrap();
    assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=draining\n");
    assert_eq!(notifier.watchdog_period(), Some(Duration::from_secs(15)));
}

#[test]
fn a_status_is_one_line_whatever_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, path) = manager(&folder);
    Notifier::to(path.as_os_str(), None).unwrap().status("a\nSTOPPING=1\nb").unwrap();
    assert_eq!(heard(&manager), "STATUS=a\u{fffd}STOPPING=1\u{fffd}b\n");
}

#[test]
fn a_manager_with_an_abstract_name_is_told() {
    let name = format!("hopwatch-test-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    Notifier::to(OsStr::new(&format!("@{name}")), None).unwrap().alive().unwrap();
    assert_eq!(heard(&manager), "WATCHDOG=1\n");
}

#[test]
fn a_manager_that_does_not_listen_is_told_of_and_one_that_does_not_read_is_not_waited_for() {
    let error = Notifier::to(OsStr::new("/nonexistent/notify"), None).unwrap_err();
    assert_eq!(error.to_string(), "NOTIFY_SOCKET: `/nonexistent/notify` cannot be written to");
    let folder = tempfile::tempdir().unwrap();
    let (_manager, path) = manager(&folder);
    let notifier = Notifier::to(path.as_os_str(), None).unwrap();
    let full = (0..100_000).find_map(|_| notifier.alive().err()).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn under_no_manager_nothing_happens() {
    let notifier = Notifier::default();
    notifier.ready("").and_then(|()| notifier.reloading()).and_then(|()| notifier.alive()).unwrap();
    assert_eq!(notifier.watchdog_period(), None);
}

// === a process that is started with sockets: this test's own program, at `helper_process` ===

const HELPER: &str = "agent::systemd::tests::helper_process";

/// Takes what it was given, tells of it, and answers one connection to its gateway. Started by the tests below.
#[test]
#[ignore = "a helper of other tests"]
fn helper_process() {
    // SAFETY: of the harness's threads none touches the environment or descriptors that it did not open.
    let taken = unsafe { Handover::take() };
    let handover = match taken {
        Ok(handover) => handover,
        Err(error) => return println!("told: refused: {error}; {}", error.hint()),
    };
    let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
    let ports = |sockets: &[TcpListener]| sockets.iter().map(port).collect::<Vec<_>>();
    println!("told: gateway {:?} admin {:?}", ports(&handover.gateway), ports(&handover.admin));
    println!("told: watchdog {:?}", handover.notifier.watchdog_period());
    let sockets: Vec<_> = handover.gateway.iter().chain(&handover.admin).map(|socket| socket.as_raw_fd().to_string()).collect();
    let child = Command::new("sh").args(["-c", "env; echo end; ls /proc/self/fd"]).output().unwrap();
    let child = String::from_utf8(child.stdout).unwrap();
    let (environment, descriptors) = child.split_once("end\n").unwrap();
    let kept = environment.lines().filter(|line| VARIABLES.iter().any(|name| line.starts_with(&format!("{name}="))));
    println!("told: children have {:?}", kept.collect::<Vec<_>>());
    // `ls` itself has the folder open, at a number that may be one of these.
    let open = |socket: &&String| descriptors.lines().filter(|line| line == *socket).count() > 0;
    let inherited = sockets.iter().filter(open).count();
    println!("told: inherited {}", if inherited > 1 { "some" } else { "none" });
    handover.notifier.ready("helper").unwrap();
    if let Some(gateway) = handover.gateway.first() {
        gateway.set_nonblocking(false).unwrap();
        gateway.accept().unwrap().0.write_all(b"served\n").unwrap();
    }
}

fn helper() -> Command {
    let mut command = Command::new("sh");
    let program = std::env::current_exe().unwrap();
    // Only the process itself knows its id before it is one.
    command.args(["-c", "LISTEN_PID=${LISTEN_PID:-$$} WATCHDOG_PID=$$ exec \"$0\" \"$@\""]).arg(program);
    command.args(["--exact", HELPER, "--ignored", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Gives a command these descriptors from 3 on.
fn hand(command: &mut Command, descriptors: &[&dyn AsFd]) {
    // Above those that they are moved to.
    let raised: Vec<OwnedFd> = descriptors
        .iter()
        .map(|descriptor| {
            // SAFETY: the copy is nobody else's.
            unsafe {
                let copy = libc::fcntl(descriptor.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100);
                assert!(copy >= 100);
                OwnedFd::from_raw_fd(copy)
            }
        })
        .collect();
    // SAFETY: `dup2` may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            for (number, descriptor) in (3..).zip(&raised) {
                if libc::dup2(descriptor.as_raw_fd(), number) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// What a helper tells until it serves or ends.
fn told(child: &mut std::process::Child) -> Vec<String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.filter_map(|line| Some(line.split_once("told: ")?.1.to_owned()));
    let mut all = Vec::new();
    for line in told {
        let last = line.starts_with("inherited") || line.starts_with("refused");
        all.push(line);
        if last {
            break;
        }
    }
    all
}

fn served(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    drop(stream.shutdown(Shutdown::Both));
    text
}

#[test]
fn sockets_are_taken_by_their_names_and_children_have_neither_them_nor_the_variables() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, path) = manager(&folder);
    let [one, two, admin] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = [&one, &two, &admin].map(|socket| socket.local_addr().unwrap().port());
    let mut command = helper();
    command.env("LISTEN_FDS", "3").env("LISTEN_FDNAMES", "gateway:admin:gateway");
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "4000000");
    hand(&mut command, &[&one, &admin, &two]);
    let mut child = command.spawn().unwrap();
    assert_eq!(
        told(&mut child),
        [
            format!("gateway [{}, {}] admin [{}]", ports[0], ports[1], ports[2]),
            "watchdog Some(2s)".to_owned(),
            "children have []".to_owned(),
            "inherited none".to_owned(),
        ]
    );
    assert_eq!(heard(&manager), "READY=1\nSTATUS=helper\n");
    assert_eq!(served(ports[0]), "served\n");
    child.wait().unwrap();
}

#[test]
fn sockets_that_cannot_be_used_are_refused_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (datagram, _) = manager(&folder);
    let local = std::os::unix::net::UnixListener::bind(folder.path().join("local")).unwrap();
    let refused = |socket: &dyn AsFd, name: &str, count: &str| {
        let mut command = helper();
        command.env("LISTEN_FDS", count).env("LISTEN_FDNAMES", name);
        hand(&mut command, &[socket]);
        let mut child = command.spawn().unwrap();
        let told = told(&mut child);
        child.wait().unwrap();
        told.concat()
    };
    let named = |name: &str| {
        let hint = "write `ListenStream=ADDRESS:PORT` and `Accept=no` into the socket unit";
        format!("refused: the socket `{name}` in LISTEN_FDS is no TCP socket that listens; {hint}")
    };
    assert_eq!(refused(&connected, "gateway", "1"), named("gateway"));
    assert_eq!(refused(&datagram, "admin", "1"), named("admin"));
    assert_eq!(refused(&local, "gateway", "1"), named("gateway"));
    assert_eq!(
        refused(&listener, "hopwatch.socket", "1"),
        "refused: a socket in LISTEN_FDS is named `hopwatch.socket`, and not `gateway` or `admin`; \
         write `FileDescriptorName=gateway` into the socket unit"
    );
    for (name, count) in [("gateway:admin", "1"), ("gateway", "many")] {
        let said = refused(&listener, name, count);
        assert!(said.starts_with("refused: the sockets in LISTEN_FDS cannot be taken over; "), "{said}");
    }
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = helper();
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "gateway").env("LISTEN_PID", "1");
    hand(&mut command, &[&listener]);
    let mut child = command.spawn().unwrap();
    assert_eq!(told(&mut child)[0], "gateway [] admin []");
    child.wait().unwrap();
}

#[test]
fn systemd_activates_it_by_a_socket() {
    const PROGRAM: &str = "systemd-socket-activate";
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(PROGRAM).is_file());
    if !found {
        let required = std::env::var("HOPWATCH_REQUIRE_PARTS").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
        assert!(!required, "`{PROGRAM}` is not installed");
        // Past the harness, which would keep back what a passing test prints.
        return drop(writeln!(std::io::stderr(), "skipped: `{PROGRAM}` is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let (manager, path) = manager(&folder);
    // It takes no port 0, and somebody else may take the one that was free.
    let (mut child, port) = (0..10).find_map(|_| activated(PROGRAM, &path)).expect("a port is free");
    let client = std::thread::spawn(move || served(port));
    assert_eq!(told(&mut child)[0], format!("gateway [{port}] admin []"));
    assert_eq!(heard(&manager), "READY=1\nSTATUS=helper\n");
    assert_eq!(client.join().unwrap(), "served\n");
    child.wait().unwrap();
}

/// The helper behind a socket that systemd's tool listens on; `None` = it ended at once.
fn activated(program: &str, notify: &std::path::Path) -> Option<(std::process::Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap().port();
    let helper = helper();
    let mut command = Command::new(program);
    command.args([format!("--listen=127.0.0.1:{port}"), "--fdname=gateway".to_owned()]);
    command.arg(format!("--setenv=NOTIFY_SOCKET={}", notify.display())).arg(helper.get_program()).args(helper.get_args());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    if said.any(|line| line.contains("Listening on")) {
        // Nobody reads on, and a full pipe must not stop it.
        std::thread::spawn(move || said.for_each(drop));
        return Some((child, port));
    }
    child.wait().unwrap();
    None
}
