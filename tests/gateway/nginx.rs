//! A real nginx as upstream, by HTTP/1.1 and by HTTP/2.

use crate::hop::Hop;
use crate::support::authority::Authority;
use crate::support::part::part;
use crate::through::{Through, leading_to, pause, route, settings, wait_until};
use hopwatch::gateway::{Connecting, Routes, Settings};
use hopwatch::model::{ConnectionState, Phase};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const LARGE: usize = 3 << 20;

/// A running nginx; ended when dropped.
struct Nginx {
    child: Child,
    folder: TempDir,
    plain: SocketAddr,
    secured: SocketAddr,
}

/// Where nobody listens: nginx wants to be told a port.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Nginx {
    /// Starts it with further lines for its servers; `None` where there is none.
    fn start(authority: &Authority, lines: &str) -> Option<Self> {
        let program = part("nginx")?;
        let folder = tempfile::tempdir().unwrap();
        // Its workers may be another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = folder.path().display();
        let (plain, secured) = (free(), free());
        let (certificate, key) = authority.server();
        let body: Vec<u8> = (0..LARGE).map(|at| b"0123456789abcdef\n"[at % 17]).collect();
        fs::write(folder.path().join("large.txt"), body).unwrap();
        let config = format!(
            "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
            events {{ worker_connections 256; }}
            http {{
                log_format seen '$server_protocol $request_method $uri $status $connection_requests';
                access_log {root}/access.log seen;
                client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
                uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
                default_type text/plain; gzip_types text/plain; gzip_proxied any;
                server {{
                    listen {plain}; listen {secured} ssl http2;
                    ssl_certificate {}; ssl_certificate_key {};
                    root {root};
                    {lines}
                    location /hello {{ return 200 'hello'; }}
                    location /nothing {{ return 204; }}
                    location /upload {{ client_max_body_size 1k; proxy_pass http://{plain}/hello; }}
                }}
            }}",
            certificate.display(),
            key.display()
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let log = File::create(folder.path().join("output")).unwrap();
        let child = Command::new(program)
            .args(["-e".as_ref(), folder.path().join("error.log").as_os_str(), "-c".as_ref(), file.as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut nginx = Self { child, folder, plain, secured };
        wait_until("nginx listens", || {
            assert!(nginx.child.try_wait().unwrap().is_none(), "nginx ended: {}", nginx.read("output"));
            TcpStream::connect(secured).is_ok()
        });
        Some(nginx)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What it served so far: protocol, method, path, status, and which request of its connection it was.
    fn served(&self) -> Vec<String> {
        self.read("access.log").lines().map(ToOwned::to_owned).collect()
    }

    /// Has its workers changed, which closes connections that are idle.
    fn reload(&self) {
        let before = self.workers();
        assert!(Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap().success());
        wait_until("other workers serve", || {
            let now = self.workers();
            !now.is_empty() && now.iter().all(|worker| !before.contains(worker))
        });
    }

    fn workers(&self) -> Vec<String> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        fs::read_to_string(children).unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A killed master leaves its workers.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

/// A gateway before its server that speaks TLS.
fn secured(nginx: &Nginx, authority: &Authority) -> Through {
    let routes = Routes::new([route("/", &format!("https://localhost:{}", nginx.secured.port()))]);
    let connecting = Connecting { authorities: vec![authority.file()], ..Connecting::default() };
    Through::with(Settings { routes, connecting, ..settings() })
}

/// What curl gets for these paths, one after the other and on one connection where that is kept.
fn curl(address: SocketAddr, arguments: &[&str], paths: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(part("curl")?)
        .args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"])
        .args(arguments)
        .args(paths.iter().map(|path| format!("http://{address}{path}")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn answers_are_those_of_nginx_itself_whatever_their_form() {
    let authority = Authority::new();
    let Some(nginx) = Nginx::start(&authority, "gzip on;") else { return };
    for arguments in [&[][..], &["--compressed"], &["--head"], &["--range", "100-4000"], &["--header", "accept-encoding: gzip"]] {
        let through = Through::to(nginx.plain);
        let paths = ["/large.txt", "/hello", "/nothing", "/large.txt", "/absent"];
        let print = ["--write-out", " %{http_code} %{size_download}\n"];
        let arguments = [arguments, &print].concat();
        let Some(direct) = curl(nginx.plain, &arguments, &paths) else { return };
        let passed = curl(through.address(), &arguments, &paths).unwrap();
        // Of heads the date may differ, the order of names, and `connection`, which is of each connection.
        let comparable = |bytes: Vec<u8>| {
            if !arguments.contains(&"--head") {
                return vec![bytes];
            }
            let lines = bytes.to_ascii_lowercase();
            let lines = lines.split(|&byte| byte == b'\n').map(<[u8]>::to_vec);
            let mut lines: Vec<_> =
                lines.filter(|line| !line.starts_with(b"date:") && !line.starts_with(b"connection:")).collect();
            lines.sort();
            lines
        };
        assert!(comparable(direct) == comparable(passed), "{arguments:?}");
        let told = through.finish();
        let hops = told.hops();
        let statuses: Vec<_> = hops.iter().map(|hop| hop.call().status).collect();
        let whole = if arguments.contains(&"--range") { 206 } else { 200 };
        assert_eq!(statuses, [whole, 200, 204, whole, 404].map(Some), "{arguments:?}");
        hops[0].connections(&[ConnectionState::New]);
        for hop in &hops[1..] {
            hop.connections(&[ConnectionState::Reused]);
        }
    }
}

#[test]
fn who_asks_by_http_2_is_led_on_by_http_2_and_others_by_1_1() {
    let authority = Authority::new();
    let Some(nginx) = Nginx::start(&authority, "") else { return };
    for (arguments, protocol) in [(&["--http2-prior-knowledge"][..], "HTTP/2.0"), (&[], "HTTP/1.1")] {
        let through = secured(&nginx, &authority);
        let before = nginx.served().len();
        // One by one: curl 7.88 fails when it asks once more on such a connection, whoever answers.
        for (path, length) in [("/large.txt", LARGE), ("/hello", 5), ("/hello", 5)] {
            let Some(body) = curl(through.address(), arguments, &[path]) else { return };
            assert_eq!(body.len(), length);
        }
        let told = through.finish();
        let hops = told.hops();
        assert_eq!(hops.len(), 3);
        assert!(hops[0].ok(200).phase(Phase::Tls) > 0.0, "{hops:?}");
        for hop in &hops[1..] {
            assert!(hop.ok(200).connections(&[ConnectionState::Reused]).phase(Phase::Tls) == 0.0, "{hop:?}");
        }
        wait_until("nginx wrote its log", || nginx.served().len() == before + 3);
        let served = nginx.served();
        let expected = ["/large.txt 200 1", "/hello 200 2", "/hello 200 3"].map(|line| format!("{protocol} GET {line}"));
        assert_eq!(served[before..], expected, "one connection, by its own protocol");
    }
}

#[test]
fn connections_that_nginx_closes_are_opened_anew_and_nobody_notices() {
    let authority = Authority::new();
    let Some(nginx) = Nginx::start(&authority, "keepalive_requests 2;") else { return };
    let through = Through::with(leading_to(nginx.plain));
    let mut client = through.client();
    for _ in 0..6 {
        assert_eq!(client.get("/hello").text(), "hello");
    }
    // An idle one is closed by workers that go.
    nginx.reload();
    assert_eq!(client.get("/hello").text(), "hello");
    nginx.reload();
    pause(50);
    assert_eq!(client.get("/hello").text(), "hello");
    drop(client);
    let told = through.finish();
    assert_eq!(told.hops().len(), 8);
    let is_new = |hop: &Hop<'_>| hop.ok(200).call().attempts.last().unwrap().connection == Some(ConnectionState::New);
    let opened = told.hops().iter().filter(|hop| is_new(hop)).count();
    assert_eq!(opened, 5, "{:?}", told.hops());
}

#[test]
fn an_upload_that_nginx_does_not_want_is_answered_early() {
    let authority = Authority::new();
    let Some(nginx) = Nginx::start(&authority, "") else { return };
    let through = Through::to(nginx.plain);
    let file = nginx.folder.path().join("large.txt");
    let data = format!("@{}", file.display());
    let print = ["--output", "/dev/null", "--write-out", "%{http_code}", "--data-binary", &data, "--header", "expect:"];
    let Some(said) = curl(through.address(), &print, &["/upload"]) else { return };
    assert_eq!(said, b"413");
    through.finish().hop().status(Some(413)).operation("POST /upload");
}
