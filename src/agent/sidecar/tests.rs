use super::*;
use crate::agent::config::Settings;
use crate::model::clock::monotonic;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An upstream that answers every request with its name, on connections that stay, until the test's process ends.
fn upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut client = Client(BufReader::new(stream));
                while client.head().is_some() {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                    client.0.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// One end of a connection that stays.
struct Client(BufReader<TcpStream>);

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// The lines of a head; `None` = the other end left.
    fn head(&mut self) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                return Some(lines);
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// Status and body of the answer to a GET.
    fn get(&mut self, path: &str) -> (String, String) {
        self.0.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
        let head = self.head().expect("an answer");
        let length = head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (head[0].split(' ').nth(1).unwrap().to_owned(), String::from_utf8(body).unwrap())
    }
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    Client::to(address).get(path)
}

fn settings(listen: &[SocketAddr], admin: SocketAddr, rest: &str) -> Settings {
    let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
    let text = format!("[agent]\nadmin = \"{admin}\"\n[gateway]\nlisten = [{}]\n{rest}", listen.join(", "));
    Settings::parse(&text, Path::new("hopwatch.toml")).unwrap()
}

fn route(prefix: &str, upstream: SocketAddr) -> String {
    format!("[[route]]\nprefix = \"{prefix}\"\nupstream = \"http://{upstream}\"\ndependency = \"docs\"\nkind = \"retrieval\"\n")
}

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind(any()).unwrap().local_addr().unwrap()
}

