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
        rule(provider, value.to_str()?, (provider == "ollama").then_some(OLLAMA_PORT))
    });
    known.collect()
}

/// The rule for a provider whose base-URL variable has this value; `None` when it names no host.
fn rule(provider: &str, value: &str, default_port: Option<u16>) -> Option<Rule> {
    let value = value.trim();
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, value),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = Rule::parse_host(place).ok()?;
    let own_port = match scheme.as_deref() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        Some(_) => return None,
        None => default_port,
    };
    // What a server binds to is what its clients on the same machine reach at loopback.
    let host = if host == "0.0.0.0" { "localhost".to_owned() } else { host };
    Some(Rule { kind: Some(Kind::Llm), name: provider.into(), host, port: port.or(own_port) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_users_write_them() {
        let read = |value, default| rule("openai", value, default).map(|rule| (rule.host, rule.port));
        let place = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(read("http://10.0.0.7:8000/v1", None), place("10.0.0.7", Some(8000)));
        assert_eq!(read("https://key:secret@Proxy.corp/openai/deployments/x/", None), place("proxy.corp", Some(443)));
        assert_eq!(read("http://localhost", None), place("localhost", Some(80)));
        assert_eq!(read("http://[::1]:8000?x", None), place("::1", Some(8000)));
        assert_eq!(read("0.0.0.0", Some(11434)), place("localhost", Some(11434)));
        assert_eq!(read(" gpu-box:11500/ ", Some(11434)), place("gpu-box", Some(11500)));
        assert_eq!(read("gpu-box", None), place("gpu-box", None));
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
            assert_eq!(rule("openai", value, None), None, "{value}");
        }
    }
}
