//! Types of settings that are this project's own: names, places, routes, proxies.

use super::fault::Problem;
use super::value::{Literal, Value};
use crate::agent::address;
use crate::agent::nearest::nearest;
use crate::gateway::Base;
use crate::model::{Kind, Name, naming, redact};
use std::fmt;
use std::net::SocketAddr;

/// Where a peer is: `HOST` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or address, in lower case, IPv6 without brackets.
    pub host: String,
    /// Its port; `None` = any.
    pub port: Option<u16>,
}

/// Where a TCP route leads: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address, in lower case, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Base name of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(pub String);

/// Path prefix of a route: `/docs`, without a slash at its end; the root is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(pub String);

/// Base URL of a route's upstream: `http` or `https`, a host, perhaps a port and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// As it was written.
    text: String,
    /// As the gateway reads it.
    pub base: Base,
}

/// Which `host` a route's upstream is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The upstream's own.
    Upstream,
    /// What the client wrote.
    Keep,
}

/// What a client gets whose upstream failed before an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// Its connection is closed, as the upstream's would have been.
    Close,
    /// `502 Bad Gateway` with the reason as plain text.
    BadGateway,
}

/// The agent that a run hands its records to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAgent {
    /// The one of this host, where there is one.
    Auto,
    /// The one with this admin address.
    At(SocketAddr),
}

/// URL of a forward proxy. Its credentials are in none of its texts but [`ProxyUrl::secret`].
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// The URL as it was written, credentials included.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl Upstream {
    /// Where it is.
    pub(super) fn target(&self) -> Target {
        let origin = &self.base.origin;
        Target { host: origin.host.to_string(), port: origin.port }
    }
}

/// With its credentials masked, and without what stands behind the address.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("http", &self.0));
        // The last one, whatever a password may hold.
        let (mask, place) = rest.rsplit_once('@').map_or(("", rest), |(_, place)| ("***@", place));
        write!(f, "{scheme}://{mask}{}", place.split(['/', '?', '#']).next().unwrap_or_default())
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `HOST` or `HOST:PORT`, IPv6 in brackets before a port.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Place { host: self.host.clone(), port: Some(self.port) }.fmt(f)
    }
}

/// Whether a text can be a dependency's name.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_dependency_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("a dependency's name is empty".to_owned());
    }
    if redact::name(name) != name {
        return Err(format!("`{}` is no name: too long, or not printable", redact::name(name)));
    }
    Ok(())
}

/// Whether a text can be the base name of a program.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_program_name(name: &str) -> Result<(), String> {
    match name.rsplit_once('/') {
        _ if name.is_empty() => Err("a program's name is empty".to_owned()),
        Some((_, base)) if !base.is_empty() => Err(format!("`{name}` is a path; write the program's name alone: `{base}`")),
        Some(_) => Err(format!("`{name}` is a path; write the program's name alone")),
        // It separates names in the environment.
        None if name.contains([':', '\0']) => Err(format!("`{}` cannot be named: it contains a colon", name.escape_debug())),
        None => Ok(()),
    }
}

/// Reads `HOST` or `HOST:PORT`, in lower case.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_place(place: &str) -> Result<(String, Option<u16>), String> {
    if place.contains('@') {
        // Not quoted: what stands before it may be a secret.
        return Err("a place has no credentials; write its HOST or HOST:PORT alone".to_owned());
    }
    if place.contains("://") {
        return Err(format!("`{place}` is a URL; write its HOST or HOST:PORT alone"));
    }
    naming::Rule::parse_host(place)
}

/// Reads the word of a kind.
///
/// # Errors
/// A message that lists the kinds, and the nearest one.
pub fn parse_kind(word: &str) -> Result<Kind, (String, String)> {
    word.parse().map_err(|unknown: crate::model::words::UnknownWord| {
        let kinds = unknown.known.join("`, `");
        let hint = nearest(word, unknown.known.iter().copied())
            .map_or_else(|| format!("kinds are `{kinds}`"), |near| format!("did you mean `{near}`? Kinds are `{kinds}`"));
        (format!("`{word}` is no kind of dependency"), hint)
    })
}

// === as settings ===

/// One of a few words.
fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Problem> {
    let word = text.trim();
    words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).ok_or_else(|| {
        let known = words.iter().map(|(known, _)| *known).collect::<Vec<_>>().join("` or `");
        Problem::new(format!("`{}` is not known here", redact::name(text)), format!("write `{known}`"))
    })
}

impl Value for Name {
    const FORM: &'static str = "a name in quotes";

