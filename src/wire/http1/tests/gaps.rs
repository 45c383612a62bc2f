//! Calls of which not every byte was kept.

use super::*;

type Call<'a> = (Direction, &'a [u8], u64, &'a [u8]);

fn read_cut(calls: &[Call<'_>]) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (at, &(direction, head, skipped, tail)) in calls.iter().enumerate() {
        let chunk = Chunk { at: at as u64, head, skipped, tail };
        connection.feed(direction, chunk, &mut |fact| facts.push(fact));
    }
    facts
}

fn whole(direction: Direction, bytes: &[u8]) -> Call<'_> {
    (direction, bytes, 0, b"")
}

#[test]
fn a_gap_in_a_body_with_a_length_is_only_counted() {
    let facts = brief(&read_cut(&[
        (Request, b"POST /a HTTP/1.1\r\ncontent-length: 1000\r\n\r\n{", 998, b"}"),
        (Response, b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n0123456789", 30, b"0123456789"),
        whole(Request, GET),
    ]));
    assert!(facts.contains(&"0 request ended 1000 @0".to_owned()), "{facts:?}");
    assert!(facts.contains(&"0 response ended 50 @1".to_owned()), "{facts:?}");
    assert!(facts.contains(&"1 GET /search @2".to_owned()), "{facts:?}");
}

#[test]
fn a_gap_within_one_chunk_keeps_the_framing() {
    let facts = brief(&read_cut(&[
        whole(Request, GET),
        (
            Response,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nabcdefghij",
            85,
            b"vwxyz\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ]));
    assert_eq!(facts.last().map(String::as_str), Some("0 response ended 102 @1"));
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";

#[test]
fn the_last_chunk_at_the_end_of_a_call_ends_a_body_whose_framing_was_lost() {
    let facts = brief(&read_cut(&[
        whole(Request, GET),
        (Response, CHUNKED, 500, b"xyz\r\n0\r\n\r\n"),
        whole(Request, GET),
        whole(Response, OK),
    ]));
    assert!(facts.contains(&"0 response ended 513 @1".to_owned()), "{facts:?}");
    assert_eq!(facts.last().map(String::as_str), Some("1 response ended 2 @3"));
}

#[test]
fn the_next_request_ends_an_answer_whose_framing_was_lost() {
    let facts = brief(&read_cut(&[
        whole(Request, GET),
        (Response, CHUNKED, 500, b"xyz"),
        whole(Response, b"more"),
        whole(Request, GET),
        whole(Response, OK),
    ]));
    assert_eq!(facts.iter().filter(|fact| fact.starts_with("0 response ended")).count(), 1);
    let ended = facts.iter().position(|fact| fact == "0 response ended 510 @2").expect("told at its last bytes");
    assert_eq!(facts[ended + 1], "1 request started @3");
    assert_eq!(facts.last().map(String::as_str), Some("1 response ended 2 @4"));
}

#[test]
fn the_next_answer_ends_an_answer_whose_framing_was_lost() {
    let facts = brief(&read_cut(&[whole(Request, &[GET, GET].concat()), (Response, CHUNKED, 500, b"xyz"), whole(Response, OK)]));
    assert!(facts.contains(&"0 response ended 506 @1".to_owned()), "{facts:?}");
    assert_eq!(facts.last().map(String::as_str), Some("1 response ended 2 @2"));
}

#[test]
fn the_answer_ends_a_request_whose_framing_was_lost() {
    let facts = brief(&read_cut(&[
        (Request, b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", 500, b"xyz"),
        whole(Request, b"more"),
        whole(Response, OK),
        whole(Request, GET),
        whole(Response, OK),
    ]));
    assert_eq!(facts[2..6], ["0 response started @2", "0 request ended 510 @1", "0 status 200 @2", "0 first content @2"]);
    assert!(facts.contains(&"1 GET /search @3".to_owned()), "{facts:?}");
    assert_eq!(facts.last().map(String::as_str), Some("1 response ended 2 @4"));
}

#[test]
fn a_gap_in_a_head_is_told_as_cut_with_the_fields_of_both_sides() {
    let facts = read_cut(&[
        (
            Request,
            b"POST /a HTTP/1.1\r\nhost: b\r\nx-long: aaaa",
            3000,
            b"aaa\r\nx-stainless-retry-count: 2\r\ncontent-length: 2\r\n\r\n{}",
        ),
        whole(Response, OK),
        whole(Request, GET),
    ]);
    let head = request_head(&facts);
    assert!(head.cut);
    assert_eq!((head.host.as_deref(), head.fields.retry_count), (Some("b"), Some(2)));
    assert!(brief(&facts).contains(&"0 request ended 2 @0".to_owned()));
    assert!(brief(&facts).contains(&"1 GET /search @2".to_owned()));
}

#[test]
fn a_gap_over_the_end_of_a_head_leaves_the_pairing_right() {
    let facts = brief(&read_cut(&[
        (Request, b"POST /a HTTP/1.1\r\nhost: b\r\nx-long: aaaa", 3000, b"\"stream\":true}"),
        (Response, b"HTTP/1.1 200 OK\r\nx-long: a", 3000, b" and the rest"),
        whole(Response, b"more"),
        whole(Request, GET),
        whole(Response, OK),
    ]));
    assert_eq!(
        facts,
        [
            "0 request started @0",
            "0 POST /a cut @0",
            "0 response started @1",
            "0 request ended 0 @0",
            "0 status 200 cut @1",
            "0 first content @2",
            "0 response ended 4 @2",
            "1 request started @3",
            "1 GET /search @3",
            "1 request ended 0 @3",
            "1 response started @4",
            "1 status 200 @4",
            "1 first content @4",
            "1 response ended 2 @4",
        ]
    );
}

#[test]
fn a_request_line_that_is_cut_is_told_as_far_as_it_was_seen() {
    let facts = read_cut(&[(Request, b"GET /search?token=s3cr", 4000, b"et HTTP/1.1\r\nhost: b\r\n\r\n")]);
    let head = request_head(&facts);
    assert_eq!((&*head.method, &*head.path, head.cut, head.host.as_deref()), ("GET", "/search", true, Some("b")));
    assert!(!format!("{facts:?}").contains("s3cr"));
}

#[test]
fn a_gap_that_holds_a_whole_head_still_counts_its_exchange() {
    let facts = brief(&read_cut(&[
        whole(Request, GET),
        whole(Response, OK),
        (Request, b"", 400, b""),
        (Response, b"", 700, b""),
        whole(Request, GET),
        whole(Response, OK),
    ]));
    assert_eq!(facts.iter().filter(|fact| fact.contains("request started")).count(), 3);
    assert!(facts.contains(&"1 response ended 700 @3".to_owned()), "{facts:?}");
    assert_eq!(facts.last().map(String::as_str), Some("2 response ended 2 @5"));
}

#[test]
fn a_connection_that_begins_with_a_gap_is_not_guessed() {
    assert_eq!(brief(&read_cut(&[(Request, b"", 400, b"GET / HTTP/1.1\r\n\r\n")])), ["not http Request @0"]);
}

#[test]
fn facts_are_found_on_both_sides_of_a_gap() {
    let field = b"content-type: application/json\r\ncontent-length: 2000\r\n\r\n";
    let asked = br#"{"messages":[{"content":""#;
    let asked_last = br#""}],"model":"gpt-5","stream":true}"#;
    let said = br#"{"model":"gpt-5-1","choices":[{"message":{"content":""#;
    let said_last = br#""}}],"usage":{"prompt_tokens":12,"completion_tokens":34}}"#;
    let facts = read_cut(&[
        (
            Request,
            &[b"POST /v1/chat/completions HTTP/1.1\r\n", &field[..], asked].concat(),
            2000 - (asked.len() + asked_last.len()) as u64,
            asked_last,
        ),
        (Response, &[b"HTTP/1.1 200 OK\r\n", &field[..], said].concat(), 2000 - (said.len() + said_last.len()) as u64, said_last),
    ]);
    let sent = facts.iter().find_map(|fact| match fact {
        Fact::RequestEnded { body, .. } => Some(body.clone()),
        _ => None,
    });
    let sent = sent.expect("the request ended");
    assert_eq!((sent.model.as_deref(), sent.stream), (Some("gpt-5"), Some(true)));
    let body = response_body(&facts);
    assert_eq!(body.model.as_deref(), Some("gpt-5-1"));
    assert_eq!((body.input_tokens, body.output_tokens), (Some(12), Some(34)));
}
