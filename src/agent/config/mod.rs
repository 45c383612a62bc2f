//! The configuration: what `run`, `agent` and their like are told by a file, the environment and the command line.
//!
//! ```toml
//! [run]
//! deadline = "10s"
//!
//! [gateway]
//! listen = "127.0.0.1:9471"
//!
//! [[dependency]]
//! name = "docs"
//! kind = "retrieval"
//! match = ["127.0.0.1:40001", "docs.internal"]
//! ```

mod check;
mod fault;
mod files;
mod keys;
mod reference;
mod section;
mod show;
#[cfg(test)]
mod tests;
mod value;
mod words;

pub use fault::{ConfigError, Fault, Setting, Source};
pub use files::{PemError, identity};
pub use keys::{AgentSettings, Dependency, GatewaySettings, Route, RunSettings, TcpRoute};
pub use reference::{commented_file, help};
pub use show::{SCHEMA, ShownConfig, ShownDependency, ShownKey, ShownRoute, ShownTcpRoute, schema, show, text};
pub use words::{
    HostHeader, Place, Prefix, Program, ProxyUrl, RunAgent, Target, Upstream, UpstreamFailure, check_dependency_name,
    check_program_name, parse_kind, parse_place,
};

use crate::model::{Kind, naming::Rule};
use fault::Faults;
use keys::{Key, Table};
use section::Section;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Names the configuration file when nothing on the command line does.
pub const ENV_CONFIG: &str = "HOPWATCH_CONFIG";
/// Read from the working directory when nothing names another.
const DEFAULT_FILE: &str = "hopwatch.toml";
/// Errors of the parser that are looked at: a file that is no TOML at all has one at every word.
const SYNTAX_ERRORS_MAX: usize = 100;

/// Where settings come from. A flag wins over the environment, that over the file, that over the default.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file; `None` = there is none.
    pub file: Option<PathBuf>,
    /// The environment. An empty value is as good as none.
    pub environment: BTreeMap<OsString, OsString>,
    /// What the command line sets; of several for one key the last counts.
    pub flags: Vec<Flag>,
}

/// A setting on the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// The option: `--set`.
    pub option: &'static str,
    /// The key with its table: `gateway.listen`.
    pub key: String,
    /// Its value, as a variable would say it.
    pub value: String,
}

/// All settings in force, each with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// `hopwatch agent` itself.
    pub agent: AgentSettings,
    /// The gateway.
    pub gateway: GatewaySettings,
    /// Defaults of `hopwatch run`.
    pub run: RunSettings,
    /// Names for peers.
    pub dependencies: Vec<Dependency>,
    /// Reverse-proxy routes of the gateway.
    pub routes: Vec<Route>,
    /// TCP routes of the gateway.
    pub tcp_routes: Vec<TcpRoute>,
    /// What is allowed and hardly meant.
    pub warnings: Vec<Fault>,
}

/// Without values, some of which are secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, environment, flags } = self;
        let environment: Vec<_> = environment.keys().collect();
        f.debug_struct("Sources").field("file", file).field("environment", &environment).field("flags", flags).finish()
    }
}

/// Without its value, which may be a secret.
impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.option, self.key)
    }
}

impl Sources {
    /// The file of this name, else of `HOPWATCH_CONFIG`, else `hopwatch.toml` of the working directory if there is one; this process's
    /// environment; and these flags.
    #[must_use]
    pub fn of_process(file: Option<&Path>, flags: Vec<Flag>) -> Self {
        let environment: BTreeMap<_, _> = std::env::vars_os().collect();
        let named = || environment.get(OsStr::new(ENV_CONFIG)).filter(|name| !name.is_empty()).map(PathBuf::from);
        let present = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.is_file());
        Self { file: file.map(Path::to_owned).or_else(named).or_else(present), environment, flags }
    }

    /// The first variable of a key that is set, and its text; no text = it is not UTF-8. An empty one hides those behind it, as Python's
    /// clients have it with proxies.
    fn variable(&self, key: &Key) -> Option<(&'static str, Option<String>)> {
        let value = |name: &str| self.environment.get(OsStr::new(name));
        // In a CGI program it is what a client sent as the field `Proxy`.
        let is_safe = |name: &str| name != "HTTP_PROXY" || value("REQUEST_METHOD").is_none();
        let first = key.variables.iter().filter(|name| is_safe(name)).find_map(|name| Some((*name, value(name)?)));
        let (name, value) = first.filter(|(_, value)| !value.is_empty())?;
        Some((name, value.to_str().map(str::to_owned)))
    }
}

