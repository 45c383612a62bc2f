use super::Direction::{Request, Response};
use super::*;

mod bodies;
mod gaps;
mod hostile;
mod properties;

/// Feeds whole chunks; the time of each is its index.
fn read(chunks: &[(Direction, &[u8])]) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    for (at, (direction, bytes)) in chunks.iter().enumerate() {
        connection.feed(*direction, Chunk::whole(at as u64, bytes), &mut |fact| {
            facts.push(fact)
        });
    }
    facts
}

/// The facts in short, for comparisons.
fn brief(facts: &[Fact]) -> Vec<String> {
    facts.iter().map(brief_one).collect()
}

fn brief_one(fact: &Fact) -> String {
    match fact {
        Fact::RequestStarted { exchange, at } => format!("{exchange} request started @{at}"),
        Fact::RequestHead { exchange, at, head } => {
            let cut = if head.cut { " cut" } else { "" };
            format!("{exchange} {} {}{cut} @{at}", head.method, head.path)
        }
        Fact::RequestEnded {
            exchange,
            at,
            bytes,
            body,
        } => {
            let cut = if body.complete { "" } else { " incomplete" };
            format!("{exchange} request ended {bytes}{cut} @{at}")
        }
        Fact::ResponseStarted { exchange, at } => format!("{exchange} response started @{at}"),
        Fact::Interim {
            exchange,
            at,
            status,
        } => format!("{exchange} interim {status} @{at}"),
        Fact::ResponseHead { exchange, at, head } => {
            let cut = if head.cut { " cut" } else { "" };
            format!("{exchange} status {}{cut} @{at}", head.status)
        }
        Fact::FirstContent { exchange, at } => format!("{exchange} first content @{at}"),
        Fact::Content { exchange, at } => format!("{exchange} content @{at}"),
        Fact::ResponseEnded {
            exchange,
            at,
            bytes,
            body,
        } => {
            let cut = if body.complete { "" } else { " incomplete" };
            format!("{exchange} response ended {bytes}{cut} @{at}")
        }
        Fact::Upgraded { exchange, at } => format!("{exchange} upgraded @{at}"),
        Fact::NotHttp { direction, at } => format!("not http {direction:?} @{at}"),
    }
}

fn request_head(facts: &[Fact]) -> RequestHead {
    let head = facts.iter().find_map(|fact| match fact {
        Fact::RequestHead { head, .. } => Some((**head).clone()),
        _ => None,
    });
    head.expect("a request's head")
}

fn response_body(facts: &[Fact]) -> ResponseBody {
    let body = facts.iter().rev().find_map(|fact| match fact {
        Fact::ResponseEnded { body, .. } => Some(body.clone()),
        _ => None,
    });
    body.expect("an answer's end")
}

const GET: &[u8] = b"GET /search?q=secret HTTP/1.1\r\nHost: Docs.internal:8000\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_request_and_its_answer_are_told_in_order_with_their_times() {
    let facts = read(&[
        (Request, GET),
        (Response, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"),
        (Response, b"go"),
        (Response, b"od"),
    ]);
    assert_eq!(
        brief(&facts),
        [
            "0 request started @0",
            "0 GET /search @0",
            "0 request ended 0 @0",
            "0 response started @1",
            "0 status 200 @1",
            "0 first content @2",
            "0 content @3",
            "0 response ended 4 @3",
        ]
    );
    assert_eq!(
        request_head(&facts).host.as_deref(),
        Some("docs.internal:8000")
    );
}

