//! What is to be tested: a URL, read.

use crate::gateway::connect::{Origin, Scheme};
use crate::model::naming::Named;
use crate::model::{Kind, Naming, Peer, redact};
use crate::wire::provider;
use http::{HeaderValue, Uri};
use reqwest::Url;

/// PostgreSQL's own port.
const POSTGRES_PORT: u16 = 5432;

/// An endpoint.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The URL as it is shown: without query and credentials.
    pub(super) url: String,
    pub(super) origin: Origin,
    pub(super) speech: Speech,
    /// What the dependency is called.
    pub(super) named: Named,
}

/// What is said once the connection is there.
#[derive(Clone, Debug)]
pub(super) enum Speech {
    /// A request.
    Http {
        /// What for: the whole URL, with its query.
        uri: Uri,
        /// The field `host`.
        host: HeaderValue,
    },
    /// Nothing.
    Nothing,
    /// PostgreSQL's question whether TLS is spoken.
    Postgres,
}

impl Target {
    /// Reads a URL; a bare host is `https`.
    ///
    /// # Errors
    /// Says what is wrong with it, and after a line break what to write.
    pub(super) fn parse(text: &str, naming: &Naming) -> Result<Self, String> {
        let shown = redact::name(&redact::url(text));
        let wrong = |problem: &str, hint: &str| Err(format!("`{shown}` {problem}\nhint: {hint}"));
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let Ok(url) = Url::parse(&full) else {
            return wrong("is no URL", "write it like `https://api.example.com/v1`, `tcp://db.internal:5432` or a bare host");
        };
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return wrong("has no host", "write it like `https://api.example.com/v1` or `tcp://db.internal:5432`");
        };
        let (scheme, port) = match (url.scheme(), url.port_or_known_default()) {
            ("http", port) => (Scheme::Http, port.unwrap_or(80)),
            ("https", port) => (Scheme::Https, port.unwrap_or(443)),
            ("postgres" | "postgresql", port) => (Scheme::Tcp, port.unwrap_or(POSTGRES_PORT)),
            ("tcp", Some(port)) => (Scheme::Tcp, port),
            ("tcp", None) => return wrong("has no port", "write tcp://HOST:PORT"),
            _ => return wrong("cannot be tested", "URLs begin with `http://`, `https://`, `tcp://` or `postgres://`"),
        };
        let is_http = scheme != Scheme::Tcp;
        let speech = match url.scheme() {
            "tcp" => Speech::Nothing,
            "postgres" | "postgresql" => Speech::Postgres,
            // Nobody is logged in, so that what a database's URL holds of it is of no use here. A request's would be sent.
            _ if !url.username().is_empty() || url.password().is_some() => {
                return wrong("holds credentials, which shells remember", "set a variable and name it: `--bearer-env NAME`");
            }
            _ => match (url.as_str().parse(), HeaderValue::try_from(authority(&url, host))) {
                (Ok(uri), Ok(host)) => Speech::Http { uri, host },
                _ => return wrong("is no URL of a request", "write it like `https://api.example.com/v1`"),
            },
        };
        let origin = Origin::new(scheme, host, port);
        let named = named(naming, &origin, is_http.then(|| url.path()));
        let path = if is_http { url.path() } else { "" };
        let url = format!("{}://{}{}", url.scheme(), authority(&url, host), redact::name(path));
        Ok(Self { url, origin, speech, named })
    }
}

/// `host[:port]`, the port only where it is not the scheme's own.
fn authority(url: &Url, host: &str) -> String {
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Named as a call there would be.
fn named(naming: &Naming, origin: &Origin, path: Option<&str>) -> Named {
    let address = origin.host.parse().ok();
    let provider = provider::of_host(&origin.host, Some(origin.port));
    let kind = path.and_then(provider::hint).map(|hint| match hint {
        provider::Hint::Llm => Kind::Llm,
        provider::Hint::Embedding => Kind::Embedding,
    });
    let kind = kind.or(provider.map(|_| Kind::Llm));
    let host = Some(&*origin.host);
    let (tls, not_http) = (origin.scheme == Scheme::Https, origin.scheme == Scheme::Tcp);
    naming.name(&Peer { host, address, port: Some(origin.port), tls, not_http, provider, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, String> {
        Target::parse(text, &Naming::default())
    }

    fn read(text: &str) -> (String, Scheme, String) {
        let target = parse(text).unwrap();
        (target.url, target.origin.scheme, target.origin.to_string())
    }

    #[test]
    fn urls_of_every_kind_are_read() {
        for (text, url, scheme, origin) in [
            ("https://API.example.com/v1?key=s#x", "https://api.example.com/v1", Scheme::Https, "api.example.com:443"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/", Scheme::Http, "127.0.0.1:8000"),
            ("http://[::1]:80/", "http://[::1]/", Scheme::Http, "[::1]:80"),
            ("api.example.com", "https://api.example.com/", Scheme::Https, "api.example.com:443"),
            ("localhost:8443/health", "https://localhost:8443/health", Scheme::Https, "localhost:8443"),
            ("tcp://Db.internal:6333", "tcp://Db.internal:6333", Scheme::Tcp, "db.internal:6333"),
            ("postgres://user:secret@db/app", "postgres://db", Scheme::Tcp, "db:5432"),
            ("postgresql://[fd00::1]:5433", "postgresql://[fd00::1]:5433", Scheme::Tcp, "[fd00::1]:5433"),
        ] {
            assert_eq!(read(text), (url.to_owned(), scheme, origin.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_query_is_asked_for_and_never_shown() {
        let target = parse("https://a.example:8443/v1?key=secret").unwrap();
        let Speech::Http { uri, host } = &target.speech else { panic!("{target:?}") };
        assert_eq!((host.to_str().unwrap(), uri.query()), ("a.example:8443", Some("key=secret")));
        assert_eq!(target.url, "https://a.example:8443/v1");
    }

    #[test]
    fn what_cannot_be_tested_says_what_to_write() {
        for (text, problem) in [
            ("", "no URL"),
            ("https://", "no URL"),
            ("ftp://a.example", "cannot be tested"),
            ("tcp://a.example", "has no port"),
            ("https://user:secret@a.example", "holds credentials"),
            ("https://token@a.example", "holds credentials"),
            ("http://a b", "no URL"),
            ("tcp://:80", ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(problem) && error.contains("\nhint: "), "{text}: {error}");
        }
    }

    #[test]
    fn an_endpoint_is_named_as_its_calls_are() {
        let named = |text| parse(text).unwrap().named;
        assert_eq!((named("api.openai.com").kind, &*named("api.openai.com").name), (Kind::Llm, "openai"));
        assert_eq!(named("https://api.openai.com/v1/embeddings").kind, Kind::Embedding);
        assert_eq!(&*named("tcp://db.internal:6333").name, "db.internal:6333");
    }
}
