//! Bodies and heads that are far larger than they look, or never end: the agent stays as it is, and clients get what was sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::ask::{PATIENCE, wait_for};
use crate::client::Client;
use crate::process::resident;
use crate::sidecar::{Sidecar, route};

/// The most that its memory may grow meanwhile: windows and buffers of a few connections.
const GROWTH: u64 = 48 << 20;
/// What is sent where nothing ends by itself.
const ENDLESS: usize = 256 << 20;

/// The same of heads, far beyond the longest that is taken.
const LONG: usize = 16 << 20;

/// An upstream that reads the head of a request and answers by its path; it lives as long as the test's process.
fn upstream(answer: impl Fn(&str, &mut TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, mut stream) = (answer.clone(), stream.unwrap());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    // Whoever leaves has asked nothing.
                    let Ok(1) = stream.read(&mut byte) else { return };
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap().to_owned();
                if path == "/ok" {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    stream.read_exact(&mut vec![0; length.map_or(0, |length| length.parse().unwrap())]).unwrap();
                }
                answer(&path, &mut stream);
            });
        }
    });
    address
}

fn sidecar(upstream: SocketAddr) -> Sidecar {
    let sidecar = Sidecar::start(&route("/bomb", &format!("http://{upstream}"), "llm", "bomb"));
    // What it takes once is not what a bomb takes.
    assert_eq!(Client::to(&sidecar.gateway[0]).head_of("/bomb/ok"), 200);
    sidecar
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

impl Client {
    /// The status of the answer to a GET.
    fn head_of(&mut self, path: &str) -> u16 {
        self.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        self.head().unwrap().0
    }
}

/// Gigabytes of zeros in a few megabytes, in each encoding.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    use flate2::write::GzEncoder;
    use flate2::{Compression, FlushCompress};
    let zeros = vec![b' '; 4 << 20];
    let mut member = GzEncoder::new(Vec::new(), Compression::best());
    member.write_all(&zeros).unwrap();
    // Members may follow each other (RFC 1952, 2.2).
    let gzip = member.finish().unwrap().repeat(1_000);
    let mut deflate = flate2::Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(64 << 10);
    // Blocks behind a full flush stand for themselves, and may be repeated.
    deflate.compress_vec(&zeros, &mut block, FlushCompress::Full).unwrap();
    assert_eq!(deflate.total_in(), zeros.len() as u64);
    let deflate = [&[0x78, 0xda][..], &block.repeat(1_000)].concat();
    // A frame of blocks of 128 KiB, each of one byte that is repeated (RFC 8878, 3.1.1.2).
    let header = (128_u32 << 10 << 3 | 1 << 1).to_le_bytes();
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38][..], &[header[0], header[1], header[2], b' '].repeat(1 << 20)].concat();
    // 4 MiB of zeros, compressed by Node.js; what follows is no brotli.
    let brotli = [0x9b, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x07].repeat(100_000);
    vec![("gzip", gzip), ("deflate", deflate), ("zstd", zstd), ("br", brotli)]
}

