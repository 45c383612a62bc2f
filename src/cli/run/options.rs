//! Options of `run`, and the plan that they make together with the configuration and the environment.

use super::json::JsonFile;
use super::{export, name, trusted};
use crate::agent::address;
use crate::agent::config::{
    self as agent_config, Program, RunAgent, Sources, check_dependency_name, check_program_name, parse_kind, parse_place,
};
use crate::agent::duration::{self, DurationError};
use crate::agent::gateway;
use crate::agent::providers::ProviderRoutes;
use crate::cli::color::Color;
use crate::cli::{Failure, config};
use crate::export::otlp::OtlpConfig;
use crate::gateway::connect::trust;
use crate::gateway::{Settings, TcpRoute};
use crate::model::Naming;
use crate::model::naming::Rule;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Run a command and name what ate its time
///
/// The command runs unchanged: its input, output, exit code, signals and job control are its own. When it ends, the report goes to
/// standard error: the time by dependency and phase, and the culprit when the run failed, was late or was slower than its normal.
#[derive(Debug, Args)]
#[command(override_usage = "hopwatch run [OPTIONS] -- COMMAND [ARGUMENT]...")]
#[command(after_help = "\
Examples:
  hopwatch run -- python agent.py
  hopwatch run --deadline 10s -- python agent.py         the report is cut at 10 s
  hopwatch run --deadline 10s --kill -- python agent.py  and so is the command
  hopwatch run --dep retrieval/docs=127.0.0.1:8000 --dep tool/search=search.local -- python agent.py
  hopwatch run --json report.json --quiet -- pytest tests/agent
  hopwatch run --watch -- python agent.py > out.log       its waterfall as it goes on
  hopwatch run --metrics 9464 -- python service.py        for Prometheus, at 127.0.0.1:9464/metrics
  hopwatch run --via gateway -- ./static-program          what cannot be seen from inside
  hopwatch run --intercept -- ./static-program            its HTTPS in full
  hopwatch run --agent auto -- python job.py              reported by the `hopwatch agent` of this host

Signals: what is sent to hopwatch is passed on to the command. A second Ctrl-C kills it. SIGQUIT
(`kill -QUIT`) prints what is open right now, with age and phase; it is not passed on, but Ctrl-\\
on a terminal reaches the command as well.

Environment: HOPWATCH_CONFIG names the configuration file; HOPWATCH_OBSERVER=off keeps the observer
out of a program and what it starts; NO_COLOR and CLICOLOR_FORCE as usual. The command finds the id
of its run in HOPWATCH_RUN_ID. Where OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set,
the spans of the run go there when the command ended, within 5 s, by the standard OTEL_*
variables; the command keeps these as they are.

Exit code: the command's own (128 + signal when a signal ended it); 127 not found, 126 not
executable, 124 ended by --kill, 2 wrong usage or configuration, 3 when it could not be watched as asked.")]
pub(crate) struct RunArgs {
    /// How to see the command's calls: `auto` is the observer where it can load, else the gateway; `none` leaves the command alone
    #[arg(long, value_name = "HOW", default_value = "auto", hide_possible_values = true)]
    #[arg(long_help = "\
How to see the command's calls:
  auto      the observer where it can load, else the gateway (said before it starts)
  observer  a shared object, preloaded into the command; exit 3 where it cannot load
  gateway   a proxy on loopback that the command is pointed at by its environment: HTTP_PROXY and
            its like, and the base URLs of known providers (OPENAI_BASE_URL, OLLAMA_HOST, ...).
            For static programs and other runtimes
  both      observer and gateway. Each call is counted once, as the observer saw it; the gateway's
            record of it stands below
  none      nothing; the command is left alone")]
    via: Via,

    /// The time that the command may take, like 10s, 1m30s, 500ms: the report is cut there
    #[arg(long, value_name = "DURATION", value_parser = duration_option, allow_hyphen_values = true)]
    deadline: Option<Duration>,

