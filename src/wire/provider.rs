//! What a known host, variable and path mean: which provider it is, what kind of call, and a name for the operation.

/// What a path says about the kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A model generates something.
    Llm,
    /// A model makes vectors.
    Embedding,
}

/// Longest operation, in bytes.
const OPERATION_LIMIT: usize = 96;
/// Most segments of a path that an operation has.
const SEGMENT_LIMIT: usize = 8;
/// A segment of so many characters is taken for an identifier.
const LONG: usize = 24;

/// Hosts by name; a name that begins with a dot stands for every host below it.
const HOSTS: &[(&str, &str)] = &[
    ("api.openai.com", "openai"),
    (".api.openai.com", "openai"),
    (".openai.azure.com", "azure_openai"),
    (".cognitiveservices.azure.com", "azure_openai"),
    (".services.ai.azure.com", "azure_openai"),
    (".inference.ai.azure.com", "azure_openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex_ai"),
    ("api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("openrouter.ai", "openrouter"),
    ("api.deepseek.com", "deepseek"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.perplexity.ai", "perplexity"),
    ("api.x.ai", "xai"),
    ("api.moonshot.ai", "moonshot"),
    ("api.moonshot.cn", "moonshot"),
    ("api.cerebras.ai", "cerebras"),
    ("api.sambanova.ai", "sambanova"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("api-inference.huggingface.co", "huggingface"),
    ("router.huggingface.co", "huggingface"),
    (".endpoints.huggingface.cloud", "huggingface"),
    ("api.replicate.com", "replicate"),
    ("api.voyageai.com", "voyage"),
    ("api.jina.ai", "jina"),
    ("ollama.com", "ollama"),
    ("ollama", "ollama"),
];

/// Variables that hold a provider's base URL.
const VARIABLES: &[(&str, &str)] = &[
    ("OPENAI_BASE_URL", "openai"),
    ("OPENAI_API_BASE", "openai"),
    ("OPENAI_API_HOST", "openai"),
    ("AZURE_OPENAI_ENDPOINT", "azure_openai"),
    ("AZURE_OPENAI_BASE_URL", "azure_openai"),
    ("ANTHROPIC_BASE_URL", "anthropic"),
    ("ANTHROPIC_API_URL", "anthropic"),
    ("OLLAMA_HOST", "ollama"),
    ("OLLAMA_BASE_URL", "ollama"),
    ("OLLAMA_API_BASE", "ollama"),
    ("GOOGLE_GEMINI_BASE_URL", "gemini"),
    ("GEMINI_API_BASE", "gemini"),
    ("MISTRAL_BASE_URL", "mistral"),
    ("MISTRAL_API_BASE", "mistral"),
    ("GROQ_BASE_URL", "groq"),
    ("GROQ_API_BASE", "groq"),
    ("COHERE_BASE_URL", "cohere"),
    ("CO_API_URL", "cohere"),
    ("OPENROUTER_BASE_URL", "openrouter"),
    ("OPENROUTER_API_BASE", "openrouter"),
    ("DEEPSEEK_BASE_URL", "deepseek"),
    ("DEEPSEEK_API_BASE", "deepseek"),
    ("TOGETHER_BASE_URL", "together"),
    ("TOGETHER_API_BASE", "together"),
    ("FIREWORKS_BASE_URL", "fireworks"),
    ("FIREWORKS_API_BASE", "fireworks"),
    ("XAI_BASE_URL", "xai"),
    ("NVIDIA_BASE_URL", "nvidia"),
    ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "bedrock"),
];

/// The provider behind a host (lower case, with or without its port), as a dependency's name.
#[must_use]
pub fn of_host(host: &str, port: Option<u16>) -> Option<&'static str> {
    let (name, in_host) = split_port(host);
    let name = name.trim_end_matches('.');
    let known = HOSTS.iter().find(|(known, _)| match known.strip_prefix('.') {
        Some(_) => name.ends_with(known),
        None => name == *known,
    });
    if let Some((_, provider)) = known {
        return Some(provider);
    }
    // Regional names: bedrock-runtime.eu-west-1.amazonaws.com, europe-west4-aiplatform.googleapis.com.
    if name.starts_with("bedrock") && (name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn")) {
        return Some("bedrock");
    }
    if name.ends_with("-aiplatform.googleapis.com") {
        return Some("vertex_ai");
    }
    (in_host.or(port) == Some(11434) && is_loopback(name)).then_some("ollama")
}

/// The provider whose base URL a variable holds, as a dependency's name.
#[must_use]
pub fn of_variable(name: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, provider)| *provider)
}

