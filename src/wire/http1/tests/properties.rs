//! What holds for any bytes, and for any split of valid ones.

use proptest::prelude::*;

use super::*;
use crate::wire::calls::call;
use crate::wire::http1::order::check_order;

/// Most memory that a connection may hold, in bytes: a head and a body's readers a direction, and the outstanding requests.
const MEMORY_LIMIT: usize = 512 * 1024;

/// Bytes that look like HTTP often enough to reach all states.
fn hostile() -> impl Strategy<Value = Vec<u8>> + Clone {
    let piece = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => Just(GET.to_vec()),
        1 => Just(OK.to_vec()),
        1 => Just(b"POST /v1/messages HTTP/1.1\r\ncontent-type: application/json\r\n".to_vec()),
        1 => Just(b"transfer-encoding: chunked\r\n\r\n".to_vec()),
        1 => Just(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n".to_vec()),
        1 => Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        1 => Just(b"content-encoding: gzip\r\n".to_vec()),
        1 => Just(b"content-length: 20\r\n\r\n".to_vec()),
        1 => Just(b"ffffffffffffffff\r\n".to_vec()),
        1 => Just(b"5\r\nabcde\r\n0\r\n\r\n".to_vec()),
        1 => Just(b"data: {\"usage\":{\"prompt_tokens\":1}}\n\n".to_vec()),
        1 => Just(b"\r\n\r\n".to_vec()),
        1 => Just(b"{\"model\":\"a\",[[[[[[[[[[{{{".to_vec()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_calls_are_read_orderly_in_bounded_memory(calls in proptest::collection::vec(call(hostile()), 0..30)) {
        let mut connection = Connection::new();
        let mut facts = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            connection.feed(call.direction, call.chunk(at as u64), &mut |fact| facts.push(fact));
            prop_assert!(connection.retained_bytes() < MEMORY_LIMIT);
            if call.end {
                connection.end(call.direction, at as u64, &mut |fact| facts.push(fact));
            }
        }
        check_order(&facts);
    }

    #[test]
    fn valid_exchanges_say_the_same_in_any_split(exchanges in proptest::collection::vec(exchange(), 1..5), splits in proptest::collection::vec(1..60_usize, 1..30)) {
        let all = play(&exchanges, &[usize::MAX]);
        check_order(&all);
        prop_assert_eq!(without_times(&all), expected(&exchanges));
        for splits in [&[1][..], &splits] {
            let split = play(&exchanges, splits);
            prop_assert_eq!(without_times(&split), without_times(&all));
            prop_assert_eq!(bodies(&split), bodies(&all));
        }
    }

    #[test]
    fn pipelined_exchanges_say_the_same_in_any_split(exchanges in proptest::collection::vec(exchange(), 1..5), splits in proptest::collection::vec(1..60_usize, 1..30)) {
        let requests: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.request.clone()).collect();
        let answers: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.answer.clone()).collect();
        let together = Exchange { request: requests, answer: answers, ..exchanges[0].clone() };
        let all = bodies(&play(&exchanges, &[usize::MAX]));
        for splits in [&[usize::MAX][..], &[1], &splits] {
            let split = play(std::slice::from_ref(&together), splits);
            check_order(&split);
            prop_assert_eq!(&bodies(&split), &all);
        }
    }

    #[test]
    fn exchanges_stay_paired_whatever_was_not_kept_of_their_bodies(
        exchanges in proptest::collection::vec(exchange(), 1..6),
        size in 20..300_usize,
        kept in (0..40_usize, 0..40_usize),
    ) {
        let mut connection = Connection::new();
        let mut facts = Vec::new();
        for exchange in &exchanges {
            for (direction, bytes) in [(Request, &exchange.request), (Response, &exchange.answer)] {
                // Heads are kept whole.
                let body = bytes.windows(4).enumerate().filter(|(_, window)| window == b"\r\n\r\n");
                let head = body.map(|(at, _)| at + 4).nth(if direction == Request { 0 } else { exchange.interims });
                let first = head.unwrap_or(bytes.len()) + kept.0;
                let mut calls = vec![&bytes[..bytes.len().min(first + size)]];
                calls.extend(bytes[calls[0].len()..].chunks(size));
                for (index, call) in calls.into_iter().enumerate() {
                    let from = call.len().min(if index == 0 { first } else { kept.0 });
                    let to = call.len() - kept.1.min(call.len() - from);
                    let chunk = Chunk { at: 0, head: &call[..from], skipped: (to - from) as u64, tail: &call[to..] };
                    connection.feed(direction, chunk, &mut |fact| facts.push(fact));
                }
            }
        }
        connection.end(Response, 0, &mut |fact| facts.push(fact));
        check_order(&facts);
        let count = |wanted: fn(&Fact) -> bool| facts.iter().filter(|fact| wanted(fact)).count();
        prop_assert_eq!(count(|fact| matches!(fact, Fact::RequestHead { head, .. } if !head.cut)), exchanges.len());
        prop_assert_eq!(count(|fact| matches!(fact, Fact::RequestEnded { .. })), exchanges.len());
        prop_assert_eq!(count(|fact| matches!(fact, Fact::ResponseHead { head, .. } if head.status == 200 && !head.cut)), exchanges.len());
        prop_assert_eq!(count(|fact| matches!(fact, Fact::ResponseEnded { .. })), exchanges.len());
        prop_assert_eq!(count(|fact| matches!(fact, Fact::NotHttp { .. })), 0);
    }
}

/// A valid exchange and what it is made of.
#[derive(Clone, Debug)]
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
    sent: u64,
    received: u64,
    interims: usize,
    /// Pieces of content that do not depend on the split.
    events: u64,
    has_body: bool,
}

