//! Base URLs as users write them into the environment: with or without a scheme, a path, a trailing slash, credentials.

use crate::model::{Kind, naming::Rule};
use crate::wire::provider;
use std::ffi::OsString;

/// The port of an Ollama server whose variable names none.
const OLLAMA_PORT: u16 = 11434;

/// The rules that the base-URL variables of an environment make.
#[must_use]
pub fn rules(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Rule> {
    let known = environment.into_iter().filter_map(|(name, value)| {
        let provider = provider::of_variable(name.to_str()?)?;
        rule(provider, value.to_str()?)
    });
    known.collect()
}

/// A base URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl<'a> {
    /// Whether it is `https`; `None` = it has no scheme.
    pub(super) tls: Option<bool>,
    /// `user:password`, as they stand there.
    pub(super) credentials: Option<&'a str>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// Its path, without a `/` at its end.
    pub(super) path: &'a str,
}

/// Reads the value of a provider's variable; `None` when it names no host.
pub(super) fn read<'a>(provider: &str, value: &'a str) -> Option<BaseUrl<'a>> {
    let value = value.trim();
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, value),
    };
    let tls = match scheme.as_deref() {
        Some("https") => Some(true),
        Some("http") => Some(false),
        Some(_) => return None,
        None => None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let path = after.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let (credentials, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let (host, port) = Rule::parse_host(place).ok()?;
    let own_port = match tls {
        Some(true) => Some(443),
        Some(false) => Some(80),
        None => (provider == "ollama").then_some(OLLAMA_PORT),
    };
    // What a server binds to is what its clients on the same machine reach at loopback.
    let host = if host == "0.0.0.0" { "localhost".to_owned() } else { host };
    Some(BaseUrl { tls, credentials, host, port: port.or(own_port), path })
}

/// The rule for a provider whose base-URL variable has this value; `None` when it names no host.
fn rule(provider: &str, value: &str) -> Option<Rule> {
    let BaseUrl { host, port, .. } = read(provider, value)?;
    Some(Rule { kind: Some(Kind::Llm), name: provider.into(), host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_users_write_them() {
        let of = |provider, value| rule(provider, value).map(|rule| (rule.host, rule.port));
        let place = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(of("openai", "http://10.0.0.7:8000/v1"), place("10.0.0.7", Some(8000)));
        assert_eq!(of("openai", "https://key:secret@Proxy.corp/openai/deployments/x/"), place("proxy.corp", Some(443)));
        assert_eq!(of("openai", "http://localhost"), place("localhost", Some(80)));
        assert_eq!(of("openai", "http://[::1]:8000?x"), place("::1", Some(8000)));
        assert_eq!(of("ollama", "0.0.0.0"), place("localhost", Some(11434)));
        assert_eq!(of("ollama", " gpu-box:11500/ "), place("gpu-box", Some(11500)));
        assert_eq!(of("openai", "gpu-box"), place("gpu-box", None));
    }

    #[test]
    fn a_base_url_keeps_its_path_and_its_credentials() {
        let url = read("openai", "https://key:secret@proxy.corp/openai/v1/?x=1").unwrap();
        assert_eq!((url.tls, url.credentials, url.path), (Some(true), Some("key:secret"), "/openai/v1"));
    }

    #[test]
    fn only_known_variables_make_rules() {
        let environment = [("OPENAI_BASE_URL", "http://localhost:8000/v1"), ("OLLAMA_HOST", "gpu-box"), ("HOME", "/root")];
        let rules = rules(environment.map(|(name, value)| (name.into(), value.into())));
        let places: Vec<_> = rules.iter().map(|rule| (&*rule.name, &*rule.host, rule.port)).collect();
        assert_eq!(places, [("openai", "localhost", Some(8000)), ("ollama", "gpu-box", Some(11434))]);
    }

    #[test]
    fn values_without_a_host_name_nothing() {
        for value in ["", "/v1", "unix:///run/model.sock", "http://", "http://host:99999"] {
            assert_eq!(rule("openai", value), None, "{value}");
        }
    }
}