/// Every variable that holds a provider's base URL, with that provider.
#[must_use]
pub const fn variables() -> &'static [(&'static str, &'static str)] {
    VARIABLES
}

/// What a path (without its query) says about the kind of a call.
#[must_use]
pub fn hint(path: &str) -> Option<Hint> {
    const LLM: &[&str] = &[
        "/chat/completions",
        "/completions",
        "/responses",
        "/messages",
        "/api/chat",
        "/api/generate",
        "/v1/complete",
        "/v1/chat",
        "/v2/chat",
        "/converse",
        "/converse-stream",
        "/invoke",
        "/invoke-with-response-stream",
        ":generateContent",
        ":streamGenerateContent",
    ];
    const EMBEDDING: &[&str] = &["/embeddings", "/api/embed", "/v1/embed", "/v2/embed", ":embedContent", ":batchEmbedContents"];
    /// Words that stand in many services' paths, and mean this only behind what comes before them here.
    const ONLY_BEHIND: &[(&str, &str)] =
        &[("/messages", "/v1/messages"), ("/responses", "/v1/responses"), ("/invoke", "/model/"), ("/converse", "/model/")];

    let path = path.trim_end_matches('/');
    if EMBEDDING.iter().any(|end| path.ends_with(end)) {
        return Some(Hint::Embedding);
    }
    let end = LLM.iter().find(|end| path.ends_with(**end))?;
    let behind = ONLY_BEHIND.iter().find(|(word, _)| word == end);
    match behind {
        // Azure: /openai/responses, /openai/deployments/…/responses.
        Some((_, needed)) if !path.contains(needed) && !path.contains("/openai/") => None,
        _ => Some(Hint::Llm),
    }
}

/// A name of few values for a request: `GET /collections/{id}/query`. Parts of the path that look like identifiers become
/// `{id}`; of what comes after a question mark nothing is taken.
#[must_use]
pub fn operation(method: &str, path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut name = String::with_capacity(OPERATION_LIMIT);
    name.extend(method.chars().take(16));
    if path.is_empty() {
        return name;
    }
    name.push(' ');
    let mut segments = path.trim_start_matches('/').split('/');
    for segment in segments.by_ref().take(SEGMENT_LIMIT) {
        let segment = if is_identifier(segment) { "{id}" } else { segment };
        if name.len() + 1 + segment.len() > OPERATION_LIMIT {
            name.push_str("/…");
            return name;
        }
        if path.starts_with('/') || !name.ends_with(' ') {
            name.push('/');
        }
        name.push_str(segment);
    }
    if segments.next().is_some() {
        name.push_str("/…");
    }
    name
}

/// Numbers, UUIDs, hexadecimal digests, and whatever is too long or too odd to be a word.
fn is_identifier(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let hex = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:*~".contains(&byte);
    match segment {
        "" => false,
        _ if digits == segment.len() => true,
        _ if hex && digits > 0 && segment.len() >= 8 => true,
        // `thread_abc123`, `org-7f3k2`: a word and many digits.
        _ if digits >= 4 && segment.len() >= 12 => true,
        // Words with colons are methods (`models/gemini:generateContent`); a long one is none of the identifiers meant here.
        _ => segment.len() >= LONG || !segment.bytes().all(word),
    }
}

fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.starts_with("127.") || matches!(name, "::1" | "[::1]")
}

#[cfg(test)]
mod tests;
