//! The configuration file.
//!
//! ```toml
//! [run]
//! deadline = "10s"
//!
//! [[dependency]]
//! name = "docs"
//! kind = "retrieval"
//! match = ["127.0.0.1:40001", "docs.internal"]
//! ```

use super::{duration, nearest::nearest};
use crate::model::{Kind, naming::Rule};
use serde::{Deserialize, Deserializer, de};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Everything that a configuration file says. Absent keys are empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Defaults of `hopwatch run`; an option on the command line wins.
    #[serde(default)]
    pub run: RunConfig,
    /// Names for peers.
    #[serde(default, rename = "dependency")]
    pub dependencies: Vec<Dependency>,
    /// Reverse-proxy routes of the gateway.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    /// TCP routes of the gateway.
    #[serde(default, rename = "tcp")]
    pub tcp_routes: Vec<TcpRoute>,
}

/// Defaults of `hopwatch run`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What the run is called.
    pub name: Option<String>,
    /// How long it may take.
    #[serde(default, deserialize_with = "duration_text")]
    pub deadline: Option<Duration>,
    /// End the child at the deadline.
    pub kill: Option<bool>,
    /// Base names of programs to be left alone.
    #[serde(default)]
    pub skip: Vec<Spanned<String>>,
}

/// A name for peers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The name.
    pub name: Spanned<String>,
    /// What it is; absent = what the traffic says.
    #[serde(default, deserialize_with = "kind_word")]
    pub kind: Option<Kind>,
    /// Where it is: `HOST` or `HOST:PORT`, any number of them.
    #[serde(default, rename = "match")]
    pub matches: Vec<Spanned<String>>,
}

/// A reverse-proxy route: what comes in under `prefix` goes to `upstream`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Path prefix, from its `/`.
    pub prefix: Spanned<String>,
    /// Base URL, `http://` or `https://`.
    pub upstream: Spanned<String>,
    /// A `[[dependency]]`, or a new one with `kind` here.
    pub dependency: Spanned<String>,
    /// Kind of a new dependency.
    #[serde(default, deserialize_with = "kind_word")]
    pub kind: Option<Kind>,
}

/// A TCP route: listen here, connect there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpRoute {
    /// Address to listen on: `127.0.0.1:15432`.
    pub listen: Spanned<String>,
    /// `HOST:PORT` to connect to.
    pub upstream: Spanned<String>,
    /// A `[[dependency]]`, or a new one with `kind` here.
    pub dependency: Spanned<String>,
    /// Kind of a new dependency.
    #[serde(default, deserialize_with = "kind_word")]
    pub kind: Option<Kind>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no configuration.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

impl ConfigError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Invalid { hint, .. } => hint.as_deref(),
        }
    }
}

