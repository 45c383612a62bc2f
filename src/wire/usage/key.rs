//! The keys that lead to facts, in every vocabulary.

/// A key of an object, or an array's element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// It stood in bytes that were not seen.
    Unknown,
    /// It leads nowhere.
    Other,
    /// An element of an array.
    Item,
    Model,
    ModelVersion,
    Stream,
    Usage,
    UsageMetadata,
    Message,
    Response,
    Error,
    Type,
    Code,
    Status,
    Choices,
    Delta,
    /// What was generated: text, reasoning, refusal.
    Content,
    /// `text` of a completion.
    Text,
    /// Calls of tools and functions.
    Calls,
    /// Input tokens inside `usage`.
    Input,
    /// Output tokens inside `usage`.
    Output,
    /// Gemini's, inside `usageMetadata`.
    MetadataInput,
    MetadataOutput,
    /// Ollama's, at the top.
    RootInput,
    RootOutput,
    /// Ollama's mark of the last line.
    Done,
}

impl Key {
    pub(super) fn of(text: &[u8]) -> Self {
        match text {
            b"model" => Self::Model,
            b"modelVersion" => Self::ModelVersion,
            b"stream" => Self::Stream,
            b"usage" => Self::Usage,
            b"usageMetadata" => Self::UsageMetadata,
            b"message" => Self::Message,
            b"response" => Self::Response,
            b"error" => Self::Error,
            b"type" => Self::Type,
            b"code" => Self::Code,
            b"status" => Self::Status,
            b"choices" => Self::Choices,
            b"delta" => Self::Delta,
            b"content" | b"reasoning_content" | b"reasoning" | b"refusal" => Self::Content,
            b"text" => Self::Text,
            b"tool_calls" | b"function_call" => Self::Calls,
            b"prompt_tokens" | b"input_tokens" => Self::Input,
            b"completion_tokens" | b"output_tokens" => Self::Output,
            b"promptTokenCount" => Self::MetadataInput,
            b"candidatesTokenCount" => Self::MetadataOutput,
            b"prompt_eval_count" => Self::RootInput,
            b"eval_count" => Self::RootOutput,
            b"done" => Self::Done,
            _ => Self::Other,
        }
    }
}
