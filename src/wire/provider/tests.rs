use super::*;

#[test]
fn known_hosts_have_their_providers_names() {
    for (host, provider) in [
        ("api.openai.com", "openai"),
        ("api.openai.com:443", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure_openai"),
        ("api.anthropic.com.", "anthropic"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("europe-west4-aiplatform.googleapis.com", "vertex_ai"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "bedrock"),
        ("api.mistral.ai", "mistral"),
        ("localhost:11434", "ollama"),
        ("127.0.0.1:11434", "ollama"),
        ("[::1]:11434", "ollama"),
        ("ollama:11434", "ollama"),
    ] {
        assert_eq!(of_host(host, None), Some(provider), "{host}");
    }
    assert_eq!(of_host("::1", Some(11434)), Some("ollama"));
    for host in [
        "example.com",
        "notapi.openai.com.evil.org",
        "fakeopenai.azure.com",
        "localhost:8000",
        "10.0.0.7:11434",
        "",
    ] {
        assert_eq!(of_host(host, None), None, "{host}");
    }
}

#[test]
fn variables_name_their_providers() {
    assert_eq!(of_variable("OPENAI_BASE_URL"), Some("openai"));
    assert_eq!(of_variable("AZURE_OPENAI_ENDPOINT"), Some("azure_openai"));
    assert_eq!(of_variable("OLLAMA_HOST"), Some("ollama"));
    assert_eq!(of_variable("PATH"), None);
    assert!(variables().contains(&("ANTHROPIC_BASE_URL", "anthropic")));
}

#[test]
fn paths_say_what_kind_of_call_it_is() {
    for path in [
        "/v1/chat/completions",
        "/openai/deployments/gpt-4/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/openai/responses",
        "/v1/messages",
        "/api/chat",
        "/api/generate",
        "/v1beta/models/gemini-2:streamGenerateContent",
        "/model/anthropic.claude/invoke",
        "/v1/chat/completions/",
    ] {
        assert_eq!(hint(path), Some(Hint::Llm), "{path}");
    }
    for path in [
        "/v1/embeddings",
        "/api/embed",
        "/api/embeddings",
        "/v2/embed",
        "/v1/models/e:embedContent",
    ] {
        assert_eq!(hint(path), Some(Hint::Embedding), "{path}");
    }
    for path in [
        "/",
        "/search",
        "/messages",
        "/survey/responses",
        "/functions/invoke",
        "/v1/models",
    ] {
        assert_eq!(hint(path), None, "{path}");
    }
}

#[test]
fn operations_have_few_values() {
    for (path, expected) in [
        ("/search", "GET /search"),
        ("/", "GET /"),
        ("/v1/chat/completions", "GET /v1/chat/completions"),
        ("/search?q=secret#x", "GET /search"),
        ("/users/42/posts/7", "GET /users/{id}/posts/{id}"),
        (
            "/c/123e4567-e89b-12d3-a456-426614174000/query",
            "GET /c/{id}/query",
        ),
        ("/blobs/deadbeef01", "GET /blobs/{id}"),
        (
            "/threads/thread_abc123def456/runs",
            "GET /threads/{id}/runs",
        ),
        ("/x/ABCDEFGHIJKLMNOPQRSTUVWXYZ", "GET /x/{id}"),
        ("/x/some%20person", "GET /x/{id}"),
        (
            "/api/v2/tenants/default_tenant",
            "GET /api/v2/tenants/default_tenant",
        ),
        ("", "GET"),
        ("*", "GET *"),
        ("/a/b/c/d/e/f/g/h/i", "GET /a/b/c/d/e/f/g/h/…"),
    ] {
        assert_eq!(operation("GET", path), expected, "{path}");
    }
}

#[test]
fn operations_are_bounded() {
    let long = format!("/{}", "word/".repeat(10_000));
    assert!(operation(&"M".repeat(1000), &long).len() <= OPERATION_LIMIT + "/…".len());
}
