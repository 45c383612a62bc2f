//! Other protocols, unasked answers, bounds and secrets.

use super::*;

#[test]
fn requests_without_answers_are_bounded() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for at in 0..2 * OUTSTANDING_LIMIT as u64 {
        connection.feed(Request, Chunk::whole(at, GET), &mut |fact| facts.push(fact));
    }
    let started = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::RequestStarted { .. }))
        .count();
    assert_eq!(started, OUTSTANDING_LIMIT);
    assert!(matches!(
        facts.last(),
        Some(Fact::NotHttp {
            direction: Request,
            ..
        })
    ));
    let mut ended = 0;
    connection.feed(
        Response,
        Chunk::whole(0, &OK.repeat(OUTSTANDING_LIMIT + 5)),
        &mut |fact| {
            ended += usize::from(matches!(fact, Fact::ResponseEnded { .. }));
        },
    );
    assert_eq!(ended, OUTSTANDING_LIMIT);
}

#[test]
fn other_protocols_are_no_http() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"NICK someone\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"get / http/1.1\r\n\r\n",
    ] {
        let mut connection = Connection::new();
        let mut facts = Vec::new();
        assert_eq!(connection.is_http(), None);
        connection.feed(Request, Chunk::whole(5, bytes), &mut |fact| {
            facts.push(fact)
        });
        connection.feed(Request, Chunk::whole(6, GET), &mut |fact| facts.push(fact));
        assert_eq!(brief(&facts), ["not http Request @5"], "{bytes:?}");
        assert_eq!(connection.is_http(), Some(false));
    }
}

#[test]
fn a_server_that_speaks_first_is_no_http() {
    let facts = read(&[
        (Response, b"220 mail ESMTP\r\n"),
        (Request, b"GET / HTTP/1.1\r\n\r\n"),
        (Response, OK),
    ]);
    assert_eq!(
        brief(&facts),
        ["not http Response @0", "not http Request @1"]
    );
}

#[test]
fn an_answer_that_is_none_is_told_once() {
    let facts = read(&[
        (Request, GET),
        (Response, b"\x15\x03\x01"),
        (Response, OK),
        (Request, GET),
    ]);
    assert_eq!(
        brief(&facts)[3..],
        ["not http Response @1", "not http Request @3"]
    );
}

#[test]
fn what_a_server_says_unasked_is_ignored() {
    let facts = read(&[
        (Request, GET),
        (Response, OK),
        (Response, b"HTTP/1.1 408 Request Timeout\r\n\r\n"),
        (Request, GET),
        (Response, OK),
    ]);
    let facts = brief(&facts);
    assert!(!facts.iter().any(|fact| fact.contains("408")));
    assert_eq!(
        facts.last().map(String::as_str),
        Some("1 response ended 2 @4")
    );
}

#[test]
fn a_head_without_an_end_is_told_as_cut_in_bounded_memory() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    connection.feed(
        Request,
        Chunk::whole(0, b"GET /a HTTP/1.1\r\nhost: b\r\n"),
        &mut |fact| facts.push(fact),
    );
    for at in 0..1000 {
        connection.feed(Request, Chunk::whole(at, b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), &mut |fact| facts.push(fact));
        assert!(connection.retained_bytes() < 256 * 1024);
    }
    let head = request_head(&facts);
    assert!(head.cut);
    assert_eq!(head.host.as_deref(), Some("b"));
}

#[test]
fn conflicting_lengths_are_not_believed() {
    let facts = read(&[
        (Request, GET),
        (
            Response,
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabcdef",
        ),
    ]);
    assert_eq!(
        brief(&facts).last().map(String::as_str),
        Some("0 first content @1")
    );
}

#[test]
fn secrets_are_kept_nowhere() {
    let facts = read(&[
        (Request, b"POST /v1/chat?api-key=s3cret HTTP/1.1\r\nauthorization: Bearer s3cret\r\napi-key: s3cret\r\nx-api-key: s3cret\r\ncookie: s3cret\r\ncontent-length: 22\r\n\r\n{\"messages\":\"s3cret\"}\n"),
        (Response, b"HTTP/1.1 200 OK\r\nset-cookie: s3cret\r\ncontent-length: 24\r\n\r\n{\"choices\":[\"s3cret\"]}  "),
    ]);
    assert!(matches!(facts.last(), Some(Fact::ResponseEnded { .. })));
    assert!(!format!("{facts:?}").contains("s3cret"));
}

#[test]
fn a_server_that_speaks_into_the_first_request_is_no_http() {
    let facts = read(&[
        (Request, b"GE"),
        (Response, b"220 mail ESMTP\r\n"),
        (Request, b"T / HTTP/1.1\r\n\r\n"),
    ]);
    assert_eq!(
        brief(&facts),
        ["not http Response @1", "not http Request @2"]
    );
}

#[test]
fn an_unasked_answer_without_an_end_does_not_spoil_the_next() {
    let facts = brief(&read(&[
        (Request, GET),
        (Response, OK),
        (Response, b"HTTP/1.1 408 Request"),
        (Request, GET),
        (Response, OK),
    ]));
    assert!(facts.contains(&"1 status 200 @4".to_owned()), "{facts:?}");
}
