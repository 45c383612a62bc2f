use proptest::prelude::*;
use serde_json::json;

use super::*;

fn facts(vocabulary: Vocabulary, pieces: &[&[u8]]) -> Facts {
    let mut reader = Reader::new(vocabulary);
    for piece in pieces {
        reader.feed(piece);
    }
    reader.finish()
}

fn asked(document: &str) -> (Option<String>, Option<bool>) {
    let facts = facts(Vocabulary::Request, &[document.as_bytes()]);
    (facts.model.map(|model| model.to_string()), facts.stream)
}

fn said(document: &str) -> Facts {
    facts(Vocabulary::Answer, &[document.as_bytes()])
}

fn tokens_said(document: &str) -> (Option<u64>, Option<u64>) {
    let facts = said(document);
    (facts.input_tokens, facts.output_tokens)
}

/// What an event says: (content, done).
fn event(name: &str, data: &str) -> (bool, bool) {
    let mut reader = Reader::new(Vocabulary::Answer);
    reader.feed(data.as_bytes());
    let facts = reader.finish_event(Event { name: name.as_bytes(), bytes: data.len() as u64, cut: false });
    (facts.content, facts.done)
}

fn with_gap(vocabulary: Vocabulary, before: &str, after: &str) -> Facts {
    let mut reader = Reader::new(vocabulary);
    reader.feed(before.as_bytes());
    reader.gap();
    reader.feed(after.as_bytes());
    reader.finish()
}

