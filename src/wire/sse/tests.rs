use proptest::prelude::*;

use super::*;

/// The events of a stream: name, data, whether cut.
fn read(pieces: &[&[u8]]) -> Vec<(String, String, bool)> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    let mut data = Vec::new();
    for piece in pieces {
        feed(&mut parser, piece, &mut data, &mut events);
    }
    events
}

fn feed(
    parser: &mut Parser,
    bytes: &[u8],
    data: &mut Vec<u8>,
    events: &mut Vec<(String, String, bool)>,
) {
    parser.feed(bytes, &mut |item| match item {
        Item::Data(piece) => data.extend_from_slice(piece),
        Item::Event(event) => {
            let data = std::mem::take(data);
            assert_eq!(event.bytes, data.len() as u64);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            events.push((text(event.name), text(&data), event.cut));
        }
    });
}

fn events(stream: &str) -> Vec<(String, String)> {
    read(&[stream.as_bytes()])
        .into_iter()
        .map(|(name, data, _)| (name, data))
        .collect()
}

fn event(name: &str, data: &str) -> (String, String) {
    (name.to_owned(), data.to_owned())
}

#[test]
fn the_standards_examples_are_read_as_it_says() {
    assert_eq!(
        events("data: YHOO\ndata: +2\ndata: 10\n\n"),
        [event("", "YHOO\n+2\n10")]
    );
    assert_eq!(
        events(
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
        ),
        [
            event("", "first event"),
            event("", "second event"),
            event("", " third event")
        ]
    );
    // The last block has no blank line, and is no event.
    assert_eq!(
        events("data\n\ndata\ndata\n\ndata:"),
        [event("", ""), event("", "\n")]
    );
    assert_eq!(
        events("data:test\n\ndata: test\n\n"),
        [event("", "test"), event("", "test")]
    );
}

#[test]
fn events_have_names_and_need_data() {
    assert_eq!(
        events("event: a\ndata: 1\n\ndata: 2\n\n"),
        [event("a", "1"), event("", "2")]
    );
    assert_eq!(events("event: a\n\ndata: 2\n\n"), [event("", "2")]);
    assert_eq!(events("event: a\nevent: b\ndata: 1\n\n"), [event("b", "1")]);
    assert_eq!(
        events(&format!("event: {}\ndata: 1\n\n", "n".repeat(100))),
        [event(&"n".repeat(64), "1")]
    );
}

#[test]
fn all_line_ends_and_the_byte_order_mark_are_understood() {
    for line in ["\n", "\r\n", "\r"] {
        let stream =
            format!("\u{feff}event: a{line}data: 1{line}data: 2{line}{line}data: 3{line}{line}");
        assert_eq!(
            events(&stream),
            [event("a", "1\n2"), event("", "3")],
            "{line:?}"
        );
    }
    assert_eq!(events("\u{feff}\u{feff}data: 1\n\n"), []);
}

#[test]
fn unknown_fields_and_comments_say_nothing() {
    assert_eq!(
        events(":ping\n\nretry: 10\n\nDATA: 1\n\ndatadatadata: 1\n\n data: 1\n\n"),
        []
    );
}

#[test]
fn an_event_of_any_length_takes_no_memory() {
    let mut parser = Parser::default();
    let mut length = 0;
    parser.feed(b"data: ", &mut |_| {});
    for _ in 0..1000 {
        parser.feed(&[b'x'; 1000], &mut |_| {});
    }
    parser.feed(b"\n\n", &mut |item| {
        if let Item::Event(event) = item {
            length = event.bytes;
        }
    });
    assert_eq!(
        (length, parser.retained_bytes()),
        (1_000_000, size_of::<Parser>())
    );
}

#[test]
fn an_event_with_a_gap_is_cut_and_the_next_is_whole() {
    let mut parser = Parser::default();
    let (mut data, mut events) = (Vec::new(), Vec::new());
    feed(
        &mut parser,
        b"event: a\ndata: {\"x\":",
        &mut data,
        &mut events,
    );
    parser.gap();
    feed(&mut parser, b"1}\n\ndata: 2\n\n", &mut data, &mut events);
    assert_eq!(
        events,
        [
            ("a".to_owned(), "{\"x\":1}".to_owned(), true),
            (String::new(), "2".to_owned(), false)
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_is_the_same_in_any_split(pieces in proptest::collection::vec("(data|event|id|:|: |\\r|\\n|\\r\\n|\u{feff}|[a-c]){0,6}", 0..20)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
        let stream = pieces.concat();
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(read(&pieces), read(&[&stream]));
        prop_assert_eq!(read(&bytewise), read(&[&stream]));
    }
}
