//! What an OpenAI-compatible model server, a retriever and a tool answer.

use serde_json::{Value, json};

use super::script::Script;

/// The path of chat completions.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A whole chat completion.
pub(crate) fn completion(text: &str, input: u64, output: u64) -> Script {
    Script::json(&chat(json!({"role": "assistant", "content": text}), "stop", input, output))
}

/// A chat completion that asks for a tool.
pub(crate) fn tool_call(name: &str, arguments: &Value) -> Script {
    let call = json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments.to_string()}});
    Script::json(&chat(json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls", 30, 9))
}

fn chat(message: Value, finish: &str, input: u64, output: u64) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-test",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage(input, output),
    })
}

fn usage(input: u64, output: u64) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

/// A streamed chat completion: the head at once, each word `gap` after what came before it, usage at the end.
pub(crate) fn stream(words: usize, gap: u64, input: u64, output: u64) -> Script {
    finish(streamed(Script::event_stream(), words, gap), input, output)
}

/// Words of a stream alone, without its end.
pub(crate) fn streamed(script: Script, words: usize, gap: u64) -> Script {
    (0..words).fold(script, |script, n| script.delay(gap).event(&word(&format!("word{n} "))))
}

/// The end of a stream, with usage.
pub(crate) fn finish(script: Script, input: u64, output: u64) -> Script {
    let mut usage_chunk = part(json!([]));
    usage_chunk["usage"] = usage(input, output);
    let last = part(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
    script.event(&last.to_string()).event(&usage_chunk.to_string()).event("[DONE]").end()
}

fn word(text: &str) -> String {
    part(json!([{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null}])).to_string()
}

fn part(choices: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-test", "choices": choices, "usage": null})
}

/// The path of Anthropic's messages.
pub(crate) const MESSAGES: &str = "/v1/messages";

/// A whole message as Anthropic answers.
pub(crate) fn message(text: &str, input: u64, output: u64) -> Script {
    let content = json!([{"type": "text", "text": text}]);
    Script::json(&json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-test", "content": content,
        "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": input, "output_tokens": output},
    }))
}

/// The same as a stream: the head at once, each word `gap` after what came before it.
pub(crate) fn message_stream(words: usize, gap: u64, input: u64, output: u64) -> Script {
    let event = |script: Script, data: Value| script.named_event(data["type"].as_str().unwrap_or_default(), &data.to_string());
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-test", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": input, "output_tokens": 1},
    });
    let begun = event(Script::event_stream(), json!({"type": "message_start", "message": message}));
    let block = json!({"type": "text", "text": ""});
    let begun = event(begun, json!({"type": "content_block_start", "index": 0, "content_block": block}));
    let said = (0..words).fold(begun, |script, n| {
        let delta = json!({"type": "text_delta", "text": format!("word{n} ")});
        event(script.delay(gap), json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    });
    let ended = event(said, json!({"type": "content_block_stop", "index": 0}));
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    let ended = event(ended, json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}}));
    event(ended, json!({"type": "message_stop"})).end()
}

/// A refusal as OpenAI words it.
pub(crate) fn rate_limited(retry_after: &str) -> Script {
    let body = json!({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}});
    Script::answer(429, &[("retry-after", retry_after)], &body)
}

pub(crate) fn unavailable() -> Script {
    Script::answer(503, &[], &json!({"error": {"message": "overloaded", "type": "server_error", "code": null}}))
}

/// What a retriever finds.
pub(crate) fn documents() -> Script {
    Script::json(&json!({"documents": ["Order 42 left on Monday.", "Orders take three days."]}))
}

/// What a tool says.
pub(crate) fn found() -> Script {
    Script::json(&json!({"status": "shipped"}))
}