/// What is wrong, and where in the text.
struct Fault {
    at: usize,
    message: String,
    hint: Option<String>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no valid configuration: with line, column and the nearest valid key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks a text; `path` is what errors call it.
    ///
    /// # Errors
    /// When it is no valid configuration: with line, column and the nearest valid key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let checked = toml::from_str::<Self>(text).map_err(|error| syntax_fault(&error)).and_then(|config| {
            config.check()?;
            Ok(config)
        });
        checked.map_err(|fault| {
            let (line, column) = position(text, fault.at);
            ConfigError::Invalid { path: path.to_owned(), line, column, message: fault.message, hint: fault.hint }
        })
    }

    /// The explicit names, in the file's order.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let rules = self.dependencies.iter().flat_map(|dependency| {
            dependency.matches.iter().filter_map(|place| {
                let (host, port) = parse_place(place.get_ref()).ok()?;
                Some(Rule { kind: dependency.kind, name: dependency.name.get_ref().as_str().into(), host, port })
            })
        });
        rules.collect()
    }

    fn check(&self) -> Result<(), Fault> {
        for program in &self.run.skip {
            check_program_name(program.get_ref()).map_err(|message| fault(program, message))?;
        }
        for (index, dependency) in self.dependencies.iter().enumerate() {
            check_name(&dependency.name)?;
            if self.dependencies[..index].iter().any(|earlier| earlier.name.get_ref() == dependency.name.get_ref()) {
                return Err(fault(&dependency.name, format!("`{}` is named twice", dependency.name.get_ref()))
                    .hint("write all of its places into one `match`"));
            }
            for place in &dependency.matches {
                parse_place(place.get_ref()).map_err(|message| fault(place, message))?;
            }
        }
        for route in &self.routes {
            if !route.prefix.get_ref().starts_with('/') {
                return Err(fault(&route.prefix, format!("prefix `{}` does not start with `/`", route.prefix.get_ref())));
            }
            let upstream = route.upstream.get_ref();
            let host = upstream.strip_prefix("http://").or_else(|| upstream.strip_prefix("https://"));
            if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
                return Err(fault(&route.upstream, format!("upstream `{upstream}` is no URL"))
                    .hint("write it with its scheme: `http://127.0.0.1:8000`"));
            }
            self.check_reference(&route.dependency, route.kind)?;
        }
        for route in &self.tcp_routes {
            if route.listen.get_ref().parse::<SocketAddr>().is_err() {
                return Err(fault(&route.listen, format!("`{}` is no address to listen on", route.listen.get_ref()))
                    .hint("write ADDRESS:PORT, like `127.0.0.1:15432`"));
            }
            match parse_place(route.upstream.get_ref()) {
                Ok((_, Some(_))) => {}
                Ok((_, None)) => {
                    return Err(fault(&route.upstream, format!("`{}` has no port", route.upstream.get_ref())));
                }
                Err(message) => return Err(fault(&route.upstream, message)),
            }
            self.check_reference(&route.dependency, route.kind)?;
        }
        Ok(())
    }

    /// A route names a known dependency, or a new one with its kind.
    fn check_reference(&self, name: &Spanned<String>, kind: Option<Kind>) -> Result<(), Fault> {
        check_name(name)?;
        let known = || self.dependencies.iter().map(|dependency| dependency.name.get_ref().as_str());
        if kind.is_some() || known().any(|known| known == name.get_ref()) {
            return Ok(());
        }
        let hint = match nearest(name.get_ref(), known()) {
            Some(near) => format!("did you mean `{near}`? A new one needs its `kind` here"),
            None => "add a `kind` here, or a `[[dependency]]` of that name".to_owned(),
        };
        Err(fault(name, format!("no dependency is called `{}`", name.get_ref())).hint(hint))
    }
}

impl Fault {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn fault(at: &Spanned<String>, message: String) -> Fault {
    Fault { at: at.span().start, message, hint: None }
}

fn check_name(name: &Spanned<String>) -> Result<(), Fault> {
    check_dependency_name(name.get_ref()).map_err(|message| fault(name, message))
}

/// Whether a text can be a dependency's name.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_dependency_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("a dependency's name is empty".to_owned());
    }
    if crate::model::redact::name(name) != name {
        return Err(format!("`{}` is no name: too long, or not printable", crate::model::redact::name(name)));
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
    if place.contains("://") {
        return Err(format!("`{place}` is a URL; write its HOST or HOST:PORT alone"));
    }
    Rule::parse_host(place)
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

/// Separates a message from its hint where an error can only carry one text.
const HINT_MARK: &str = "\nhint: ";

fn duration_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text)
        .map(Some)
        .map_err(|error| de::Error::custom(format!("{error}{HINT_MARK}{}", duration::DurationError::HINT)))
}

fn kind_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kind>, D::Error> {
    let word = String::deserialize(deserializer)?;
    parse_kind(&word).map(Some).map_err(|(message, hint)| de::Error::custom(format!("{message}{HINT_MARK}{hint}")))
}

/// A parser's error, with the nearest key for one that is not known.
fn syntax_fault(error: &toml::de::Error) -> Fault {
    let at = error.span().map_or(0, |span| span.start);
    let (message, hint) = match error.message().split_once(HINT_MARK) {
        Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
        None => unknown_key(error.message()).unwrap_or_else(|| (error.message().replace('\n', " "), None)),
    };
    Fault { at, message, hint }
}

/// Reads serde's "unknown field `a`, expected one of `b`, `c`": the only place where it tells what was expected.
fn unknown_key(message: &str) -> Option<(String, Option<String>)> {
    let mut words = message.strip_prefix("unknown field `")?.split('`').step_by(2);
    let key = words.next()?;
    let known: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let hint = nearest(key, known.iter().copied())
        .map_or_else(|| format!("keys here are `{}`", known.join("`, `")), |near| format!("did you mean `{near}`?"));
    Some((format!("unknown key `{}`", crate::model::redact::name(key)), Some(hint)))
}

/// Line and column, in characters and from 1, of a byte offset.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests;