    /// End the command at the deadline: SIGTERM, 2 s later SIGKILL; exit code 124
    #[arg(long)]
    kill: bool,

    /// Name of the run in the report [default: the script or program]
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<String>,

    /// Name a dependency and its kind; repeatable
    #[arg(long = "dep", value_name = "KIND/NAME=HOST[:PORT]", value_parser = dependency_option)]
    #[arg(long_help = "\
Name a dependency and its kind; repeatable. Kinds: llm, retrieval, embedding, tool, agent, http.
Known providers (OpenAI, Azure OpenAI, Anthropic, Ollama and others) need no name")]
    dependencies: Vec<Rule>,

    /// Leave programs of this base name unwatched, but not what they start; repeatable
    #[arg(long, value_name = "NAME", value_parser = skip_option)]
    skip: Vec<String>,

    /// Configuration file [default: $HOPWATCH_CONFIG, else hopwatch.toml here if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Also write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Serve the metrics of the run so far to Prometheus, at http://ADDRESS/metrics, while the command runs
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address_option)]
    #[arg(long_help = "\
Serve the metrics of the run so far to Prometheus, at http://ADDRESS/metrics, while the
command runs. A port alone is the loopback's; port 0 takes any that is free, and standard
error tells which. Calls are counted when they are over for good: 1 s after their end,
failed ones that may be tried again 10 s after it. What ends with the command is in the
report alone.
Short runs end between two scrapes: send those to a collector (OTEL_EXPORTER_OTLP_ENDPOINT)")]
    metrics: Option<SocketAddr>,

    /// Hand the run to an agent as it goes on and when it ends: its admin address, or `auto` for the one of this host
    #[arg(long, value_name = "[ADDRESS:]PORT|auto", value_parser = agent_option)]
    #[arg(long_help = "\
Hand the run to an agent (`hopwatch agent`) as it goes on and when it ends, so that many short
runs are seen in one place: its metrics, its spans, its page. Name its admin address, or `auto`
for the agent of this host, where there is one: at `agent.admin` of the configuration
[default: $HOPWATCH_AGENT]. A run whose agent is away goes on without")]
    agent: Option<RunAgent>,

    /// Show the run as it goes on, on the terminal
    #[arg(long)]
    #[arg(long_help = "\
Show the run as it goes on, on the terminal: its waterfall, and the call that is open longest.
The command's output is untouched: where it goes elsewhere (`> out.log 2>&1`) the view has the
whole screen, and gives it back at the end; where it goes to the terminal, it goes on above,
and the view keeps to the last lines below. For programs that print lines, not for those that
fill the screen themselves")]
    watch: bool,

    /// Print no report and no notes; errors are still told
    #[arg(long, short)]
    pub(super) quiet: bool,

    /// Colour the report
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,

    /// With the gateway: look into TLS too, by certificates that the command is told to trust
    #[arg(long)]
    #[arg(long_help = "\
With the gateway (which this implies): look into TLS too, so that HTTPS is seen in full:
status, tokens, first token. For this run alone there is a certificate authority, whose
keys never leave hopwatch's memory. The command is told to trust it beside the system's
and your own by a file that is gone when the command ends (SSL_CERT_FILE,
REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, NODE_EXTRA_CA_CERTS, AWS_CA_BUNDLE, GIT_SSL_CAINFO
and their like). Hosts are verified as ever. A client that pins fails once and is named;
from then on calls to its host pass unread, as do those to hosts whose certificate is
not trusted here, and what is not HTTP")]
    intercept: bool,

    /// With the gateway: leave HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY alone
    #[arg(long)]
    no_proxy_env: bool,
    /// With the gateway: leave base-URL variables like OPENAI_BASE_URL alone
    #[arg(long)]
    no_base_urls: bool,
    /// Leave OTLP variables alone (gateway)
    #[arg(long, hide = true)]
    no_otlp_env: bool,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// `--via`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// The observer where it can load
    #[default]
    Auto,
    /// The observer
    Observer,
    /// The gateway
    Gateway,
    /// Observer and gateway
    Both,
    /// Nothing
    None,
}