#[test]
fn a_request_says_its_model_and_whether_it_streams() {
    assert_eq!(asked(r#"{"model":"gpt-5","stream":true}"#), (Some("gpt-5".into()), Some(true)));
    assert_eq!(
        asked(r#" { "stream" : false , "model" : "meta-llama\/Llama-3\u002e1" } "#),
        (Some("meta-llama/Llama-3.1".into()), Some(false))
    );
    assert_eq!(asked(r#"{"model":7,"stream":"true"}"#), (None, None));
    assert_eq!(asked("not json at all"), (None, None));
}

#[test]
fn only_keys_at_the_top_count() {
    assert_eq!(asked(r#"{"messages":[{"model":"x","stream":true}],"a":{"model":"y"}}"#), (None, None));
    assert_eq!(asked(r#"[{"model":"x"}]"#), (None, None));
    assert_eq!(asked(r#"{"message":{"model":"x"}}"#), (None, None));
}

#[test]
fn text_that_looks_like_keys_is_text() {
    let prompt = r#"{"messages":[{"content":"\"model\":\"x\",\"stream\":true}],{\"usage\":"}],"prompt":"model","model":"real"}"#;
    assert_eq!(asked(prompt), (Some("real".into()), None));
    assert_eq!(asked(r#"{"a":"model","b":":","c":"x"}"#), (None, None));
    assert_eq!(asked(r#"{"a\\":"model","model":"real\\"}"#), (Some("real\\".into()), None));
}

#[test]
fn names_with_blanks_are_no_models() {
    assert_eq!(asked(r#"{"model":"please write me a poem"}"#).0, None);
    assert_eq!(asked(r#"{"model":""}"#).0, None);
}

#[test]
fn tokens_are_found_in_every_vocabulary() {
    let both = (Some(12), Some(34));
    assert_eq!(
        tokens_said(
            r#"{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":1}}}"#
        ),
        both
    );
    assert_eq!(tokens_said(r#"{"usage":{"input_tokens":12,"output_tokens":34}}"#), both);
    assert_eq!(tokens_said(r#"{"type":"message_start","message":{"usage":{"input_tokens":12,"output_tokens":34}}}"#), both);
    assert_eq!(tokens_said(r#"{"type":"response.completed","response":{"usage":{"input_tokens":12,"output_tokens":34}}}"#), both);
    assert_eq!(tokens_said(r#"{"model":"llama3","done":true,"prompt_eval_count":12,"eval_count":34}"#), both);
    assert_eq!(tokens_said(r#"{"candidates":[],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":34}}"#), both);
    assert_eq!(tokens_said(r#"{"usage":{"prompt_tokens":12}}"#), (Some(12), None));
    assert_eq!(tokens_said(r#"{"usage":null,"x":{"usage":{"prompt_tokens":12}},"prompt_tokens":1}"#), (None, None));
    assert_eq!(tokens_said(r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5}}"#), (None, None));
}

#[test]
fn models_of_answers_are_found_in_every_vocabulary() {
    let model = |document| said(document).model.map(|model| model.to_string());
    assert_eq!(model(r#"{"model":"a"}"#).as_deref(), Some("a"));
    assert_eq!(model(r#"{"type":"message_start","message":{"model":"a"}}"#).as_deref(), Some("a"));
    assert_eq!(model(r#"{"response":{"model":"a"}}"#).as_deref(), Some("a"));
    assert_eq!(model(r#"{"modelVersion":"a"}"#).as_deref(), Some("a"));
}

#[test]
fn errors_are_identifiers_and_never_messages() {
    let code = |document| said(document).error_code.map(|code| code.to_string());
    assert_eq!(
        code(r#"{"error":{"message":"no","type":"requests","code":"rate_limit_exceeded"}}"#).as_deref(),
        Some("rate_limit_exceeded")
    );
    assert_eq!(
        code(r#"{"type":"error","error":{"type":"overloaded_error","message":"no"}}"#).as_deref(),
        Some("overloaded_error")
    );
    assert_eq!(code(r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#).as_deref(), Some("RESOURCE_EXHAUSTED"));
    assert_eq!(code(r#"{"error":{"type":"a","code":null}}"#).as_deref(), Some("a"));
    assert_eq!(code(r#"{"error":{"type":"the key sk-123 is wrong"}}"#), None);
    assert_eq!(code(r#"{"error":"model not found"}"#), None);
}

#[test]
fn facts_are_found_before_and_after_a_gap() {
    let read = with_gap(
        Vocabulary::Request,
        r#"{"model":"a","messages":[{"content":"he"#,
        r#"llo, {\"stream\":false"}],"stream":true}"#,
    );
    assert_eq!((read.model.as_deref(), read.stream), (Some("a"), Some(true)));
    let read = with_gap(Vocabulary::Request, r#"{"messages":["#, r#"0,{"content":"b"}],"model":"a","stream":false}"#);
    assert_eq!((read.model.as_deref(), read.stream), (Some("a"), Some(false)));
    let read = with_gap(Vocabulary::Answer, r#"{"x":"#, r#"b"}],"usage":{"prompt_tokens":12,"completion_tokens":34}}"#);
    assert_eq!((read.input_tokens, read.output_tokens), (Some(12), Some(34)));
    let read = with_gap(Vocabulary::Answer, r#"{"x":"#, r#"okens":11,"completion_tokens":34}}"#);
    assert_eq!((read.input_tokens, read.output_tokens), (None, Some(34)));
    let read = with_gap(
        Vocabulary::Answer,
        r#"{"response":{"output":["#,
        r#"x"}],"model":"a","usage":{"input_tokens":12,"output_tokens":34}}}"#,
    );
    assert_eq!((read.model.as_deref(), read.output_tokens), (Some("a"), Some(34)));
}

#[test]
fn what_follows_a_gap_is_not_guessed() {
    // Keys deeper than the top, keys inside a text, a key whose beginning is missing, a part that is not the document's end.
    for after in [
        r#""model":"x"}]}"#,
        r#" \"model\":\"x\",\"stream\":true}"}"#,
        r#"model":"x"}"#,
        r#"text, "model":"x""#,
        r#"a "quoted" text,"model":"x"}"#,
    ] {
        let read = with_gap(Vocabulary::Request, r#"{"messages":[{"#, after);
        assert_eq!((read.model, read.stream), (None, None), "{after}");
    }
}

#[test]
fn content_is_what_was_generated() {
    let chunk =
        |delta: &str| event("", &format!(r#"{{"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{delta}}}]}}"#)).0;
    assert!(!chunk(r#"{"role":"assistant","content":""}"#));
    assert!(!chunk(r#"{"role":"assistant","content":null,"tool_calls":[]}"#));
    assert!(!chunk("{}"));
    assert!(chunk(r#"{"content":"hi"}"#));
    assert!(chunk(r#"{"content":[{"type":"text","text":"hi"}]}"#));
    assert!(chunk(r#"{"reasoning_content":"hm"}"#));
    assert!(chunk(r#"{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#));
    assert!(chunk(r#"{"function_call":{"name":"f"}}"#));
    assert!(!event("", r#"{"choices":[],"usage":{"prompt_tokens":1}}"#).0);
    assert!(event("", r#"{"choices":[{"text":"hi","index":0}]}"#).0);
    assert!(!event("", r#"{"choices":[{"text":"","index":0}]}"#).0);

    assert!(event("content_block_delta", r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#).0);
    for other in ["message_start", "ping", "content_block_start", "message_delta"] {
        assert!(!event("", &format!(r#"{{"type":"{other}","message":{{}}}}"#)).0, "{other}");
    }
    for delta in ["output_text", "function_call_arguments", "reasoning_summary_text", "reasoning_text"] {
        assert!(event("", &format!(r#"{{"type":"response.{delta}.delta","delta":"hi"}}"#)).0, "{delta}");
    }
    assert!(!event("response.created", r#"{"type":"response.created","response":{}}"#).0);
    assert!(!event("error", r#"{"error":{"type":"server_error"}}"#).0);

    // Vocabularies that are not known.
    assert!(event("", r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}"#).0);
    assert!(event("token", "hi").0);
    assert!(!event("", "").0);
}

#[test]
fn streams_say_that_they_are_done() {
    assert_eq!(event("", "[DONE]"), (false, true));
    assert_eq!(event("", " [DONE] "), (false, true));
    assert_eq!(event("", "[DONE] or not"), (true, false));
    assert_eq!(event("message_stop", r#"{"type":"message_stop"}"#), (false, true));
    assert_eq!(event("", r#"{"type":"response.completed","response":{}}"#), (false, true));
    assert_eq!(event("", r#"{"choices":[{"delta":{"content":"[DONE]"}}]}"#), (true, false));
}

#[test]
fn a_cut_event_is_content_unless_it_says_otherwise() {
    let cut = |before: &str, after: &str| {
        let mut reader = Reader::new(Vocabulary::Answer);
        reader.feed(before.as_bytes());
        reader.gap();
        reader.feed(after.as_bytes());
        reader.finish_event(Event { name: b"", bytes: 1, cut: true }).content
    };
    assert!(cut(r#"{"id":"1","choices":[{"ind"#, r#""content":"hi"}}]}"#));
    assert!(cut(r#"{"id":"1","choices":[{"ind"#, r#"}]}"#));
    assert!(!cut(r#"{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"","#, r#""x":1}}]}"#));
    assert!(!cut(r#"{"type":"message_start","message":{"#, r#"}}"#));
}

#[test]
fn documents_follow_each_other_without_traces() {
    let mut reader = Reader::new(Vocabulary::Answer);
    reader.feed(br#"{"model":"a","error":{"code":"x"},"open":["#);
    assert_eq!(reader.finish().model.as_deref(), Some("a"));
    assert!(reader.is_blank());
    reader.feed(br#"{"usage":{"prompt_tokens":1}}"#);
    let facts = reader.finish();
    assert_eq!((facts.model, facts.error_code, facts.input_tokens), (None, None, Some(1)));
}

#[test]
fn documents_of_any_size_and_depth_take_bounded_memory() {
    let mut reader = Reader::new(Vocabulary::Answer);
    reader.feed(b"{\"a\":\"");
    for _ in 0..1000 {
        reader.feed(&[b'x'; 1000]);
    }
    reader.feed(b"\",\"b\":");
    reader.feed(&[b'['; 100_000]);
    reader.feed(&[b']'; 100_000]);
    reader.feed(b",\"n\":");
    reader.feed(&[b'1'; 100_000]);
    assert!(reader.retained_bytes() < 2048);
    reader.feed(b",\"model\":\"m\"}");
    assert_eq!(reader.finish().model.as_deref(), Some("m"));
    reader.gap();
    for _ in 0..1000 {
        reader.feed(&[b'x'; 1000]);
        assert!(reader.retained_bytes() < 4 * TAIL_LIMIT);
    }
}

#[test]
fn the_end_of_a_long_tail_is_still_found() {
    let mut tail = format!("\"{}\",", "text ".repeat(10_000));
    tail.push_str(r#""model":"m"}"#);
    assert_eq!(with_gap(Vocabulary::Request, "{\"a\":1,", &tail).model.as_deref(), Some("m"));
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i32>().prop_map(|value| json!(value)),
        "[a-z\"\\\\{}:,é\n]{0,12}".prop_map(|text| json!(text)),
        Just(json!("model")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let keys = proptest::sample::select(vec!["model", "stream", "usage", "content", "choices", "a", "prompt_tokens", "\""]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            proptest::collection::btree_map(keys, inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

/// Pieces of answers: of those that say something, and of others.
const WORDS: [&str; 21] = [
    "\"model\":\"m\",",
    "\"modelVersion\":\"m\",",
    "\"usage\":{\"prompt_tokens\":3,\"output_tokens\":4},",
    "\"usageMetadata\":{\"promptTokenCount\":3},",
    "\"prompt_eval_count\":3,",
    "\"eval_count\":3,",
    "\"error\":{\"code\":\"c\"},",
    "\"error\":\"c\",",
    "\"done\":true,",
    "\"type\":\"message_stop\",",
    "\"type\":\"response.completed\",",
    "[DONE]",
    "\"\\u006dodel\":\"m\",",
    "\"message\":{\"id\":1},",
    "\"code\":\"c\",",
    "\"status\":\"s\",",
    "\"result\":[{\"score\":0.5}],",
    "\"documents\":\"text\",",
    "{",
    "}",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn facts_are_those_of_a_whole_parser_in_any_split(mut document in document(), size in 1..20_usize, pretty in any::<bool>()) {
        if !document.is_object() {
            document = json!({"a": document, "model": "m", "usage": {"prompt_tokens": 3}});
        }
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let read = facts(Vocabulary::Answer, &pieces);
        let model = document["model"].as_str().and_then(|text| name(text.as_bytes()));
        prop_assert_eq!(read.model.as_deref(), model.as_deref());
        prop_assert_eq!(read.stream, document["stream"].as_bool());
        prop_assert_eq!(read.input_tokens, document["usage"]["prompt_tokens"].as_u64());
    }

    #[test]
    fn facts_after_a_gap_are_true(document in document(), from in 0.0..1.0_f64, to in 0.0..1.0_f64) {
        let whole = json!({"a": document, "model": "m", "stream": true}).to_string();
        let at = |share: f64| (whole.len() as f64 * share) as usize;
        let (from, to) = (at(from.min(to)), at(from.max(to)));
        let mut reader = Reader::new(Vocabulary::Request);
        reader.feed(&whole.as_bytes()[..from]);
        reader.gap();
        reader.feed(&whole.as_bytes()[to..]);
        let read = reader.finish();
        prop_assert!(read.model.is_none_or(|model| &*model == "m"));
        prop_assert!(read.stream.is_none_or(|stream| stream));
    }

    #[test]
    fn a_document_that_may_say_nothing_says_nothing(
        words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..12),
        broken in any::<bool>(),
    ) {
        let joined = words.concat();
        let whole = if broken { joined } else { format!("{{{joined}\"a\":1}}") };
        let mut reader = Reader::new(Vocabulary::Answer);
        reader.feed(whole.as_bytes());
        let said = reader.finish();
        let nothing = Facts { content: said.content, ..Facts::default() };
        prop_assert!(said == nothing || may_say(whole.as_bytes()), "{whole}: {said:?}");
    }

    #[test]
    fn any_bytes_are_survived(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10)) {
        let mut reader = Reader::new(Vocabulary::Answer);
        for piece in &pieces {
            reader.feed(piece);
            if piece.len() % 5 == 4 {
                reader.gap();
            }
        }
        reader.finish();
        prop_assert!(reader.is_blank());
    }
}
