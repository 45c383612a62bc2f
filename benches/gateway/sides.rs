//! Those that are compared: processes of their own, on a core of their own.

use std::ffi::OsStr;
use std::fs;
use std::io::{Error, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the proxies run.
pub(crate) const PROXY_CORE: usize = 0;
/// Where the load and the upstreams run.
pub(crate) const LOAD_CORE: usize = 1;

/// A proxy that runs, or none.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Where it passes bytes alone to the same upstream.
    pub(crate) tcp_route: Option<SocketAddr>,
    process: Option<Process>,
}

/// A process, ended with this.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        let _left = fs::remove_dir_all(&self.folder);
    }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Side {
    /// No proxy.
    pub(crate) fn direct(upstream: SocketAddr) -> Self {
        Self { name: "direct", address: upstream, tcp_route: None, process: None }
    }

    /// nginx as a plain proxy with kept connections.
    pub(crate) fn nginx(upstream: SocketAddr) -> Self {
        let address = free();
        let config = format!(
            "worker_processes 1; master_process off; daemon off; pid nginx.pid; error_log stderr crit; events {{ worker_connections 8192; }}
            http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
            upstream up {{ server {upstream}; keepalive 1024; }}
            server {{ listen {address}; keepalive_requests 1000000000;
            location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }} }} }}"
        );
        Self::started("nginx", address, PROXY_CORE, "nginx.conf", &config, |folder, file| {
            let mut command = Command::new("nginx");
            command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(file);
            command
        })
    }

    /// HAProxy as a plain proxy with kept connections.
    pub(crate) fn haproxy(upstream: SocketAddr) -> Self {
        Self::haproxy_as("mode http\n option http-no-delay", "http-reuse always\n ", upstream)
    }

    /// HAProxy that passes bytes alone.
    pub(crate) fn haproxy_tcp(upstream: SocketAddr) -> Self {
        Self::haproxy_as("mode tcp", "", upstream)
    }

    fn haproxy_as(mode: &str, backend: &str, upstream: SocketAddr) -> Self {
        let address = free();
        let config = format!(
            "global\n nbthread 1\n maxconn 8192\ndefaults\n {mode}\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
            frontend f\n bind {address}\n default_backend b\nbackend b\n {backend}server s {upstream}\n"
        );
        Self::started("haproxy", address, PROXY_CORE, "haproxy.cfg", &config, |_, file| {
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f"]).arg(file);
            command
        })
    }

    /// hopwatch as it runs as a sidecar: routes, metrics, report.
    pub(crate) fn hopwatch(upstream: SocketAddr) -> Self {
        Self::hopwatch_exporting(upstream, None)
    }

    /// The same with its spans and metrics going to this collector.
    pub(crate) fn hopwatch_exporting(upstream: SocketAddr, collector: Option<SocketAddr>) -> Self {
        let (address, listen) = (free(), free());
        let config = format!(
            "[agent]\nadmin = 0\n[gateway]\nlisten = \"{address}\"\n[[route]]\nprefix = \"/\"\nupstream = \"http://{upstream}\"\n\
            dependency = \"upstream\"\nkind = \"retrieval\"\n[[tcp]]\nlisten = \"{listen}\"\nupstream = \"{upstream}\"\ndependency = \"bytes\"\nkind = \"retrieval\"\n"
        );
        let mut side = Self::started("hopwatch", address, PROXY_CORE, "hopwatch.toml", &config, |_, file| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hopwatch"));
            command.args(["agent", "--quiet", "--config"]).arg(file);
            if let Some(collector) = collector {
                command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
                command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
            }
            command
        });
        wait_for(listen);
        side.tcp_route = Some(listen);
        side
    }

    /// Starts one that is configured by a file, and waits until it serves.
    pub(crate) fn started(
        name: &'static str,
        address: SocketAddr,
        core: usize,
        file: &str,
        config: &str,
        command: impl FnOnce(&OsStr, &OsStr) -> Command,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("hopwatch-bench-{}-{}", std::process::id(), address.port()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(file);
        fs::File::create(&path).unwrap().write_all(config.as_bytes()).unwrap();
        let mut command = command(folder.as_os_str(), path.as_os_str());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = spawn(&mut command, core);
        wait_for(address);
        Self { name, address, tcp_route: None, process: Some(Process { child, folder }) }
    }

    /// Called otherwise.
    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// CPU time that it has used, all its threads together.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.as_ref().map_or(Duration::ZERO, |process| cpu_of(process.id()))
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.process.as_ref().map_or(0, |process| resident(process.id()))
    }
}

/// Starts a process on a core.
pub(crate) fn spawn(command: &mut Command, core: usize) -> Child {
    // SAFETY: one system call, in the new process.
    unsafe {
        command.pre_exec(move || {
            pin(core);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

/// From here on this thread, and what it starts, runs on this core. With fewer cores all share what there is.
pub(crate) fn pin(core: usize) {
    // SAFETY: the set is a plain value of this function.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// An address that nobody uses.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until somebody accepts there.
pub(crate) fn wait_for(address: SocketAddr) {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody serves at {address}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a program says of its version; `None` = it cannot be started.
pub(crate) fn version(name: &str) -> Option<String> {
    let output = Command::new(name).arg("-v").output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}

fn cpu_of(process: u32) -> Duration {
    // The scheduler's own account is finer than the ticks of `stat`.
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(of_thread).sum())
}

fn resident(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).map_err(|error: Error| error.to_string()).unwrap();
    let pages: u64 = text.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}