/// All that is settled before the command starts.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Program as the user wrote it, and its arguments.
    pub(crate) command: OsString,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) name: String,
    pub(crate) naming: Naming,
    pub(crate) deadline: Option<Duration>,
    pub(crate) kill: bool,
    pub(crate) via: Via,
    /// Base names of programs to be left alone.
    pub(crate) skip: Vec<String>,
    pub(crate) json: Option<JsonFile>,
    /// Where to serve metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// The agent that the run is handed to.
    pub(crate) agent: Option<AgentPlan>,
    /// Show the run on the terminal while it goes on, coloured or not.
    pub(crate) watch: Option<Color>,
    /// Say nothing but errors.
    pub(crate) quiet: bool,
    /// The gateway that the command is pointed at, where it is seen that way.
    pub(crate) gateway: Option<GatewayPlan>,
    /// Where the run's spans go.
    pub(crate) otlp: Option<OtlpConfig>,
    /// `source` of the report.
    pub(crate) source: &'static str,
}

/// The agent that a run is handed to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentPlan {
    /// Its admin address.
    pub(crate) address: SocketAddr,
    /// There may well be none.
    pub(crate) if_any: bool,
}

/// How the gateway of a run is set up.
#[derive(Debug)]
pub(crate) struct GatewayPlan {
    pub(crate) settings: Settings,
    /// Where TCP routes begin and lead.
    pub(crate) tcp_routes: Vec<(SocketAddr, TcpRoute)>,
    pub(crate) providers: ProviderRoutes,
    /// The command's proxy variables lead to it.
    pub(crate) sets_proxies: bool,
    /// The base URLs of the command's providers lead to it.
    pub(crate) sets_base_urls: bool,
    /// It looks into TLS, and the command trusts these files and folders already; `None` = it does not.
    pub(crate) intercepts: Option<Vec<PathBuf>>,
}

impl RunArgs {
    /// Joins options, configuration and environment; an option wins.
    pub(super) fn plan(self) -> Result<Plan, Failure> {
        let settings = config::settings(&Sources::of_process(self.config.as_deref(), Vec::new()))?;
        let deadline = self.deadline.or(*settings.run.deadline);
        let kill = self.kill || *settings.run.kill;
        if kill && deadline.is_none() {
            return Err(Failure::usage("`--kill` needs a deadline").hint("add `--deadline 10s`"));
        }
        let via = match self.via {
            Via::Auto if self.intercept => Via::Gateway,
            Via::Observer | Via::None if self.intercept => {
                return Err(
                    Failure::usage("`--intercept` is done by the gateway").hint("write `--via gateway` or `--via both` with it")
                );
            }
            via => via,
        };
        if self.intercept && self.no_proxy_env {
            return Err(Failure::usage("`--intercept` sees what comes by the command's proxy variables")
                .hint("leave `--no-proxy-env` out, or `--intercept`"));
        }
        let variable = |name: &str| std::env::var_os(name);
        let mut authorities = trust::named_by(variable);
        if self.intercept {
            authorities.extend(trusted::named_by(variable));
            authorities.sort();
            authorities.dedup();
        }
        if self.watch && via == Via::None {
            return Err(Failure::usage("`--watch` has nothing to show with `--via none`").hint("leave one of them out"));
        }
        let mut words = self.command.into_iter();
        let command = words.next().unwrap_or_default();
        let arguments: Vec<OsString> = words.collect();
        let mut rules = self.dependencies;
        rules.extend(settings.rules());
        let mut skip = self.skip;
        skip.extend(settings.run.skip.iter().map(|Program(name)| name.clone()));
        let run_name =
            self.name.or_else(|| settings.run.name.value.clone()).unwrap_or_else(|| name::of_command(&command, &arguments));
        let naming = Naming { rules, base_urls: crate::agent::base_url::rules(std::env::vars_os()) };
        let providers = ProviderRoutes::of(|name| std::env::var(name).ok());
        Ok(Plan {
            gateway: Some(GatewayPlan {
                intercepts: self.intercept.then(|| authorities.clone()),
                settings: gateway::settings(&settings, Arc::new(naming.clone()), &providers, authorities, Vec::new()),
                tcp_routes: gateway::tcp_routes(&settings).map(|(address, _, route)| (address, route)).collect(),
                providers,
                sets_proxies: !self.no_proxy_env,
                sets_base_urls: !self.no_base_urls,
            }),
            otlp: export::from_env(&run_name),
            name: run_name,
            naming,
            deadline,
            kill,
            via,
            skip,
            json: self.json.map(|path| JsonFile::check(&path)).transpose()?,
            metrics: self.metrics,
            agent: self.agent.or(*settings.run.agent).map(|agent| AgentPlan::of(agent, &settings)),
            watch: self.watch.then_some(self.color),
            quiet: self.quiet,
            source: "run",
            command,
            arguments,
        })
    }
}