    fn of_text(text: &str) -> Result<Self, Problem> {
        check_dependency_name(text).map(|()| text.into()).map_err(Problem::from)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for Kind {
    const FORM: &'static str = "a kind, like `llm`, `retrieval`, `embedding`, `tool`, `agent` or `http`";

    fn of_text(text: &str) -> Result<Self, Problem> {
        parse_kind(text).map_err(Problem::from)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for Place {
    const FORM: &'static str = "HOST or HOST:PORT in quotes";

    fn of_text(text: &str) -> Result<Self, Problem> {
        parse_place(text).map(|(host, port)| Self { host, port }).map_err(Problem::from)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for Target {
    const FORM: &'static str = "HOST:PORT in quotes";

    fn of_text(text: &str) -> Result<Self, Problem> {
        match parse_place(text)? {
            (host, Some(port @ 1..)) => Ok(Self { host, port }),
            (_, Some(_) | None) => Err(Problem::new(format!("`{text}` has no port"), "write HOST:PORT, like `db.internal:5432`")),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for Program {
    const FORM: &'static str = "a program's name in quotes";

    fn of_text(text: &str) -> Result<Self, Problem> {
        check_program_name(text).map(|()| Self(text.to_owned())).map_err(Problem::from)
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Value for Prefix {
    const FORM: &'static str = "a path, like `/docs`";

    fn of_text(text: &str) -> Result<Self, Problem> {
        let shown = redact::name(text);
        if !text.starts_with('/') {
            return Err(Problem::new(format!("prefix `{shown}` does not start with `/`"), format!("write {}", Self::FORM)));
        }
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        if !plain || text.contains("//") || text.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(Problem::new(
                format!("prefix `{shown}` is no plain path"),
                "write it as clients send it: no query, no `..`, nothing but ASCII",
            ));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    fn text(&self) -> String {
        if self.0.is_empty() { "/".to_owned() } else { self.0.clone() }
    }
}

impl Value for Upstream {
    const FORM: &'static str = "a base URL, like `http://127.0.0.1:8000`";

    fn of_text(text: &str) -> Result<Self, Problem> {
        let refuse = |what: &str, hint: &str| Err(Problem::new(format!("upstream {what}"), hint));
        // Before it is quoted anywhere: what stands there may be a secret.
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        if rest.split(['/', '?', '#']).next().unwrap_or_default().contains('@') {
            return refuse("holds credentials, which are not sent", "leave them out; clients send their own");
        }
        if text.contains(['?', '#']) {
            return refuse("holds a query or a fragment", "write the address and the path alone");
        }
        match Base::parse(text) {
            Ok(base) if base.origin.port > 0 => Ok(Self { text: text.trim_end_matches('/').to_owned(), base }),
            _ => refuse(
                &format!("`{}` is no URL", redact::name(text)),
                "write it with its scheme: `http://127.0.0.1:8000` or `https://api.example.com/v1`",
            ),
        }
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Value for HostHeader {
    const FORM: &'static str = "`\"upstream\"` or `\"keep\"`";

    fn of_text(text: &str) -> Result<Self, Problem> {
        one_of(text, &[("upstream", Self::Upstream), ("keep", Self::Keep)])
    }

    fn text(&self) -> String {
        match self {
            Self::Upstream => "upstream".to_owned(),
            Self::Keep => "keep".to_owned(),
        }
    }
}

impl Value for UpstreamFailure {
    const FORM: &'static str = "`\"close\"` or `\"502\"`";
    const LITERALS: &'static [Literal] = &[Literal::Text, Literal::Number];

    fn of_text(text: &str) -> Result<Self, Problem> {
        one_of(text, &[("close", Self::Close), ("502", Self::BadGateway)])
    }

    fn text(&self) -> String {
        match self {
            Self::Close => "close".to_owned(),
            Self::BadGateway => "502".to_owned(),
        }
    }
}

impl Value for RunAgent {
    const FORM: &'static str = "`auto`, or an agent's admin address like `127.0.0.1:9470`";
    const LITERALS: &'static [Literal] = &[Literal::Text, Literal::Number];

    fn of_text(text: &str) -> Result<Self, Problem> {
        if text.trim() == "auto" {
            return Ok(Self::Auto);
        }
        let at = address::parse(text.trim()).map(Self::At);
        at.map_err(|message| Problem::new(message, format!("write {}", Self::FORM)))
    }

    fn text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::At(address) => address.to_string(),
        }
    }
}

/// Any text: whether it names a proxy is the gateway's to say ([`super::check`]), and of a variable that is not ours matters only
/// where it is used.
impl Value for ProxyUrl {
    const FORM: &'static str = "a proxy's URL, like `http://proxy.internal:3128`";

    fn of_text(text: &str) -> Result<Self, Problem> {
        String::of_text(text).map(Self)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