#[test]
fn a_connection_is_kept_for_the_next_exchange() {
    let facts = read(&[
        (Request, GET),
        (Response, OK),
        (Request, GET),
        (Response, OK),
    ]);
    assert_eq!(
        brief(&facts)[7..].first().map(String::as_str),
        Some("1 request started @2")
    );
    assert_eq!(
        brief(&facts).last().map(String::as_str),
        Some("1 response ended 2 @3")
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let two = [GET, GET].concat();
    let answers = [OK, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"].concat();
    let facts = brief(&read(&[(Request, &two), (Response, &answers)]));
    assert!(facts.contains(&"0 status 200 @1".to_owned()));
    assert!(facts.contains(&"1 status 404 @1".to_owned()));
    assert_eq!(
        facts.last().map(String::as_str),
        Some("1 response ended 0 @1")
    );
}

#[test]
fn interim_answers_do_not_end_the_exchange() {
    let facts = read(&[
        (
            Request,
            b"POST /v1 HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        ),
        (Response, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (Request, b"{}"),
        (Response, b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        (Response, OK),
    ]);
    assert_eq!(
        brief(&facts),
        [
            "0 request started @0",
            "0 POST /v1 @0",
            "0 response started @1",
            "0 interim 100 @1",
            "0 request ended 2 @2",
            "0 interim 103 @3",
            "0 status 200 @4",
            "0 first content @4",
            "0 response ended 2 @4",
        ]
    );
}

#[test]
fn a_body_held_back_after_a_refused_expectation_does_not_swallow_the_next_request() {
    let facts = read(&[
        (
            Request,
            b"POST /v1 HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n",
        ),
        (Response, b"HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n"),
        (Request, GET),
        (Response, OK),
    ]);
    let facts = brief(&facts);
    assert!(
        facts.contains(&"0 request ended 0 incomplete @0".to_owned()),
        "{facts:?}"
    );
    assert!(facts.contains(&"1 GET /search @2".to_owned()), "{facts:?}");
    assert_eq!(
        facts.last().map(String::as_str),
        Some("1 response ended 2 @3")
    );
}

#[test]
fn answers_without_bodies_end_with_their_heads() {
    let head = b"HEAD /a HTTP/1.1\r\n\r\n";
    for (request, answer) in [
        (
            &head[..],
            &b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"[..],
        ),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            GET,
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n",
        ),
    ] {
        let facts = brief(&read(&[
            (Request, request),
            (Response, answer),
            (Request, GET),
            (Response, OK),
        ]));
        assert!(
            facts.contains(&"0 response ended 0 @1".to_owned()),
            "{facts:?}"
        );
        assert!(
            facts.contains(&"1 response ended 2 @3".to_owned()),
            "{facts:?}"
        );
    }
}

#[test]
fn chunked_bodies_end_after_their_trailers() {
    let facts = read(&[
        (
            Request,
            b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;ext=\"a;b\"\r\nabc\r\n",
        ),
        (Request, b"A\r\n0123456789\r\n0\r\nchecksum: 1\r\n\r\n"),
        (
            Response,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        (Request, GET),
    ]);
    let facts = brief(&facts);
    assert!(
        facts.contains(&"0 request ended 13 @1".to_owned()),
        "{facts:?}"
    );
    assert!(
        facts.contains(&"0 response ended 2 @2".to_owned()),
        "{facts:?}"
    );
    assert!(facts.contains(&"1 GET /search @3".to_owned()), "{facts:?}");
}

#[test]
fn a_body_to_the_end_of_the_connection_ends_with_it() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    connection.feed(
        Request,
        Chunk::whole(0, b"GET / HTTP/1.0\r\n\r\n"),
        &mut |fact| facts.push(fact),
    );
    connection.feed(
        Response,
        Chunk::whole(1, b"HTTP/1.0 200 OK\r\n\r\nall of it"),
        &mut |fact| facts.push(fact),
    );
    connection.end(Response, 2, &mut |fact| facts.push(fact));
    connection.end(Response, 3, &mut |fact| facts.push(fact));
    assert_eq!(
        brief(&facts).last().map(String::as_str),
        Some("0 response ended 9 @2")
    );
}

#[test]
fn bodies_that_are_cut_end_incomplete() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfour",
        b"HTTP/1.1 200 OK\r\nconte",
    ] {
        let mut connection = Connection::new();
        let mut facts = Vec::new();
        connection.feed(Request, Chunk::whole(0, GET), &mut |fact| facts.push(fact));
        connection.feed(Response, Chunk::whole(1, answer), &mut |fact| {
            facts.push(fact)
        });
        connection.end(Response, 2, &mut |fact| facts.push(fact));
        assert!(!response_body(&facts).complete);
        assert!(
            brief(&facts)
                .iter()
                .any(|fact| fact.starts_with("0 status 200")),
            "{facts:?}"
        );
    }
}

#[test]
fn a_client_that_leaves_while_sending_ends_its_request_incomplete() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    connection.feed(
        Request,
        Chunk::whole(0, b"POST /a HTTP/1.1\r\ncontent-length: 10\r\n\r\nfour"),
        &mut |fact| facts.push(fact),
    );
    connection.end(Request, 1, &mut |fact| facts.push(fact));
    connection.end(Request, 2, &mut |fact| facts.push(fact));
    assert_eq!(brief(&facts)[2..], ["0 request ended 4 incomplete @1"]);
}

#[test]
fn an_upgrade_ends_http() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let mut tell = |fact| facts.push(fact);
    connection.feed(
        Request,
        Chunk::whole(
            0,
            b"GET /ws HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        ),
        &mut tell,
    );
    connection.feed(
        Response,
        Chunk::whole(1, b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello"),
        &mut tell,
    );
    connection.feed(Request, Chunk::whole(2, b"\x81\x85abcdhello"), &mut tell);
    assert!(connection.is_upgraded());
    assert_eq!(
        brief(&facts)[3..],
        ["0 response started @1", "0 status 101 @1", "0 upgraded @1"]
    );
    assert!(request_head(&facts).fields.message.upgrade);
}

#[test]
fn connect_makes_a_tunnel_only_when_it_succeeds() {
    let connect = b"CONNECT API.openai.com:443 HTTP/1.1\r\nhost: api.openai.com:443\r\n\r\n";
    let facts = read(&[
        (Request, connect),
        (Request, b"\x16\x03\x01"),
        (Response, b"HTTP/1.1 200 Established\r\n\r\n"),
        (Response, b"\x16\x03"),
    ]);
    assert_eq!(
        brief(&facts)[2..],
        [
            "0 request ended 0 @0",
            "0 response started @2",
            "0 status 200 @2",
            "0 upgraded @2"
        ]
    );
    assert_eq!(
        request_head(&facts).host.as_deref(),
        Some("api.openai.com:443")
    );

    let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let facts = brief(&read(&[
        (Request, connect),
        (Response, refused),
        (Request, GET),
    ]));
    assert!(
        facts.contains(&"0 response ended 0 @1".to_owned()),
        "{facts:?}"
    );
    assert!(facts.contains(&"1 GET /search @2".to_owned()), "{facts:?}");
}

#[test]
fn an_absolute_target_names_its_host_without_its_user() {
    let facts = read(&[(
        Request,
        b"GET http://user:password@Docs:8000/search?key=1#top HTTP/1.1\r\nhost: proxy\r\n\r\n",
    )]);
    let head = request_head(&facts);
    assert_eq!(
        (&*head.path, head.host.as_deref()),
        ("/search", Some("docs:8000"))
    );
    assert!(!format!("{facts:?}").contains("password"));
}

#[test]
fn blank_lines_between_messages_and_bare_line_feeds_are_tolerated() {
    let facts = read(&[
        (Request, b"\r\n\nGET /a HTTP/1.1\nhost: b\n\n"),
        (
            Response,
            b"\r\nHTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2\nok\n0\n\n",
        ),
    ]);
    assert_eq!(
        brief(&facts).last().map(String::as_str),
        Some("0 response ended 2 @1")
    );
}

#[test]
fn a_request_on_a_connection_that_the_server_closed_is_still_told() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    connection.feed(Request, Chunk::whole(0, GET), &mut |_| {});
    connection.feed(Response, Chunk::whole(1, OK), &mut |_| {});
    connection.end(Response, 2, &mut |_| {});
    connection.feed(Request, Chunk::whole(3, GET), &mut |fact| facts.push(fact));
    assert_eq!(
        brief(&facts),
        [
            "1 request started @3",
            "1 GET /search @3",
            "1 request ended 0 @3"
        ]
    );
}

#[test]
fn an_upgrade_ends_a_request_that_was_not_sent_whole() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let mut tell = |fact| facts.push(fact);
    let request = b"POST / HTTP/1.1\r\nupgrade: h2c\r\ncontent-length: 9\r\n\r\n";
    connection.feed(Request, Chunk::whole(0, request), &mut tell);
    connection.feed(
        Response,
        Chunk::whole(1, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        &mut tell,
    );
    connection.end(Request, 2, &mut tell);
    connection.end(Response, 2, &mut tell);
    assert_eq!(
        brief(&facts).last().map(String::as_str),
        Some("0 upgraded @1")
    );
}

#[test]
fn an_answer_that_begins_where_another_has_no_end_is_the_next() {
    let facts = brief(&read(&[
        (Request, &[GET, GET].concat()),
        (Response, b"HTTP/1.1 200 OK\r\n\r\n"),
        (Response, b"some"),
        (Response, OK),
    ]));
    assert!(
        facts.contains(&"0 response ended 4 @2".to_owned()),
        "{facts:?}"
    );
    assert_eq!(
        facts.last().map(String::as_str),
        Some("1 response ended 2 @3")
    );
}
