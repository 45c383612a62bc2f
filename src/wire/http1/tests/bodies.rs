//! What bodies say, through their framing and encoding.

use std::io::Write;

use super::*;

const ASK: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n{\"model\":\"gpt-5\",\"stream\":true}";
const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// One HTTP chunk.
fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

fn request_body(facts: &[Fact]) -> RequestBody {
    let body = facts.iter().find_map(|fact| match fact {
        Fact::RequestEnded { body, .. } => Some(body.clone()),
        _ => None,
    });
    body.expect("a request's end")
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn answer(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const USAGE: &[u8] =
    br#"{"model":"gpt-5-2","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34}}"#;

#[test]
fn the_first_content_of_a_stream_is_the_first_event_that_carries_some() {
    let facts = read(&[
        (Request, ASK),
        (Response, EVENTS),
        (Response, &chunk(b": processing\n\n")),
        (Response, &chunk(br#"data: {"model":"gpt-5-1","choices":[{"delta":{"role":"assistant","content":""}}]}"#)),
        (Response, &chunk(b"\n\n")),
        (Response, &chunk(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"del")),
        (Response, &chunk(b"ta\":{\"content\":\"b\"}}]}\n\n")),
        (Response, &chunk(&[b"data: ", USAGE, b"\n\ndata: [DONE]\n\n"].concat())),
        (Response, b"0\r\n\r\n"),
    ]);
    assert_eq!(
        brief(&facts)[3..7],
        [
            "0 response started @1",
            "0 status 200 @1",
            "0 first content @5",
            "0 content @6"
        ]
    );
    assert_eq!(brief(&facts).len(), 8);
    let expected = ResponseBody {
        model: Some("gpt-5-2".into()),
        input_tokens: Some(12),
        output_tokens: Some(34),
        events: 2,
        error_code: None,
        complete: true,
        done: true,
    };
    assert_eq!(response_body(&facts), expected);
    let asked = request_body(&facts);
    assert_eq!(
        (asked.model.as_deref(), asked.stream, asked.complete),
        (Some("gpt-5"), Some(true), true)
    );
}

#[test]
fn a_stream_that_stops_early_is_neither_complete_nor_done() {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let event = chunk(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
    for (direction, bytes) in [(Request, ASK), (Response, EVENTS), (Response, &event)] {
        connection.feed(direction, Chunk::whole(0, bytes), &mut |fact| {
            facts.push(fact)
        });
    }
    connection.end(Response, 9, &mut |fact| facts.push(fact));
    let body = response_body(&facts);
    assert_eq!((body.complete, body.done, body.events), (false, false, 1));
}

#[test]
fn anthropics_stream_says_its_tokens_at_both_ends() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"hi\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let body = response_body(&read(&[
        (Request, ASK),
        (
            Response,
            &answer("content-type: text/event-stream\r\n", stream.as_bytes()),
        ),
    ]));
    assert_eq!(
        (body.model.as_deref(), body.input_tokens, body.output_tokens),
        (Some("claude"), Some(25), Some(15))
    );
    assert_eq!((body.events, body.done), (1, true));
}

#[test]
fn each_line_of_ollamas_stream_is_content() {
    let facts = read(&[
        (Request, ASK),
        (Response, b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"),
        (Response, &chunk(b"{\"model\":\"llama\",\"message\":{\"content\":\"a\"},\"done\":false}\n")),
        (Response, &chunk(b"{\"model\":\"llama\",\"message\":{\"content\":\"b\"},\"do")),
        (Response, &chunk(b"ne\":false}\n{\"done\":true,\"prompt_eval_count\":5,\"eval_count\":2}\n")),
        (Response, b"0\r\n\r\n"),
    ]);
    assert_eq!(
        brief(&facts)[5..8],
        ["0 first content @2", "0 content @4", "0 content @4"]
    );
    let body = response_body(&facts);
    assert_eq!(
        (body.model.as_deref(), body.input_tokens, body.output_tokens),
        (Some("llama"), Some(5), Some(2))
    );
    assert_eq!((body.events, body.done), (3, true));
}

#[test]
fn compressed_bodies_say_the_same() {
    let body = response_body(&read(&[
        (Request, ASK),
        (
            Response,
            &answer(
                "content-type: application/json\r\ncontent-encoding: gzip\r\n",
                &gzip(USAGE),
            ),
        ),
    ]));
    assert_eq!(
        (body.model.as_deref(), body.output_tokens),
        (Some("gpt-5-2"), Some(34))
    );
}

#[test]
fn bad_compression_costs_the_facts_and_not_the_framing() {
    let mut bad = gzip(USAGE);
    bad[12..].fill(0xff);
    let facts = read(&[
        (Request, ASK),
        (
            Response,
            &answer(
                "content-type: application/json\r\ncontent-encoding: gzip\r\n",
                &bad,
            ),
        ),
        (Request, GET),
    ]);
    assert_eq!(
        response_body(&facts),
        ResponseBody {
            complete: true,
            ..ResponseBody::default()
        }
    );
    assert!(brief(&facts).contains(&"1 GET /search @2".to_owned()));
}

#[test]
fn events_that_cannot_be_read_are_content_call_by_call() {
    for encoding in ["unknown", "zstd", "gzip, br"] {
        let fields = format!(
            "content-type: text/event-stream\r\ncontent-encoding: {encoding}\r\ncontent-length: 12\r\n\r\n"
        );
        let head = [b"HTTP/1.1 200 OK\r\n", fields.as_bytes()].concat();
        let facts = read(&[
            (Request, ASK),
            (Response, &head),
            (Response, b"abcdef"),
            (Response, b"ghijkl"),
        ]);
        let expected = [
            "0 first content @2",
            "0 content @3",
            "0 response ended 12 @3",
        ];
        assert_eq!(brief(&facts)[5..], expected, "{encoding}");
    }
}

#[test]
fn an_error_is_told_by_its_code() {
    let error = br#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
    let body = response_body(&read(&[
        (Request, ASK),
        (
            Response,
            &answer("content-type: application/json\r\n", error),
        ),
    ]));
    assert_eq!(body.error_code.as_deref(), Some("rate_limit_exceeded"));
}

#[test]
fn the_same_request_has_the_same_digest_whatever_its_calls_and_chunks() {
    let json = b"{\"model\":\"gpt-5\"}";
    let with = |fields: &str, body: &[u8]| {
        [format!("POST /a HTTP/1.1\r\n{fields}\r\n").as_bytes(), body].concat()
    };
    let digest = |wire: &[u8], size: usize| {
        let calls: Vec<_> = wire.chunks(size).map(|call| (Request, call)).collect();
        request_body(&read(&calls)).digest
    };
    let plain = with(&format!("content-length: {}\r\n", json.len()), json);
    let chunked = with(
        "transfer-encoding: chunked\r\n",
        &[chunk(&json[..5]), chunk(&json[5..]), b"0\r\n\r\n".to_vec()].concat(),
    );
    assert_eq!(digest(&plain, 7), digest(&plain, 1000));
    assert_eq!(digest(&chunked, 3), digest(&plain, 1000));
    let other = with(
        &format!("content-length: {}\r\n", json.len()),
        b"{\"model\":\"gpt-4\"}",
    );
    assert_ne!(digest(&other, 1000), digest(&plain, 1000));
    assert_eq!(digest(b"GET / HTTP/1.1\r\n\r\n", 1000), 0);
}

#[test]
fn events_after_lost_framing_are_still_content_at_their_times() {
    let event: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let framed = chunk(event);
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let mut feed = |at, direction, head: &[u8], skipped, tail: &[u8]| {
        connection.feed(
            direction,
            Chunk {
                at,
                head,
                skipped,
                tail,
            },
            &mut |fact| facts.push(fact),
        );
    };
    feed(0, Request, ASK, 0, b"");
    feed(1, Response, EVENTS, 0, b"");
    // Two events in one call, cut across the border between their chunks.
    feed(2, Response, &framed[..20], 60, &framed[framed.len() - 20..]);
    feed(3, Response, &framed, 0, b"");
    feed(
        4,
        Response,
        &framed[..15],
        (framed.len() - 30) as u64,
        &framed[framed.len() - 15..],
    );
    feed(5, Response, &[&framed[..], b"0\r\n\r\n"].concat(), 0, b"");
    let facts = brief(&facts);
    assert_eq!(
        facts[5..9],
        [
            "0 first content @2",
            "0 content @3",
            "0 content @4",
            "0 content @5"
        ]
    );
    assert!(
        facts[9].starts_with("0 response ended") && facts[9].ends_with("@5") && facts.len() == 10
    );
}
