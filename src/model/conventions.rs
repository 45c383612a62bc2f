//! What a hop is in OpenTelemetry's words, for spans and metrics alike.
//!
//! Generative AI: `open-telemetry/semantic-conventions-genai` (development). HTTP: `semantic-conventions` (stable).

use super::{Kind, Outcome, Span};

/// Methods that an operation may begin with; `http.request.method` knows no others without saying which.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

/// Our names of model providers whose conventional name (`gen_ai.provider.name`) is another.
const PROVIDERS: &[(&str, &str)] = &[
    ("azure_openai", "azure.ai.openai"),
    ("bedrock", "aws.bedrock"),
    ("gemini", "gcp.gemini"),
    ("mistral", "mistral_ai"),
    ("vertex_ai", "gcp.vertex_ai"),
    ("xai", "x_ai"),
];

/// `gen_ai.operation.name`; `None` for kinds that are no generative AI.
#[must_use]
pub fn gen_ai_operation(span: &Span) -> Option<&'static str> {
    Some(match span.kind? {
        Kind::Llm if span.operation.contains("generateContent") => "generate_content",
        Kind::Llm if span.operation.ends_with("/completions") && !span.operation.ends_with("/chat/completions") => {
            "text_completion"
        }
        Kind::Llm => "chat",
        Kind::Embedding => "embeddings",
        Kind::Retrieval => "retrieval",
        Kind::Tool => "execute_tool",
        Kind::Agent => "invoke_agent",
        Kind::Startup | Kind::Http => return None,
    })
}

/// `gen_ai.provider.name` of a dependency.
#[must_use]
pub fn gen_ai_provider(dependency: &str) -> &str {
    PROVIDERS.iter().find(|(ours, _)| *ours == dependency).map_or(dependency, |(_, theirs)| theirs)
}

/// `http.request.method`, which an operation begins with (`GET /search`); `None` where it begins with none that is known.
#[must_use]
pub fn http_method(operation: &str) -> Option<&str> {
    operation.split(' ').next().filter(|first| METHODS.contains(first))
}

/// `server.address` and `server.port` of an address.
#[must_use]
pub fn server(address: &str) -> (&str, Option<u16>) {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    // What follows the last colon of a bare IPv6 address is no port.
    let (host, port) = match parts {
        Some((host, port)) if !host.contains(':') || host.starts_with('[') => (host, Some(port)),
        _ => (address, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// `error.type`: the status where it is the failure, else what the client calls it, else our outcome; `None` for what did not fail. What
/// its caller cancelled did not.
#[must_use]
pub fn error_type(outcome: Option<Outcome>, status: Option<u16>, told: Option<&str>) -> Option<std::borrow::Cow<'_, str>> {
    let outcome = outcome.filter(|outcome| !matches!(outcome, Outcome::Ok | Outcome::Cancelled))?;
    Some(match (status, told) {
        (Some(status @ 400..), _) => status.to_string().into(),
        (_, Some(told)) => told.into(),
        (_, None) => outcome.as_str().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_where_it_has_one() {
        assert_eq!(server("api.example:443"), ("api.example", Some(443)));
        assert_eq!(server("[::1]:80"), ("::1", Some(80)));
        assert_eq!(server("fe80::1:80"), ("fe80::1:80", None));
        assert_eq!(server("db.internal"), ("db.internal", None));
    }

    #[test]
    fn failures_are_named_by_status_then_by_the_client_then_by_us() {
        assert_eq!(error_type(Some(Outcome::Ok), Some(200), None), None);
        assert_eq!(error_type(Some(Outcome::Cancelled), None, None), None);
        assert_eq!(error_type(Some(Outcome::ServerError), Some(503), Some("APIError")).as_deref(), Some("503"));
        assert_eq!(error_type(Some(Outcome::Timeout), None, Some("ReadTimeout")).as_deref(), Some("ReadTimeout"));
        assert_eq!(error_type(Some(Outcome::Body), Some(200), None).as_deref(), Some("body"));
    }

    #[test]
    fn methods_that_nobody_knows_are_none() {
        assert_eq!((http_method("GET /search"), http_method("search"), http_method("get /x")), (Some("GET"), None, None));
    }
}
