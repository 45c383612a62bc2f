//! Options of `probe`, and what they make together with the configuration and the environment.

use super::limits::Limit;
use super::target::Target;
use super::witness::Secured;
use crate::agent::config::Sources;
use crate::cli::color::Color;
use crate::cli::run::{dependency_option, duration_option};
use crate::cli::{Failure, config, status};
use crate::gateway::connect::{ConnectorOptions, Family, Proxies, Scheme, trust};
use crate::model::Naming;
use crate::model::naming::Rule;
use clap::Args;
use http::{HeaderValue, Method};
use rustls::RootCertStore;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Beyond what a whole try may take, so that it is the try that ends.
const BEYOND: Duration = Duration::from_secs(60);

/// Test endpoints from here, phase by phase
///
/// Each try opens a connection of its own, through the proxies that the environment names, as clients of this machine or container
/// would. What stands in the way or is slow is told in plain words, with what to change.
#[derive(Debug, Args)]
#[command(override_usage = "hopwatch probe [OPTIONS] URL...")]
#[command(after_help = "\
Examples:
  hopwatch probe https://api.openai.com/v1/models
  hopwatch probe -n 10 --max total=500ms,tls=200ms api.internal  exit 1 when one try takes longer
  hopwatch probe tcp://qdrant:6333 postgres://db:5432            no login, no query
  hopwatch probe --bearer-env OPENAI_API_KEY https://api.openai.com/v1/models
  hopwatch probe --json=probe.json --no-proxy http://docs.internal/health

URLs: http:// and https:// are asked for once (GET, redirects not followed, the answer is read and
forgotten), tcp:// is connected to, postgres:// is asked whether it speaks TLS. A bare host is https.

What is ok: any answer with a status below 500. 401, 403, 404 or 429 say that the endpoint is
reached; that is noted and no failure of the way.

Environment: http_proxy, https_proxy, all_proxy, no_proxy (also in upper case) as curl and Python's
clients read them; database drivers know no proxies, so postgres:// goes without. SSL_CERT_FILE,
SSL_CERT_DIR, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE name authorities that are trusted beside the
system's. HOPWATCH_CONFIG names the configuration file.

Exit code: 0 all ok and within --max, 1 otherwise, 2 wrong usage or configuration.")]
pub(in crate::cli) struct ProbeArgs {
    /// What to test: a URL, or a host
    #[arg(value_name = "URL", required_unless_present = "schema")]
    urls: Vec<String>,

    /// How often each is tried
    #[arg(long, short = 'n', value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tries: u32,

    /// How long one try may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration_option)]
    timeout: Duration,

    /// Exit 1 when any try takes longer, or a phase of it: 500ms, or total=1s,tls=200ms; repeatable
    #[arg(long, value_name = "[PHASE=]DURATION", value_parser = Limit::parse, value_delimiter = ',')]
    #[arg(long_help = "\
Exit 1 when any try takes longer, or a phase of it: 500ms, or total=1s,tls=200ms; repeatable.
Phases: dns, connect, proxy, tls, send, wait (request sent to first byte), stream")]
    max: Vec<Limit>,

    /// Use IPv4 alone
    #[arg(long, short = '4', conflicts_with = "ipv6")]
    ipv4: bool,

    /// Use IPv6 alone
    #[arg(long, short = '6')]
    ipv6: bool,

    /// The request's method; no body is sent
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method_option)]
    method: Method,

    /// Send the value of this variable as bearer token
    #[arg(long, value_name = "NAME")]
    bearer_env: Option<String>,

    /// Name a dependency and its kind; repeatable
    #[arg(long = "dep", value_name = "KIND/NAME=HOST[:PORT]", value_parser = dependency_option)]
    dependencies: Vec<Rule>,

    /// Configuration file [default: $HOPWATCH_CONFIG, else hopwatch.toml here if there is one]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Go without the proxies that the environment names
    #[arg(long)]
    no_proxy: bool,

    /// Trust the authorities in this PEM file too; repeatable
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,

    /// Print the report as JSON instead, or write it to a file beside the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(super) json: Option<Option<PathBuf>>,

    /// Print the JSON Schema of the report
    #[arg(long, exclusive = true)]
    pub(super) schema: bool,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
}

/// All that is settled before the first try.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) targets: Vec<Target>,
    pub(super) tries: u32,
    pub(super) timeout: Duration,
    pub(super) limits: Vec<Limit>,
    pub(super) method: Method,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) connector: ConnectorOptions,
    pub(super) tls: Secured,
}

impl ProbeArgs {
    /// Joins options, configuration and environment; an option wins.
    pub(super) fn plan(self) -> Result<Plan, Failure> {
        let settings = config::settings(&Sources::of_process(self.config.as_deref(), Vec::new()))?;
        let rules = self.dependencies.into_iter().chain(settings.rules()).collect();
        let naming = Naming { rules, base_urls: crate::agent::base_url::rules(std::env::vars_os()) };
        let targets = self.urls.iter().map(|url| Target::parse(url, &naming).map_err(|error| hinted(&error)));
        let targets: Vec<Target> = targets.collect::<Result<_, _>>()?;
        let proxies = if self.no_proxy { Proxies::default() } else { Proxies::read(|name| std::env::var(name).ok()) };
        let uses_tls =
            |target: &Target| target.origin.scheme == Scheme::Https || matches!(proxies.of(&target.origin), Ok(Some(_)));
        let roots = if targets.iter().any(uses_tls) { roots(self.ca)? } else { RootCertStore::empty() };
        let tls = Secured::with(roots).map_err(|error| Failure::of(status::FAILED, &error))?;
        let connector = ConnectorOptions {
            connect_timeout: self.timeout + BEYOND,
            lookup_timeout: self.timeout + BEYOND,
            handshake_timeout: self.timeout + BEYOND,
            proxies,
            family: match (self.ipv4, self.ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            ..ConnectorOptions::new(Arc::clone(&tls.config))
        };
        Ok(Plan {
            targets,
            tries: self.tries,
            timeout: self.timeout,
            limits: self.max,
            method: self.method,
            authorization: self.bearer_env.as_deref().map(bearer).transpose()?,
            connector,
            tls,
        })
    }
}

/// The authorities of the system, of the environment and of options.
fn roots(options: Vec<PathBuf>) -> Result<RootCertStore, Failure> {
    let mut named = trust::named_by(|name| std::env::var_os(name));
    named.extend(options);
    trust::roots(&named).map_err(|error| {
        Failure::of(status::USAGE, &error)
            .hint("files are named by SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and `--ca`; clients fail on them too")
    })
}

/// `Bearer` with the value of a variable.
fn bearer(name: &str) -> Result<HeaderValue, Failure> {
    let wrong = |problem: &str| Failure::usage(format!("`--bearer-env`: the variable `{name}` {problem}"));
    let token = std::env::var(name).ok().filter(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| wrong("is not set").hint("export it first; the token itself is no option, since shells remember"))?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| wrong("holds what no header can"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn method_option(text: &str) -> Result<Method, String> {
    let upper = text.to_ascii_uppercase();
    upper.parse().map_err(|_| format!("`{text}` is no method\nhint: write `GET`, `HEAD`, `OPTIONS` or another one"))
}

/// A usage failure of a message with its hint behind a line break.
fn hinted(text: &str) -> Failure {
    match text.split_once("\nhint: ") {
        Some((message, hint)) => Failure::usage(message).hint(hint),
        None => Failure::usage(text),
    }
}
