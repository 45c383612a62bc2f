use super::*;

fn request(fields: &[(&str, &str)]) -> RequestFields {
    let mut read = RequestFields::default();
    for (name, value) in fields {
        read.set(name, value.as_bytes());
    }
    read
}

fn response(fields: &[(&str, &str)]) -> ResponseFields {
    let mut read = ResponseFields::default();
    for (name, value) in fields {
        read.set(name, value.as_bytes());
    }
    read
}

#[test]
fn lengths_are_one_number_or_nothing() {
    let message = |values: &[&str]| {
        let fields: Vec<_> = values
            .iter()
            .map(|value| ("Content-Length", *value))
            .collect();
        let message = request(&fields).message;
        (message.content_length, message.unframed)
    };
    assert_eq!(message(&["12"]), (Some(12), false));
    assert_eq!(message(&["12, 12"]), (Some(12), false));
    assert_eq!(message(&["12", "12"]), (Some(12), false));
    assert_eq!(message(&["12", "13"]), (None, true));
    assert_eq!(message(&["12", "13", "12"]), (None, true));
    for invalid in ["", "-1", "+1", "1x", "0x10", "99999999999999999999"] {
        assert_eq!(message(&[invalid]), (None, true), "{invalid:?}");
    }
}

#[test]
fn the_last_transfer_coding_frames_a_message() {
    let message = |value| request(&[("transfer-encoding", value)]).message;
    assert!(message("chunked").chunked && message("gzip, Chunked").chunked);
    assert!(!message("chunked, gzip").chunked && message("gzip").unframed);
}

#[test]
fn types_and_encodings_are_told_apart() {
    let message = |kind, encoding| {
        response(&[("Content-Type", kind), ("Content-Encoding", encoding)]).message
    };
    for (kind, expected) in [
        ("application/json; charset=utf-8", ContentType::Json),
        ("application/problem+json", ContentType::Json),
        ("Text/Event-Stream", ContentType::EventStream),
        ("application/x-ndjson", ContentType::JsonLines),
        ("text/plain", ContentType::Other),
    ] {
        assert_eq!(message(kind, "identity").content_type, expected, "{kind}");
    }
    for (encoding, expected) in [
        ("GZIP", ContentEncoding::Gzip),
        ("deflate", ContentEncoding::Deflate),
        ("br", ContentEncoding::Brotli),
        ("zstd", ContentEncoding::Zstd),
        ("gzip, br", ContentEncoding::Other),
        ("", ContentEncoding::Identity),
    ] {
        assert_eq!(
            message("", encoding).content_encoding,
            expected,
            "{encoding}"
        );
    }
    let twice = response(&[("content-encoding", "gzip"), ("content-encoding", "br")]);
    assert_eq!(twice.message.content_encoding, ContentEncoding::Other);
    assert_eq!(
        ResponseFields::default().message.content_type,
        ContentType::Absent
    );
}

#[test]
fn connection_options_are_a_list() {
    let message = request(&[("Connection", "Keep-Alive, Upgrade"), ("Upgrade", "h2c")]).message;
    assert!(message.keep_alive && message.upgrade && !message.close);
    assert!(request(&[("connection", "close")]).message.close);
}

