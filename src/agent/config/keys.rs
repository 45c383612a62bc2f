//! The one table of settings: names, types, variables, defaults, limits, and a sentence on each.
//!
//! Reading, `config show`, the reference in `--help` and the commented file are made from it.

use super::fault::{Problem, Setting};
use super::section::Section;
use super::value::Value;
use super::words::{HostHeader, Place, Prefix, Program, ProxyUrl, RunAgent, Target, Upstream, UpstreamFailure};
use crate::agent::size::Size;
use crate::model::{Kind, Name};
use ipnet::IpNet;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the variables of hopwatch's own begin with.
pub(super) const PREFIX: &str = "HOPWATCH_";

/// What is known of a setting beside its value.
#[derive(Debug)]
pub(super) struct Key {
    /// The table that it stands in.
    pub(super) table: &'static str,
    /// Its name there.
    pub(super) name: &'static str,
    /// Variables that set it; the first that is set counts.
    pub(super) variables: &'static [&'static str],
    /// What it is where nobody says anything, as a variable would say it; `None` = it must be given.
    pub(super) default: Option<&'static str>,
    /// What it may be, where the default is nothing.
    pub(super) example: Option<&'static str>,
    /// The least and the most that it may be.
    pub(super) limits: Option<(&'static str, &'static str)>,
    /// What its number counts in JSON.
    pub(super) unit: Option<&'static str>,
    /// What it does, in a sentence.
    pub(super) about: &'static str,
    /// A text of a variable as it stands in a file.
    toml: fn(&str) -> Option<String>,
}

/// A setting, ready to be shown.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) json: Json,
    pub(super) source: &'a super::Source,
}

/// A table of settings.
pub(super) trait Table: Sized {
    const NAME: &'static str;
    /// Whether there are several of it.
    const LISTED: bool;
    const ABOUT: &'static str;
    const KEYS: &'static [Key];

    /// Reads it; `None` = there are mistakes in it, which are noted.
    fn read(section: &mut Section<'_>) -> Option<Self>;

    /// Its settings in their order.
    fn rows(&self) -> Vec<Row<'_>>;
}

/// A table as it is told of.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: &'static str,
    pub(super) listed: bool,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// All tables, in the order in which they are told.
pub(super) const TABLES: [Described; 6] = [
    Described::of::<AgentSettings>(),
    Described::of::<GatewaySettings>(),
    Described::of::<RunSettings>(),
    Described::of::<Dependency>(),
    Described::of::<Route>(),
    Described::of::<TcpRoute>(),
];

/// All keys, by table.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|table| table.keys)
}

impl Described {
    const fn of<T: Table>() -> Self {
        Self { name: T::NAME, listed: T::LISTED, about: T::ABOUT, keys: T::KEYS }
    }

    /// What stands above it in the file: `[gateway]`, `[[route]]`.
    pub(super) fn header(&self) -> String {
        if self.listed { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }

    /// The table of a key.
    pub(super) fn home(key: &Key) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == key.table)
    }
}

impl Key {
    /// Its name with its table's: `gateway.listen`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// The default as a line of a file; `None` = nothing.
    pub(super) fn default_line(&self) -> Option<String> {
        self.default.filter(|text| !text.is_empty()).and_then(|text| self.line(text))
    }

    /// The example as a line of a file.
    pub(super) fn example_line(&self) -> Option<String> {
        self.example.and_then(|text| self.line(text))
    }

    fn line(&self, text: &str) -> Option<String> {
        (self.toml)(text).map(|value| format!("{} = {value}", self.name))
    }

    /// A value that its limits allow.
    pub(super) fn within<T: Value>(&self, value: T) -> Result<T, Problem> {
        let Some((least, most)) = self.limits else { return Ok(value) };
        if value.within(&T::of_text(least)?, &T::of_text(most)?) {
            return Ok(value);
        }
        Err(Problem::new(format!("`{}` is out of range", value.text()), format!("it may be `{least}` to `{most}`")))
    }
}