fn started(settings: Settings, given: Given) -> Sidecar {
    let (anchor, environment) = (Anchor::new(0), Environment::default());
    Sidecar::start(SidecarOptions { anchor, settings, environment, given, exporter: None }).unwrap()
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let start = monotonic();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn other_settings_are_in_force_at_once_and_no_connection_is_lost() {
    let (old, new) = (upstream("old"), upstream("new"));
    let mut sidecar = started(settings(&[any()], any(), &route("/docs", old)), Given::default());
    let address = sidecar.addresses().next().unwrap();
    let mut client = Client::to(address);
    assert_eq!(client.get("/docs/1"), ("200".to_owned(), "old".to_owned()));
    let more = free();
    let restart = sidecar.reload(settings(&[any(), more], any(), &route("/docs", new))).unwrap();
    assert_eq!(restart, [""; 0]);
    assert_eq!(client.get("/docs/2").1, "new", "on the very connection");
    assert_eq!(sidecar.addresses().collect::<Vec<_>>(), [address, more], "port 0 stays the one that the system chose");
    assert_eq!(get(more, "/docs/3").1, "new");
    // A listener goes, its connections stay.
    let mut kept = Client::to(more);
    assert_eq!(kept.get("/docs/4").1, "new");
    sidecar.reload(settings(&[any()], any(), &route("/other", new))).unwrap();
    until("nobody is let in there", || TcpStream::connect(more).is_err());
    assert_eq!((kept.get("/docs/5").0, kept.get("/other").1), ("404".to_owned(), "new".to_owned()));
    assert_eq!(client.get("/other").1, "new");
}

#[test]
fn settings_that_cannot_be_served_change_nothing() {
    let (old, new) = (upstream("old"), upstream("new"));
    let mut sidecar = started(settings(&[any()], any(), &route("/docs", old)), Given::default());
    let (address, admin) = (sidecar.addresses().next().unwrap(), sidecar.admin());
    let taken = TcpListener::bind(any()).unwrap();
    let place = taken.local_addr().unwrap();
    let in_vain = |sidecar: &mut Sidecar, settings| sidecar.reload(settings).unwrap_err().to_string();
    let said = in_vain(&mut sidecar, settings(&[any(), free(), place], any(), &route("/docs", new)));
    assert_eq!(said, format!("cannot listen at {place} (`gateway.listen`, from hopwatch.toml:4:10)"));
    let said = in_vain(&mut sidecar, settings(&[any()], place, &route("/docs", new)));
    assert_eq!(said, format!("cannot listen at {place} (`agent.admin`, from hopwatch.toml:2:9)"));
    let tls = "tls_certificate = \"/nowhere.pem\"\ntls_key = \"/nowhere.key\"\n";
    let said = in_vain(&mut sidecar, settings(&[any()], any(), &(tls.to_owned() + &route("/docs", new))));
    assert_eq!(said, "cannot read `/nowhere.pem`");
    assert_eq!((get(address, "/docs").1, sidecar.addresses().count(), sidecar.admin()), ("old".to_owned(), 1, admin));
    assert_eq!(get(admin, "/readyz").0, "200");
    // What they were told otherwise is told again, and served.
    sidecar.reload(settings(&[any()], any(), &route("/docs", new))).unwrap();
    assert_eq!(get(address, "/docs").1, "new");
}

#[test]
fn the_admin_address_moves_and_what_was_counted_stays() {
    let mut sidecar = started(settings(&[any()], any(), &route("/docs", upstream("docs"))), Given::default());
    get(sidecar.addresses().next().unwrap(), "/docs");
    let (before, after) = (sidecar.admin(), free());
    sidecar.reload(settings(&[any()], after, "workers = 2\n")).map(|restart| assert_eq!(restart, ["gateway.workers"])).unwrap();
    assert_eq!((sidecar.admin(), get(after, "/readyz").0), (after, "200".to_owned()));
    assert!(TcpStream::connect(before).is_err());
    until("the call is counted", || get(after, "/metrics").1.contains("hopwatch_hop_calls_total{"));
    // Nobody gets there through the gateway.
    let address = sidecar.addresses().next().unwrap();
    let mut client = Client::to(address);
    client.0.get_mut().write_all(format!("GET http://{after}/metrics HTTP/1.1\r\nhost: {after}\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(client.head(), None, "closed without an answer");
}

#[test]
fn sockets_that_were_given_take_the_place_of_the_settings() {
    let [one, two, admin] = std::array::from_fn(|_| TcpListener::bind(any()).unwrap());
    let places = [&one, &two, &admin].map(|listener| listener.local_addr().unwrap());
    let given = Given { gateway: vec![one, two], admin: Some(admin) };
    let docs = route("/docs", upstream("docs"));
    let mut sidecar = started(settings(&[free()], free(), &docs), given);
    assert_eq!((sidecar.addresses().collect::<Vec<_>>(), sidecar.admin()), (places[..2].to_vec(), places[2]));
    sidecar.reload(settings(&[free(), free()], free(), &docs)).unwrap();
    assert_eq!((sidecar.addresses().collect::<Vec<_>>(), sidecar.admin()), (places[..2].to_vec(), places[2]));
    assert_eq!((get(places[1], "/docs").1, get(places[2], "/readyz").0), ("docs".to_owned(), "200".to_owned()));
}

#[test]
fn it_drains_when_it_is_told_and_is_not_ready_from_then_on() {
    let sidecar = started(settings(&[any()], any(), &route("/docs", upstream("docs"))), Given::default());
    let address = sidecar.addresses().next().unwrap();
    let mut idle = Client::to(address);
    assert_eq!(idle.get("/docs").1, "docs");
    assert!(!sidecar.is_drained());
    sidecar.drain();
    assert_eq!((get(sidecar.admin(), "/readyz").0, get(sidecar.admin(), "/healthz").0), ("503".to_owned(), "200".to_owned()));
    until("nobody is let in", || TcpStream::connect(address).is_err());
    until("idle clients are gone", || sidecar.is_drained());
    assert_eq!((idle.head(), sidecar.open()), (None, 0));
    let admin = sidecar.admin();
    sidecar.finish(Duration::ZERO);
    assert!(TcpStream::connect(admin).is_err());
}

#[test]
fn values_of_the_environment_are_not_shown() {
    let variables = vec![("OPENAI_API_KEY".into(), "s3cret".into())];
    let shown = format!("{:?}", Environment { variables, authorities: Vec::new() });
    assert!(shown.contains("OPENAI_API_KEY") && !shown.contains("s3cret"), "{shown}");
}