impl AgentPlan {
    /// The agent of this host is where its own settings, which are read here too, let it listen.
    fn of(agent: RunAgent, settings: &agent_config::Settings) -> Self {
        match agent {
            RunAgent::At(address) => Self { address, if_any: false },
            RunAgent::Auto => {
                let mut address = *settings.agent.admin;
                if address.ip().is_unspecified() {
                    address.set_ip(if address.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() });
                }
                Self { address, if_any: true }
            }
        }
    }
}

/// Reads a duration.
pub(in crate::cli) fn duration_option(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| format!("{error}\nhint: {}", DurationError::HINT))
}

/// Reads `[ADDRESS:]PORT`.
pub(in crate::cli) fn address_option(text: &str) -> Result<SocketAddr, String> {
    address::parse(text).map_err(|message| format!("{message}\nhint: {}", address::HINT))
}

/// Reads an agent's address, or `auto`.
fn agent_option(text: &str) -> Result<RunAgent, String> {
    if text == "auto" { Ok(RunAgent::Auto) } else { address_option(text).map(RunAgent::At) }
}

/// Reads the base name of a program.
fn skip_option(text: &str) -> Result<String, String> {
    check_program_name(text).map(|()| text.to_owned())
}

/// Reads `KIND/NAME=HOST[:PORT]`.
pub(in crate::cli) fn dependency_option(text: &str) -> Result<Rule, String> {
    let form =
        |problem: &str| format!("`{text}` {problem}\nhint: write KIND/NAME=HOST[:PORT], like `retrieval/docs=127.0.0.1:8000`");
    let (left, place) = text.split_once('=').ok_or_else(|| form("has no `=`"))?;
    let (kind, name) = left.split_once('/').ok_or_else(|| form("has no kind"))?;
    let kind = parse_kind(kind).map_err(|(message, hint)| format!("{message}\nhint: {hint}"))?;
    check_dependency_name(name).map_err(|message| form(&format!("is not usable: {message}")))?;
    let (host, port) = parse_place(place).map_err(|message| form(&format!("is not usable: {message}")))?;
    Ok(Rule { kind: Some(kind), name: name.into(), host, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn a_dependency_is_read_with_its_kind() {
        let rule = dependency_option("retrieval/docs=127.0.0.1:8000").unwrap();
        assert_eq!(rule, Rule { kind: Some(Kind::Retrieval), name: "docs".into(), host: "127.0.0.1".into(), port: Some(8000) });
    }

    #[test]
    fn a_dependency_that_cannot_be_read_says_how_to_write_it() {
        let hint_of = |text| dependency_option(text).unwrap_err();
        assert!(hint_of("retreival/docs=h").contains("did you mean `retrieval`?"));
        assert!(hint_of("docs=h:1").contains("has no kind"));
        assert!(hint_of("retrieval/docs").contains("KIND/NAME=HOST[:PORT]"));
        assert!(hint_of("retrieval/=h").contains("name is empty"));
        assert!(hint_of("retrieval/docs=http://h").contains("write its HOST or HOST:PORT alone"));
    }
}