macro_rules! table {
    (
        $(#[doc = $about:literal])+
        pub struct $Table:ident: $name:literal, listed $listed:literal {
            $(
                $(#[doc = $key_about:literal])+
                $key:ident $(as $spelled:literal)?: $type:ty $(= $default:literal)?
                $(, in $least:literal to $most:literal)? $(, like $example:literal)? $(, env $variable:literal $(or $other:literal)*)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Table {
            $($(#[doc = $key_about])+ pub $key: Setting<$type>,)+
        }

        impl Table for $Table {
            const NAME: &'static str = $name;
            const LISTED: bool = $listed;
            const ABOUT: &'static str = concat!($($about),+).trim_ascii();
            const KEYS: &'static [Key] = &[$(Key {
                table: Self::NAME,
                name: table!(@name $key $($spelled)?),
                variables: &[$($variable $(, $other)*)?],
                default: table!(@option $($default)?),
                example: table!(@option $($example)?),
                limits: table!(@option $(($least, $most))?),
                unit: <$type as Value>::UNIT,
                about: concat!($($key_about),+).trim_ascii(),
                toml: |text| <$type as Value>::of_text(text).ok()?.toml(),
            }),+];

            fn read(section: &mut Section<'_>) -> Option<Self> {
                let mut keys = Self::KEYS.iter();
                $(let $key = section.read(keys.next()?);)+
                Some(Self { $($key: $key?),+ })
            }

            fn rows(&self) -> Vec<Row<'_>> {
                let mut keys = Self::KEYS.iter();
                let mut rows = Vec::new();
                $(rows.extend(keys.next().map(|key| Row {
                    key,
                    text: self.$key.text(),
                    json: self.$key.json(),
                    source: &self.$key.source,
                }));)+
                rows
            }
        }
    };
    (@name $key:ident) => { stringify!($key) };
    (@name $key:ident $spelled:literal) => { $spelled };
    (@option) => { None };
    (@option $given:expr) => { Some($given) };
}

table! {
    /// `hopwatch agent` itself.
    pub struct AgentSettings: "agent", listed false {
        /// Where metrics, report and page are served; a port alone is the loopback's.
        admin: SocketAddr = "127.0.0.1:9470", env "HOPWATCH_ADMIN_LISTEN";
        /// The longest wait for exchanges in flight once the agent is asked to stop.
        drain: Duration = "20s", in "1ms" to "1h", env "HOPWATCH_DRAIN";
        /// Runs that are kept for the report at most.
        keep_runs: usize = "256", in "1" to "100000", env "HOPWATCH_KEEP_RUNS";
        /// How long a run is kept for the report.
        keep_for: Duration = "1h", in "1s" to "720h", env "HOPWATCH_KEEP_FOR";
    }
}

table! {
    /// The proxy that sees the calls which come through it.
    pub struct GatewaySettings: "gateway", listed false {
        /// Addresses to listen on; a port alone is the loopback's.
        listen: Vec<SocketAddr> = "127.0.0.1:9471", env "HOPWATCH_GATEWAY_LISTEN";
        /// Networks of the clients that are served beyond loopback.
        allow: Vec<IpNet> = "", like "10.0.0.0/8, fd00::/8", env "HOPWATCH_GATEWAY_ALLOW";
        /// Networks that are never connected to: by default those of metadata services.
        block: Vec<IpNet> = "169.254.0.0/16, fd00:ec2::/32", env "HOPWATCH_GATEWAY_BLOCK";
        /// Threads that serve.
        workers: usize = "1", in "1" to "256", env "HOPWATCH_GATEWAY_WORKERS";
        /// Whether it is a forward proxy too (absolute form and CONNECT), beside its routes.
        forward: bool = "true", env "HOPWATCH_GATEWAY_FORWARD";
        /// What a client gets whose upstream fails before an answer: a closed connection, or a 502 that says why.
        upstream_failure: UpstreamFailure = "close", env "HOPWATCH_UPSTREAM_FAILURE";
        /// The longest that connecting to an upstream may take.
        connect_timeout: Duration = "5s", in "1ms" to "1h", env "HOPWATCH_CONNECT_TIMEOUT";
        /// The longest that a client may take for the head of a request.
        header_timeout: Duration = "30s", in "1ms" to "1h", env "HOPWATCH_HEADER_TIMEOUT";
        /// How long a client's connection may be idle: longer than clients keep theirs (Python's: 5 s).
        idle_timeout: Duration = "75s", in "1ms" to "24h", env "HOPWATCH_IDLE_TIMEOUT";
        /// How long a connection to an upstream is kept idle: shorter than servers keep theirs.
        upstream_idle_timeout: Duration = "55s", in "1ms" to "24h", env "HOPWATCH_UPSTREAM_IDLE_TIMEOUT";
        /// Connections of clients at once; more are closed at once.
        max_clients: usize = "10000", in "1" to "1000000", env "HOPWATCH_MAX_CLIENTS";
        /// Connections to one upstream at once, over HTTP/1.1; more wait, which is counted as `pool`.
        max_upstream_connections: usize = "1024", in "1" to "65535", env "HOPWATCH_MAX_UPSTREAM_CONNECTIONS";
        /// The largest head of a request or an answer.
        max_header_size: Size = "64KiB", in "8KiB" to "16MiB", env "HOPWATCH_MAX_HEADER_SIZE";
        /// The certificate chain to serve TLS with, a PEM file; needs `tls_key`.
        tls_certificate: Option<PathBuf> = "", like "/etc/hopwatch/tls.pem", env "HOPWATCH_TLS_CERTIFICATE";
        /// Its private key, a PEM file.
        tls_key: Option<PathBuf> = "", like "/etc/hopwatch/tls.key", env "HOPWATCH_TLS_KEY";
        /// PEM files, or folders of them, of authorities that upstreams may be signed by, beside the system's.
        ca: Vec<PathBuf> = "", like "/etc/hopwatch/ca.pem", env "HOPWATCH_CA";
        /// The forward proxy that `http` upstreams are reached through.
        http_proxy: Option<ProxyUrl> = "", like "http://proxy.internal:3128", env "http_proxy" or "HTTP_PROXY";
        /// The forward proxy that `https` upstreams and tunnels are reached through.
        https_proxy: Option<ProxyUrl> = "", like "http://proxy.internal:3128", env "https_proxy" or "HTTPS_PROXY";
        /// The forward proxy of what has none of its own, TCP routes among it.
        all_proxy: Option<ProxyUrl> = "", like "http://proxy.internal:3128", env "all_proxy" or "ALL_PROXY";
        /// Hosts, domains and networks that are reached without a proxy; `*` is every one.
        no_proxy: Vec<String> = "", like "localhost, .internal, 10.0.0.0/8", env "no_proxy" or "NO_PROXY";
    }
}

table! {
    /// Defaults of `hopwatch run`; its options win.
    pub struct RunSettings: "run", listed false {
        /// What the run is called; by default the script or program.
        name: Option<String> = "", like "support agent";
        /// The time that the command may take: the report is cut there.
        deadline: Option<Duration> = "", like "10s";
        /// Whether the command is ended at the deadline too.
        kill: bool = "false";
        /// Base names of programs that are left unwatched.
        skip: Vec<Program> = "", like "git, make";
        /// The agent that the run hands its records to: `auto`, or an agent's admin address.
        agent: Option<RunAgent> = "", like "auto", env "HOPWATCH_AGENT";
    }
}

table! {
    /// A name for peers, wherever they are seen.
    pub struct Dependency: "dependency", listed true {
        /// The name that it has in reports and metrics.
        name: Name, like "docs";
        /// What it is (`llm`, `retrieval`, `embedding`, `tool`, `agent`, `http`); by default what the traffic says.
        kind: Option<Kind> = "", like "retrieval";
        /// Where it is: HOST or HOST:PORT, any number of them.
        matches as "match": Vec<Place> = "", like "127.0.0.1:40001, docs.internal";
    }
}

table! {
    /// A reverse-proxy route: what comes to the gateway under `prefix` goes to `upstream`.
    pub struct Route: "route", listed true {
        /// Path that requests begin with, like `/docs`; it is taken off.
        prefix: Prefix, like "/docs";
        /// Base URL that takes its place, like `http://127.0.0.1:8000`.
        upstream: Upstream, like "http://127.0.0.1:40001";
        /// Name of a `[[dependency]]`, or a new one with its `kind` here.
        dependency: Name, like "docs";
        /// Kind of a new dependency.
        kind: Option<Kind> = "", like "retrieval";
        /// The `host` that the upstream is sent: its own (`upstream`), or what the client wrote (`keep`).
        host: HostHeader = "upstream";
        /// Whether the upstream is spoken to by HTTP/2 alone, over plain `http` by prior knowledge, as gRPC servers want it.
        http2: bool = "false";
    }
}

table! {
    /// A TCP route, for databases and the like: listen here, connect there.
    pub struct TcpRoute: "tcp", listed true {
        /// Address to listen on, like `127.0.0.1:15432`.
        listen: SocketAddr, like "127.0.0.1:15432";
        /// HOST:PORT to connect to.
        upstream: Target, like "db.internal:5432";
        /// Name of a `[[dependency]]`, or a new one with its `kind` here.
        dependency: Name, like "docs";
        /// Kind of a new dependency.
        kind: Option<Kind> = "", like "retrieval";
    }
}