#[test]
fn a_traceparent_is_read_as_w3c_says() {
    let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let read = request(&[("traceparent", valid)])
        .traceparent
        .expect("valid");
    assert_eq!(read.trace_id[..3], [0x0a, 0xf7, 0x65]);
    assert_eq!((read.parent_id[7], read.sampled), (0x31, true));
    assert!(
        TraceParent::parse(b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more")
            .is_some_and(|read| !read.sampled)
    );
    assert!(
        TraceParent::parse(b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").is_some()
    );
    for invalid in [
        "",
        "00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00.more",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
    ] {
        assert_eq!(TraceParent::parse(invalid.as_bytes()), None, "{invalid}");
    }
}

#[test]
fn the_clients_own_settings_are_read() {
    let read = request(&[
        ("X-Stainless-Retry-Count", "2"),
        ("x-stainless-read-timeout", "0.5"),
        ("User-Agent", "AsyncOpenAI/Python 1.50.0"),
        ("Expect", "100-Continue"),
        ("Accept", "application/json, text/event-stream;q=0.9"),
    ]);
    assert_eq!(
        (read.retry_count, read.read_timeout_ms),
        (Some(2), Some(500))
    );
    assert_eq!(read.user_agent.as_deref(), Some("AsyncOpenAI/Python"));
    assert!(read.expect_continue && read.accepts_events);
    for absent in ["NOT_GIVEN", "None", "inf", "nan", "-1", "", "1e5"] {
        assert_eq!(
            request(&[("x-stainless-read-timeout", absent)]).read_timeout_ms,
            None,
            "{absent}"
        );
    }
}

#[test]
fn products_are_first_words_without_versions() {
    assert_eq!(
        product(b"python-httpx/0.28.1").as_deref(),
        Some("python-httpx")
    );
    assert_eq!(product(b"Mozilla/5.0 (X11)").as_deref(), Some("Mozilla"));
    assert_eq!(product(b"uvicorn").as_deref(), Some("uvicorn"));
    assert_eq!(product(b"a/").as_deref(), Some("a"));
    assert_eq!(product("é".as_bytes()), None);
    assert_eq!(
        product(&[b'a'; 200]).map(|name| name.len()),
        Some(PRODUCT_LIMIT)
    );
}

#[test]
fn waits_asked_for_are_seconds_or_milliseconds_and_never_dates() {
    assert_eq!(
        response(&[("Retry-After", "20")]).retry_after_ms,
        Some(20_000)
    );
    assert_eq!(
        response(&[("retry-after", "1.5")]).retry_after_ms,
        Some(1500)
    );
    assert_eq!(
        response(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]).retry_after_ms,
        None
    );
    assert_eq!(
        response(&[("retry-after-ms", "250"), ("retry-after", "1")]).retry_after_ms,
        Some(250)
    );
    assert_eq!(
        response(&[("retry-after", "1"), ("retry-after-ms", "250")]).retry_after_ms,
        Some(250)
    );
}

#[test]
fn limits_are_read_in_every_providers_spelling() {
    let openai = response(&[
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ]);
    let expected = RateLimit {
        limit_requests: Some(60),
        remaining_requests: Some(59),
        reset_requests_ms: Some(1000),
        limit_tokens: Some(150_000),
        remaining_tokens: Some(149_984),
        reset_tokens_ms: Some(360_000),
    };
    assert_eq!(openai.rate_limit, expected);
    let anthropic = response(&[
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T07:00:00Z"),
        ("anthropic-ratelimit-tokens-remaining", "1000"),
    ]);
    let read = anthropic.rate_limit;
    assert_eq!(
        (
            read.limit_requests,
            read.remaining_requests,
            read.reset_requests_ms
        ),
        (Some(50), Some(0), None)
    );
    assert_eq!(read.remaining_tokens, Some(1000));
    let ietf = response(&[("RateLimit", "\"default\";r=50;t=30")]).rate_limit;
    assert_eq!(
        (ietf.remaining_requests, ietf.reset_requests_ms),
        (Some(50), Some(30_000))
    );
    let draft = response(&[("ratelimit", "limit=100, remaining=0, reset=5")]).rate_limit;
    assert_eq!(
        (draft.limit_requests, draft.remaining_requests),
        (Some(100), Some(0))
    );
    let single = response(&[
        ("ratelimit-limit", "10, 10;w=60"),
        ("ratelimit-remaining", "3"),
        ("x-ratelimit-reset", "1795244400"),
    ]);
    let read = single.rate_limit;
    assert_eq!(
        (
            read.limit_requests,
            read.remaining_requests,
            read.reset_requests_ms
        ),
        (Some(10), Some(3), None)
    );
}

#[test]
fn durations_have_units() {
    assert_eq!(duration_ms(b"2m59.56s"), Some(179_560));
    assert_eq!(duration_ms(b"20ms"), Some(20));
    assert_eq!(duration_ms(b"1h"), Some(3_600_000));
    assert_eq!(duration_ms(b"7"), Some(7000));
    for invalid in [
        &b""[..],
        b"s",
        b"1x",
        b"1.2.3s",
        b"soon",
        b"2026-11-21T07:00:00Z",
    ] {
        assert_eq!(duration_ms(invalid), None, "{invalid:?}");
    }
}

#[test]
fn a_servers_own_times_are_read() {
    let read = response(&[
        ("Server", "uvicorn"),
        ("openai-processing-ms", "412"),
        ("x-envoy-upstream-service-time", "400"),
    ]);
    assert_eq!(
        (read.server.as_deref(), read.processing_ms, read.upstream_ms),
        (Some("uvicorn"), Some(412), Some(400))
    );
}

#[test]
fn names_of_any_length_are_read() {
    let mut read = RequestFields::default();
    read.set(&"a".repeat(10_000), b"b");
    assert_eq!(read, RequestFields::default());
}