impl Settings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// When the file cannot be read, or something is no valid setting: every mistake, each with its place and what to do about it.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let Some(path) = &sources.file else { return Self::settle(sources, None) };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::settle(sources, Some((path, &text))),
            Err(source) => Err(ConfigError::Unreadable { path: path.clone(), source }),
        }
    }

    /// Reads and checks the text of a file alone; `path` is what errors call it.
    ///
    /// # Errors
    /// When it is no valid configuration: every mistake, each with line, column and what to do about it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::settle(&Sources::default(), Some((path, text)))
    }

    fn settle(sources: &Sources, file: Option<(&Path, &str)>) -> Result<Self, ConfigError> {
        let mut faults = Faults::new(file);
        let (root, wrong) = DeTable::parse_recoverable(file.map_or("", |(_, text)| text));
        no_toml(&wrong, &mut faults);
        // What is guessed of a text that is no TOML would be blamed for what nobody wrote.
        let nothing = DeTable::new();
        let root = if wrong.is_empty() { root.get_ref() } else { &nothing };
        for key in root.keys().filter(|key| !keys::TABLES.iter().any(|table| table.name == key.get_ref())) {
            faults.add_at(key.span().start, section::unknown_table(key.get_ref()));
        }
        for flag in &sources.flags {
            check::flag(flag, &mut faults);
        }
        let agent = Section::single::<AgentSettings>(root, sources, &mut faults);
        let gateway = Section::single::<GatewaySettings>(root, sources, &mut faults);
        let run = Section::single::<RunSettings>(root, sources, &mut faults);
        let dependencies = Section::list::<Dependency>(root, &mut faults);
        let routes = Section::list::<Route>(root, &mut faults);
        let tcp_routes = Section::list::<TcpRoute>(root, &mut faults);
        let entries = check::Entries { dependencies: &dependencies, routes: &routes, tcp_routes: &tcp_routes };
        let written = root.get(Dependency::NAME).and_then(|value| value.get_ref().as_array()).map_or(0, |listed| listed.len());
        entries.check(written, &mut faults);
        if let (Some(agent), Some(gateway)) = (&agent, &gateway) {
            check::gateway(gateway, &mut faults);
            check::places(agent, gateway, &entries, &mut faults);
        }
        if let Some(run) = &run {
            check::run(run, &mut faults);
        }
        check::variables(&sources.environment, &mut faults);
        let file = file.map(|(path, _)| path.to_owned());
        match (agent, gateway, run) {
            (Some(agent), Some(gateway), Some(run)) => {
                let warnings = faults.finish()?;
                Ok(Self { file, agent, gateway, run, dependencies, routes, tcp_routes, warnings })
            }
            _ => Err(faults.refuse()),
        }
    }

    /// The explicit names, in the file's order.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let rules = self.dependencies.iter().flat_map(|dependency| {
            dependency.matches.iter().map(|place| Rule {
                kind: *dependency.kind,
                name: dependency.name.value.clone(),
                host: place.host.clone(),
                port: place.port,
            })
        });
        rules.collect()
    }

    /// The kind of a dependency, where the file says it: in its `[[dependency]]`, or in the route that names it.
    #[must_use]
    pub fn kind_of(&self, dependency: &str) -> Option<Kind> {
        let entries = check::Entries { dependencies: &self.dependencies, routes: &self.routes, tcp_routes: &self.tcp_routes };
        entries.kinds().find(|(name, _)| &***name == dependency).map(|(_, kind)| kind)
    }
}

impl GatewaySettings {
    /// The proxies on the way to upstreams, by their variables in lower case, and `no_proxy`. They hold credentials.
    #[must_use]
    pub fn proxy_variables(&self) -> BTreeMap<String, String> {
        let url = |proxy: &Option<ProxyUrl>| proxy.as_ref().map(|url| url.secret().to_owned());
        let all = [
            ("http_proxy", url(&self.http_proxy)),
            ("https_proxy", url(&self.https_proxy)),
            ("all_proxy", url(&self.all_proxy)),
            ("no_proxy", Some(self.no_proxy.join(","))),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Notes what the parser could not read.
fn no_toml(errors: &[toml::de::Error], faults: &mut Faults) {
    let mut lines = Vec::new();
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let at = faults.place(error.span().map_or(0, |span| span.start));
        // Past its first mistake a line is guessed at.
        if let Source::File { line, .. } = at
            && !lines.contains(&line)
        {
            lines.push(line);
            faults.add(at, error.message().replace('\n', " ").into());
        }
    }
}