/// A body and how its message says where it ends.
fn framed(body: Vec<u8>) -> impl Strategy<Value = (String, Vec<u8>)> {
    let sizes = proptest::collection::vec((1..50_usize, any::<bool>()), 1..20);
    (Just(body), any::<bool>(), sizes, any::<bool>()).prop_map(|(body, chunked, sizes, trailer)| {
        if !chunked {
            return (format!("Content-Length: {}\r\n", body.len()), body);
        }
        let mut framed = Vec::new();
        let mut rest = &body[..];
        let mut sizes = sizes.iter().cycle();
        while let (false, Some((size, extension))) = (rest.is_empty(), sizes.next()) {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            let extension = if *extension { ";name=\"va;lue\"" } else { "" };
            framed.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
            framed.extend_from_slice(piece);
            framed.extend_from_slice(b"\r\n");
            rest = after;
        }
        framed.extend_from_slice(if trailer { b"0\r\nx-trailer: 1\r\n\r\n" } else { b"0\r\n\r\n" });
        ("transfer-encoding: chunked\r\n".to_owned(), framed)
    })
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let sent = prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 1..200),
        "[a-z\\\\\"\n ]{0,80}".prop_map(|prompt| {
            serde_json::json!({"messages": [{"content": prompt}], "model": "m1", "stream": true}).to_string().into_bytes()
        }),
    ];
    let received = prop_oneof![
        Just((Vec::new(), "application/json", 0)),
        proptest::collection::vec(any::<u8>(), 1..300).prop_map(|body| (body, "application/octet-stream", 0)),
        (any::<u32>(), "[a-z\\\\\"{}\n ]{0,80}").prop_map(|(tokens, text)| {
            let body = serde_json::json!({"text": text, "model": "m2", "usage": {"input_tokens": tokens, "output_tokens": 7}});
            (body.to_string().into_bytes(), "application/json", 0)
        }),
        (1..8_u64, proptest::sample::select(vec!["\n", "\r\n", "\r"])).prop_map(|(count, line)| {
            let mut body = format!(": hello{line}{line}");
            for number in 0..count {
                body += &format!("event: e{line}data: {{\"choices\":[{{\"delta\":{{\"content\":\"{number}\"}}}}]}}{line}{line}");
            }
            body += &format!("data: [DONE]{line}{line}");
            (body.into_bytes(), "text/event-stream; charset=utf-8", count)
        }),
    ];
    (sent, received, 0..3_usize).prop_flat_map(|(sent, (received, kind, events), interims)| {
        let (sent_length, received_length) = (sent.len() as u64, received.len() as u64);
        (framed(sent), framed(received)).prop_map(move |((sent_field, sent), (received_field, received))| Exchange {
            request: [
                format!("POST /a?b HTTP/1.1\r\nhost: c\r\ncontent-type: application/json\r\n{sent_field}\r\n").into_bytes(),
                sent,
            ]
            .concat(),
            answer: [
                b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(interims),
                format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{received_field}\r\n").into_bytes(),
                received,
            ]
            .concat(),
            sent: sent_length,
            received: received_length,
            interims,
            events,
            has_body: received_length > 0,
        })
    })
}

/// Plays exchanges one after the other, each direction in calls of these sizes.
fn play(exchanges: &[Exchange], splits: &[usize]) -> Vec<Fact> {
    let mut connection = Connection::new();
    let mut facts = Vec::new();
    let mut splits = splits.iter().cycle();
    let mut at = 0;
    for exchange in exchanges {
        for (direction, bytes) in [(Request, &exchange.request), (Response, &exchange.answer)] {
            let mut rest = &bytes[..];
            while let (false, Some(&size)) = (rest.is_empty(), splits.next()) {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                connection.feed(direction, Chunk::whole(at, piece), &mut |fact| facts.push(fact));
                rest = after;
                at += 1;
            }
        }
    }
    facts
}

/// The facts without their times, and without the pieces of bodies that have no events: those follow the calls.
fn without_times(facts: &[Fact]) -> Vec<String> {
    let mut events = false;
    let kept = facts.iter().filter(|fact| {
        if let Fact::ResponseHead { head, .. } = fact {
            events = head.fields.message.content_type == crate::wire::headers::ContentType::EventStream;
        }
        events || !matches!(fact, Fact::Content { .. })
    });
    kept.map(|fact| brief_one(fact).split(" @").next().unwrap_or_default().to_owned()).collect()
}

fn bodies(facts: &[Fact]) -> Vec<(Option<RequestBody>, Option<ResponseBody>)> {
    let body = facts.iter().filter_map(|fact| match fact {
        Fact::RequestEnded { body, .. } => Some((Some(body.clone()), None)),
        Fact::ResponseEnded { body, .. } => Some((None, Some(body.clone()))),
        _ => None,
    });
    let (requests, answers): (Vec<_>, Vec<_>) = body.partition(|(request, _)| request.is_some());
    [requests, answers].concat()
}

fn expected(exchanges: &[Exchange]) -> Vec<String> {
    let mut facts = Vec::new();
    for (number, exchange) in exchanges.iter().enumerate() {
        facts.push(format!("{number} request started"));
        facts.push(format!("{number} POST /a"));
        facts.push(format!("{number} request ended {}", exchange.sent));
        facts.push(format!("{number} response started"));
        facts.extend(std::iter::repeat_n(format!("{number} interim 103"), exchange.interims));
        facts.push(format!("{number} status 200"));
        if exchange.has_body {
            facts.push(format!("{number} first content"));
        }
        facts.extend(std::iter::repeat_n(format!("{number} content"), exchange.events.saturating_sub(1) as usize));
        facts.push(format!("{number} response ended {}", exchange.received));
    }
    facts
}
