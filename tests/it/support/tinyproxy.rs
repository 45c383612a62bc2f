//! A real forward proxy: Debian's tinyproxy.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// A running proxy on the loopback; ended when dropped.
pub(crate) struct Tinyproxy {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Tinyproxy {
    /// Starts it with further lines of configuration, and waits until it listens.
    pub(crate) fn start(program: &Path, lines: &str) -> Self {
        // It wants to be told a port: one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let (config, log) = (folder.path().join("tinyproxy.conf"), folder.path().join("log"));
        std::fs::write(&config, format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Info\n{lines}\n")).unwrap();
        let output = File::create(&log).unwrap();
        let child = Command::new(program)
            .args(["-d", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut proxy = Self { child, port, folder };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return proxy;
            }
            if let Some(status) = proxy.child.try_wait().unwrap() {
                panic!("tinyproxy ended ({status}): {}", proxy.log());
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("tinyproxy did not listen: {}", proxy.log());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote about its connections.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
