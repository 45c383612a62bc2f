//! `hopwatch demo`: a small agent with a fault inside, and the verdict.

mod agent;
mod faults;
mod servers;

pub(super) use agent::{AgentArgs, agent};

use super::color::Color;
use super::run::{AgentPlan, Finished, JsonFile, Plan, Via, address_option, report, supervise};
use super::signals::Inbox;
use super::{Failure, status, tell};
use crate::export::report::{Style, text};
use crate::model::naming::Rule;
use crate::model::{Kind, Naming};
use clap::{Args, ValueEnum};
use faults::Fault;
use servers::Servers;
use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Time that the agent has; enough for all of its questions several times over.
const DEADLINE: Duration = Duration::from_secs(6);

/// Watch a small agent with a fault inside, and read the verdict
///
/// Starts a model server, a retriever and a tool on this machine, with a fault in one of them; then runs a small agent against them as
/// `hopwatch run` would. Needs no network and takes a few seconds. Exit code 0 when the verdict names the fault.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hopwatch demo                            the retriever eats the budget; the error is raised at the model
  hopwatch demo --list                     all faults, and what you will see
  hopwatch demo --fault stalled-stream --json report.json")]
pub(super) struct DemoArgs {
    /// The fault; `--list` shows them
    #[arg(long, value_name = "NAME", default_value = "slow-retrieval", hide_possible_values = true)]
    fault: Fault,

    /// List the faults
    #[arg(long)]
    list: bool,

    /// Also write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Hand the run to the agent at this admin address too
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address_option)]
    agent: Option<SocketAddr>,

    /// Colour the report
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

/// Runs the demo; 0 when the verdict names the fault.
pub(super) fn demo(args: DemoArgs) -> Result<u8, Failure> {
    if args.list {
        return super::print(&list()).map(|()| 0);
    }
    // Before the servers' threads start: they inherit the signal mask.
    let inbox = Inbox::open()?;
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::new(status::FAILED, format!("cannot {what}: {error}"));
    let json = args.json.as_deref().map(JsonFile::check).transpose()?;
    let servers = Servers::start(args.fault).map_err(|error| failed("start the demo's servers", &error))?;
    let program = std::env::current_exe().map_err(|error| failed("find the agent's program", &error))?;
    let plan = Plan {
        agent: args.agent.map(|address| AgentPlan { address, if_any: false }),
        ..plan(args.fault, &servers, program.into_os_string(), json)
    };
    let finished = supervise(&plan, inbox)?;
    tell(&text(&finished.report, Style { color: args.color.on_stderr() }));
    if let Some(file) = &plan.json {
        file.write(|to| report::json(&finished.report, to))?;
    }
    conclude(args.fault, &finished)
}

fn list() -> String {
    let names: Vec<_> = Fault::value_variants().iter().map(|fault| (fault.name(), fault.shows())).collect();
    let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    names.iter().fold(String::new(), |mut out, (name, shows)| {
        let _infallible = writeln!(out, "{name:width$}  {shows}");
        out
    })
}

fn plan(fault: Fault, servers: &Servers, program: OsString, json: Option<JsonFile>) -> Plan {
    let rule = |kind, name: &str, address: SocketAddr| Rule {
        kind: Some(kind),
        name: name.into(),
        host: address.ip().to_string(),
        port: Some(address.port()),
    };
    let rules = vec![
        rule(Kind::Llm, faults::LLM, servers.llm),
        rule(Kind::Retrieval, faults::DOCS, servers.docs),
        rule(Kind::Tool, faults::TOOL, servers.tool),
    ];
    let option = |name: &str, value: String| [OsString::from(name), OsString::from(value)];
    let options = [
        option("--fault", fault.name()),
        option("--llm", servers.llm.to_string()),
        option("--docs", servers.docs.to_string()),
        option("--tool", servers.tool.to_string()),
        option("--budget", format!("{}ms", DEADLINE.as_millis())),
    ];
    Plan {
        command: program,
        arguments: std::iter::once("demo-agent".into()).chain(options.into_iter().flatten()).collect(),
        name: "demo agent".to_owned(),
        naming: Naming { rules, base_urls: Vec::new() },
        deadline: Some(DEADLINE),
        kill: false,
        via: Via::Observer,
        skip: Vec::new(),
        json,
        metrics: None,
        watch: None,
        quiet: false,
        gateway: None,
        agent: None,
        otlp: None,
        source: "demo",
    }
}

/// Tells whether the verdict names the fault.
fn conclude(fault: Fault, finished: &Finished) -> Result<u8, Failure> {
    if finished.by_user {
        return Ok(finished.code);
    }
    match fault.check(&finished.report) {
        Ok(()) => {
            tell(&format!("demo     as it should: {} (fault `{}`)\n", fault.shows(), fault.name()));
            Ok(0)
        }
        Err(said) => Err(Failure::new(status::FAILED, format!("the fault was `{}`, but {said}", fault.name()))
            .hint("a machine that is very busy can hide a fault: try again; else please report it with `--json`")),
    }
}