#[test]
fn compressed_bombs_pass_as_they_are_and_cost_little() {
    let sent = bombs();
    let answers = sent.clone();
    let upstream = upstream(move |path, stream| {
        let mut parts = path.trim_start_matches('/').split('/');
        let (encoding, kind) = (parts.next().unwrap(), parts.collect::<Vec<_>>().join("/"));
        let Some((_, bomb)) = answers.iter().find(|(name, _)| *name == encoding) else { return stream.write_all(OK).unwrap() };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(bomb).unwrap();
    });
    let sidecar = sidecar(upstream);
    let before = resident(sidecar.pid());
    for (encoding, bomb) in &sent {
        for kind in ["application/json", "text/event-stream", "application/x-ndjson", "text/html"] {
            let mut stream = TcpStream::connect(&sidecar.gateway[0]).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let request = format!("GET /bomb/{encoding}/{kind} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got.starts_with(b"HTTP/1.1 200 "), "{encoding} as {kind}");
            assert!(got.ends_with(bomb) && got.len() < bomb.len() + 1_000, "{encoding} as {kind}: {} bytes", got.len());
            let memory = resident(sidecar.pid());
            assert!(memory < before + GROWTH, "{encoding} as {kind}: {before} bytes became {memory}");
        }
        // The same as a request.
        let mut client = Client::to(&sidecar.gateway[0]);
        client.write(
            format!(
                "POST /bomb/ok HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-encoding: {encoding}\r\n\
                 content-length: 16000\r\n\r\n"
            )
            .as_bytes(),
        );
        client.write(&bomb[..16_000]);
        assert_eq!(client.head().unwrap().0, 200);
    }
    sidecar.counted(1 + sent.len() * 5);
    assert!(resident(sidecar.pid()) < before + GROWTH);
}

#[test]
fn bodies_without_an_end_are_not_kept_for_who_does_not_read_them() {
    let upstream = upstream(|path, stream| match path {
        // It says more than anyone takes.
        "/answer" => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"text\":\"";
            if stream.write_all(head).is_ok() {
                while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
            }
        }
        // It reads nothing of what is sent.
        "/upload" => std::thread::sleep(PATIENCE),
        _ => stream.write_all(OK).unwrap(),
    });
    let sidecar = sidecar(upstream);
    let before = resident(sidecar.pid());
    let hold = |request: &str| {
        let mut stream = TcpStream::connect(&sidecar.gateway[0]).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let unread: Vec<_> = (0..8).map(|_| hold("GET /bomb/answer HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    let mut sending: Vec<_> = (0..8)
        .map(|_| {
            hold("POST /bomb/upload HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n")
        })
        .collect();
    let mut taken = 0;
    for stream in &mut sending {
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // Until nothing more fits on the way.
        while let Ok(count) = stream.write(&[b'x'; 64 << 10]) {
            taken += count;
            assert!(taken < ENDLESS, "all of it is taken");
        }
    }
    assert!(resident(sidecar.pid()) < before + GROWTH, "{before} bytes became {}", resident(sidecar.pid()));
    // One that does read takes all of it, and it is not kept either.
    let mut reader = hold("GET /bomb/answer HTTP/1.1\r\nhost: a\r\n\r\n");
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut got, mut bytes) = (0, vec![0; 1 << 20]);
    while got < ENDLESS {
        got += reader.read(&mut bytes).unwrap();
    }
    assert!(resident(sidecar.pid()) < before + GROWTH, "{before} bytes became {}", resident(sidecar.pid()));
    drop((unread, sending, reader));
    wait_for("all is over", || {
        let open = sidecar.json("/api/open")["hops"].as_array().unwrap().len();
        if open == 0 { Ok(()) } else { Err(format!("{open} open")) }
    });
}

#[test]
fn heads_and_framing_without_an_end_are_cut() {
    let upstream = upstream(|path, stream| {
        let (head, endless): (&[u8], &[u8]) = match path {
            "/head" => (b"HTTP/1.1 200 OK\r\nx-long: ", b"x"),
            "/fields" => (b"HTTP/1.1 200 OK\r\n", b"x-field: 1\r\n"),
            "/interim" => (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
            "/size" => (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", b"x"),
            "/chunks" => (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1;extension=long\r\nx\r\n"),
            "/trailers" => (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"x-field: 1\r\n"),
            _ => return stream.write_all(OK).unwrap(),
        };
        if stream.write_all(head).is_ok() {
            let piece = endless.repeat((64 << 10) / endless.len());
            for _ in 0..LONG / piece.len() {
                if stream.write_all(&piece).is_err() {
                    return;
                }
            }
        }
    });
    let sidecar = sidecar(upstream);
    let before = resident(sidecar.pid());
    for path in ["head", "fields", "interim", "size", "trailers", "chunks"] {
        let mut stream = TcpStream::connect(&sidecar.gateway[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("GET /bomb/{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        let (mut got, mut bytes) = (0, vec![0; 1 << 20]);
        // By a close or a reset.
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            got += count;
            assert!(got < LONG, "{path}");
        }
        let memory = resident(sidecar.pid());
        assert!(memory < before + GROWTH, "{path}: {before} bytes became {memory}");
    }
    let beginnings: [&[u8]; 6] = [
        b"GET /bomb/ok HTTP/1.1\r\nx-long: ",
        b"GET /bomb/",
        b"",
        b"POST /bomb/ok HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;",
        b"POST /bomb/ok HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-long: ",
        b"CONNECT ",
    ];
    for beginning in beginnings {
        let mut stream = TcpStream::connect(&sidecar.gateway[0]).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(beginning).unwrap();
        let mut sent = 0;
        while let Ok(count) = stream.write(&[b'x'; 64 << 10]) {
            sent += count;
            assert!(sent < LONG, "all of it is taken behind {:?}", String::from_utf8_lossy(beginning));
        }
        let memory = resident(sidecar.pid());
        assert!(memory < before + GROWTH, "{:?}: {before} bytes became {memory}", String::from_utf8_lossy(beginning));
    }
    assert_eq!(Client::to(&sidecar.gateway[0]).head_of("/bomb/ok"), 200, "it serves on");
}
