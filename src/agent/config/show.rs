//! The settings in force, each with its source: `config show`.

use super::Settings;
use super::keys::{Row, Table};
use super::value::Value;
use crate::model::{Kind, Nanos, clock, redact};
use serde::Serialize;

/// Name and version of the shape.
pub const SCHEMA: &str = "hopwatch.config/1";

/// Everything that is in force, for machines. Times are milliseconds, sizes bytes; what is not set is `null`; secrets are masked.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ShownConfig {
    /// Name and version of this shape: `hopwatch.config/1`.
    pub schema: String,
    /// Version of hopwatch.
    pub hopwatch: String,
    /// When it was looked at (RFC 3339, UTC).
    pub generated_at: String,
    /// The file that was read.
    pub file: Option<String>,
    /// Every setting that there is one of, in the order of the reference.
    pub keys: Vec<ShownKey>,
    /// Names for peers.
    pub dependencies: Vec<ShownDependency>,
    /// Reverse-proxy routes: those of the file, then those that are built in.
    pub routes: Vec<ShownRoute>,
    /// TCP routes.
    pub tcp: Vec<ShownTcpRoute>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ShownKey {
    /// Its name with its table's: `gateway.listen`.
    pub key: String,
    /// Its value: text, a number, true or false, a list, or `null`.
    pub value: serde_json::Value,
    /// What a number counts: `ms`, `bytes`; `null` = it has no unit.
    pub unit: Option<String>,
    /// Where it is from: `default`, `hopwatch.toml:3`, `environment HOPWATCH_DRAIN`, `flag --set`.
    pub source: String,
}

/// A name for peers.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ShownDependency {
    /// The name.
    pub name: String,
    /// What it is; `null` = what the traffic says.
    pub kind: Option<Kind>,
    /// Where it is.
    pub r#match: Vec<String>,
    /// Where it is said.
    pub source: String,
}

/// A reverse-proxy route.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ShownRoute {
    /// Path that requests begin with.
    pub prefix: String,
    /// Base URL that takes its place.
    pub upstream: String,
    /// The dependency.
    pub dependency: String,
    /// Its kind, where it is said.
    pub kind: Option<Kind>,
    /// Which `host` the upstream is sent: `upstream`, `keep`.
    pub host: String,
    /// The upstream is spoken to by HTTP/2 alone.
    pub http2: bool,
    /// Where it is said; `built in`.
    pub source: String,
}

/// A TCP route.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ShownTcpRoute {
    /// Address that is listened on.
    pub listen: String,
    /// Where it leads.
    pub upstream: String,
    /// The dependency.
    pub dependency: String,
    /// Its kind, where it is said.
    pub kind: Option<Kind>,
    /// Where it is said.
    pub source: String,
}

/// The JSON Schema of [`ShownConfig`].
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(ShownConfig)
}

/// What is in force at a moment; `built_in` are routes that no file says.
#[must_use]
pub fn show(settings: &Settings, built_in: impl IntoIterator<Item = ShownRoute>, now: Nanos) -> ShownConfig {
    let keys = rows(settings).into_iter().map(|row| ShownKey {
        key: row.key.path(),
        value: row.json,
        unit: row.key.unit.map(str::to_owned),
        source: row.source.shown(),
    });
    let dependencies = settings.dependencies.iter().map(|dependency| ShownDependency {
        name: dependency.name.text(),
        kind: *dependency.kind,
        r#match: dependency.matches.iter().map(ToString::to_string).collect(),
        source: dependency.name.source.shown(),
    });
    let routes = settings.routes.iter().map(|route| ShownRoute {
        prefix: route.prefix.text(),
        upstream: route.upstream.text(),
        dependency: route.dependency.text(),
        kind: settings.kind_of(&route.dependency),
        host: route.host.text(),
        http2: *route.http2,
        source: route.prefix.source.shown(),
    });
    let tcp = settings.tcp_routes.iter().map(|route| ShownTcpRoute {
        listen: route.listen.text(),
        upstream: route.upstream.text(),
        dependency: route.dependency.text(),
        kind: settings.kind_of(&route.dependency),
        source: route.listen.source.shown(),
    });
    ShownConfig {
        schema: SCHEMA.to_owned(),
        hopwatch: env!("CARGO_PKG_VERSION").to_owned(),
        generated_at: clock::rfc3339(now),
        file: settings.file.as_ref().map(|path| path.display().to_string()),
        keys: keys.collect(),
        dependencies: dependencies.collect(),
        routes: routes.chain(built_in).collect(),
        tcp: tcp.collect(),
    }
}

/// The same for people, in aligned columns; `shown` is what [`show`] made of the settings. Ends in a line break.
#[must_use]
pub fn text(settings: &Settings, shown: &ShownConfig) -> String {
    let file = shown.file.as_deref().unwrap_or("none");
    let mut out = format!("file  {}\n\n", redact::printable(file));
    let keys = rows(settings).into_iter().map(|row| {
        let value = if row.text.is_empty() { "-".to_owned() } else { row.text };
        [row.key.path(), value, row.source.shown()]
    });
    columns(&mut out, keys);
    let dependencies = shown.dependencies.iter().map(|dependency| {
        let name = of_kind(dependency.kind, &dependency.name);
        ["dependency".to_owned(), name, dependency.r#match.join(", "), dependency.source.clone()]
    });
    let routes = shown.routes.iter().map(|route| {
        let name = of_kind(route.kind, &route.dependency);
        let how = if route.http2 { " (HTTP/2)" } else { "" };
        ["route".to_owned(), name, format!("{} -> {}{how}", route.prefix, route.upstream), route.source.clone()]
    });
    let tcp = shown.tcp.iter().map(|route| {
        let name = of_kind(route.kind, &route.dependency);
        ["tcp".to_owned(), name, format!("{} -> {}", route.listen, route.upstream), route.source.clone()]
    });
    let entries: Vec<_> = dependencies.chain(routes).chain(tcp).collect();
    if !entries.is_empty() {
        out.push('\n');
    }
    columns(&mut out, entries);
    out
}

/// The settings that there is one of each of.
fn rows(settings: &Settings) -> Vec<Row<'_>> {
    [settings.agent.rows(), settings.gateway.rows(), settings.run.rows()].into_iter().flatten().collect()
}

fn of_kind(kind: Option<Kind>, name: &str) -> String {
    kind.map_or_else(|| name.to_owned(), |kind| format!("{kind}/{name}"))
}

/// Lines whose cells stand below each other.
fn columns<const N: usize>(out: &mut String, lines: impl IntoIterator<Item = [String; N]>) {
    let lines: Vec<_> = lines.into_iter().map(|cells| cells.map(|cell| redact::printable(&cell))).collect();
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for cells in &lines {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
