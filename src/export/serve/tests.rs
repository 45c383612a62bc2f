use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// News enough to be too far behind.
const BEHIND: usize = 2 * events::BEHIND_MAX;
/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn begin(address: SocketAddr, request: &str, host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    stream
}

fn ask_for(address: SocketAddr, request: &str, host: &str) -> String {
    let mut answer = String::new();
    begin(address, request, host).read_to_string(&mut answer).unwrap();
    answer
}

fn ask(address: SocketAddr, request: &str) -> String {
    ask_for(address, request, "localhost")
}

#[test]
fn it_answers_and_refuses_and_stops() {
    let page = |asked: &Asked<'_>| (asked.path == "/metrics").then(|| Page::new("text/plain", "up 1\n"));
    let server = Server::start(([127, 0, 0, 1], 0).into(), Arc::new(page)).unwrap();
    let address = server.address();
    let told = ask(address, "GET /metrics?x=1");
    assert!(told.ends_with("\r\n\r\nup 1\n") && told.contains(&format!("\r\nserver: {SERVER}\r\n")), "{told}");
    let head = ask(address, "HEAD /metrics");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(ask(address, "GET /else").starts_with("HTTP/1.1 404"));
    assert!(ask(address, "GET /api/events").starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics").starts_with("HTTP/1.1 405"));
    assert!(ask(address, "PUT /metrics").starts_with("HTTP/1.1 405"));
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_is_for_people_is_told_by_names_of_loopback_alone() {
    let page = |asked: &Asked<'_>| Some(Page::new("text/plain", format!("{}\n", asked.path)));
    let server = Server::start(([127, 0, 0, 1], 0).into(), Arc::new(page)).unwrap();
    for path in ["/", "/api/report", "/page/main.js", "//metrics"] {
        let refused = ask_for(server.address(), &format!("GET {path}"), "rebound.test");
        assert!(refused.starts_with("HTTP/1.1 421") && refused.contains("http://localhost:PORT/"), "{refused}");
        assert!(ask(server.address(), &format!("GET {path}")).starts_with("HTTP/1.1 200"), "{path}");
    }
    for path in FOR_PROGRAMS {
        assert!(ask_for(server.address(), &format!("GET {path}"), "agent.pod").starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[test]
fn every_answer_says_what_a_page_may_do() {
    let server = Server::start(([127, 0, 0, 1], 0).into(), Arc::new(|_: &Asked<'_>| None)).unwrap();
    let answer = ask(server.address(), "GET /");
    for (name, value) in FIELDS {
        assert!(answer.contains(&format!("\r\n{name}: {value}\r\n")), "{name}: {answer}");
    }
    assert!(answer.contains("default-src 'none'; script-src 'self';") && answer.contains("; frame-ancestors 'none'"));
    assert!(!answer.contains("unsafe"), "{answer}");
}

#[test]
fn what_is_asked_for_is_told_apart() {
    let asked = |query, accept| Asked { path: "/", query, accept };
    assert_eq!(asked("a=1&run=x=y&run=2", "").parameter("run"), Some("x=y"));
    assert_eq!(asked("runs=1&run", "").parameter("run"), None);
    for (accept, page) in [
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", true),
        ("application/json, text/html;q=0.5", true),
        ("*/*", false),
        ("", false),
        ("text/plain", false),
    ] {
        assert_eq!(asked("", accept).wants_page(), page, "{accept}");
    }
}

/// Numbers: all that were told so far, and those that came since.
#[derive(Default)]
struct Numbers {
    told: AtomicUsize,
    next: Mutex<Vec<usize>>,
    looks: AtomicUsize,
    padding: usize,
}

impl Tell for Numbers {
    fn all(&self) -> String {
        format!("event: all\ndata: {}{}\n\n", self.told.load(Ordering::SeqCst), " ".repeat(self.padding))
    }

    fn news(&self) -> String {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let next = std::mem::take(&mut *self.next.lock().unwrap());
        next.into_iter().map(|number| format!("event: news\ndata: {number}{}\n\n", " ".repeat(self.padding))).collect()
    }
}

impl Numbers {
    fn push(&self) -> usize {
        let number = self.told.fetch_add(1, Ordering::SeqCst) + 1;
        self.next.lock().unwrap().push(number);
        number
    }
}

fn telling(numbers: &Arc<Numbers>) -> Server {
    let events: Arc<dyn Tell> = Arc::clone(numbers) as _;
    let answer: Answer = Arc::new(|_| Some(Page::new("text/plain", "here\n")));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Server::on(listener, Handlers { answer, intake: None, events: Some(events) }).unwrap()
}

/// A reader past the head of its answer.
fn listen(server: &Server) -> BufReader<TcpStream> {
    let mut reader = BufReader::new(begin(server.address(), "GET /api/events", "localhost"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("\r\ncontent-type: text/event-stream\r\n"), "{head}");
    reader
}

/// The next event's name and number.
fn event(reader: &mut impl BufRead) -> (String, usize) {
    let mut name = String::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(told) = line.strip_prefix("event: ") {
            name = told.trim_end().to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            return (name, data.trim().parse().unwrap());
        }
    }
}

#[test]
fn who_listens_is_told_all_and_then_what_is_new() {
    let numbers = Arc::new(Numbers::default());
    let server = telling(&numbers);
    // Before anybody listened: a part of all, and no news.
    numbers.push();
    let mut readers: Vec<_> = (0..3).map(|_| listen(&server)).collect();
    for reader in &mut readers {
        assert_eq!(event(reader), ("all".into(), 1));
    }
    numbers.push();
    for reader in &mut readers {
        assert_eq!(event(reader), ("news".into(), 2));
    }
    // Looked for once for all of them.
    assert!(numbers.looks.load(Ordering::SeqCst) < 60);
    drop(server);
    let mut rest = Vec::new();
    // Cut or reset, it is an end.
    let _end = readers.remove(0).read_to_end(&mut rest);
}

#[test]
fn a_reader_that_is_slow_is_told_all_anew_and_keeps_nobody_waiting() {
    // More than the system keeps on the way to one that does not read.
    let numbers = Arc::new(Numbers { padding: 4 << 20, ..Numbers::default() });
    let server = telling(&numbers);
    let mut slow = listen(&server);
    let mut quick = listen(&server);
    assert_eq!(event(&mut quick), ("all".into(), 0));
    // One at a time, so that each is news of its own.
    for _ in 0..BEHIND {
        let number = numbers.push();
        assert_eq!(event(&mut quick), ("news".into(), number));
        assert!(ask(server.address(), "GET /").ends_with("\r\n\r\nhere\n"));
    }
    let told: Vec<(String, usize)> = std::iter::from_fn(|| Some(event(&mut slow)))
        .scan(false, |done, told| {
            let over = std::mem::replace(done, told.1 == BEHIND);
            (!over).then_some(told)
        })
        .collect();
    assert_eq!(told.first(), Some(&("all".into(), 0)));
    assert!(told.len() < BEHIND + 1 && told[1..].iter().any(|(name, _)| name == "all"), "{told:?}");
}

#[test]
fn no_more_listen_than_there_is_room_for_and_others_are_answered_all_the_same() {
    let numbers = Arc::new(Numbers::default());
    let server = telling(&numbers);
    let mut readers: Vec<_> = (0..events::STREAMS_MAX).map(|_| listen(&server)).collect();
    let refused = ask(server.address(), "GET /api/events");
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\r\nretry-after: 5\r\n"), "{refused}");
    assert!(ask(server.address(), "GET /").starts_with("HTTP/1.1 200"));
    assert!(ask(server.address(), "HEAD /api/events").starts_with("HTTP/1.1 200"));
    // One leaves: there is room for one more, once that was seen.
    drop(readers.pop());
    let start = crate::model::clock::monotonic();
    while ask_some(&server).starts_with("HTTP/1.1 503") {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first line of an answer with events; who asked leaves again.
fn ask_some(server: &Server) -> String {
    let mut line = String::new();
    BufReader::new(begin(server.address(), "GET /api/events", "localhost")).read_line(&mut line).unwrap();
    line
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_stopped_to_read_is_let_go() {
    let news = tokio::sync::broadcast::Sender::new(events::BEHIND_MAX);
    let (reader, unread) = tokio::sync::mpsc::channel(1);
    let stalled = Arc::new(Notify::new());
    let passing = events::pass(Arc::new(Numbers::default()), news.subscribe(), reader, Arc::clone(&stalled));
    // A heartbeat is enough to notice.
    let passing = tokio::spawn(passing);
    stalled.notified().await;
    passing.await.unwrap();
    drop(unread);
}
