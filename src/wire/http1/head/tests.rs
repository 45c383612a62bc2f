use super::*;

#[test]
fn a_head_ends_at_its_blank_line_in_any_split() {
    let wire = b"GET / HTTP/1.1\r\na: b\n\r\nbody\n\n";
    for size in [1, 2, 3, wire.len()] {
        let mut collector = Collector::default();
        let (mut taken, mut progress) = (0, Progress::More);
        for piece in wire.chunks(size) {
            let (count, after) = collector.feed(piece);
            taken += count;
            progress = after;
            if progress != Progress::More {
                break;
            }
        }
        assert_eq!(
            (taken, progress),
            (wire.len() - 6, Progress::Complete),
            "pieces of {size}"
        );
    }
}

#[test]
fn a_head_that_is_too_long_is_given_up() {
    let mut collector = Collector::default();
    assert_eq!(collector.feed(&[b'a'; HEAD_LIMIT]).1, Progress::More);
    assert_eq!(collector.feed(b"a").1, Progress::Hopeless);
    collector.clear();
    assert!(collector.retained_bytes() <= HEAD_LIMIT / 8);
}

#[test]
fn what_follows_a_gap_is_a_head_only_while_its_lines_are_fields() {
    let mut collector = Collector::default();
    collector.feed(b"HTTP/1.1 200 OK\r\na: b\r\nc: d");
    collector.gap();
    assert_eq!(
        collector.feed(b"ddd\r\ne: f\r\n\r\n"),
        (13, Progress::Complete)
    );
    let head = response(collector.bytes(), true).expect("a head");
    assert_eq!((head.status, head.cut), (200, true));

    let mut collector = Collector::default();
    collector.feed(b"HTTP/1.1 200 OK\r\n");
    collector.gap();
    assert_eq!(
        collector.feed(b"rest of a text\n  \"more\": of it\n\n").1,
        Progress::Hopeless
    );
}

#[test]
fn more_fields_than_are_read_leave_a_head_that_is_cut() {
    let mut wire = b"GET /a HTTP/1.1\r\nhost: b\r\n".to_vec();
    for number in 0..400 {
        wire.extend_from_slice(format!("x-{number}: {number}\r\n").as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    let head = request(&wire, false).expect("a head");
    assert_eq!((head.cut, head.host.as_deref()), (true, Some("b")));
}

#[test]
fn paths_lose_their_queries_and_what_is_too_long() {
    let path = |target: &str| {
        request(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes(), false).map(|head| head.path)
    };
    assert_eq!(path("/a?b=c").as_deref(), Some("/a"));
    assert_eq!(path("/?b=c").as_deref(), Some("/"));
    assert_eq!(path("*").as_deref(), Some("*"));
    assert_eq!(path("http://a?b").as_deref(), Some("/"));
    assert_eq!(
        path(&format!("/{}", "é".repeat(2000))).map_or(0, |path| path.len()),
        PATH_LIMIT - 1
    );
}

#[test]
fn hosts_are_lower_case_names_or_nothing() {
    assert_eq!(
        host_name(b" API.OpenAI.com:443 ").as_deref(),
        Some("api.openai.com:443")
    );
    assert_eq!(host_name(b"[::1]:8000").as_deref(), Some("[::1]:8000"));
    assert_eq!(host_name(b"user:secret@a").as_deref(), Some("a"));
    assert_eq!(host_name(b"a b"), None);
    assert_eq!(host_name(b""), None);
}

#[test]
fn the_first_bytes_tell_requests_from_other_protocols() {
    for (bytes, start) in [
        (&b"GET /"[..], Start::Message),
        (b"M-SEARCH *", Start::Message),
        (b"OPTIONS *", Start::Message),
        (b"GET http://a", Start::Message),
        (b"CONNECT a:1", Start::Message),
        (b"GE", Start::Unknown),
        (b"GET ", Start::Unknown),
        (b"GET a", Start::Other),
        (b"GET\r\n", Start::Other),
        (b" GET /", Start::Other),
        (b"PRI * HTTP/2.0", Start::Other),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOP", Start::Other),
        (b"\x16\x03", Start::Other),
    ] {
        assert_eq!(request_start(bytes), start, "{bytes:?}");
    }
}
