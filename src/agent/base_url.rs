//! Base URLs as users write them into the environment: with or without a scheme, a path, a trailing slash, credentials.

use crate::model::{Kind, naming::Rule};

/// The rule for a provider whose base-URL variable has this value; `None` when it names no host.
#[must_use]
pub fn rule(provider: &str, value: &str, default_port: Option<u16>) -> Option<Rule> {
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
        assert_eq!(read("0.0.0.0", Some(11434)), place("0.0.0.0", Some(11434)));
        assert_eq!(read(" gpu-box:11500/ ", Some(11434)), place("gpu-box", Some(11500)));
        assert_eq!(read("gpu-box", None), place("gpu-box", None));
    }

    #[test]
    fn values_without_a_host_name_nothing() {
        for value in ["", "/v1", "unix:///run/model.sock", "http://", "http://host:99999"] {
            assert_eq!(rule("openai", value, None), None, "{value}");
        }
    }
}
