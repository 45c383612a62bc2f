//! A real Chroma server from the Python environment.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::turn::Turn;

/// A running server with a store of its own; ended and removed when dropped.
pub(crate) struct Chroma {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Chroma {
    /// Starts it and waits until it answers. `python` is the environment's interpreter: `chroma` lies beside it.
    pub(crate) fn start(python: &Path) -> Self {
        // Chroma wants to be told a port: one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let output = File::create(&log).unwrap();
        let _turn = Turn::take();
        let child = Command::new(python.with_file_name("chroma"))
            .args(["run", "--host", "127.0.0.1", "--port", &port.to_string(), "--path"])
            .arg(folder.path().join("store"))
            .env("ANONYMIZED_TELEMETRY", "False")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut chroma = Self { child, port, _folder: folder };
        for _ in 0..600 {
            if chroma.answers() {
                return chroma;
            }
            if let Some(status) = chroma.child.try_wait().unwrap() {
                panic!("chroma ended ({status}): {}", std::fs::read_to_string(&log).unwrap());
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("chroma did not answer in a minute: {}", std::fs::read_to_string(&log).unwrap());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /api/v2/heartbeat HTTP/1.1\r\nhost: chroma\r\nconnection: close\r\n\r\n")?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

impl Drop for Chroma {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
